//! `countersign serve` in front of a relay that demands STARTTLS under an authority of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use testkit::mailbox::{Mailbox, MailboxOptions, MailboxTls};
use testkit::server::{Answer, Request, Server, read_answer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::journey::{START, Verdict, claims_of, code_in, flow_of, start, start_request, verify, verify_request};
use crate::support::{BINARY, NO_RELAY, PATIENCE, configuration, folder_with};

/// Serves with a relay at `host` and the port of `mailbox`, whose authority is believed, and adds identities before the first start.
async fn serve(mailbox: &Mailbox, host: &str, authority: &[u8], more: &str) -> Server {
    let relay = format!("url = \"smtp://{host}:{}\"\ncertificate_authority_file = \"authority.pem\"", mailbox.port());
    let folder = folder_with(&configuration(&relay, more));
    std::fs::write(folder.path().join("authority.pem"), authority).unwrap();
    let environment = [("COUNTERSIGN__ORIGIN", "http://127.0.0.1:1")];
    for address in ["ada@example.com", "bob@example.com"] {
        let ran = testkit::server::run(BINARY, folder.path(), &["identity", "add", address], &environment).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    Server::serve(BINARY, folder, &[]).await
}

fn demanding_tls() -> MailboxOptions {
    MailboxOptions { tls: MailboxTls::StartTls, ..MailboxOptions::default() }
}

/// What is the same for every answer, and what the clock and chance put in.
fn masked(answer: &Answer) -> String {
    let mut answer = answer.clone();
    for (name, value) in &mut answer.headers {
        if matches!(name.as_str(), "date" | "x-request-id") {
            *value = "masked".to_owned();
        }
    }
    let token = answer.json()["auth_flow_token"].as_str().map(str::to_owned);
    let whole = answer.whole();
    token.map_or(whole.clone(), |token| whole.replace(&token, "masked"))
}

#[tokio::test]
async fn who_was_added_signs_in_with_the_code_of_a_mail_and_nobody_else_does() {
    let Some(mailbox) = Mailbox::start(&demanding_tls()) else { return };
    let server = serve(&mailbox, "localhost", mailbox.authority().unwrap(), "").await;
    let added = server.run(&["identity", "add", "cleo@example.com"]).await;
    assert_eq!(added.code, Some(0), "{}", added.stderr);

    // Added while no server ran, and while one did.
    let mut client = server.client();
    for address in ["ada@example.com", "cleo@example.com"] {
        let flow = start(&mut client, address).await;
        let mail = mailbox.wait_for(address, 1, PATIENCE).await.remove(0);
        assert_eq!(mail.sender, "sign-in@example.com");
        let code = code_in(&mail);
        let Verdict::Token(token) = verify(&mut client, &flow, &code).await else { panic!("the code is right") };
        let claims = claims_of(&token);
        assert_eq!((claims["email"].as_str(), claims["iss"].as_str()), (Some(address), Some(server.origin().as_str())));
        for secret in [&flow, &code, &token] {
            server.is_secret(secret);
        }
    }
    // Nobody owns this one: the same answer, the same end, no mail.
    let flow = start(&mut client, "nobody@example.com").await;
    for guess in 0..6 {
        assert_eq!(verify(&mut client, &flow, &format!("00000{guess}")).await, Verdict::Invalid);
    }
    server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
    assert_eq!(mailbox.offered().await.len(), 2);
    // Nothing was said before TLS, and everything under it.
    for said in mailbox.transcripts().await {
        let said = String::from_utf8_lossy(&said).into_owned();
        let (before, after) = said.split_once("STARTTLS\r\n").expect("every dialogue has it");
        assert!(!before.contains("MAIL FROM") && after.contains("MAIL FROM"), "{said}");
    }
    server.is_secret(crate::support::MASTER_KEY);
    server.stop().await;
}

#[tokio::test]
async fn st_34_a_known_and_an_unknown_address_get_the_same_answers() {
    let Some(mailbox) = Mailbox::start(&demanding_tls()) else { return };
    let server = serve(&mailbox, "localhost", mailbox.authority().unwrap(), "").await;
    let mut client = server.client();
    let mut answers = Vec::new();
    for (address, other) in [("ada@example.com", "bob@example.com"), ("eve@example.com", "dan@example.com")] {
        let first = client.send(&start_request(address)).await;
        let flow = flow_of(&first);
        let mut of_one = vec![masked(&first)];
        // At once again: too soon, for either.
        let second = client.send(&start_request(address)).await;
        assert_eq!(second.status, 429, "{}", second.whole());
        let wait: u64 = second.header("retry-after").unwrap().parse().unwrap();
        assert!((15..=30).contains(&wait), "{wait}");
        let body = second.json();
        assert_eq!((body["code"].as_u64(), body["grpc-code"].as_str()), (Some(8), Some("RESOURCE_EXHAUSTED")));
        assert_eq!(body["details"][0]["@type"], "type.googleapis.com/google.rpc.RetryInfo");
        assert_eq!(body["details"][0]["retryDelay"], format!("{wait}s"));
        // Not in other numbers: a second later it is another one.
        let told = [format!("retry-after: {wait}\n"), format!("\"{wait}s\"")];
        of_one.push(told.iter().fold(masked(&second), |whole, told| whole.replace(told, "wait")));
        // However it is spelled, it is the same address; another one is not.
        assert_eq!(client.send(&start_request(&format!(" {} ", address.to_uppercase()))).await.status, 429);
        assert_eq!(client.send(&start_request(other)).await.status, 200);
        // What is owed is out: a flow whose guesses are spent sends nothing any more.
        server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
        // Guessing looks the same to the end.
        for _ in 0..7 {
            of_one.push(masked(&client.send(&verify_request(&flow, "wrong!")).await));
        }
        answers.push(of_one);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][2..].iter().collect::<BTreeSet<_>>().len(), 1, "every refusal is the same");
    // The same was counted and logged, too.
    let metrics = server.metrics().await;
    let outcomes = [("mismatch", 10), ("exhausted", 4), ("not_found", 0), ("refused", 0)];
    for (outcome, count) in outcomes {
        let found = metrics.sum("countersign_verifications_total", &[&format!("outcome=\"{outcome}\"")]);
        assert_eq!(found, count, "{outcome}");
    }
    mailbox.wait_for("ada@example.com", 1, PATIENCE).await;
    mailbox.wait_for("bob@example.com", 1, PATIENCE).await;
    server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
    assert_eq!(mailbox.offered().await.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn sign_up_is_off_until_a_project_turns_it_on() {
    let Some(mailbox) = Mailbox::start(&demanding_tls()) else { return };
    let server =
        serve(&mailbox, "localhost", mailbox.authority().unwrap(), "[dialects.login]\njson_names = \"camel\"\n").await;
    let mut server = server;
    server.kill().await;
    let file = server.folder().join("countersign.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("name = \"Example\"", "name = \"Example\"\nsign_up = true")).unwrap();
    server.start().await;
    let answer = server.client().send(&start_request("nobody@example.com")).await;
    // The other spelling of names, as the section says.
    let body = answer.json();
    let names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["authFlowToken", "emailCode"]);
    let mail = mailbox.wait_for("nobody@example.com", 1, PATIENCE).await.remove(0);
    assert!(mail.header("Subject").unwrap().contains("Example"));
    let flow = body["authFlowToken"].as_str().unwrap();
    assert!(matches!(verify(&mut server.client(), flow, &code_in(&mail)).await, Verdict::Token(_)));
    server.stop().await;
}

/// The mail stays owed, and nobody else is bothered.
async fn stays_owed(server: &Server, mailbox: &Mailbox) {
    let began = Instant::now();
    start(&mut server.client(), "ada@example.com").await;
    assert!(began.elapsed() < Duration::from_secs(5), "mail never holds up a request");
    server.wait_for_count("countersign_deliveries_total", &[r#"outcome="deferred""#], 1).await;
    // Tried again, and refused again.
    server.wait_for_count("countersign_deliveries_total", &[r#"outcome="deferred""#], 2).await;
    assert_eq!(server.metrics().await.sum("countersign_outbox_depth", &[]), 1);
    assert!(mailbox.offered().await.is_empty());
    for said in mailbox.transcripts().await {
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!said.contains("MAIL FROM") && !said.contains("ada@example.com"), "{said}");
    }
}

#[tokio::test]
async fn a_relay_of_another_name_gets_no_mail_and_the_mail_stays_owed() {
    let options = MailboxOptions { certificate_names: vec!["mail.elsewhere.example".to_owned()], ..demanding_tls() };
    let Some(mailbox) = Mailbox::start(&options) else { return };
    let server = serve(&mailbox, "localhost", mailbox.authority().unwrap(), "").await;
    stays_owed(&server, &mailbox).await;
    server.stop().await;
}

#[tokio::test]
async fn a_relay_whose_starttls_was_stripped_gets_no_mail_and_the_mail_stays_owed() {
    let Some(mailbox) = Mailbox::start(&MailboxOptions::default()) else { return };
    let Some(other) = Mailbox::start(&demanding_tls()) else { return };
    let server = serve(&mailbox, "localhost", other.authority().unwrap(), "").await;
    stays_owed(&server, &mailbox).await;
    server.stop().await;
}

#[tokio::test]
async fn a_relay_under_another_authority_gets_no_mail_until_it_is_believed() {
    let Some(mailbox) = Mailbox::start(&demanding_tls()) else { return };
    let Some(other) = Mailbox::start(&demanding_tls()) else { return };
    let mut server = serve(&mailbox, "localhost", other.authority().unwrap(), "").await;
    stays_owed(&server, &mailbox).await;
    // The operator mends it; what was owed is sent, and still signs in.
    server.terminate();
    assert_eq!(server.ended().await, Some(0));
    std::fs::write(server.folder().join("authority.pem"), mailbox.authority().unwrap()).unwrap();
    server.start().await;
    mailbox.wait_for("ada@example.com", 1, PATIENCE).await;
    server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_server_ends() {
    let mut server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    let request = Request::post(START, r#"{"email":"nobody@example.com"}"#);
    let (head, body) = request.header("expect", "100-continue").bytes(server.address());
    let mut stream = BufReader::new(TcpStream::connect(server.address()).await.unwrap());
    let (first, rest) = body.split_at(10);
    stream.write_all(&head).await.unwrap();
    // Said when its handler begins to read.
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&go_on));
    stream.write_all(first).await.unwrap();
    let idle = TcpStream::connect(server.address()).await.unwrap();

    server.terminate();
    while TcpStream::connect(server.address()).await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
    stream.write_all(rest).await.unwrap();
    let answer = read_answer(&mut stream, false).await.unwrap();
    flow_of(&answer);
    assert_eq!(server.ended().await, Some(0));
    drop(idle);
    server.look_over();
}
