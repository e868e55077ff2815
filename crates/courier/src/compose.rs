//! From words to the bytes of a mail: RFC 5322 and MIME, composed by lettre.
//!
//! The same words, letterhead, recipient, id and time give the same bytes: nothing is drawn from a clock or at random. A mail that is
//! sent twice carries the same Message-ID twice, so that whoever reads it sees one.

use std::fmt;
use std::time::{Duration, SystemTime};

use engine::{Address, Channel, MessageId, Timestamp};
use lettre::address::Envelope;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, MultiPartBuilder, MultiPartKind, SinglePart};
use thiserror::Error;

use crate::template::Rendered;

/// What cannot be made a mail of. Names the part, never its value.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ComposeError {
    /// The sender is no `name <address>`, or not one that fits into a mail.
    #[error("the sender must be an e-mail address, with or without a name before it")]
    Sender,
    /// The brand is empty or holds a control character.
    #[error("the brand must be one line of text")]
    Brand,
    /// The host is no host name.
    #[error("the host must be the host name of the public origin")]
    Host,
    /// The recipient is no e-mail address.
    #[error("the recipient is not an e-mail address")]
    Recipient,
    /// The subject is more than a line.
    #[error("the subject must be one line of text")]
    Subject,
    /// A text holds a control character other than a tab or the end of a line.
    #[error("the text must not hold control characters")]
    Text,
}

/// What stands on every mail of one project: who sends it and which origin its codes belong to. From the configuration alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letterhead {
    from: Mailbox,
    brand: String,
    host: String,
}

impl Letterhead {
    /// A letterhead for mails from `from` (`address` or `name <address>`; without a name, the brand is the name), for the product
    /// `brand`, whose codes are typed into `host`.
    ///
    /// # Refusals
    /// Control characters anywhere, senders that are no single mailbox in ASCII, hosts that are no host name.
    pub fn new(from: &str, brand: &str, host: &str) -> Result<Self, ComposeError> {
        if brand.trim().is_empty() || !is_one_line(brand) {
            return Err(ComposeError::Brand);
        }
        let is_host = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']'));
        if !is_host {
            return Err(ComposeError::Host);
        }
        if !is_one_line(from) {
            return Err(ComposeError::Sender);
        }
        let mut from: Mailbox = from.parse().map_err(|_| ComposeError::Sender)?;
        // The engine's parser is the stricter one: one mailbox, a dot-atom, a domain name.
        let address = Address::email(from.email.as_ref()).map_err(|_| ComposeError::Sender)?;
        from.email = address.as_str().parse().map_err(|_| ComposeError::Sender)?;
        if from.name.as_deref().is_none_or(|name| name.trim().is_empty()) {
            from.name = Some(brand.to_owned());
        }
        Ok(Self { from, brand: brand.to_owned(), host: host.to_owned() })
    }

    /// What the operator calls the product.
    pub fn brand(&self) -> &str {
        &self.brand
    }

    /// The host that codes are typed into.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// A mail ready for a relay. Its content holds a code: `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Composed {
    /// From whom and to whom: exactly one recipient.
    pub envelope: Envelope,
    /// Headers and body: 7-bit, every line ends in CR LF.
    pub content: Vec<u8>,
}

impl fmt::Debug for Composed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Composed").field("bytes", &self.content.len()).finish_non_exhaustive()
    }
}

/// RFC 3834, 5: nobody's holiday notice should answer.
#[derive(Debug, Clone)]
struct AutoSubmitted;

/// The same for Exchange, which knows only its own.
#[derive(Debug, Clone)]
struct AutoResponseSuppress;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Header for AutoResponseSuppress {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("X-Auto-Response-Suppress")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "All".to_owned())
    }
}

/// Makes a mail of `words` to the mailbox of `recipient`. Message-ID and MIME boundary come from `id`, Date from `date`.
///
/// # Refusals
/// Whatever does not fit into the place it is meant for: see [`ComposeError`].
pub fn compose(
    letterhead: &Letterhead,
    words: &Rendered,
    recipient: &Address,
    id: MessageId,
    date: Timestamp,
) -> Result<Composed, ComposeError> {
    // Checked again: an address read back from a store was not parsed by this program.
    let parsed = Address::email(recipient.mailbox()).map_err(|_| ComposeError::Recipient)?;
    if recipient.channel() != Channel::Email || parsed != *recipient || parsed.mailbox() != recipient.mailbox() {
        return Err(ComposeError::Recipient);
    }
    let to: lettre::Address = recipient.mailbox().parse().map_err(|_| ComposeError::Recipient)?;
    if !is_one_line(&words.subject) {
        return Err(ComposeError::Subject);
    }
    let (text, html) = (body(&words.text)?, body(&words.html)?);
    let from = letterhead.from.clone();
    let envelope = Envelope::new(Some(from.email.clone()), vec![to.clone()]).map_err(|_| ComposeError::Recipient)?;
    let message_id = format!("<{id}@{}>", from.email.domain());
    let parts = MultiPartBuilder::new()
        .kind(MultiPartKind::Alternative)
        .boundary(format!("countersign-{id}"))
        .singlepart(part(ContentType::TEXT_PLAIN, text))
        .singlepart(part(ContentType::TEXT_HTML, html));
    let message = compose_message(from, to, &words.subject, message_id, date, envelope.clone(), parts)?;
    Ok(Composed { envelope, content: message.formatted() })
}

fn compose_message(
    from: Mailbox,
    to: lettre::Address,
    subject: &str,
    message_id: String,
    date: Timestamp,
    envelope: Envelope,
    parts: MultiPart,
) -> Result<Message, ComposeError> {
    Message::builder()
        .from(from)
        .to(to.into())
        .subject(subject)
        .message_id(Some(message_id))
        // Without it lettre asks the system for the time.
        .date(system_time(date))
        .header(AutoSubmitted)
        .header(AutoResponseSuppress)
        .envelope(envelope)
        .multipart(parts)
        .map_err(|_| ComposeError::Sender)
}

fn part(kind: ContentType, text: String) -> SinglePart {
    let part = SinglePart::builder().header(kind);
    // As bytes lettre takes ASCII as it is; text it would search once more for ends of lines, letter by letter.
    if text.is_ascii() { part.body(text.into_bytes()) } else { part.body(text) }
}

/// `text` with lines that end in CR LF. A CR that stands alone is refused: some relays take that for the end of a line.
fn body(text: &str) -> Result<String, ComposeError> {
    let text = text.replace("\r\n", "\n");
    let is_evil = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    // Most mails are ASCII. Of such a one all is looked at, whatever was found, which the compiler does many bytes at a time.
    let is_refused = if text.is_ascii() {
        text.bytes().filter(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t')).count() > 0
    } else {
        text.contains(is_evil)
    };
    if is_refused { Err(ComposeError::Text) } else { Ok(text.replace('\n', "\r\n")) }
}

/// Whether `text` fits into a header: nothing that could end a line, or that a reader would not see.
fn is_one_line(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'))
}

fn system_time(moment: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(moment.millis()).unwrap_or(0))
}
