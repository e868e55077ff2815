//! The list of surfaces: one line each.

use web::Dialect;

/// Every surface this binary was built with.
pub(crate) fn all() -> Vec<Box<dyn Dialect>> {
    vec![
        #[cfg(feature = "descope")]
        Box::new(descope::Descope),
        #[cfg(feature = "hosted")]
        Box::new(hosted::Hosted),
        #[cfg(feature = "kratos")]
        Box::new(kratos::Kratos),
        #[cfg(feature = "login")]
        Box::new(login::Login),
        #[cfg(feature = "oidc")]
        Box::new(oidc::Oidc),
        #[cfg(feature = "wacht")]
        Box::new(wacht::Wacht),
        #[cfg(feature = "zitadel")]
        Box::new(zitadel::Zitadel),
    ]
}
