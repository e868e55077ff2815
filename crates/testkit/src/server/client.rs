//! A client of HTTP/1.1 that sends exactly what it is told, wrong or not, and hides nothing of the answer.

#![expect(clippy::expect_used, reason = "in a test kit, what cannot go on fails the test")]

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A request. `host`, and `content-length` where there is a body, are added to its headers unless they are among them.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    is_chunked: bool,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            is_chunked: false,
        }
    }

    /// `GET target`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST target` with a JSON body, or what is said to be one.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).header("content-type", "application/json").body(body)
    }

    /// The same with a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with its body in chunks of 8 KiB, so that nobody knows its length beforehand.
    #[must_use]
    pub const fn chunked(mut self) -> Self {
        self.is_chunked = true;
        self
    }

    /// The bytes of its head, and of its body.
    pub fn bytes(&self, address: SocketAddr) -> (Vec<u8>, Vec<u8>) {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |name: &str| self.headers.iter().any(|(has, _)| has.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_str(&line_of("host", &address));
        }
        for (name, value) in &self.headers {
            head.push_str(&line_of(name, value));
        }
        let mut body = self.body.clone();
        if self.is_chunked {
            head += "transfer-encoding: chunked\r\n";
            body.clear();
            for chunk in self.body.chunks(8 * 1024) {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
        } else if !has("content-length") && (!body.is_empty() || self.method == "POST") {
            head.push_str(&line_of("content-length", &body.len()));
        }
        head += "\r\n";
        (head.into_bytes(), body)
    }
}

fn line_of(name: &str, value: &dyn fmt::Display) -> String {
    format!("{name}: {value}\r\n")
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names, in lower case, and values, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the header `name`, if it is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(has, _)| has == name).map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// All of it, as text.
    pub fn whole(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        format!("{}\n{}\n{}", self.status, headers.collect::<String>(), self.text())
    }
}

/// A client with one connection, made when it is needed and kept until the server closes it.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of the server at `address`.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends `request` and reads the answer.
    ///
    /// # Panics
    /// If there is none.
    pub async fn send(&mut self, request: &Request) -> Answer {
        self.try_send(request).await.expect("the server answers")
    }

    /// `GET target`.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.send(&Request::get(target)).await
    }

    /// `POST target` with a JSON body.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn post(&mut self, target: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.send(&Request::post(target, body)).await
    }

    /// Sends `request` and reads the answer, if there is one.
    ///
    /// # Errors
    /// Whatever became of the connection. A request is never sent twice.
    pub async fn try_send(&mut self, request: &Request) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(self.address).await?),
        };
        connection.get_ref().set_nodelay(true)?;
        let (mut bytes, body) = request.bytes(self.address);
        bytes.extend(body);
        connection.get_mut().write_all(&bytes).await?;
        let answer = read_answer(&mut connection, request.method == "HEAD").await?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// Reads an answer, which tells its length or has none.
///
/// # Errors
/// If the connection ends before it, or it is no such answer.
pub async fn read_answer(connection: &mut BufReader<TcpStream>, is_to_head: bool) -> io::Result<Answer> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let first = line(connection).await?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or_else(|| broken("no status line"))?;
    let mut headers = Vec::new();
    loop {
        let line = line(connection).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken("no header"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if !is_to_head && status != 204 {
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        answer.body = vec![0; length.ok_or_else(|| broken("no content-length"))?];
        connection.read_exact(&mut answer.body).await?;
    }
    Ok(answer)
}

async fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
