//! Which of two mistakes an address is that the engine does not take.
//!
//! The original judges an address twice: what is no mailbox of RFC 5322 at all fails the validation of the request, and what is one but
//! not a plain address (a display name, a quoted local part, letters outside of ASCII) fails later, as another error.

/// RFC 5321, 4.5.3.1, and RFC 3696, erratum 1690.
const LONGEST_LOCAL_PART: usize = 64;
const LONGEST: usize = 254;
/// RFC 1035, 2.3.4.
const LONGEST_LABEL: usize = 63;

/// Whether `text` is one mailbox, as the original's validation reads it.
pub(crate) fn is_mailbox(text: &str) -> bool {
    let text = text.trim();
    let bare = text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<'));
    let bare = bare.map_or(text, |(_, bare)| bare);
    let Some((local, host)) = bare.rsplit_once('@') else { return false };
    bare.len() <= LONGEST && local.len() <= LONGEST_LOCAL_PART && is_local_part(local) && host.split('.').all(is_label)
}

fn is_local_part(local: &str) -> bool {
    let quoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let is_atom = |atom: &str| {
        !atom.is_empty() && !atom.contains(|symbol: char| symbol.is_whitespace() || r#"()<>[]:;@\,""#.contains(symbol))
    };
    quoted.is_some_and(|text| !text.contains('"')) || local.split('.').all(is_atom)
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::is_mailbox;

    #[test]
    fn a_mailbox_need_not_be_a_plain_address() {
        for text in [
            "ann@example.test",
            "ann@localhost",
            " ann@example.test ",
            "Ann <ann@example.test>",
            "änn@example.test",
            "\"a b\"@example.test",
        ] {
            assert!(is_mailbox(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_mailbox() {
        let long_label = format!("ann@{}.test", "a".repeat(64));
        let long_local = format!("{}@example.test", "a".repeat(65));
        let long = format!("a@{}.example.test", [(); 4].map(|()| "b".repeat(60)).join("."));
        assert!(long.len() > 254);
        let bad =
            ["", "nope", "@example.test", "ann@", "ann@-a.test", "ann@a-.test", "ann@a..test", "a b@example.test"];
        for text in bad.into_iter().chain([long_label.as_str(), long_local.as_str(), long.as_str()]) {
            assert!(!is_mailbox(text), "{text}");
        }
    }
}
