//! What is on the wire, as pure functions: answers read, contents made ready.

use memchr::{memchr, memmem};

/// RFC 5321, 4.5.3.1.6: so many octets, and CR LF.
const LONGEST_LINE: usize = 998;

/// Codes of RFC 5321, 4954 and 7504 that speak of the session, not of the mail: bad sequence, unknown command, sign in first.
pub(super) const fn is_about_the_session(code: u16) -> bool {
    matches!(code, 500..=504 | 521 | 530 | 534 | 535 | 538)
}

/// The three digits of a line of an answer, and whether it is the last.
pub(super) fn reply_code(line: &[u8]) -> Option<(u16, bool)> {
    let [first @ b'2'..=b'5', second @ b'0'..=b'9', third @ b'0'..=b'9', rest @ ..] = line else { return None };
    let code = u16::from(first - b'0') * 100 + u16::from(second - b'0') * 10 + u16::from(third - b'0');
    match rest.first() {
        None | Some(b' ') => Some((code, true)),
        Some(b'-') => Some((code, false)),
        Some(_) => None,
    }
}

/// RFC 3463's `class.subject.detail` at the beginning of a line's text, if it is of the class of `code`.
pub(super) fn enhanced_code(text: &[u8], code: u16) -> Option<(u16, u16, u16)> {
    let word = text.split(|byte| *byte == b' ').next()?;
    let mut parts = std::str::from_utf8(word).ok()?.split('.').map(|part| {
        let is_number = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { part.parse().ok() } else { None }
    });
    let found = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && found.0 == code / 100).then_some(found)
}

/// Whether `message` may be put on the wire as it is: 7-bit, without NUL, lines that end in CR LF and are no longer than 998.
///
/// A bare CR or LF is an end of line to some relays and not to others, which is how mails are smuggled into mails.
pub(super) fn is_transportable(message: &[u8]) -> bool {
    let Some(lines) = message.strip_suffix(b"\r\n") else { return false };
    let mut rest = lines;
    while let Some((line, after)) = memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end)) {
        if !line.strip_suffix(b"\r").is_some_and(is_line) {
            return false;
        }
        rest = after.get(1..).unwrap_or_default();
    }
    is_line(rest)
}

/// Whether `line` may stand between two ends of lines.
fn is_line(line: &[u8]) -> bool {
    // All of it is looked at, whatever was found, which the compiler does many bytes at a time.
    let evil = line.iter().filter(|byte| matches!(byte, b'\r' | 0 | 0x80..)).count();
    line.len() <= LONGEST_LINE && evil == 0
}

/// RFC 5321, 4.5.2: a dot at the beginning of a line is doubled, so that none stands alone; then the one that does.
pub(super) fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(message.len() + 64);
    if message.starts_with(b".") {
        content.push(b'.');
    }
    let mut done = 0;
    for end in memmem::find_iter(message, b"\n.") {
        content.extend_from_slice(message.get(done..=end).unwrap_or_default());
        content.push(b'.');
        done = end + 1;
    }
    content.extend_from_slice(message.get(done..).unwrap_or_default());
    content.extend_from_slice(b".\r\n");
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_by_its_digits_alone() {
        assert_eq!(reply_code(b"250 fine"), Some((250, true)));
        assert_eq!(reply_code(b"250-more"), Some((250, false)));
        assert_eq!(reply_code(b"354"), Some((354, true)));
        for line in [&b"25"[..], b"2500", b"abc", b"199 ", b"650 ", b"", b"\xff\xff\xff "] {
            assert_eq!(reply_code(line), None, "{line:?}");
        }
    }

    #[test]
    fn an_enhanced_status_code_is_kept_only_if_it_is_one() {
        assert_eq!(enhanced_code(b"5.1.1 no such user", 550), Some((5, 1, 1)));
        assert_eq!(enhanced_code(b"5.7.0", 550), Some((5, 7, 0)));
        for text in [&b"4.1.1 other class"[..], b"5.428193.1 x", b"5.1 x", b"5.1.1.1", b"5..1", b"5.+1.1", b""] {
            assert_eq!(enhanced_code(text, 550), None, "{text:?}");
        }
    }

    #[test]
    fn st_20_nothing_in_a_message_can_end_it_early() {
        assert_eq!(dot_stuffed(b".\r\na\r\n..b\r\n"), b"..\r\na\r\n...b\r\n.\r\n");
        assert!(is_transportable(b"a\r\n\r\n.\r\nb\r\n"));
        let long = [&[b'x'; 999][..], b"\r\n"].concat();
        for message in [&b"a"[..], b"a\n.\n\r\n", b"a\r.\r\r\n", b"a\0\r\n", b"\xc3\xa4\r\n", b"a\r\r\n", &long] {
            assert!(!is_transportable(message), "{message:?}");
        }
    }
}
