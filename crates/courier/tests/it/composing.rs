//! The bytes of a mail.

use countersign_courier::{ComposeError, Letterhead, Rendered, compose};
use engine::{Address, Channel, MessageId};

use crate::support::{CODE, NOW, letterhead, mail};

fn words(subject: &str, text: &str, html: &str) -> Rendered {
    Rendered { subject: subject.to_owned(), text: text.to_owned(), html: html.to_owned() }
}

fn composed(words: &Rendered) -> Result<String, ComposeError> {
    let recipient = Address::email("ada@example.org").unwrap();
    compose(&letterhead(), words, &recipient, MessageId::new(77), NOW)
        .map(|mail| String::from_utf8(mail.content).unwrap())
}

#[test]
fn a_mail_is_the_same_bytes_every_time() {
    assert_eq!(
        composed(&words("Your code", "042817\n", "<p>042817</p>\n")).unwrap(),
        "From: Example <login@mail.example.com>\r\n\
         To: ada@example.org\r\n\
         Subject: Your code\r\n\
         Message-ID: <77@mail.example.com>\r\n\
         Date: Sat, 21 Nov 2026 03:04:05 +0000\r\n\
         Auto-Submitted: auto-generated\r\n\
         X-Auto-Response-Suppress: All\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative; boundary=\"countersign-77\"\r\n\
         \r\n\
         --countersign-77\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         042817\r\n\
         \r\n\
         --countersign-77\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         <p>042817</p>\r\n\
         \r\n\
         --countersign-77--\r\n"
    );
    assert_eq!(mail("ada@example.org", 77), mail("ada@example.org", 77));
}

#[test]
fn a_mail_is_seven_bit_whatever_language_the_brand_is_in() {
    let letterhead = Letterhead::new("login@mail.example.com", "Bäckerei 🥐", "xn--bckerei-5wa.example").unwrap();
    let words = words("Ihr Code für Bäckerei 🥐", "Grüße\n", "<p>Grüße</p>");
    let recipient = Address::email("ada@bäckerei.example").unwrap();
    let mail = compose(&letterhead, &words, &recipient, MessageId::new(77), NOW).unwrap();
    assert!(mail.content.is_ascii());
    assert_eq!(mail.envelope.to().len(), 1);
    assert!(mail.envelope.to()[0].as_ref() as &str == recipient.as_str());
}

#[test]
fn a_sender_with_a_name_keeps_it() {
    let letterhead = Letterhead::new("Sign-in <login@mail.example.com>", "Example", "example.com").unwrap();
    let recipient = Address::email("ada@example.org").unwrap();
    let mail = compose(&letterhead, &words("s", "t", "h"), &recipient, MessageId::new(77), NOW).unwrap();
    assert!(String::from_utf8(mail.content).unwrap().contains("From: Sign-in <login@mail.example.com>\r\n"));
}

#[test]
fn st_20_what_could_end_a_line_is_refused_in_every_header() {
    for evil in ["a\r\nBcc: eve@example.net", "a\nb", "a\rb", "a\0b", "a\u{2028}b", "a\u{85}b"] {
        assert_eq!(composed(&words(evil, "t", "h")), Err(ComposeError::Subject), "{evil:?}");
        assert_eq!(Letterhead::new("a@example.com", evil, "example.com"), Err(ComposeError::Brand), "{evil:?}");
        assert_eq!(Letterhead::new("a@example.com", "Example", evil), Err(ComposeError::Host), "{evil:?}");
        let sender = format!("{evil} <a@example.com>");
        assert_eq!(Letterhead::new(&sender, "Example", "example.com"), Err(ComposeError::Sender), "{evil:?}");
    }
}

#[test]
fn st_20_a_sender_is_exactly_one_address() {
    for sender in [
        "",
        "Example",
        "a@example.com, b@example.com",
        "a@example.com b@example.com",
        "<a@example.com> <b@example.com>",
        "\"a b\"@example.com",
        "a@[127.0.0.1]",
        "a@example.com\r\nX: y",
        "ä@example.com",
    ] {
        assert_eq!(Letterhead::new(sender, "Example", "example.com"), Err(ComposeError::Sender), "{sender:?}");
    }
}

#[test]
fn st_20_a_recipient_read_from_a_store_is_parsed_again() {
    let compose_for = |channel, stored: &str| {
        let recipient = Address::from_stored(channel, stored.to_owned(), stored.to_owned());
        compose(&letterhead(), &words("s", "t", "h"), &recipient, MessageId::new(77), NOW)
    };
    for stored in [
        "ada@example.org\r\nRCPT TO:<eve@example.net>",
        "ada@example.org> SIZE=1",
        "ada@example.org,eve@example.net",
        "ada\0@example.org",
        "ADA@example.org",
        "",
    ] {
        assert_eq!(compose_for(Channel::Email, stored).unwrap_err(), ComposeError::Recipient, "{stored:?}");
    }
    assert_eq!(compose_for(Channel::Sms, "+15550100").unwrap_err(), ComposeError::Recipient);
}

#[test]
fn st_16_a_mail_goes_to_the_mailbox_and_to_none_that_is_not_the_addresses() {
    let compose_for = |canonical: &str, mailbox: &str| {
        let recipient = Address::from_stored(Channel::Email, canonical.to_owned(), mailbox.to_owned());
        compose(&letterhead(), &words("s", "t", "h"), &recipient, MessageId::new(77), NOW)
    };
    let mail = compose_for("ada@example.org", "Ada@example.org").unwrap();
    let recipients: Vec<_> = mail.envelope.to().iter().map(ToString::to_string).collect();
    assert_eq!(recipients, ["Ada@example.org"]);
    assert!(String::from_utf8(mail.content).unwrap().contains("\r\nTo: Ada@example.org\r\n"));
    for (canonical, mailbox) in [
        ("ada@example.org", "eve@example.org"),
        ("ada@example.org", "Ada@EXAMPLE.org"),
        ("ada@example.org", " Ada@example.org"),
        ("ada@xn--bcher-kva.example", "Ada@bücher.example"),
        ("Ada@example.org", "ada@example.org"),
    ] {
        assert_eq!(compose_for(canonical, mailbox).unwrap_err(), ComposeError::Recipient, "{canonical} {mailbox}");
    }
}

#[test]
fn st_20_a_text_holds_no_control_characters_and_its_line_ends_are_made_whole() {
    for evil in ["a\0b", "a\rb", "\r.\r", "a\u{85}b", "\u{8}", "\u{1f}", "\u{7f}", "ä\u{7f}", "ä\r"] {
        assert_eq!(composed(&words("s", evil, "h")), Err(ComposeError::Text), "{evil:?}");
        assert_eq!(composed(&words("s", "t", evil)), Err(ComposeError::Text), "{evil:?}");
    }
    let mail = composed(&words("s", "a\n.\nb\r\n.\r\n", "<p>\n.\n</p>")).unwrap();
    assert!(mail.contains("\r\n\r\na\r\n.\r\nb\r\n.\r\n"), "{mail:?}");
    assert!(!mail.replace("\r\n", "").contains(['\r', '\n']), "{mail:?}");
}

/// Lines that are short enough need no encoding: who looks at the source of a mail can read it.
#[test]
fn an_ordinary_mail_with_a_code_goes_as_it_is_written() {
    let content = String::from_utf8(mail("ada@example.org", 77).content).unwrap();
    assert_eq!(content.matches("Content-Transfer-Encoding: 7bit\r\n").count(), 2, "{content}");
    let longest = content.lines().map(str::len).max();
    assert!(longest <= Some(78), "{longest:?} in {content}");
}

#[test]
fn a_composed_mail_prints_without_its_content() {
    let printed = format!("{:?}", mail("ada@example.org", 77));
    assert!(!printed.contains(CODE) && !printed.contains("ada@"), "{printed}");
}
