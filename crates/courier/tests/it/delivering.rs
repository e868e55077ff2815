//! The courier's loop: what is owed is sent once, later, or not at all.

use std::time::Duration;

use countersign_courier::{Relay, RelaySettings, Security, Transport};
use engine::{Clock as _, LEASE, MessageState};
use testkit::mailbox::{Mailbox, MailboxOptions, MailboxTls, Rule, Stage};
use tokio::time::{Instant, sleep};

use crate::owing::Post;
use crate::support::{PATIENCE, plain, secured, traced};

/// This long after a code was made, it has 59 seconds left of its ten minutes.
const NEARLY_OVER: Duration = Duration::from_secs(9 * 60 + 1);

async fn with_mailbox() -> Option<(Mailbox, Post)> {
    let (mailbox, relay) = plain()?;
    Some((mailbox, Post::open(Transport::relays([relay])).await))
}

/// A mailbox that keeps to `rule`, and a courier with one sender.
async fn with_one_sender(rule: Rule) -> Option<(Mailbox, Post)> {
    let mailbox = Mailbox::start(&MailboxOptions::default())?;
    let mut settings = RelaySettings::new("127.0.0.1", mailbox.port(), Security::Plain);
    settings.senders = 1;
    mailbox.add_rule(rule).await;
    Some((mailbox, Post::open(Transport::relays([Relay::new(settings).unwrap()])).await))
}

/// Has a courier with one sender, whom each mail takes so long as `taking`, three mails in hand: to a, b and c.
async fn with_three_in_hand(taking: Duration) -> Option<(Mailbox, Post)> {
    let (mailbox, post) = with_one_sender(Rule::wait(Stage::Content, taking)).await?;
    for recipient in ["a@example.org", "b@example.org", "c@example.org"] {
        post.owe(recipient).await;
        post.until(recipient, |message| message.due_at > message.created_at).await;
    }
    Some((mailbox, post))
}

/// Nobody listens, until a mailbox is started with the options.
async fn with_mailbox_down() -> Option<(MailboxOptions, Post)> {
    let down = MailboxOptions { port: Mailbox::start(&MailboxOptions::default())?.port(), ..MailboxOptions::default() };
    let relay = Relay::new(RelaySettings::new("127.0.0.1", down.port, Security::Plain)).unwrap();
    let post = Post::open(Transport::relays([relay])).await;
    Some((down, post))
}

/// A relay on a port where nobody listens: 1 was given to a service that nobody has run for decades.
fn dead_relay() -> Relay {
    Relay::new(RelaySettings::new("127.0.0.1", 1, Security::Plain)).unwrap()
}

/// The only line of a mail that is a code.
fn code(text: &str) -> &str {
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    let codes: Vec<&str> = text.lines().filter(is_code).collect();
    let [code] = codes[..] else { panic!("one line with a code, not {codes:?}") };
    code
}

/// The plain text of a mail, all of it ASCII, as a reader shows it: RFC 2045, 6.7.
fn plain_text(mail: &str) -> String {
    let part = mail.split("--countersign-").find(|part| part.contains("Content-Type: text/plain")).unwrap();
    let (headers, body) = part.split_once("\r\n\r\n").unwrap();
    if headers.contains("quoted-printable") { body.replace("=\r\n", "").replace("=3D", "=") } else { body.to_owned() }
}

#[tokio::test]
async fn what_is_owed_is_sent_and_settled() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    post.owe("ada@example.org").await;
    let settled = post.until_state("ada@example.org", MessageState::Sent).await;
    let [mail] = &mailbox.wait_for("ada@example.org", 1, PATIENCE).await[..] else { panic!("one mail") };
    assert_eq!(mail.header("Message-ID"), Some(format!("<{}@mail.example.com>", settled.id)));
    assert_eq!(mail.header("Subject").as_deref(), Some("Your code to sign in to Example"));
    assert!(mail.text().contains("within the next 10 minutes"));
    let text = mail.text();
    assert!(text.contains(&format!("@accounts.example.com #{}\r\n", code(&text))));
}

#[tokio::test]
async fn a_decoy_is_never_sent() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    post.owe_decoy("nobody@example.org").await;
    post.until_state("nobody@example.org", MessageState::Dropped).await;
    assert_eq!(mailbox.count("RCPT").await, 0);
}

#[tokio::test]
async fn a_link_arrives_whole_and_with_its_code() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    let long = "a".repeat(600);
    let link = format!("https://accounts.example.com/verification?flow={long}&code={{code}}");
    post.owe_link("ada@example.org", &link).await;
    let [mail] = &mailbox.wait_for("ada@example.org", 1, PATIENCE).await[..] else { panic!("one mail") };
    let text = plain_text(&mail.text());
    let expected = link.replace("{code}", code(&text));
    assert_eq!(text.lines().filter(|line| *line == expected).count(), 1, "{text}");
    assert!(!text.contains("{code}"));
    let last = text.trim_end().lines().last().unwrap();
    assert_eq!(last, format!("@accounts.example.com #{}", code(&text)), "and the code still ends the mail");
}

#[tokio::test]
async fn a_stranger_is_told_that_nobody_has_an_account_and_nothing_to_come_in_by() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    post.owe_word("nobody@example.org", "https://accounts.example.com/verification?code={code}").await;
    post.until_state("nobody@example.org", MessageState::Sent).await;
    let [mail] = &mailbox.wait_for("nobody@example.org", 1, PATIENCE).await[..] else { panic!("one mail") };
    assert_eq!(mail.header("Subject").as_deref(), Some("No account at Example with this address"));
    let text = plain_text(&mail.text());
    assert!(text.contains("There is no account with it"), "{text}");
    assert!(!mail.text().contains("https://"), "{}", mail.text());
    assert!(!text.contains("://") && !text.contains('#') && !text.bytes().any(|byte| byte.is_ascii_digit()), "{text}");
}

#[tokio::test]
async fn st_33_an_address_that_was_replaced_is_told_by_which_and_when() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    post.owe_notice("Ada@example.org", "c***@example.net");
    let settled = post.until_state("ada@example.org", MessageState::Sent).await;
    let [mail] = &mailbox.wait_for("Ada@example.org", 1, PATIENCE).await[..] else { panic!("one mail") };
    assert_eq!(mail.recipients, ["Ada@example.org"]);
    assert_eq!(mail.header("Message-ID"), Some(format!("<{}@mail.example.com>", settled.id)));
    assert_eq!(mail.header("Subject").as_deref(), Some("The address of your account at Example was changed"));
    let text = plain_text(&mail.text());
    assert!(text.contains("c***@example.net took the place of this address,\r\nat 2026-11-21 03:04 UTC."), "{text}");
    assert!(text.contains("If it was not you, write to whoever runs accounts.example.com"), "{text}");
    assert!(!mail.text().contains("://") && !text.contains('#'), "{}", mail.text());
}

#[tokio::test]
async fn a_refused_recipient_delays_nobody_else() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::answer(Stage::Rcpt, "550 5.1.1 who is that").for_address("nobody@example.org")).await;
    post.owe("nobody@example.org").await;
    post.owe("ada@example.org").await;
    post.until_state("ada@example.org", MessageState::Sent).await;
    let refused = post.until_state("nobody@example.org", MessageState::Refused).await;
    assert_eq!(refused.last_error.as_deref(), Some("the relay refused the recipient: 550 5.1.1"));
}

#[tokio::test]
async fn a_slow_mail_delays_nobody_else() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::wait(Stage::Rcpt, Duration::from_secs(3)).for_address("slow@example.org")).await;
    post.owe("slow@example.org").await;
    post.until("slow@example.org", |message| message.due_at > message.created_at).await;
    let began = Instant::now();
    post.owe("ada@example.org").await;
    mailbox.wait_for("ada@example.org", 1, PATIENCE).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(post.outbox.message("slow@example.org").state, MessageState::Owed);
}

#[tokio::test]
async fn a_mail_that_may_have_arrived_comes_again_under_the_same_id() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::drop_connection(Stage::Content).times(1)).await;
    post.owe("ada@example.org").await;
    let deferred = post.until("ada@example.org", |message| message.attempts == 1).await;
    assert_eq!(deferred.state, MessageState::Owed);
    assert_eq!(deferred.last_error.as_deref(), Some("the relay closed the connection"));
    post.clock.advance(Duration::from_secs(5));
    post.until_state("ada@example.org", MessageState::Sent).await;
    let offered = mailbox.offered().await;
    assert_eq!(offered.len(), 2);
    assert_eq!(offered[0].header("Message-ID"), offered[1].header("Message-ID"));
    assert_eq!(code(&offered[0].text()), code(&offered[1].text()));
}

#[tokio::test]
async fn mail_being_down_keeps_mails_owed_until_it_is_back() {
    let Some((down, post)) = with_mailbox_down().await else { return };
    post.owe("ada@example.org").await;
    let deferred = post.until("ada@example.org", |message| message.attempts == 1).await;
    assert_eq!(deferred.last_error.as_deref(), Some("the relay refused the connection"));

    let Some(mailbox) = Mailbox::start(&down) else { return };
    post.clock.advance(Duration::from_secs(5));
    post.until_state("ada@example.org", MessageState::Sent).await;
    assert_eq!(mailbox.messages().await.len(), 1);
}

#[tokio::test]
async fn while_every_relay_rests_no_try_is_wasted() {
    let post = Post::open(Transport::relays([dead_relay()])).await;
    for recipient in ["a@example.org", "b@example.org", "c@example.org"] {
        post.owe(recipient).await;
    }
    post.until("a@example.org", |message| message.attempts == 1).await;
    let before = Instant::now();
    while before.elapsed() < Duration::from_secs(4) {
        post.clock.advance(Duration::from_secs(4));
        sleep(Duration::from_millis(50)).await;
    }
    let tries: u32 =
        ["a@example.org", "b@example.org", "c@example.org"].map(|it| post.outbox.message(it).attempts).iter().sum();
    assert!(tries <= 3 + 3, "three together, then one after 1 s, 2 s, 4 s: {tries}");
}

#[tokio::test]
async fn nothing_leaves_with_less_than_a_minute_to_live() {
    let Some((down, post)) = with_mailbox_down().await else { return };
    post.owe("ada@example.org").await;
    post.until("ada@example.org", |message| message.attempts == 1).await;
    let Some(mailbox) = Mailbox::start(&down) else { return };
    post.clock.advance(NEARLY_OVER);
    post.until_state("ada@example.org", MessageState::Expired).await;
    assert!(mailbox.offered().await.is_empty());
}

#[tokio::test]
async fn the_next_relay_takes_over_within_the_same_try() {
    let Some((mailbox, relay)) = plain() else { return };
    let post = Post::open(Transport::relays([dead_relay(), relay])).await;
    post.owe("ada@example.org").await;
    let sent = post.until_state("ada@example.org", MessageState::Sent).await;
    assert_eq!(sent.attempts, 0, "no try was lost");
    assert_eq!(mailbox.messages().await.len(), 1);
}

#[tokio::test]
async fn a_mail_that_one_relay_may_have_taken_is_not_given_to_the_next() {
    let Some((first, first_relay)) = plain() else { return };
    let Some((second, second_relay)) = plain() else { return };
    first.add_rule(Rule::drop_connection(Stage::Content).times(1)).await;
    let post = Post::open(Transport::relays([first_relay, second_relay])).await;
    post.owe("ada@example.org").await;
    post.until("ada@example.org", |message| message.attempts == 1).await;
    assert!(second.offered().await.is_empty());
}

#[tokio::test]
async fn a_relay_whose_certificate_is_wrong_keeps_the_mail_owed() {
    let names = vec!["mail.example.net".to_owned()];
    let options = MailboxOptions { certificate_names: names, ..MailboxOptions::default() };
    let Some((mailbox, settings)) = secured(MailboxTls::StartTls, options) else { return };
    let post = Post::open(Transport::relays([Relay::new(settings).unwrap()])).await;
    post.owe("ada@example.org").await;
    let deferred = post.until("ada@example.org", |message| message.attempts == 1).await;
    assert_eq!(deferred.state, MessageState::Owed);
    assert_eq!(deferred.last_error.as_deref(), Some("the relay's certificate is for another host name"));
    assert_eq!(mailbox.count("MAIL").await, 0);
}

#[tokio::test]
async fn a_store_out_of_reach_stops_nothing_and_sends_nothing_twice() {
    let Some((mailbox, post)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::wait(Stage::Content, Duration::from_millis(300))).await;
    post.owe("ada@example.org").await;
    post.until("ada@example.org", |message| message.due_at > message.created_at).await;
    post.outbox.put_out_of_reach(true);
    mailbox.wait_for("ada@example.org", 1, PATIENCE).await;
    post.owe("grace@example.org").await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(post.outbox.message("ada@example.org").state, MessageState::Owed);
    post.outbox.put_out_of_reach(false);
    post.until_state("ada@example.org", MessageState::Sent).await;
    post.until_state("grace@example.org", MessageState::Sent).await;
    assert_eq!(mailbox.messages().await.len(), 2);
}

#[tokio::test]
async fn told_to_stop_it_sends_what_it_has() {
    let Some((mailbox, post)) = with_three_in_hand(Duration::from_millis(200)).await else { return };
    let outbox = post.close().await;
    assert_eq!(outbox.states(), [MessageState::Sent; 3]);
    assert_eq!(mailbox.messages().await.len(), 3);
}

#[tokio::test]
async fn told_to_stop_it_gives_up_what_takes_too_long_and_leaves_the_rest_owed() {
    let Some((_mailbox, post)) = with_three_in_hand(Duration::from_secs(30)).await else { return };
    let now = post.clock.now();
    let outbox = post.close().await;
    assert_eq!(outbox.states(), [MessageState::Owed; 3]);
    let given_up = outbox.message("a@example.org");
    assert_eq!((given_up.attempts, given_up.due_at), (0, now.plus(LEASE)), "it may have been sent");
    for recipient in ["b@example.org", "c@example.org"] {
        let message = outbox.message(recipient);
        assert_eq!(message.last_error.as_deref(), Some("the courier stopped before it was sent"));
        assert!(message.due_at < now.plus(Duration::from_secs(3)), "and another one may send it soon");
    }
}

#[tokio::test]
async fn told_to_stop_while_every_relay_rests_it_leaves_what_it_has_owed() {
    let Some((mailbox, post)) = with_three_in_hand(Duration::from_secs(30)).await else { return };
    drop(mailbox);
    post.until("a@example.org", |message| message.last_error.is_some()).await;
    // The relay is tried again in a second, and in two more if that fails: with b, then with c.
    let waiting = post.close().await.message("c@example.org");
    assert_eq!(waiting.state, MessageState::Owed);
    assert_eq!(waiting.last_error.as_deref(), Some("the courier stopped before it was sent"));
}

#[tokio::test]
async fn what_no_sender_has_time_for_is_put_back_before_its_lease_ends() {
    let slow = Rule::wait(Stage::Content, Duration::from_secs(3)).for_address("slow@example.org");
    let Some((mailbox, post)) = with_one_sender(slow).await else { return };
    post.owe("slow@example.org").await;
    post.owe("ada@example.org").await;
    post.until("ada@example.org", |message| message.due_at > message.created_at).await;
    post.clock.advance(Duration::from_secs(11));
    let waiting = post.until("ada@example.org", |message| message.attempts == 1).await;
    assert_eq!(waiting.last_error.as_deref(), Some("no sender became free in time"));
    assert_eq!(waiting.state, MessageState::Owed);
    post.clock.advance(Duration::from_secs(3));
    post.until_state("ada@example.org", MessageState::Sent).await;
    assert_eq!(mailbox.wait_for("ada@example.org", 1, PATIENCE).await.len(), 1);
}

#[tokio::test]
async fn in_development_the_inbox_takes_everything() {
    let post = Post::open(Transport::inbox()).await;
    for number in 0..200 {
        post.owe(&format!("user{number}@example.org")).await;
    }
    for number in 0..200 {
        post.until_state(&format!("user{number}@example.org"), MessageState::Sent).await;
    }
    let outbox = post.close().await;
    assert_eq!(outbox.states().len(), 200);
}

#[tokio::test]
async fn st_24_the_courier_traces_what_it_does_and_no_secret() {
    traced();
    let Some((mailbox, post)) = with_mailbox().await else { return };
    mailbox.add_rule(Rule::answer(Stage::Rcpt, "450 4.2.1 <hopper@example.org> later").times(1)).await;
    post.owe("hopper@example.org").await;
    post.until("hopper@example.org", |message| message.attempts == 1).await;
    post.clock.advance(Duration::from_secs(5));
    let sent = post.until_state("hopper@example.org", MessageState::Sent).await;
    let [mail] = &mailbox.wait_for("hopper@example.org", 1, PATIENCE).await[..] else { panic!("one mail") };
    let traced = traced();
    assert!(traced.contains("a mail was sent") && traced.contains(&format!("message.id={}", sent.id)), "{traced}");
    assert!(traced.contains("450 4.2.1"), "{traced}");
    let text = mail.text();
    for secret in ["hopper", code(&text)] {
        assert!(!traced.contains(secret), "{secret} was traced");
    }
}
