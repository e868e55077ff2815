//! Somebody who signs in, over HTTP/1.1 on a connection that is kept.
//!
//! The HTTP is the least that a server of ours needs, so that the load costs little: one write a request, answers with a
//! `content-length`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::measured::{Meter, microseconds};
use crate::sink::Sink;

/// An answer that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(10);

/// After an error a client waits, so that a server that is down is not called in circles.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct Http {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Http {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<String> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")).await
    }

    /// `from` is where it seems to come from: who believes his peer sees so many networks.
    async fn post(&mut self, path: &str, from: Ipv4Addr, body: &str) -> io::Result<String> {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-forwarded-for: {from}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    /// The body of a 200; any other status is an error.
    async fn ask(&mut self, request: &str) -> io::Result<String> {
        let asked = async {
            self.stream.write_all(request.as_bytes()).await?;
            loop {
                if let Some((head, whole)) = extent(&self.received)? {
                    while self.received.len() < whole {
                        self.more().await?;
                    }
                    let answer: Vec<u8> = self.received.drain(..whole).collect();
                    let text = String::from_utf8(answer).map_err(io::Error::other)?;
                    let is_ok = text.starts_with("HTTP/1.1 200 ");
                    let body = text.get(head..).unwrap_or_default().to_owned();
                    let status = text.get(9..12).unwrap_or("no");
                    return if is_ok { Ok(body) } else { Err(io::Error::other(format!("status {status}"))) };
                }
                self.more().await?;
            }
        };
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(io::Error::other("no answer in time")))
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Where the head of an answer ends, and where the whole does; none while the head is incomplete.
fn extent(received: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(received.get(..end).unwrap_or_default()).map_err(io::Error::other)?;
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| io::Error::other("an answer without a content-length"))?;
    Ok(Some((end + 4, end + 4 + length)))
}

/// The text between `before` and the next quote.
fn quoted<'a>(body: &'a str, before: &str) -> Option<&'a str> {
    body.split_once(before)?.1.split('"').next()
}

/// Somebody with several addresses.
#[derive(Debug)]
pub(crate) struct Person {
    number: u32,
    addresses: u32,
    server: SocketAddr,
    sink: Arc<Sink>,
}

impl Person {
    pub(crate) fn new(number: u32, addresses: u32, server: SocketAddr, sink: Arc<Sink>) -> Self {
        Self { number, addresses, server, sink }
    }

    /// Signs in until `meter` is over.
    pub(crate) async fn sign_in_again_and_again(self, meter: Arc<Meter>) {
        let mut connection = None;
        let mut round = 0_u64;
        while meter.is_on().await {
            let signed_in = match connection.take() {
                Some(http) => Ok(http),
                None => Http::connect(self.server).await,
            };
            let signed_in = match signed_in {
                Ok(mut http) => self.sign_in(round, &mut http).await.map(|took| (http, took)),
                Err(error) => Err(error),
            };
            match signed_in {
                Ok((http, took)) => {
                    connection = Some(http);
                    meter.record(|measured| {
                        measured.first_time += u64::from(round < u64::from(self.addresses));
                        measured.starts.push(microseconds(took.start));
                        measured.mails.push(microseconds(took.mail));
                        measured.verifications.push(microseconds(took.verification));
                    });
                }
                Err(error) => {
                    meter.record(|measured| measured.errors.push(error.to_string()));
                    sleep(PAUSE).await;
                }
            }
            round += 1;
        }
    }

    async fn sign_in(&self, round: u64, http: &mut Http) -> io::Result<Took> {
        let email = Sink::address(self.number, round % u64::from(self.addresses));
        // Sixteen million networks, used in turn.
        let turn = self.number.wrapping_shl(16).wrapping_add(u32::try_from(round & 0xffff).unwrap_or_default());
        let from = Ipv4Addr::from_bits(0x0a00_0000 | (turn & 0x00ff_ffff));
        let began = Instant::now();
        let answer = http.post("/v1/login", from, &format!(r#"{{"email":"{email}"}}"#)).await?;
        let started = Instant::now();
        let token =
            quoted(&answer, r#""auth_flow_token":""#).ok_or_else(|| io::Error::other("a start without a token"))?;
        let code = timeout(PATIENCE, self.sink.code(self.number, &email))
            .await
            .map_err(|_| io::Error::other("no mail in time"))?;
        let mailed = Instant::now();
        let body = format!(r#"{{"auth_flow_token":"{token}","code":"{code}"}}"#);
        let answer = http.post("/v1/login/email-code", from, &body).await?;
        let verified = Instant::now();
        quoted(&answer, r#""success":{"token":""#).ok_or_else(|| io::Error::other("a right code was refused"))?;
        Ok(Took { start: started - began, mail: mailed - started, verification: verified - mailed })
    }
}

/// How long the parts of a sign-in took.
struct Took {
    start: Duration,
    mail: Duration,
    verification: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_it_says() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1";
        assert_eq!(extent(answer).unwrap(), Some((38, 40)));
        assert_eq!(extent(&answer[..20]).unwrap(), None);
        assert!(extent(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn what_is_quoted_is_found() {
        assert_eq!(quoted(r#"{"auth_flow_token":"a-b","email_code":{}}"#, r#""auth_flow_token":""#), Some("a-b"));
        assert_eq!(quoted("{}", r#""auth_flow_token":""#), None);
    }
}
