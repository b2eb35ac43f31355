//! Who a strong device is: the certificate that it shows in its TLS handshake.

use std::sync::Arc;

use bartizan_wire::{DeviceKey, UnixMillis};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

/// Knows whose a certificate chain is.
pub trait Directory: Send + Sync {
    /// The device that the chain (DER, leaf first) names, if it is to be believed at `now`.
    ///
    /// # Errors
    /// Why not, for the log.
    fn device_of(&self, chain: &[&[u8]], now: UnixMillis) -> Result<DeviceKey, String>;
}

/// A TLS configuration that lets in nobody without a certificate of a device.
///
/// # Errors
/// The server's certificate does not work.
pub fn mutual(server: &ServerConfig, directory: Arc<dyn Directory>) -> Result<ServerConfig, Error> {
    let provider = Arc::clone(server.crypto_provider());
    let verifier = Arc::new(Verifier { directory, provider: Arc::clone(&provider) });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&server.cert_resolver));
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    Ok(config)
}

struct Verifier {
    directory: Arc<dyn Directory>,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl ClientCertVerifier for Verifier {
    /// No hints: which authorities serve whom is nobody's business before the handshake.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<&[u8]> = std::iter::once(end_entity).chain(intermediates).map(AsRef::as_ref).collect();
        let now = UnixMillis(now.as_secs().saturating_mul(1000));
        match self.directory.device_of(&chain, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(why) => {
                tracing::debug!(why, "a client's certificate was not believed");
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
