//! TLS of the doors for strong devices: it asks for a client's certificate and believes what admission believes.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use crate::api::server::tls_for;
use crate::app::{Admission, App, Distrust};
use crate::clock::Clock;

/// Whether a client without a certificate comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    Optional,
    Required,
}

/// TLS 1.2 and 1.3 with the server's certificate; clients may or must show one of their own. No session is resumed: a resumed one
/// would bring a certificate that may have been taken back since.
///
/// # Errors
/// One sentence that names the file.
pub fn tls(
    app: &App,
    certificate: &Path,
    private_key: &Path,
    clients: Certificate,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Devices { admission: app.admission(), clock: app.clock().clone(), provider, clients };
    let mut config = tls_for(certificate, private_key, Some(Arc::new(verifier)))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Devices {
    admission: Arc<Admission>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    clients: Certificate,
}

impl ClientCertVerifier for Devices {
    fn client_auth_mandatory(&self) -> bool {
        self.clients == Certificate::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// Only whether it is believed. Whose it is gets asked again with each request.
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.admission.device_of(&[leaf], self.clock.now()) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(distrust) => {
                tracing::debug!(%distrust, "a client's certificate was refused");
                Err(Error::InvalidCertificate(match distrust {
                    Distrust::Unknown => CertificateError::UnknownIssuer,
                    Distrust::Revoked => CertificateError::Revoked,
                    Distrust::Refused(_) => CertificateError::ApplicationVerificationFailure,
                }))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
