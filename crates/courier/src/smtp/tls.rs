//! TLS towards a relay: whom we believe, and what went wrong in our own words.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::{Reason, RelayError, RelaySettings, Security};

/// The other side's name and whom we believe about it.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// What `settings` ask for; `None` for a relay spoken to in clear.
    pub(super) fn new(settings: &RelaySettings) -> Result<Option<Self>, RelayError> {
        if settings.security == Security::Plain {
            return Ok(None);
        }
        let name = ServerName::try_from(settings.host.clone()).map_err(|_| RelayError::Host)?;
        let roots = match &settings.certificate_authority {
            Some(pem) => own_roots(pem)?,
            None => system_roots()?,
        };
        // The provider is named here, so that no other crate's feature can put another in its place.
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| RelayError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }

    /// Shakes hands over `socket`.
    pub(super) async fn connect(
        &self,
        socket: Box<dyn super::dialogue::Socket>,
    ) -> Result<Box<dyn super::dialogue::Socket>, Reason> {
        match self.connector.connect(self.name.clone(), socket).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(Reason::new(in_our_words(&error))),
        }
    }
}

/// The certificates in `pem` and no others.
fn own_roots(pem: &[u8]) -> Result<RootCertStore, RelayError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| RelayError::CertificateAuthority)?;
        roots.add(certificate).map_err(|_| RelayError::CertificateAuthority)?;
    }
    if roots.is_empty() { Err(RelayError::CertificateAuthority) } else { Ok(roots) }
}

/// What the system believes.
fn system_roots() -> Result<RootCertStore, RelayError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(RelayError::NoSystemRoots) } else { Ok(roots) }
}

/// rustls's own texts hold names from the certificate, which a stranger wrote; ours do not.
fn in_our_words(error: &io::Error) -> &'static str {
    let Some(rustls::Error::InvalidCertificate(wrong)) =
        error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return "the tls handshake with the relay failed";
    };
    match wrong {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the relay's certificate is for another host name"
        }
        CertificateError::UnknownIssuer => "the relay's certificate is from an authority we do not know",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the relay's certificate has expired",
        _ => "the relay's certificate is not valid",
    }
}
