//! `countersign dev --smtp` in front of a real mail server, in its good and bad moods.

use std::time::Duration;

use serde_json::json;
use testkit::mailbox::{Mailbox, MailboxOptions, Rule, Stage};
use testkit::server::{Request, Server};
use tokio::time::Instant;

use super::journey::{START, Verdict, code_in, code_to, start, verify};
use crate::support::{BINARY, PATIENCE};

/// A mailbox in clear, and a server that sends to it; none where there is no Python.
async fn with_mailbox() -> Option<(Mailbox, Server)> {
    let mailbox = Mailbox::start(&MailboxOptions::default())?;
    let server = Server::dev(BINARY, &["--smtp", &format!("smtp://127.0.0.1:{}", mailbox.port())]).await;
    Some((mailbox, server))
}

async fn deliveries(server: &Server, outcome: &str) -> u64 {
    server.metrics().await.sum("countersign_deliveries_total", &[&format!("outcome=\"{outcome}\"")])
}

#[tokio::test]
async fn a_code_read_in_a_real_mail_signs_in() {
    let Some((mailbox, server)) = with_mailbox().await else { return };
    let mut client = server.client();
    let began = Instant::now();
    let flow = start(&mut client, "ada@example.com").await;
    let mail = mailbox.wait_for("ada@example.com", 1, PATIENCE).await.remove(0);
    println!("a mail came {:?} after it was asked for", began.elapsed());
    assert_eq!(mail.recipients, ["ada@example.com"]);
    assert_eq!(mail.sender, "countersign@localhost");
    for (name, value) in [("To", "ada@example.com"), ("Auto-Submitted", "auto-generated"), ("MIME-Version", "1.0")] {
        assert_eq!(mail.header(name).as_deref(), Some(value));
    }
    let code = code_in(&mail);
    // The inbox shows what was sent.
    assert_eq!(code_to(&mut client, "ada@example.com").await, code);
    assert!(!mail.header("Subject").unwrap().contains(&code));
    assert!(matches!(verify(&mut client, &flow, &code).await, Verdict::Token(_)));
    server.is_secret(&code);
    server.is_secret(&flow);
    server.wait_for_count("countersign_deliveries_total", &[r#"outcome="sent""#], 1).await;
    assert_eq!(server.metrics().await.sum("countersign_outbox_depth", &[]), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_recipient_that_is_refused_disturbs_nobody_else() {
    let Some((mailbox, server)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::answer(Stage::Rcpt, "550 5.1.1 <gone@example.com> no such user").for_address("gone@")).await;
    let mut client = server.client();
    for address in ["ada@example.com", "gone@example.com", "bob@example.com"] {
        start(&mut client, address).await;
    }
    mailbox.wait_for("ada@example.com", 1, PATIENCE).await;
    mailbox.wait_for("bob@example.com", 1, PATIENCE).await;
    server.wait_for_count("countersign_deliveries_total", &[r#"outcome="refused""#], 1).await;
    server.wait_for_count("countersign_deliveries_total", &[r#"outcome="sent""#], 2).await;
    // It is not owed any more, and not tried again; the one who asked was told nothing else than the others.
    assert_eq!(server.metrics().await.sum("countersign_outbox_depth", &[]), 0);
    assert_eq!(deliveries(&server, "deferred").await, 0);
    assert_eq!(mailbox.messages().await.len(), 2);
    assert!(!server.log().contains("gone@example.com"), "{}", server.log());
    server.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_put_off_arrives_later() {
    let Some((mailbox, server)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::answer(Stage::Rcpt, "451 4.7.1 greylisted, come back").for_address("ada@").times(2)).await;
    let began = Instant::now();
    let flow = start(&mut server.client(), "ada@example.com").await;
    let answered = began.elapsed();
    // The first back-off is two seconds, the second four.
    let mail = mailbox.wait_for("ada@example.com", 1, PATIENCE).await.remove(0);
    assert!(began.elapsed() >= Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(answered < Duration::from_secs(6), "mail never holds up a request: {answered:?}");
    assert!(matches!(verify(&mut server.client(), &flow, &code_in(&mail)).await, Verdict::Token(_)));
    server.wait_for_count("countersign_deliveries_total", &[r#"outcome="sent""#], 1).await;
    assert_eq!(deliveries(&server, "deferred").await, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_is_sent_again_under_the_same_message_id() {
    let Some((mailbox, server)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::drop_connection(Stage::Content).times(1)).await;
    start(&mut server.client(), "ada@example.com").await;
    mailbox.wait_for("ada@example.com", 1, PATIENCE).await;
    server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
    let offered = mailbox.offered().await;
    assert_eq!(offered.len(), 2);
    assert_eq!((offered[0].answer, offered[1].answer), (None, Some(250)));
    let ids: Vec<_> = offered.iter().map(|mail| mail.header("Message-ID").unwrap()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(code_in(&offered[0]), code_in(&offered[1]));
    server.stop().await;
}

#[tokio::test]
async fn two_mails_have_two_message_ids() {
    let Some((mailbox, server)) = with_mailbox().await else { return };
    for _ in 0..2 {
        start(&mut server.client(), "ada@example.com").await;
    }
    let mails = mailbox.wait_for("ada@example.com", 2, PATIENCE).await;
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    server.stop().await;
}

#[tokio::test]
async fn st_19_st_20_whatever_is_asked_for_a_mail_has_one_recipient_and_that_is_the_one_that_was_asked_for() {
    let Some((mailbox, server)) = with_mailbox().await else { return };
    let mut client = server.client();
    for email in [
        "ada@example.com\r\nRCPT TO:<eve@evil.example>",
        "ada@example.com>\r\nDATA\r\n.\r\n",
        "ada@example.com\nBcc: eve@evil.example",
        "ada@example.com\0eve@evil.example",
        "\r\n.\r\nada@example.com",
        "ada@example.com, eve@evil.example",
        "ada@example.com,eve@evil.example",
        "ada@example.com> NOTIFY=SUCCESS <eve@evil.example",
        "ada@example.com> ORCPT=rfc822;eve@evil.example",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        "\"ada@example.com \"@evil.example",
        "\"ada\"@example.com",
        "@evil.example:ada@example.com",
        "ada@example.com(@evil.example)",
        "ada%evil.example@example.com@evil.example",
        "=?utf-8?q?ada=40example.com=3e=00?=foo@example.com",
        "ada@[127.0.0.1]",
        "ada@example.com.",
        "ädä@example.com",
        "ada@example\u{3002}com\u{ff0c}eve@evil.example",
        ".",
        "..@example.com",
    ] {
        let answer = client.send(&Request::post(START, json!({ "email": email }).to_string())).await;
        assert_eq!(answer.status, 400, "{email:?}: {}", answer.whole());
    }
    let legal = [
        ("  o'brien+list=x/y!@EXAMPLE.com ", "o'brien+list=x/y!@example.com"),
        ("ada@b\u{fc}cher.example", "ada@xn--bcher-kva.example"),
        ("-oQ/tmp@example.com", "-oQ/tmp@example.com"),
        ("{}|&$`*?@example.com", "{}|&$`*?@example.com"),
    ];
    for (typed, wanted) in legal {
        start(&mut client, typed).await;
        let mails = mailbox.wait_for(wanted, 1, PATIENCE).await;
        assert_eq!(mails[0].recipients, [wanted]);
        assert_eq!(mails[0].header("To").as_deref(), Some(wanted));
    }
    // Not only what the mail server understood: the bytes that were said to it.
    assert_eq!(mailbox.count("RCPT").await, legal.len());
    assert_eq!(mailbox.count("MAIL").await, legal.len());
    let said: Vec<u8> = mailbox.transcripts().await.concat();
    let said = String::from_utf8_lossy(&said);
    for (_, wanted) in legal {
        assert_eq!(said.matches(&format!("\r\nRCPT TO:<{wanted}>\r\n")).count(), 1, "{said}");
    }
    assert!(!said.contains("evil.example"));
    server.stop().await;
}

#[tokio::test]
async fn st_16_mail_goes_to_the_mailbox_that_was_proved_whatever_is_typed_later() {
    let Some((mailbox, server)) = with_mailbox().await else { return };
    let mut client = server.client();
    let flow = start(&mut client, "Ada.Lovelace@Example.com").await;
    let mail = mailbox.wait_for("Ada.Lovelace@example.com", 1, PATIENCE).await.remove(0);
    assert!(matches!(verify(&mut client, &flow, &code_in(&mail)).await, Verdict::Token(_)));
    for (count, typed) in [(2, "ada.lovelace@example.com"), (3, "ADA.LOVELACE@EXAMPLE.COM")] {
        let flow = start(&mut client, typed).await;
        let mail = mailbox.wait_for("Ada.Lovelace@example.com", count, PATIENCE).await.remove(count - 1);
        assert_eq!(mail.header("To").as_deref(), Some("Ada.Lovelace@example.com"), "{typed}");
        assert!(matches!(verify(&mut client, &flow, &code_in(&mail)).await, Verdict::Token(_)), "{typed}");
    }
    assert_eq!(mailbox.messages().await.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn a_mail_is_not_sent_after_its_codes_life() {
    let Some((mailbox, mut server)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::answer(Stage::Mail, "451 4.3.0 not now")).await;
    let flow = start(&mut server.client(), "late@example.com").await;
    let code = code_to(&mut server.client(), "late@example.com").await;
    server.wait_for_count("countersign_deliveries_total", &[r#"outcome="deferred""#], 1).await;
    server.kill().await;
    // Nine minutes and five seconds go by; so that less than a minute is left. (Times are milliseconds.)
    let ago = 545_000;
    let gone_by = [
        format!(
            "UPDATE outbox SET due_at = due_at - {ago}, not_after = not_after - {ago}, created_at = created_at - {ago}"
        ),
        format!(
            "UPDATE flows SET issued_at = issued_at - {ago}, expires_at = expires_at - {ago}, \
                 sent_at = sent_at - {ago}, code_ends_at = code_ends_at - {ago}"
        ),
    ];
    for statement in &gone_by {
        server.sql(statement).unwrap();
    }
    mailbox.clear_rules().await;
    server.start().await;
    // Somebody else's mail goes out, so the courier is at work.
    start(&mut server.client(), "timely@example.com").await;
    mailbox.wait_for("timely@example.com", 1, PATIENCE).await;
    server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
    assert_eq!(mailbox.offered().await.len(), 1);
    // What is left of the code's life is its owner's.
    assert!(matches!(verify(&mut server.client(), &flow, &code).await, Verdict::Token(_)));

    // And a code whose life is over is over, wherever it was read.
    let flow = start(&mut server.client(), "over@example.com").await;
    let code = code_to(&mut server.client(), "over@example.com").await;
    server.kill().await;
    server.sql(&gone_by[1].replace("545000", "600001")).unwrap();
    server.start().await;
    assert_eq!(verify(&mut server.client(), &flow, &code).await, Verdict::Invalid);
    assert_eq!(server.metrics().await.sum("countersign_verifications_total", &[r#"outcome="expired""#]), 1);
    server.stop().await;
}
