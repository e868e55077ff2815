//! Scopes: which there are, and which of those that are asked for are granted.

/// Signs in: there is an ID token, and userinfo answers.
pub(crate) const OPENID: &str = "openid";
/// Names, locale, picture.
pub(crate) const PROFILE: &str = "profile";
/// The address, and whether it is proved.
pub(crate) const EMAIL: &str = "email";
/// A refresh token.
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// What discovery lists.
pub(crate) const SUPPORTED: [&str; 4] = [OPENID, PROFILE, EMAIL, OFFLINE_ACCESS];

/// ZITADEL's way to ask for an audience: `urn:zitadel:iam:org:project:id:<project>:aud`. The one audience there is is always granted; the
/// scope is kept so that an API can insist on it.
const AUDIENCE: (&str, &str) = ("urn:zitadel:iam:org:project:id:", ":aud");

/// The longest that is read.
const LONGEST: usize = 1024;

/// Those of `asked` that there are, each once and in their order; `None` if none is left.
pub(crate) fn granted(asked: &str) -> Option<String> {
    let mut granted: Vec<&str> = Vec::new();
    for scope in asked.get(..LONGEST).unwrap_or(asked).split(' ') {
        if is_known(scope) && !granted.contains(&scope) {
            granted.push(scope);
        }
    }
    (!granted.is_empty() && asked.len() <= LONGEST).then(|| granted.join(" "))
}

/// Whether `scope` is one of `granted`.
pub(crate) fn contains(granted: &str, scope: &str) -> bool {
    granted.split(' ').any(|it| it == scope)
}

/// `asked`, if all of it is in `granted`.
pub(crate) fn narrowed(granted: &str, asked: &str) -> Option<String> {
    let mut scopes = asked.split(' ').filter(|scope| !scope.is_empty()).peekable();
    scopes.peek()?;
    scopes.all(|scope| contains(granted, scope)).then(|| asked.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn is_known(scope: &str) -> bool {
    let is_audience =
        scope.strip_prefix(AUDIENCE.0).and_then(|rest| rest.strip_suffix(AUDIENCE.1)).is_some_and(|project| {
            !project.is_empty() && project.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    SUPPORTED.contains(&scope) || is_audience
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_dropped_and_nothing_is_granted_twice() {
        let audience = "urn:zitadel:iam:org:project:id:zitadel:aud";
        assert_eq!(granted("openid address email openid").as_deref(), Some("openid email"));
        assert_eq!(granted(&format!("{audience} openid")), Some(format!("{audience} openid")));
        for asked in ["", " ", "address", "OPENID", "urn:zitadel:iam:org:project:id::aud", "openid\temail"] {
            assert_eq!(granted(asked), None, "{asked}");
        }
        assert_eq!(granted(&"openid ".repeat(200)), None);
    }

    #[test]
    fn a_scope_can_only_become_narrower() {
        assert_eq!(narrowed("openid email", "email").as_deref(), Some("email"));
        assert_eq!(narrowed("openid email", " openid  email ").as_deref(), Some("openid email"));
        for asked in ["profile", "openid profile", "", " "] {
            assert_eq!(narrowed("openid email", asked), None, "{asked}");
        }
    }
}
