//! Over all surfaces: what must hold at every way to ask for a code and bring it back, and between any two of them.
//!
//! Each surface tells its ways in a module of its own, behind its feature: see [`entry::Entry`]. Everything else here knows none of
//! them.

mod at_once;
#[cfg(feature = "descope")]
mod descope;
mod entry;
#[cfg(all(feature = "hosted", feature = "oidc"))]
mod hosted;
#[cfg(feature = "kratos")]
mod kratos;
#[cfg(feature = "login")]
mod login;
mod pages;
mod pairs;
mod proofs;
#[cfg(any(feature = "descope", all(feature = "zitadel", feature = "hosted", feature = "oidc")))]
mod replaced;
mod stage;
mod strangers;
mod visitor;
#[cfg(feature = "wacht")]
mod wacht;
#[cfg(all(feature = "zitadel", feature = "hosted", feature = "oidc"))]
mod zitadel;

use entry::Entry;

/// Every entry of every surface there is.
fn entries() -> Vec<Entry> {
    let of_surfaces: Vec<&[Entry]> = vec![
        #[cfg(feature = "login")]
        login::ENTRIES,
        #[cfg(feature = "descope")]
        descope::ENTRIES,
        #[cfg(feature = "kratos")]
        kratos::ENTRIES,
        #[cfg(all(feature = "hosted", feature = "oidc"))]
        hosted::ENTRIES,
        #[cfg(all(feature = "zitadel", feature = "hosted", feature = "oidc"))]
        zitadel::ENTRIES,
        #[cfg(feature = "wacht")]
        wacht::ENTRIES,
    ];
    of_surfaces.concat()
}

/// Further doors to flows of the same kinds.
fn other_doors() -> Vec<Entry> {
    let of_surfaces: Vec<&[Entry]> = vec![
        #[cfg(feature = "descope")]
        descope::OTHER_DOORS,
    ];
    of_surfaces.concat()
}

/// What the surfaces want to be told by `serve`.
fn configuration() -> String {
    let of_surfaces: Vec<&str> = vec![
        #[cfg(feature = "kratos")]
        kratos::CONFIGURATION,
        #[cfg(all(feature = "hosted", feature = "oidc"))]
        hosted::CONFIGURATION,
    ];
    of_surfaces.concat()
}

/// Files beside the configuration: name and text.
fn files() -> Vec<(&'static str, &'static str)> {
    let of_surfaces: Vec<&[(&str, &str)]> = vec![
        #[cfg(feature = "kratos")]
        kratos::FILES,
    ];
    of_surfaces.concat()
}
