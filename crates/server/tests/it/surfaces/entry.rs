//! What all entries of all surfaces have in common: somebody asks for a code to an address, and brings it back.

use std::collections::BTreeMap;
use std::pin::Pin;

use testkit::server::{Answer, Request};

use super::stage::Stage;
use super::visitor::{Cookies, Visitor, with_cookies};

/// A way to ask for a code and to bring it back.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// What failures call it.
    pub(crate) name: &'static str,
    /// The surface, as metrics call it.
    pub(crate) dialect: &'static str,
    /// Where codes are brought; entries that share it take each other's flows, and those of another never.
    pub(crate) verify: &'static str,
    /// Who must have the address for a code to come.
    pub(crate) owner: Owner,
    /// Whether anybody can name the flow, so that whoever asks again for the same address is in the same flow.
    pub(crate) is_public: bool,
    /// Whether somebody has to be signed in who asks.
    pub(crate) is_for_users: bool,
    /// Operations of the store after a right code, besides the verification. None, but where the surface's README says so.
    pub(crate) besides: &'static [&'static str],
    /// Asks for a code to an address.
    pub(crate) ask: for<'a> fn(&'a Stage, &'a mut Visitor, &'a str) -> Asking<'a>,
}

/// Who has the address that a code is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Somebody, or nobody.
    Anybody,
    /// Somebody.
    Somebody,
    /// Nobody.
    Nobody,
}

/// A flow to come, or none where the surface refused to begin one.
pub(crate) type Asking<'a> = Pin<Box<dyn Future<Output = Option<Live>> + Send + 'a>>;

/// The request that brings a code to the flow of a name: that first, then the code.
pub(crate) type Submit = Box<dyn Fn(&str, &str) -> Request + Send + Sync>;

/// A flow in which a code was asked for.
pub(crate) struct Live {
    /// What the surface calls it.
    pub(crate) name: String,
    /// The address that is nobody's any more once the code was right, where one takes the place of another.
    pub(crate) replaces: Option<String>,
    /// How a code is brought to it, or to another.
    pub(crate) submit: Submit,
    /// What an answer to that says.
    pub(crate) verdict: fn(&Answer) -> Verdict,
    /// The request that asks for a code again.
    pub(crate) again: Request,
    /// How to see who is signed in, where that rides on cookies.
    pub(crate) signed_in: Option<SignedIn>,
}

/// How to see whether a browser is signed in.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    pub(crate) path: String,
    pub(crate) is: fn(&Answer) -> bool,
    /// The cookies before the code was brought.
    pub(crate) before: Cookies,
}

/// What came of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It was right.
    Passed,
    /// It was said to be wrong.
    Wrong,
    /// Something else was wrong.
    Refused,
}

impl Live {
    /// The request that brings `code` to this flow.
    pub(crate) fn bring(&self, code: &str) -> Request {
        (self.submit)(&self.name, code)
    }

    /// What `answer` says.
    pub(crate) fn verdict(&self, answer: &Answer) -> Verdict {
        assert!(answer.status < 500, "{}", answer.whole());
        (self.verdict)(answer)
    }
}

impl SignedIn {
    /// Asks with `cookies`.
    pub(crate) fn request(&self, cookies: &BTreeMap<String, String>) -> Request {
        with_cookies(Request::get(&self.path).header("accept", "application/json"), cookies)
    }
}
