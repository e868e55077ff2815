//! Addresses: what a code is sent to.
//!
//! An [`Address`] is only made by parsing and prints masked. It has two forms. The canonical one is what it is: everything that
//! compares, finds, locks or counts uses that, so no two forms of one address can be two accounts. The other is the mailbox, as whoever
//! gave the address wrote it: mail goes there. The two differ in the letter case of the part before the @ alone, of which only the host
//! that has the mailbox knows whether it means anything.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::Refusal;

/// How a message reaches an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// By e-mail.
    Email,
    /// By text message.
    Sms,
}

impl Channel {
    /// The name, as stored and as a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }

    /// The channel called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "email" => Some(Self::Email),
            "sms" => Some(Self::Sms),
            _ => None,
        }
    }
}

/// An address. Two are equal, and in order, as their canonical forms are, whatever their mailboxes. `Display` and `Debug` mask it;
/// [`Address::as_str`] is the whole.
#[derive(Clone)]
pub struct Address {
    channel: Channel,
    value: String,
    /// The mailbox, where that is not the canonical form.
    written: Option<String>,
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        (self.channel, &self.value) == (other.channel, &other.value)
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.channel, &self.value).hash(state);
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.channel, &self.value).cmp(&(other.channel, &other.value))
    }
}

/// RFC 5321, 4.5.3.1: 64 octets before the @; RFC 3696, erratum 1690: 254 in all.
const LONGEST_LOCAL_PART: usize = 64;
const LONGEST_EMAIL: usize = 254;
/// RFC 1035, 2.3.4.
const LONGEST_LABEL: usize = 63;

impl Address {
    /// Parses an e-mail address: a dot-atom, an @ and a domain name.
    ///
    /// Surrounding white space is dropped, the whole is lower-cased, an international domain becomes its A-labels; the mailbox is
    /// the same, but for the part before the @, which stays as it is written. Quoted
    /// local parts, comments, source routes, several addresses, address literals, and anything outside ASCII before the @
    /// are refused: mailers read those differently from each other, and people do not have them.
    ///
    /// # Refusals
    /// [`Refusal::AddressMalformed`].
    pub fn email(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(Refusal::AddressMalformed)?;
        if local.len() > LONGEST_LOCAL_PART || !is_dot_atom(local) {
            return Err(Refusal::AddressMalformed);
        }
        let domain = canonical_domain(domain).ok_or(Refusal::AddressMalformed)?;
        let mailbox = format!("{local}@{domain}");
        if mailbox.len() > LONGEST_EMAIL {
            return Err(Refusal::AddressMalformed);
        }
        Ok(Self::from_stored(Channel::Email, mailbox.to_ascii_lowercase(), mailbox))
    }

    /// An address whose canonical form and mailbox were what they are said to be when they were stored.
    pub fn from_stored(channel: Channel, value: String, mailbox: String) -> Self {
        let written = (mailbox != value).then_some(mailbox);
        Self { channel, value, written }
    }

    /// How messages reach it.
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// The whole canonical text: for the store, and whoever owns it. Never for a log.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// Where mail goes: the address as whoever gave it wrote it. For the store and the mailer. Of an address that somebody owns, the
    /// stored one's mailbox counts, never what a visitor typed. Never for a log.
    pub fn mailbox(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.value)
    }

    /// Enough of it for its owner to recognise: `a***@example.com`, or the last two digits of a number.
    pub fn masked(&self) -> String {
        match self.channel {
            Channel::Email => {
                let (local, domain) = self.value.split_once('@').unwrap_or(("", ""));
                let first = local.chars().next().map(String::from).unwrap_or_default();
                format!("{first}***@{domain}")
            }
            Channel::Sms => {
                let last = self.value.get(self.value.len().saturating_sub(2)..).unwrap_or("");
                format!("***{last}")
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.masked())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({})", self.masked())
    }
}

/// RFC 5322, 3.2.3: atoms of `atext`, joined by single dots; but nothing that a mailer may take for an encoded word (RFC 2047).
fn is_dot_atom(text: &str) -> bool {
    if text.contains("=?") {
        return false;
    }
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// The domain in lower-case A-labels, or nothing if it is no host name of at least two labels (`localhost` excepted), or is written
/// in characters that only look like those of its name: UTS 46 would fold a Kelvin sign into a k and drop a soft hyphen, so that two
/// texts that differ would be one address.
fn canonical_domain(typed: &str) -> Option<String> {
    let domain = idna::domain_to_ascii_strict(typed).ok()?;
    if !typed.is_ascii() {
        let (shown, result) = idna::domain_to_unicode(&domain);
        let is_other = |symbol: char| symbol.is_ascii() || symbol.to_lowercase().all(|lower| !lower.is_ascii());
        result.ok().filter(|()| shown == typed.to_lowercase() && typed.chars().all(is_other))?;
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LONGEST_LABEL
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_literal = domain.parse::<Ipv4Addr>().is_ok() || domain.parse::<Ipv6Addr>().is_ok();
    let is_name = domain.split('.').all(is_label) && (domain.contains('.') || domain == "localhost");
    (is_name && !is_literal).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_address_is_canonical_after_parsing() {
        for (typed, canonical) in [
            ("a@example.com", "a@example.com"),
            ("  Ada.Lovelace+x@Example.COM \n", "ada.lovelace+x@example.com"),
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("o'brien@example.com", "o'brien@example.com"),
            ("root@localhost", "root@localhost"),
        ] {
            assert_eq!(Address::email(typed).unwrap().as_str(), canonical, "{typed}");
        }
    }

    #[test]
    fn st_16_the_mailbox_is_as_it_was_written_and_what_an_address_is_does_not_depend_on_it() {
        let plain = Address::email("ada.lovelace+x@bücher.example").unwrap();
        for (typed, mailbox) in [
            ("ada.lovelace+x@bücher.example", "ada.lovelace+x@xn--bcher-kva.example"),
            ("Ada.Lovelace+X@bücher.example", "Ada.Lovelace+X@xn--bcher-kva.example"),
            (" ADA.lovelace+x@BÜCHER.Example\n", "ADA.lovelace+x@xn--bcher-kva.example"),
            ("ada.lovelace+x@XN--BCHER-KVA.example", "ada.lovelace+x@xn--bcher-kva.example"),
        ] {
            let address = Address::email(typed).unwrap();
            assert_eq!(address.mailbox(), mailbox, "{typed}");
            assert_eq!(address.as_str(), "ada.lovelace+x@xn--bcher-kva.example", "{typed}");
            assert_eq!((&address, address.cmp(&plain)), (&plain, Ordering::Equal), "{typed}");
            assert!(std::collections::HashSet::from([plain.clone()]).contains(&address), "{typed}");
            assert_eq!(address.to_string(), plain.to_string(), "{typed}");
            let (canonical, mailbox) = (address.as_str().to_owned(), mailbox.to_owned());
            let stored = Address::from_stored(Channel::Email, canonical, mailbox.clone());
            assert_eq!((&stored, stored.mailbox()), (&address, mailbox.as_str()), "{typed}");
        }
        let other = Address::email("Ada.Lovelace@bücher.example").unwrap();
        assert!(other != plain && other.cmp(&plain) == other.as_str().cmp(plain.as_str()));
    }

    #[test]
    fn st_15_what_is_not_exactly_one_plain_address_is_refused() {
        for typed in [
            "",
            " ",
            "@",
            "a",
            "a@",
            "@example.com",
            "a@b@example.com",
            "a@example.com,b@example.com",
            "a@example.com b@example.com",
            "a@example.com;b@example.com",
            "[a@example.com]",
            "{\"a\":1}",
        ] {
            assert_eq!(Address::email(typed), Err(Refusal::AddressMalformed), "{typed}");
        }
    }

    #[test]
    fn st_19_what_mailers_read_differently_is_refused() {
        for typed in [
            "\"a b\"@example.com",
            "\"a@x\"@example.com",
            "a(comment)@example.com",
            "<a@example.com>",
            "Ada <a@example.com>",
            "@relay,@other:a@example.com",
            "=?utf-8?q?a?=@example.com ",
            "a..b@example.com",
            ".a@example.com",
            "a.@example.com",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@example..com",
            "a@-example.com",
            "a@example.com.",
            "a@exa_mple.com",
            "a@example",
            "ä@example.com",
            "a\u{200b}@example.com",
            "a%0a@exa mple.com",
            "a@xn--example-.org",
        ] {
            assert_eq!(Address::email(typed), Err(Refusal::AddressMalformed), "{typed}");
        }
        assert!(Address::email(&format!("{}@example.com", "a".repeat(64))).is_ok());
        assert!(Address::email(&format!("{}@example.com", "a".repeat(65))).is_err());
        assert!(Address::email(&format!("a@{}.com", "b".repeat(64))).is_err());
    }

    #[test]
    fn st_17_what_only_looks_like_an_address_is_refused_or_another_one() {
        let plain = Address::email("kit@fabrik.example").unwrap();
        for typed in [
            // Kelvin sign, dotless i, long s, a ligature, full width, zero width, right to left, soft hyphen, another full stop.
            "\u{212a}it@fabrik.example",
            "kit@fabri\u{212a}.example",
            "k\u{131}t@fabrik.example",
            "kit@fabr\u{131}k.example",
            "kit@fabrik\u{17f}.example",
            "kit@\u{fb01}brik.example",
            "kit@\u{ff46}abrik.example",
            "\u{ff4b}it@fabrik.example",
            "kit@fabrik\u{200d}.example",
            "kit@fabrik\u{200b}.example",
            "k\u{202e}it@fabrik.example",
            "kit@fabrik\u{ad}.example",
            "kit@fabrik\u{3002}example",
            "kit\u{ff20}fabrik.example",
            "kit@f\u{430}brik.example",
        ] {
            assert!(Address::email(typed).is_err() || Address::email(typed).unwrap() != plain, "{typed:?}");
        }
        // A letter of another alphabet makes another name, which is what is stored and mailed to.
        assert_eq!(Address::email("kit@f\u{430}brik.example").unwrap().as_str(), "kit@xn--fbrik-4ve.example");
        assert_eq!(Address::email("kit@BÜCHER.example"), Address::email("kit@xn--bcher-kva.example"));
    }

    #[test]
    fn st_18_a_label_that_hides_plain_letters_is_refused_and_others_are_stored_as_a_labels() {
        for typed in ["a@xn--example-.org", "a@xn--example.org", "a@xn--.org", "a@xn--a-ecp.ru-\u{ad}.org"] {
            assert_eq!(Address::email(typed), Err(Refusal::AddressMalformed), "{typed}");
        }
        assert_eq!(Address::email("a@Bücher.example").unwrap().as_str(), "a@xn--bcher-kva.example");
    }

    #[test]
    fn st_20_control_characters_never_get_into_an_address() {
        for control in ["\r\n", "\n", "\r", "\0", "\t", "\u{7f}"] {
            assert!(Address::email(&format!("a{control}b@example.com")).is_err(), "{control:?}");
            assert!(Address::email(&format!("a@exam{control}ple.com")).is_err(), "{control:?}");
        }
    }

    #[test]
    fn an_address_prints_masked() {
        let address = Address::email("ada@example.com").unwrap();
        assert_eq!(address.to_string(), "a***@example.com");
        assert_eq!(format!("{address:?}"), "Address(a***@example.com)");
    }
}
