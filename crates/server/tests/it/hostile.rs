//! Strangers that do not even speak properly, and pages of the internet that would like to read the inbox.

use std::time::Duration;

use testkit::server::{Request, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::BINARY;

#[tokio::test]
async fn the_inbox_answers_only_to_names_of_this_machine() {
    let server = Server::dev(BINARY, &["--origin", "https://sign-in.test"]).await;
    let mut client = server.client();
    let targets = [
        Request::get("/dev/messages"),
        Request::get("/dev/messages?to=ada@example.com"),
        Request::get("/dev/inbox"),
        Request::get("/dev/inbox.js"),
        Request::get("/dev/inbox.css"),
        Request::new("DELETE", "/dev/messages"),
    ];
    let foreign = [
        "example.com",
        "example.com:80",
        "127.0.0.1.example.com",
        "localhost.example.com",
        "test.example.com",
        "192.0.2.1",
        "[2001:db8::1]",
        "attest",
        "localhost@example.com",
        "",
    ];
    for target in &targets {
        for host in foreign {
            let answer = client.send(&target.clone().header("host", host)).await;
            assert!(matches!(answer.status, 403 | 400), "{host}: {}", answer.whole());
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        for host in
            ["localhost", "127.0.0.1:8080", "[::1]:1", "sign-in.test", "a.b.localhost:3000", "x.example", "y.internal"]
        {
            let answer = client.send(&target.clone().header("host", host)).await;
            assert!(matches!(answer.status, 200 | 204), "{host}: {}", answer.whole());
            // A page of another origin may ask, but its browser does not let it read.
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    server.stop().await;
}

/// Sends `bytes`, then waits for the other end to close, and gives what it said until then and how long it took.
async fn said_before_closing(server: &Server, bytes: &[u8]) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // It may close while we write.
    let _written = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let closed = timeout(Duration::from_secs(25), stream.read_to_end(&mut said)).await;
    assert!(closed.is_ok(), "the connection is closed");
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

#[tokio::test]
async fn st_46_who_holds_a_connection_for_nothing_loses_it() {
    let server = Server::dev(BINARY, &[]).await;
    let silent = said_before_closing(&server, b"");
    let half_a_header = said_before_closing(&server, b"GET /dev/messages HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
    let half_a_preface = said_before_closing(&server, b"PRI * HTTP/2.0\r\n\r\nSM");
    let preface_only = said_before_closing(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let dribbling = async {
        // A byte at a time is no progress.
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let began = Instant::now();
        for byte in b"GET /dev/messages HTTP/1.1\r\nhost: localhost\r\nx-slow: ".iter().chain([&b'a'; 200]) {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        began.elapsed()
    };
    let (silent, half_a_header, half_a_preface, preface_only, dribbling) =
        tokio::join!(silent, half_a_header, half_a_preface, preface_only, dribbling);
    for (what, took) in [
        ("silent", silent.1),
        ("half a header", half_a_header.1),
        ("half a preface", half_a_preface.1),
        ("a preface only", preface_only.1),
        ("dribbling", dribbling),
    ] {
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(20), "{what}: {took:?}");
    }
    // Nothing is said to who has said nothing.
    assert_eq!(silent.0, "");
    // And everybody else was served meanwhile, and is.
    assert_eq!(server.client().get("/dev/messages").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn st_46_headers_without_end_are_refused() {
    let server = Server::dev(BINARY, &[]).await;
    let long = Request::get("/dev/messages").header("x-long", &"a".repeat(64 * 1024));
    let mut many = Request::get("/dev/messages");
    for number in 0..2000 {
        many = many.header(&format!("x-{number}"), "a");
    }
    let long_target = Request::get(&format!("/{}", "a".repeat(60_000)));
    for request in [long, many, long_target] {
        let (bytes, _) = request.bytes(server.address());
        let (said, took) = said_before_closing(&server, &bytes).await;
        let is_refused =
            ["HTTP/1.1 431 ", "HTTP/1.1 414 ", "HTTP/1.1 400 "].iter().any(|status| said.starts_with(status));
        // It may also be gone before it could be told, because the rest of what it sent was not read.
        assert!(is_refused || said.is_empty(), "{said}");
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
    for nonsense in [
        "\0\0\0\0",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03",
    ] {
        let (said, _) = said_before_closing(&server, nonsense.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 ") || said.is_empty(), "{nonsense:?}: {said}");
    }
    assert_eq!(server.client().get("/dev/messages").await.status, 200);
    server.stop().await;
}
