//! Whom we believe to be the registry: the certificates of the system and those that were given, or, when asked for, anybody.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::oci::Kind;

/// Text that holds no certificates to trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these are no CA certificates: {0}")]
pub struct InvalidCertificates(String);

/// Certificates to trust beside those of the system.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Vec<CertificateDer<'static>>);

impl Certificates {
    /// Reads PEM.
    ///
    /// # Errors
    /// When there is none in it, or one that cannot be read.
    pub fn parse(pem: &[u8]) -> Result<Self, InvalidCertificates> {
        let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|cause| InvalidCertificates(format!("not PEM: {cause}")))?;
        if found.is_empty() {
            return Err(InvalidCertificates("there is no `-----BEGIN CERTIFICATE-----` in it".to_owned()));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &found {
            roots.add(certificate.clone()).map_err(|cause| InvalidCertificates(cause.to_string()))?;
        }
        Ok(Self(found))
    }
}

/// How to talk TLS; with `insecure` to whoever answers.
pub(super) fn config(given: &Certificates, insecure: bool) -> Result<ClientConfig, (Kind, String)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |cause| (Kind::Unavailable, format!("TLS cannot be set up: {cause}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    let config = if insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(given)?).with_no_client_auth()
    };
    Ok(config)
}

/// For connections without TLS: trusts nobody, and takes no time to load.
pub(super) fn none() -> Result<ClientConfig, (Kind, String)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|cause| (Kind::Unavailable, format!("TLS cannot be set up: {cause}")))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The certificates of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name in their place, and the given ones.
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
                "there are no CA certificates to check the registry by, neither of the system nor in SSL_CERT_FILE or SSL_CERT_DIR{why}"
            ),
        ));
    }
    Ok(roots)
}

/// Believes every certificate. That whoever sent it has its key is still checked.
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
