//! What surfaces hand to each other through a browser or a bearer, although none of them knows another.
//!
//! Three parts play together here. An *authorization server* takes an application's request and ends with a code for it;
//! *pages* sign the person in; an *API* takes the access token that the code was good for. What they agree on stands in this
//! module and nowhere else, so that each of them can be deleted or replaced alone.

mod access;

pub use access::{AccessClaims, AccessKind, access_claims};

/// The authorization server's surface: sessions that access tokens name were opened at it.
pub const AUTHORIZATION_SERVER: &str = "oidc";
