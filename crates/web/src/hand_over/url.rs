//! URLs that are put together from parts.

/// `base` with `parameters` behind it, encoded as a form is; they go behind a query that is there already.
pub fn with_query(base: &str, parameters: &[(&str, &str)]) -> String {
    let mut url = base.to_owned();
    let mut separator = if base.contains('?') { '&' } else { '?' };
    if base.ends_with(['?', '&']) {
        separator = '\0';
    }
    for (name, value) in parameters {
        if separator != '\0' {
            url.push(separator);
        }
        separator = '&';
        push_encoded(&mut url, name);
        url.push('=');
        push_encoded(&mut url, value);
    }
    url
}

/// Everything but RFC 3986's unreserved characters as `%xx`.
fn push_encoded(url: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            url.push(char::from(byte));
        } else {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
            url.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_behind_whatever_is_there() {
        for (base, whole) in [
            ("https://a.example/cb", "https://a.example/cb?code=x%20%26%20y&state=%C3%A4"),
            ("https://a.example/cb?a=b", "https://a.example/cb?a=b&code=x%20%26%20y&state=%C3%A4"),
            ("https://a.example/cb?", "https://a.example/cb?code=x%20%26%20y&state=%C3%A4"),
            ("com.example.app:/cb", "com.example.app:/cb?code=x%20%26%20y&state=%C3%A4"),
        ] {
            assert_eq!(with_query(base, &[("code", "x & y"), ("state", "ä")]), whole);
        }
        assert_eq!(with_query("/sign-in", &[]), "/sign-in");
    }

    #[test]
    fn nothing_that_ends_a_header_gets_through() {
        assert_eq!(with_query("/", &[("state", "a\r\nset-cookie: b\0")]), "/?state=a%0D%0Aset-cookie%3A%20b%00");
    }
}
