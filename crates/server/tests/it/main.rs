//! The binary as people start it: on real sockets, real files and real mail.
//!
//! What needs a surface is in a module behind its feature, so that the surface can be deleted.

#[cfg(test)]
#[cfg(all(
    feature = "descope",
    feature = "hosted",
    feature = "kratos",
    feature = "login",
    feature = "oidc",
    feature = "wacht",
    feature = "zitadel"
))]
mod attack;
#[cfg(test)]
mod boot;
#[cfg(test)]
#[cfg(feature = "login")]
mod figures;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod identity;
#[cfg(test)]
#[cfg(feature = "kratos")]
mod kratos;
#[cfg(test)]
#[cfg(feature = "login")]
mod login;
#[cfg(test)]
#[cfg(feature = "descope")]
mod nodes;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod refusing;
#[cfg(test)]
mod support;
#[cfg(test)]
mod surfaces;
