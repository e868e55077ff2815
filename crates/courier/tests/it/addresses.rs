//! The strict parser against the mailer's: what the one accepts, the other reads as exactly that, in both of its forms.

use engine::Address;
use lettre::message::{Mailbox, Message};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

/// What addresses are made of, and what they have been broken with.
const PIECES: [&str; 62] = [
    "a",
    "b",
    "Ada",
    "x1",
    "0",
    "@",
    "@",
    "@",
    ".",
    ".",
    "..",
    ",",
    ";",
    ":",
    "<",
    ">",
    "\"",
    "\\",
    "(",
    ")",
    "[",
    "]",
    " ",
    "\t",
    "\r\n",
    "\n",
    "\0",
    "\u{7f}",
    "=?utf-8?q?a?=",
    "=?",
    "?=",
    "xn--",
    "xn--bcher-kva",
    "example",
    "example.com",
    ".com",
    "EXAMPLE",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "%",
    "!",
    "+",
    "-",
    "_",
    "'",
    "`",
    "{",
    "|",
    "~",
    "ü",
    "ß",
    "\u{17f}",
    "\u{212a}",
    "\u{ff45}",
    "\u{200d}",
    "\u{202e}",
    "\u{ad}",
    "\u{3002}",
    "u\u{308}",
    "日本",
    "RCPT TO:<x@y.example>",
];

fn text() -> impl Strategy<Value = String> {
    let piece = || prop::sample::select(PIECES.to_vec());
    let anything = prop::collection::vec(piece(), 0..10).prop_map(|pieces| pieces.concat());
    // Mostly right, with something in it that is not.
    let plain =
        || prop::sample::select(vec!["a", "Ada", "x1", "o'brien", "a.b", "a+b", "xn--bcher-kva", "bücher", "a-b"]);
    let nearly = (plain(), plain(), piece(), 0_usize..4).prop_map(|(local, domain, nasty, place)| match place {
        0 => format!("{nasty}{local}@{domain}.example"),
        1 => format!("{local}{nasty}@{domain}.example"),
        2 => format!("{local}@{domain}{nasty}.example"),
        _ => format!("{local}@{domain}.example{nasty}"),
    });
    prop_oneof![1 => anything, 2 => nearly]
}

/// What must be true of whatever is accepted.
fn check(typed: &str) -> Result<(), TestCaseError> {
    let Ok(address) = Address::email(typed) else { return Ok(()) };
    let (canonical, mailbox) = (address.as_str(), address.mailbox());
    prop_assert_eq!(mailbox.to_ascii_lowercase(), canonical);
    for form in [canonical, mailbox] {
        // It is its own form, of the same address.
        let again = Address::email(form).map_err(|_| TestCaseError::fail(form.to_owned()))?;
        prop_assert_eq!((again.as_str(), again.mailbox()), (canonical, form));
        reads(form)?;
    }
    // What the mailer makes of the text as it was typed is the same, if it makes anything of it.
    if let Ok(other) = typed.trim().parse::<lettre::Address>()
        && other.to_string().is_ascii()
    {
        let other = format!("{}@{}", other.user(), other.domain().to_ascii_lowercase());
        prop_assert_eq!(other, mailbox);
    }
    Ok(())
}

/// That the mailer reads `form` as exactly that.
fn reads(form: &str) -> Result<(), TestCaseError> {
    prop_assert!(form.is_ascii() && !form.contains(|symbol: char| symbol.is_ascii_control() || symbol == ' '));
    let read: lettre::Address = form.parse().map_err(|error| TestCaseError::fail(format!("{form}: {error}")))?;
    prop_assert_eq!(read.to_string(), form);
    prop_assert_eq!(format!("{}@{}", read.user(), read.domain()), form);
    // In a header, and in the envelope that is made of it.
    let mailbox: Mailbox = form.parse().map_err(|error| TestCaseError::fail(format!("{form}: {error}")))?;
    prop_assert_eq!((mailbox.name.as_deref(), mailbox.email.to_string()), (None, form.to_owned()));
    let from: Mailbox = "sign-in@example.com".parse().map_err(|error| TestCaseError::fail(format!("{error}")))?;
    let message = Message::builder().from(from).to(mailbox).body(String::new());
    let message = message.map_err(|error| TestCaseError::fail(format!("{form}: {error}")))?;
    let recipients: Vec<_> = message.envelope().to().iter().map(ToString::to_string).collect();
    prop_assert_eq!(recipients, vec![form.to_owned()]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn st_19_what_is_accepted_the_mailer_reads_as_exactly_that(typed in text()) {
        check(&typed)?;
    }
}

#[test]
fn st_19_the_generated_texts_are_accepted_and_refused_both() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut accepted, mut two_forms) = (0, 0);
    for _ in 0..2_000 {
        let typed = text().new_tree(&mut runner).unwrap().current();
        let Ok(address) = Address::email(&typed) else { continue };
        accepted += 1;
        two_forms += usize::from(address.as_str() != address.mailbox());
    }
    assert!((100..1_900).contains(&accepted), "{accepted} of 2,000");
    assert!(two_forms > 20, "{two_forms} of {accepted}");
}
