//! What surfaces hand to each other through a browser or a bearer, although none of them knows another.
//!
//! Three parts play together here. An *authorization server* takes an application's request and ends with a code for it;
//! *pages* sign the person in; an *API* takes the access token that the code was good for. What they agree on stands in this
//! module and nowhere else, so that each of them can be deleted or replaced alone.

mod access;
mod browser;
mod digest;
mod sealed;
mod sign_in;
mod sign_out;
mod url;

pub use access::{AccessClaims, AccessKind, access_claims};
pub use browser::Browser;
pub use digest::{fingerprint, sha256};
pub use sealed::{open, seal};
pub use sign_in::{PATIENCE, SIGN_IN, SignIn, SignInAnswer, SignInRefusal, SignedIn};
pub use sign_out::{SIGN_OUT, SignOut};
pub use url::with_query;

/// The authorization server's surface: sessions that access tokens name were opened at it.
pub const AUTHORIZATION_SERVER: &str = "oidc";
