//! Which pages of other origins may ask, and read the answers: `serve.public.cors`. Nobody's, unless the operator says so.

use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use web::respond;

/// What the answer to a preflight depends on.
const PREFLIGHT_VARIES: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// What any other answer depends on.
const VARIES: HeaderValue = HeaderValue::from_static("Origin");

/// What pages of other origins may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cors {
    /// Whose pages: origins, in which one `*` stands for anything, or `*` alone for everybody's.
    pub(crate) origins: Vec<String>,
    /// With which verbs.
    pub(crate) methods: Vec<String>,
    /// With which headers; `*` for any.
    pub(crate) headers: Vec<String>,
    /// Which headers of answers they may read.
    pub(crate) exposed: Vec<String>,
    /// Whether cookies come along. Not where everybody is allowed: browsers then leave them out.
    pub(crate) credentials: bool,
    /// For how many seconds a browser need not ask again.
    pub(crate) max_age: Option<u64>,
}

impl Cors {
    /// The answer to `OPTIONS` that a browser asks on its own; `None` for any other request.
    pub(crate) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| method == Method::OPTIONS)?;
        let mut response = respond::empty(StatusCode::NO_CONTENT);
        let answer = response.headers_mut();
        answer.insert(VARY, PREFLIGHT_VARIES);
        let named = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let is_allowed = self.has_method(wanted) && named.is_none_or(|names| self.has_headers(names));
        if let Some(origin) = self.origin(headers).filter(|_| is_allowed) {
            self.allow(answer, origin);
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
            if let Some(names) = named {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            if let Some(seconds) = self.max_age {
                answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
            }
        }
        Some(response)
    }

    /// What the answer to a request with `headers` says about other origins.
    pub(crate) fn mark(&self, headers: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(VARY, VARIES);
        if let Some(origin) = self.origin(headers) {
            self.allow(answer, origin);
            if let Some(names) = Some(self.exposed.join(", ")).filter(|names| !names.is_empty())
                && let Ok(names) = HeaderValue::try_from(names)
            {
                answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
            }
        }
    }

    fn allow(&self, answer: &mut HeaderMap, origin: HeaderValue) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// How the origin that asks is answered, if it may ask.
    fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        if self.origins.iter().any(|allowed| allowed == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.iter().any(|allowed| covers(&allowed.to_ascii_lowercase(), &text)).then(|| origin.clone())
    }

    fn has_method(&self, wanted: &HeaderValue) -> bool {
        self.methods.iter().any(|method| method.as_bytes() == wanted.as_bytes())
    }

    fn has_headers(&self, names: &HeaderValue) -> bool {
        // Browsers may send these whatever a server says.
        let always = ["accept", "origin"];
        let is_allowed = |name: &str| {
            name.is_empty()
                || always.iter().any(|other| other.eq_ignore_ascii_case(name))
                || self.headers.iter().any(|other| other == "*" || other.eq_ignore_ascii_case(name))
        };
        names.to_str().is_ok_and(|names| names.split(',').map(str::trim).all(is_allowed))
    }
}

/// Whether `allowed`, in which one `*` stands for one or more characters, is `origin`.
fn covers(allowed: &str, origin: &str) -> bool {
    match allowed.split_once('*') {
        None => allowed == origin,
        Some((before, after)) => {
            origin.len() > before.len() + after.len() && origin.starts_with(before) && origin.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Cors {
            origins: texts(origins),
            methods: texts(&["GET", "POST"]),
            headers: texts(&["Content-Type", "X-CSRF-Token"]),
            exposed: texts(&["Content-Type"]),
            credentials: true,
            max_age: Some(60),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    /// What an answer to a page of `origin` says.
    fn marked(cors: &Cors, origin: &'static str) -> Option<String> {
        let mut answer = HeaderMap::new();
        cors.mark(&headers(&[("origin", origin)]), &mut answer);
        assert_eq!(answer[VARY], "Origin");
        let allowed = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN)?;
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(answer[ACCESS_CONTROL_EXPOSE_HEADERS], "Content-Type");
        Some(allowed.to_str().unwrap().to_owned())
    }

    #[test]
    fn pages_of_the_origins_that_are_named_may_read() {
        let cors = cors(&["https://app.test", "https://*.wild.test"]);
        for origin in ["https://app.test", "https://a.wild.test", "https://a.b.wild.test"] {
            assert_eq!(marked(&cors, origin).as_deref(), Some(origin));
        }
        for origin in [
            "http://app.test",
            "https://app.test.evil.test",
            "https://app.test:8443",
            "https://wild.test",
            "https://.wild.test.evil",
            "null",
        ] {
            assert_eq!(marked(&cors, origin), None, "{origin}");
        }
        assert_eq!(marked(&self::cors(&["*"]), "https://anybody.test").as_deref(), Some("*"));
    }

    #[test]
    fn a_browser_that_asks_first_is_told() {
        let cors = cors(&["https://app.test"]);
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let response = cors.preflight(&Method::OPTIONS, &headers(pairs))?;
            assert_eq!((response.status(), &response.headers()[VARY]), (StatusCode::NO_CONTENT, &PREFLIGHT_VARIES));
            Some(response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN))
        };
        let (origin, post) = (("origin", "https://app.test"), ("access-control-request-method", "POST"));
        assert_eq!(asked(&[origin, post]), Some(true));
        assert_eq!(
            asked(&[origin, post, ("access-control-request-headers", "content-type, x-csrf-token")]),
            Some(true)
        );
        assert_eq!(asked(&[origin, post, ("access-control-request-headers", "x-other")]), Some(false));
        assert_eq!(asked(&[origin, ("access-control-request-method", "DELETE")]), Some(false));
        assert_eq!(asked(&[("origin", "https://evil.test"), post]), Some(false));
        assert_eq!(asked(&[origin]), None);
        assert!(cors.preflight(&Method::GET, &headers(&[origin, post])).is_none());
    }
}
