//! What is in the log, at its most talkative.

use serde_json::Value;
use testkit::mailbox::{Mailbox, MailboxOptions, Rule, Stage};
use testkit::server::{Request, Server, stands_in};

use super::journey::{START, VERIFY, Verdict, code_in, other_than, start, verify};
use crate::support::{BINARY, PATIENCE, configuration, folder_with};

#[tokio::test]
async fn st_24_at_trace_the_log_holds_no_code_no_token_and_no_whole_address() {
    let Some(mailbox) = Mailbox::start(&MailboxOptions::default()) else { return };
    let relay = format!("url = \"smtp+plain://127.0.0.1:{}\"", mailbox.port());
    let text = configuration(&relay, "[log]\nlevel = \"trace\"\nformat = \"json\"\n");
    let text = text.replace("name = \"Example\"", "name = \"Example\"\nsign_up = true");
    let mut server = Server::serve(BINARY, folder_with(&text), &[]).await;
    // Servers like to repeat what they were told.
    let refusal = "550 5.1.1 <refused@example.com> unknown, your message was: code %s";
    mailbox.add_rule(Rule::answer(Stage::Rcpt, refusal).for_address("refused@")).await;
    mailbox
        .add_rule(Rule::answer(Stage::Rcpt, "451 4.2.0 <later@example.com> later").for_address("later@").times(1))
        .await;

    let mut client = server.client();
    let mut secrets = Vec::new();
    for address in ["ada@example.com", "bob@example.com", "later@example.com"] {
        let flow = start(&mut client, address).await;
        let code = code_in(&mailbox.wait_for(address, 1, PATIENCE).await[0]);
        assert_eq!(verify(&mut client, &flow, &other_than(&code)).await, Verdict::Invalid);
        let Verdict::Token(token) = verify(&mut client, &flow, &code).await else { panic!("the code is right") };
        secrets.extend([flow, code, token]);
    }
    secrets.push(start(&mut client, "refused@example.com").await);
    server.wait_for_count("countersign_deliveries_total", &[r#"outcome="refused""#], 1).await;
    let (flow, code) = (secrets[0].clone(), secrets[1].clone());
    for request in [
        Request::post(&format!("{VERIFY}?code={code}"), format!(r#"{{"auth_flow_token":"{flow}","code":{code}}}"#)),
        Request::post(VERIFY, format!(r#"{{"auth_flow_token":"{flow}","code":"{code}"#)),
        Request::post(START, r#"{"email":"ada@example.com"#),
        Request::get(&format!("/v1/{code}/{flow}?email=ada@example.com")),
        Request::new("BREW", &format!("/v1/login?{code}")).header("user-agent", &code).header("x-request-id", &flow),
        Request::get("/v1/login").header("authorization", &format!("Bearer {}", secrets[2])).header("cookie", &flow),
    ] {
        assert!(client.send(&request).await.status >= 400);
    }
    let added = server.run(&["identity", "add", "cleo@example.com"]).await;
    assert_eq!(added.code, Some(0));
    server.terminate();
    assert_eq!(server.ended().await, Some(0));

    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    assert!(lines.iter().any(|line| line["level"] == "DEBUG"), "the level is obeyed");
    assert!(
        lines.iter().any(|line| line["span"]["id"].as_str().is_some_and(|id| id.len() == 16)),
        "requests are named"
    );
    for secret in &secrets {
        assert!(!stands_in(secret, &log), "{secret} is in the log");
        server.is_secret(secret);
    }
    for address in ["ada", "bob", "later", "refused", "cleo"] {
        assert!(!log.contains(&format!("{address}@example.com")), "{address} is in the log");
    }
    for line in &lines {
        // Lower case, no full stop: one style, so that it can be searched.
        let message = line["fields"]["message"].as_str().unwrap_or_default();
        let is_ours = line["target"].as_str().is_some_and(|target| target.starts_with("countersign"));
        let begins_well = !message.starts_with(char::is_uppercase) && !message.ends_with('.');
        assert!(!is_ours || begins_well, "{message}");
    }
    server.look_over();
}

#[tokio::test]
async fn a_healthy_server_says_little() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    for _ in 0..20 {
        let flow = start(&mut client, "ada@example.com").await;
        let code = super::journey::code_to(&mut client, "ada@example.com").await;
        assert!(matches!(verify(&mut client, &flow, &code).await, Verdict::Token(_)));
    }
    let lines = server.log().lines().count();
    assert!(lines <= 3, "{}", server.log());
    server.stop().await;
}
