//! What may be guessed and sent, on the real binary: over crashes, surfaces, headers and missing configuration.

use std::net::IpAddr;

use testkit::attack::{Asked, Caller, Guessed, Surface, surfaces};
use testkit::server::{Request, Server};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::journey::{Verdict, code_to, other_than, start, start_request, verify, verify_request};
use crate::support::{BINARY, NO_RELAY, configuration, folder_with};

const ADA: &str = "ada@example.com";

async fn short_misses(server: &Server) -> u64 {
    server.metrics().await.sum("countersign_wrong_guesses_total", &[r#"form="short""#])
}

#[tokio::test]
async fn st_03_no_guess_is_forgotten_where_the_server_is_killed_after_each() {
    let mut server = Server::dev(BINARY, &[]).await;
    let mut compared = 0;
    let flow = start(&mut server.client(), ADA).await;
    let code = code_to(&mut server.client(), ADA).await;
    for guess in 0..8 {
        // Every guess at a flow of its own; what is asked for while short codes are given out stays short.
        let another = start(&mut server.client(), ADA).await;
        let sent = code_to(&mut server.client(), ADA).await;
        assert_eq!(sent.len(), if guess < 5 { 6 } else { 12 }, "after {guess}");
        assert_eq!(verify(&mut server.client(), &another, &other_than(&sent[..6])).await, Verdict::Invalid);
        compared += short_misses(&server).await;
        server.kill().await;
        server.start().await;
    }
    assert_eq!(compared, 5);
    assert_eq!(
        verify(&mut server.client(), &flow, &code).await,
        Verdict::Invalid,
        "not even the right one is compared"
    );
    assert_eq!(short_misses(&server).await, 0);
    server.stop().await;
}

/// Sends `request` and hangs up.
async fn hang_up(server: &Server, request: &Request) {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut bytes, body) = request.bytes(server.address());
    bytes.extend(body);
    stream.write_all(&bytes).await.unwrap();
}

#[tokio::test]
async fn st_03_a_guess_counts_whose_sender_hangs_up_before_he_is_answered() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let hers = start(&mut client, ADA).await;
    let right = code_to(&mut client, ADA).await;
    let mut guesses = 0;
    loop {
        let flow = start(&mut client, ADA).await;
        let code = code_to(&mut client, ADA).await;
        if code.len() == 12 {
            break;
        }
        // Some may be hung up on before they are read. They are worth nothing to whoever sent them.
        guesses += 1;
        assert!(guesses <= 200, "nobody counts them");
        hang_up(&server, &verify_request(&flow, &other_than(&code))).await;
    }
    assert!(guesses >= 5);
    assert_eq!(verify(&mut client, &hers, &right).await, Verdict::Invalid, "not even the right one is compared");
    server.stop().await;
}

/// A start and what came of it.
async fn ask(surface: &dyn Surface, caller: &mut Caller) -> String {
    match surface.ask(caller, ADA).await {
        Asked::Sent(flow) => flow,
        Asked::TooSoon(wait) => panic!("{wait:?}"),
    }
}

#[tokio::test]
async fn st_08_guesses_spent_at_one_surface_are_spent_at_all_and_every_next_code_is_long() {
    let home = IpAddr::from([127, 0, 0, 1]);
    for spent_at in surfaces() {
        let server = Server::dev(BINARY, &[]).await;
        let ran = server.identity(&["add", ADA]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let mut caller = Caller::new(server.address(), home);
        // A live short code at every surface.
        let mut live = Vec::new();
        for surface in surfaces().into_iter().filter(|surface| surface.is_entrance()) {
            let flow = ask(surface.as_ref(), &mut caller).await;
            let code = code_to(&mut server.client(), ADA).await;
            assert_eq!(code.len(), 6);
            live.push((surface, flow, code));
        }
        let flow = match live.iter().find(|(surface, ..)| surface.name() == spent_at.name()) {
            Some((_, flow, _)) => flow.clone(),
            None => ask(spent_at.as_ref(), &mut caller).await,
        };
        for _ in 0..5 {
            assert_eq!(spent_at.guess(&mut caller, ADA, &flow, "0000000").await, Guessed::Wrong);
        }
        for (surface, flow, code) in &live {
            let answer = surface.guess(&mut caller, ADA, flow, code).await;
            assert_eq!(answer, Guessed::Wrong, "{} after {}", surface.name(), spent_at.name());
        }
        assert_eq!(short_misses(&server).await, 5);
        // Nobody is locked out.
        tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
        for (surface, ..) in &live {
            let flow = ask(surface.as_ref(), &mut caller).await;
            let code = code_to(&mut server.client(), ADA).await;
            assert_eq!(code.len(), 12, "{}", surface.name());
            let answer = surface.guess(&mut caller, ADA, &flow, &code).await;
            assert!(matches!(answer, Guessed::Passed(_)), "{} after {}", surface.name(), spent_at.name());
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn st_10_a_header_makes_no_network_unless_its_proxy_is_trusted() {
    for (flags, is_believed) in [(&[][..], false), (&["--trusted-proxy", "127.0.0.1"][..], true)] {
        let flags: Vec<_> = ["--production-policy"].iter().chain(flags).copied().collect();
        let server = Server::dev(BINARY, &flags).await;
        let mut client = server.client();
        let mut sent = 0;
        for number in 0..70 {
            // What a stranger writes stands left of what the nearest proxy adds.
            let from = format!("198.51.100.9, 203.0.113.{number}");
            let request = start_request(&format!("to-{number}@example.com")).header("x-forwarded-for", &from);
            sent += u32::from(client.send(&request).await.status == 200);
        }
        assert_eq!(sent, if is_believed { 70 } else { 60 }, "{flags:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn st_11_limits_are_on_where_the_configuration_says_nothing_about_them() {
    let server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    let mut client = server.client();
    start(&mut client, ADA).await;
    let soon = client.send(&start_request(ADA)).await;
    assert_eq!((soon.status, soon.header("retry-after").is_some()), (429, true), "{}", soon.whole());
    let mut sent = 1;
    for number in 0..70 {
        sent += u32::from(client.send(&start_request(&format!("to-{number}@example.com"))).await.status == 200);
    }
    assert_eq!(sent, 60, "one network's hour");
    server.stop().await;
}

/// The one thing an operator may do about it, and nobody needs.
#[tokio::test]
async fn an_operator_forgives_an_address_what_was_guessed_about_it() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    for _ in 0..5 {
        let flow = start(&mut client, ADA).await;
        assert_eq!(verify(&mut client, &flow, "wrong!").await, Verdict::Invalid);
    }
    start(&mut client, ADA).await;
    assert_eq!(code_to(&mut client, ADA).await.len(), 12);
    let ran = server.identity(&["unlock", ADA]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "ada@example.com unlocked\n"), "{}", ran.stderr);
    start(&mut client, ADA).await;
    assert_eq!(code_to(&mut client, ADA).await.len(), 6);
    server.stop().await;
}
