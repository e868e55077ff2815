//! The list of surfaces: one line each.

use web::Dialect;

/// Every surface this binary was built with.
pub(crate) fn all() -> Vec<Box<dyn Dialect>> {
    vec![
        #[cfg(feature = "descope")]
        Box::new(descope::Descope),
        #[cfg(feature = "login")]
        Box::new(login::Login),
        #[cfg(feature = "wacht")]
        Box::new(wacht::Wacht),
    ]
}
