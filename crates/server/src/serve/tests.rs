//! The loop on real sockets, with short limits.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::*;

/// Limits that tests can wait for: far enough apart to tell which one closed a connection.
fn short() -> Limits {
    Limits {
        first_request: Duration::from_millis(300),
        idle: Duration::from_millis(900),
        farewell: Duration::from_millis(100),
        linger: Duration::from_millis(1500),
        stop: Duration::from_secs(5),
        ..Limits::default()
    }
}

/// Longer than anything that shall happen takes, on a busy machine.
const AMPLE: Duration = Duration::from_secs(10);

/// More than two systems' buffers hold.
const LARGE: usize = 64 * 1024 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinSet<()>,
}

impl Running {
    async fn start(router: Router, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut task = JoinSet::new();
        task.spawn(serve(listener, router, limits, async { drop(stopped.await) }));
        Self { address, stop: Some(stop), task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// How long `serve` takes to return.
    async fn ended(&mut self) -> Duration {
        let began = Instant::now();
        timeout(AMPLE, self.task.join_next()).await.expect("serve does not return");
        began.elapsed()
    }
}

fn router() -> Router {
    let slow = || async {
        sleep(Duration::from_millis(1500)).await;
        "slow"
    };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/slow", get(slow))
        .route("/stuck", get(|| async { std::future::pending::<()>().await }))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route("/peer", get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }))
}

/// All that comes until the other end closes, and how long that took. A reset counts as closing.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, Duration) {
    let began = Instant::now();
    let mut received = Vec::new();
    let _ = timeout(AMPLE, stream.read_to_end(&mut received)).await.expect("the connection stays open");
    (received, began.elapsed())
}

/// One HTTP/1 answer with a body of known length.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut received = Vec::new();
    loop {
        let mut byte = [0];
        timeout(AMPLE, stream.read_exact(&mut byte)).await.expect("no answer").unwrap();
        received.push(byte[0]);
        if let Some(head) = received.strip_suffix(b"\r\n\r\n") {
            let head = String::from_utf8(head.to_vec()).unwrap();
            let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            timeout(AMPLE, stream.read_exact(&mut body)).await.expect("no body").unwrap();
            return format!("{head}\r\n\r\n{}", String::from_utf8(body).unwrap());
        }
    }
}

async fn closes_after_the_first_request_limit(sent: &[u8]) {
    let running = Running::start(router(), short()).await;
    let began = Instant::now();
    let mut stream = running.connect().await;
    stream.write_all(sent).await.unwrap();
    until_closed(&mut stream).await;
    let took = began.elapsed();
    assert!(took >= short().first_request, "closed already after {took:?}");
    assert!(took < Duration::from_secs(5), "closed only after {took:?}");
}

#[tokio::test]
async fn st_46_a_silent_socket_is_closed() {
    closes_after_the_first_request_limit(b"").await;
}

#[tokio::test]
async fn st_46_half_a_header_is_closed() {
    closes_after_the_first_request_limit(b"GET / HTTP/1.1\r\nhost: loc").await;
}

#[tokio::test]
async fn st_46_half_an_http2_preface_is_closed() {
    closes_after_the_first_request_limit(&PREFACE[..14]).await;
}

#[tokio::test]
async fn st_46_a_silent_http2_connection_is_closed() {
    closes_after_the_first_request_limit(&[PREFACE, EMPTY_SETTINGS].concat()).await;
}

#[tokio::test]
async fn st_46_a_header_that_drips_is_closed() {
    let running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    let began = Instant::now();
    // A byte every 50 ms is progress for a server that only looks at its socket.
    while stream.write_all(b"G").await.is_ok() {
        assert!(began.elapsed() < AMPLE, "a dripping header is read for ever");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_busy_pooled_client_is_not_cut() {
    let running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    // Well past both limits, counted from the start.
    for _ in 0..12 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert!(answer(&mut stream).await.ends_with("hello"));
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_pooled_client_that_is_quiet_for_too_long_is_let_go() {
    let running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    let asked = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    answer(&mut stream).await;
    let (rest, _) = until_closed(&mut stream).await;
    assert!(rest.is_empty());
    let quiet = asked.elapsed();
    assert!(quiet >= short().idle, "cut already after {quiet:?}");
}

#[tokio::test]
async fn st_46_half_a_header_on_a_pooled_connection_is_closed() {
    let running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    answer(&mut stream).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.unwrap();
    let (_, took) = until_closed(&mut stream).await;
    assert!(took < Duration::from_secs(5), "closed only after {took:?}");
}

#[tokio::test]
async fn st_46_a_client_that_does_not_read_its_answer_is_cut() {
    let running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    sleep(short().idle * 3).await;
    // What the systems of both ends had room for, and no more.
    let (received, _) = until_closed(&mut stream).await;
    assert!(received.starts_with(b"HTTP/1.1 200 ") && received.len() < LARGE, "{} bytes came", received.len());
}

#[tokio::test]
async fn a_handler_at_work_is_not_cut_by_the_idle_limit() {
    let limits = Limits { idle: Duration::from_millis(100), ..short() };
    let running = Running::start(router(), limits).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("slow"));
}

#[tokio::test]
async fn st_46_an_overlong_header_is_refused_and_closed() {
    let running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    let header = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "x".repeat(16 * 1024 * 64));
    stream.write_all(header.as_bytes()).await.unwrap();
    let (received, _) = until_closed(&mut stream).await;
    assert!(received.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&received));
}

/// A request whose body nobody wants: there is no such verb there.
const UNWANTED: &[u8] = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1073741824\r\n\r\n";

#[tokio::test]
async fn a_client_that_reads_only_when_it_has_written_all_hears_why_it_was_refused() {
    let limits = Limits { farewell: AMPLE, linger: AMPLE, ..short() };
    let running = Running::start(router(), limits).await;
    let mut stream = running.connect().await;
    stream.write_all(UNWANTED).await.unwrap();
    timeout(AMPLE, stream.write_all(&vec![b'x'; LARGE])).await.expect("nobody reads").unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 405 "));
    stream.shutdown().await.unwrap();
    until_closed(&mut stream).await;
}

#[tokio::test]
async fn st_46_a_client_that_says_nothing_after_its_last_answer_is_let_go() {
    let limits = Limits { farewell: Duration::from_millis(300), linger: AMPLE * 2, idle: AMPLE * 2, ..short() };
    let running = Running::start(router(), limits).await;
    let mut stream = running.connect().await;
    let began = Instant::now();
    stream.write_all(UNWANTED).await.unwrap();
    assert!(until_closed(&mut stream).await.0.starts_with(b"HTTP/1.1 405 "));
    let refused = until_refused(&mut stream, Duration::from_millis(600)).await;
    assert!(refused >= began + Duration::from_millis(300), "{:?}", refused - began);
}

#[tokio::test]
async fn st_46_a_client_that_goes_on_sending_after_its_last_answer_is_cut() {
    let limits = Limits { linger: Duration::from_millis(600), idle: AMPLE * 2, farewell: AMPLE * 2, ..short() };
    let running = Running::start(router(), limits).await;
    let mut stream = running.connect().await;
    let began = Instant::now();
    stream.write_all(UNWANTED).await.unwrap();
    let refused = until_refused(&mut stream, Duration::from_millis(20)).await;
    assert!(refused >= began + Duration::from_millis(600), "{:?}", refused - began);
}

/// Sends a byte now and then until the other end refuses it, and says when that was.
async fn until_refused(stream: &mut TcpStream, pause: Duration) -> Instant {
    let refused = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(pause).await;
        }
    };
    timeout(AMPLE, refused).await.expect("the connection stays open");
    Instant::now()
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /` of `http://a` as HEADERS that end stream and headers: three entries of the static table and an authority.
fn http2_get(stream: u32) -> Vec<u8> {
    frame(1, 0x5, stream, &[0x82, 0x86, 0x84, 0x01, 1, b'a'])
}

/// The error code of a GOAWAY to a client that behaves badly.
const ENHANCE_YOUR_CALM: u32 = 11;

/// The error code of the last GOAWAY among the frames received.
fn goaway(mut received: &[u8]) -> Option<u32> {
    let mut code = None;
    while let Some(([high, middle, low, kind, ..], rest)) = received.split_first_chunk::<9>() {
        let length = usize::try_from(u32::from_be_bytes([0, *high, *middle, *low])).unwrap();
        let (payload, rest) = rest.split_at_checked(length)?;
        if *kind == 7 {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        received = rest;
    }
    code
}

#[tokio::test]
async fn http2_without_tls_is_answered_and_then_let_go_with_a_goaway() {
    let running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    stream.write_all(&[PREFACE, EMPTY_SETTINGS, &http2_get(1)].concat()).await.unwrap();
    let (received, _) = until_closed(&mut stream).await;
    assert!(received.windows(5).any(|window| window == b"hello"));
    assert_eq!(goaway(&received), Some(0), "{received:?}");
}

#[tokio::test]
async fn st_46_a_flood_of_http2_resets_ends_its_connection_and_no_other() {
    let running = Running::start(router(), short()).await;
    let mut pooled = running.connect().await;
    let mut stream = running.connect().await;
    let mut flood = [PREFACE, EMPTY_SETTINGS].concat();
    for number in 0..1000 {
        flood.extend(http2_get(2 * number + 1));
        flood.extend(frame(3, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    // The other end may close before all is written.
    let _ = stream.write_all(&flood).await;
    let (received, took) = until_closed(&mut stream).await;
    assert!(took < Duration::from_secs(5), "closed only after {took:?}");
    assert_eq!(goaway(&received), Some(ENHANCE_YOUR_CALM), "{received:?}");
    pooled.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(answer(&mut pooled).await.ends_with("hello"));
}

#[tokio::test]
async fn a_stop_lets_the_request_under_way_end_and_closes_the_others() {
    let mut running = Running::start(router(), short()).await;
    let mut idle = running.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    answer(&mut idle).await;
    let mut busy = running.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;

    running.stop();
    let (rest, took) = until_closed(&mut idle).await;
    assert!(rest.is_empty() && took < Duration::from_secs(1), "{took:?}");
    let (received, _) = until_closed(&mut busy).await;
    let received = String::from_utf8(received).unwrap();
    assert!(received.starts_with("HTTP/1.1 200 ") && received.ends_with("slow"), "{received}");
    running.ended().await;
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_stop_lets_the_http2_request_under_way_end() {
    let mut running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    // `/slow` as a literal without indexing, by the name of the static table's entry for `:path`.
    let headers = frame(1, 0x5, 1, &[0x82, 0x86, 0x04, 5, b'/', b's', b'l', b'o', b'w', 0x01, 1, b'a']);
    stream.write_all(&[PREFACE, EMPTY_SETTINGS, &headers].concat()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    running.stop();
    let (received, _) = until_closed(&mut stream).await;
    assert!(received.windows(4).any(|window| window == b"slow"), "{received:?}");
    running.ended().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let limits = Limits { stop: Duration::from_secs(1), ..short() };
    let mut running = Running::start(router(), limits).await;
    let mut stuck = running.connect().await;
    stuck.write_all(b"GET /stuck HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    running.stop();
    let took = running.ended().await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(until_closed(&mut stuck).await.0.is_empty());
}

#[tokio::test]
async fn connections_past_the_cap_wait_for_their_turn() {
    let limits = Limits { connections: 1, ..short() };
    let running = Running::start(router(), limits).await;
    let silent = running.connect().await;
    sleep(Duration::from_millis(50)).await;
    let mut second = running.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let began = Instant::now();
    assert!(answer(&mut second).await.ends_with("hello"));
    assert!(began.elapsed() >= Duration::from_millis(150), "the first was still there");
    drop(silent);
}

#[tokio::test]
async fn requests_know_their_peer_over_tcp_and_over_a_unix_socket() {
    let running = Running::start(router(), short()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /peer HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("Network(127.0.0.1)"));

    let path = std::env::temp_dir().join(format!("countersign-serve-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let mut task = JoinSet::new();
    task.spawn(serve(listener, router(), short(), std::future::pending()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /peer HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("Local"));
    std::fs::remove_file(path).unwrap();
}

/// Too many open files.
const EMFILE: i32 = 24;

/// A listener that has run out of descriptors a few times.
struct Exhausted(TcpListener, AtomicUsize);

impl Listener for Exhausted {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        if self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        Listener::accept(&self.0).await
    }
}

#[tokio::test]
async fn running_out_of_descriptors_pauses_and_does_not_end_the_loop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(serve(Exhausted(listener, AtomicUsize::new(3)), router(), short(), std::future::pending()));
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("hello"));
    assert!(began.elapsed() >= Duration::from_millis(300), "50, 100 and 200 ms of pause were due");
}
