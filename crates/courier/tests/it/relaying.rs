//! Mails over a relay in clear: what is taken, refused, put off and lost.

use std::time::Duration;

use countersign_courier::{Composed, SendError};
use lettre::address::Envelope;
use testkit::mailbox::{Mailbox, MailboxOptions, Rule, Stage};
use tokio::time::Instant;

use crate::support::{CODE, PATIENCE, mail, plain, traced};

async fn send(relay: &countersign_courier::Relay, mail: &Composed) -> Result<(), SendError> {
    relay.send(&mail.envelope, &mail.content).await
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_composed() {
    let Some((mailbox, relay)) = plain() else { return };
    let sent = mail("ada@example.org", 77);
    send(&relay, &sent).await.unwrap();
    let [received] = &mailbox.wait_for("ada@example.org", 1, PATIENCE).await[..] else { panic!("one mail") };
    assert_eq!(received.content, sent.content);
    assert_eq!(received.sender, "login@mail.example.com");
    assert_eq!(received.header("Message-ID").as_deref(), Some("<77@mail.example.com>"));
    assert_eq!(received.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert_eq!(received.header("X-Auto-Response-Suppress").as_deref(), Some("All"));
    assert_eq!(received.header("Date").as_deref(), Some("Sat, 21 Nov 2026 03:04:05 +0000"));
    assert!(received.text().lines().any(|line| line == CODE));
}

#[tokio::test]
async fn st_15_a_mail_has_exactly_one_recipient() {
    let Some((mailbox, relay)) = plain() else { return };
    let sent = mail("ada@example.org", 77);
    send(&relay, &sent).await.unwrap();
    let [received] = &mailbox.wait_for("ada@example.org", 1, PATIENCE).await[..] else { panic!("one mail") };
    assert_eq!(received.recipients, ["ada@example.org"]);
    assert_eq!(mailbox.count("RCPT TO:").await, 1);

    let [recipient] = sent.envelope.to() else { panic!("one recipient") };
    let two = vec![recipient.clone(), "eve@example.net".parse().unwrap()];
    let two = Envelope::new(sent.envelope.from().cloned(), two).unwrap();
    let outcome = relay.send(&two, &sent.content).await;
    assert!(matches!(outcome, Err(SendError::Refused { .. })), "{outcome:?}");
    assert_eq!(mailbox.count("RCPT TO:").await, 1, "nothing of it was said");
}

#[tokio::test]
async fn st_20_what_would_change_the_dialogue_is_never_said() {
    let Some((mailbox, relay)) = plain() else { return };
    let good = mail("ada@example.org", 77);
    let from = good.envelope.from().cloned();
    for (user, domain) in [
        ("ada@example.org>\r\nRCPT TO:<eve", "example.net"),
        ("ada> NOTIFY=NEVER <x", "example.org"),
        ("ada\0", "example.org"),
        ("a da", "example.org"),
        ("ada", "example.org\n"),
    ] {
        let evil = lettre::Address::new_dangerous(user, domain);
        let recipient = Envelope::new(from.clone(), vec![evil.clone()]).unwrap();
        let sender = Envelope::new(Some(evil), good.envelope.to().to_vec()).unwrap();
        for envelope in [recipient, sender] {
            let outcome = relay.send(&envelope, &good.content).await;
            assert!(matches!(outcome, Err(SendError::Refused { .. })), "{outcome:?}");
        }
    }
    for content in [&b"a\r\n.\nb\r\n"[..], b"a\n.\nb\r\n", b"a\r.\rb\r\n", b"a\0\r\n", b"no end of line"] {
        let outcome = relay.send(&good.envelope, content).await;
        assert!(matches!(outcome, Err(SendError::Refused { .. })), "{outcome:?}");
    }
    assert!(mailbox.transcripts().await.is_empty(), "not even a connection was made");

    relay.send(&good.envelope, b"Subject: s\r\n\r\n.\r\nRCPT TO:<eve@example.net>\r\n..\r\n").await.unwrap();
    let [received] = &mailbox.wait_for("ada@example.org", 1, PATIENCE).await[..] else { panic!("one mail") };
    assert_eq!(received.content, b"Subject: s\r\n\r\n.\r\nRCPT TO:<eve@example.net>\r\n..\r\n");
    assert_eq!(received.recipients, ["ada@example.org"]);
    relay.close().await;
    let [said] = &mailbox.transcripts().await[..] else { panic!("one connection") };
    let said = String::from_utf8(said.clone()).unwrap();
    let expected = "EHLO [127.0.0.1]\r\n\
        MAIL FROM:<login@mail.example.com>\r\n\
        RCPT TO:<ada@example.org>\r\n\
        DATA\r\n\
        Subject: s\r\n\r\n..\r\nRCPT TO:<eve@example.net>\r\n...\r\n.\r\n";
    assert!(said.starts_with(expected), "{said}");
}

#[tokio::test]
async fn a_refused_recipient_is_refused_for_good_and_harms_nobody_else() {
    let Some((mailbox, relay)) = plain() else { return };
    let refusal = Rule::answer(Stage::Rcpt, "550 5.1.1 <nobody@example.org> is unknown here, code 042817");
    mailbox.add_rule(refusal.for_address("nobody@example.org")).await;
    let refused = send(&relay, &mail("nobody@example.org", 1)).await.unwrap_err();
    assert!(matches!(refused, SendError::Refused { .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "the relay refused the recipient: 550 5.1.1");
    assert!(!format!("{refused:?}").contains("nobody"), "a relay's own words are not kept");
    send(&relay, &mail("ada@example.org", 2)).await.unwrap();
    assert_eq!(mailbox.wait_for("ada@example.org", 1, PATIENCE).await.len(), 1);
    assert_eq!(mailbox.transcripts().await.len(), 1, "the connection is used again");
}

#[tokio::test]
async fn a_mail_put_off_is_taken_when_it_comes_again() {
    let Some((mailbox, relay)) = plain() else { return };
    for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Content] {
        mailbox.add_rule(Rule::answer(stage, "451 4.7.1 try again later").times(1)).await;
        let put_off = send(&relay, &mail("ada@example.org", 1)).await.unwrap_err();
        assert!(matches!(put_off, SendError::Deferred { maybe_delivered: false, .. }), "{stage:?}: {put_off:?}");
        assert!(put_off.to_string().ends_with(": 451 4.7.1"), "{put_off}");
    }
    send(&relay, &mail("ada@example.org", 1)).await.unwrap();
    assert_eq!(mailbox.wait_for("ada@example.org", 1, PATIENCE).await.len(), 1);
    assert_eq!(mailbox.transcripts().await.len(), 1, "the connection is used again");
}

#[tokio::test]
async fn a_refused_content_is_refused_for_good() {
    let Some((mailbox, relay)) = plain() else { return };
    mailbox.add_rule(Rule::answer(Stage::Content, "554 5.7.1 we do not like it")).await;
    let refused = send(&relay, &mail("ada@example.org", 1)).await.unwrap_err();
    assert!(matches!(refused, SendError::Refused { .. }), "{refused:?}");
}

#[tokio::test]
async fn what_a_relay_has_against_us_is_no_refusal_of_the_mail() {
    let Some((mailbox, relay)) = plain() else { return };
    let cases = [
        (Stage::Ehlo, "550 5.7.1 who are you"),
        (Stage::Mail, "550 5.7.1 not from you"),
        (Stage::Mail, "530 5.7.0 sign in first"),
        (Stage::Rcpt, "530 5.7.0 sign in first"),
        (Stage::Rcpt, "503 5.5.1 bad sequence"),
        (Stage::Rcpt, "421 4.3.2 closing"),
        (Stage::Data, "421 4.3.2 closing"),
    ];
    for (stage, answer) in cases {
        mailbox.clear_rules().await;
        mailbox.add_rule(Rule::answer(stage, answer)).await;
        let outcome = send(&relay, &mail("ada@example.org", 1)).await;
        assert!(matches!(outcome, Err(SendError::RelayFailed { .. })), "{stage:?} {answer}: {outcome:?}");
    }
    mailbox.clear_rules().await;
    send(&relay, &mail("ada@example.org", 1)).await.unwrap();
}

#[tokio::test]
async fn a_connection_dropped_after_the_content_may_have_delivered_and_the_mail_comes_again_under_the_same_id() {
    let Some((mailbox, relay)) = plain() else { return };
    mailbox.add_rule(Rule::drop_connection(Stage::Content).times(1)).await;
    let unsure = send(&relay, &mail("ada@example.org", 77)).await.unwrap_err();
    assert!(matches!(unsure, SendError::Deferred { maybe_delivered: true, .. }), "{unsure:?}");
    send(&relay, &mail("ada@example.org", 77)).await.unwrap();
    mailbox.wait_for("ada@example.org", 1, PATIENCE).await;
    let ids: Vec<_> = mailbox.offered().await.iter().map(|message| message.header("Message-ID")).collect();
    assert_eq!(ids, [Some("<77@mail.example.com>".to_owned()), Some("<77@mail.example.com>".to_owned())]);
}

#[tokio::test]
async fn a_connection_dropped_before_the_content_has_delivered_nothing() {
    let Some((mailbox, relay)) = plain() else { return };
    for stage in [Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data] {
        mailbox.clear_rules().await;
        mailbox.add_rule(Rule::drop_connection(stage)).await;
        let outcome = send(&relay, &mail("ada@example.org", 1)).await;
        assert!(matches!(outcome, Err(SendError::RelayFailed { .. })), "{stage:?}: {outcome:?}");
    }
    assert!(mailbox.offered().await.is_empty());
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_mail() {
    let Some((mailbox, relay)) = plain() else { return };
    send(&relay, &mail("ada@example.org", 1)).await.unwrap();
    mailbox.close_connections().await;
    send(&relay, &mail("ada@example.org", 2)).await.unwrap();
    // The same, noticed only when MAIL is answered.
    mailbox.add_rule(Rule::answer(Stage::Mail, "421 4.4.2 you were idle").times(1)).await;
    send(&relay, &mail("ada@example.org", 3)).await.unwrap();
    mailbox.add_rule(Rule::drop_connection(Stage::Mail).times(1)).await;
    send(&relay, &mail("ada@example.org", 4)).await.unwrap();
    assert_eq!(mailbox.wait_for("ada@example.org", 4, PATIENCE).await.len(), 4, "each once");
    assert_eq!(mailbox.transcripts().await.len(), 4);
}

#[tokio::test]
async fn a_relay_that_is_not_there_fails_at_once() {
    let Some((mailbox, relay)) = plain() else { return };
    drop(mailbox);
    let began = Instant::now();
    let failed = send(&relay, &mail("ada@example.org", 1)).await.unwrap_err();
    assert_eq!(failed.to_string(), "the relay refused the connection");
    assert!(matches!(failed, SendError::RelayFailed { .. }));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_relay_that_stalls_is_given_up_and_after_the_content_nobody_knows() {
    let Some((mailbox, relay)) = plain() else { return };
    let mail = mail("ada@example.org", 1);
    let limit = Duration::from_millis(300);
    mailbox.add_rule(Rule::wait(Stage::Rcpt, Duration::from_secs(3)).times(1)).await;
    let stalled = relay.send_within(limit, &mail.envelope, &mail.content).await.unwrap_err();
    assert!(matches!(stalled, SendError::RelayFailed { .. }), "{stalled:?}");
    mailbox.clear_rules().await;
    mailbox.add_rule(Rule::wait(Stage::Content, Duration::from_secs(1)).times(1)).await;
    let unsure = relay.send_within(limit, &mail.envelope, &mail.content).await.unwrap_err();
    assert!(matches!(unsure, SendError::Deferred { maybe_delivered: true, .. }), "{unsure:?}");
    assert_eq!(unsure.to_string(), "the relay took too long");
}

#[tokio::test]
async fn mails_cost_far_less_than_the_forty_milliseconds_of_a_delayed_acknowledgement() {
    let Some((mailbox, relay)) = plain() else { return };
    let mail = mail("ada@example.org", 1);
    send(&relay, &mail).await.unwrap();
    let began = Instant::now();
    for _ in 0..200 {
        send(&relay, &mail).await.unwrap();
    }
    let each = began.elapsed() / 200;
    println!("one mail took {each:?}");
    assert!(each < Duration::from_millis(15), "one mail took {each:?}");
    assert_eq!(mailbox.wait_for("ada@example.org", 201, PATIENCE).await.len(), 201);
    assert_eq!(mailbox.transcripts().await.len(), 3, "a hundred mails over each connection");
}

#[tokio::test]
async fn st_24_neither_code_nor_address_is_traced() {
    assert!(!traced().contains(CODE));
    let Some((mailbox, relay)) = plain() else { return };
    send(&relay, &mail("grace@example.org", 1)).await.unwrap();
    mailbox.add_rule(Rule::answer(Stage::Rcpt, "550 5.1.1 <grace@example.org> 042817")).await;
    send(&relay, &mail("grace@example.org", 2)).await.unwrap_err();
    let traced = traced();
    for secret in [CODE, "grace@example.org", "grace"] {
        assert!(!traced.contains(secret), "{secret} was traced");
    }
}

#[tokio::test]
async fn a_mailbox_can_be_on_a_port_of_choice() {
    let Some(first) = Mailbox::start(&MailboxOptions::default()) else { return };
    let port = first.port();
    drop(first);
    let Some(again) = Mailbox::start(&MailboxOptions { port, ..MailboxOptions::default() }) else { return };
    assert_eq!(again.port(), port);
}
