//! Verifies the certificate of a registry against those of the system and those that the caller gave, or accepts any on
//! request.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, KeyProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::oci::Kind;

/// A text that does not contain valid CA certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CA certificates: {0}")]
pub struct InvalidCertificates(String);

/// Certificates to trust in addition to those of the system.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Vec<CertificateDer<'static>>);

impl Certificates {
    /// Parses certificates in PEM format.
    ///
    /// # Errors
    /// When the text contains no certificate, or an invalid one.
    pub fn parse(pem: &[u8]) -> Result<Self, InvalidCertificates> {
        let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|cause| InvalidCertificates(format!("not PEM: {cause}")))?;
        if found.is_empty() {
            return Err(InvalidCertificates("missing `-----BEGIN CERTIFICATE-----`".to_owned()));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &found {
            roots.add(certificate.clone()).map_err(|cause| InvalidCertificates(cause.to_string()))?;
        }
        Ok(Self(found))
    }
}

/// Loads no private keys, since no registry gets a client certificate. Without the code for signatures with such keys, the
/// resolver is smaller.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("client certificates are not supported".to_owned()))
    }
}

fn provider() -> CryptoProvider {
    CryptoProvider { key_provider: &NoKeys, ..rustls::crypto::ring::default_provider() }
}

/// Returns the TLS configuration. With `insecure`, any certificate is accepted.
pub(super) fn config(given: &Certificates, insecure: bool) -> Result<ClientConfig, (Kind, String)> {
    let provider = Arc::new(provider());
    let failed = |cause| (Kind::Unavailable, format!("cannot set up TLS: {cause}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    let config = if insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(given)?).with_no_client_auth()
    };
    Ok(config)
}

/// Returns a configuration for connections without TLS. It trusts no certificate, so it takes no time to load.
pub(super) fn none() -> Result<ClientConfig, (Kind, String)> {
    let provider = Arc::new(provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|cause| (Kind::Unavailable, format!("cannot set up TLS: {cause}")))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Loads the certificates of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead, and adds the
/// `given` ones.
fn roots(given: &Certificates) -> Result<RootCertStore, (Kind, String)> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    roots.add_parsable_certificates(given.0.iter().cloned());
    if roots.is_empty() {
        let why = system.errors.first().map(|cause| format!(": {cause}")).unwrap_or_default();
        return Err((
            Kind::Untrusted,
            format!(
                "no CA certificates found, neither in the system's store nor in SSL_CERT_FILE or SSL_CERT_DIR{why}"
            ),
        ));
    }
    Ok(roots)
}

/// Accepts every certificate. The signature of the handshake is still verified.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
