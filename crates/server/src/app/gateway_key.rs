//! Who the gateway is, to devices that have no pre-shared key with it.

use std::sync::Arc;

use bartizan_crypto::Secret;
use bartizan_dtls::{Credential, SignatureScheme, SoftwareKey};
use bartizan_trust::der::{self, Reader};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use zeroize::Zeroizing;

use super::App;
use super::error::Error;

/// Days that the gateway's certificate is valid. Vouchers pin it, so that it outlives them.
const DAYS: u64 = 3650;
const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
/// Bytes of a private key on P-256.
const SCALAR_BYTES: usize = 32;

impl App {
    /// What the gateway shows, made at the first start and sealed under the key file.
    pub async fn gateway_credential(&self) -> Result<Credential, Error> {
        let unusable = || Error::Unavailable("the gateway's own key is damaged".into());
        let kept = match self.store.operator.gateway_key().await? {
            Some(kept) => kept,
            None => {
                let made = make(self.clock.now().0 / 1000)?;
                self.store.operator.keep_gateway_key(&made).await?;
                made
            }
        };
        let (scalar, certificate) = kept.split_at_checked(SCALAR_BYTES).ok_or_else(unusable)?;
        let scalar = scalar.try_into().map(Secret::new).map_err(|_| unusable())?;
        let key = SoftwareKey::new(SignatureScheme::EcdsaSecp256r1Sha256, scalar);
        Credential::x509(vec![certificate.to_vec()], Arc::new(key)).map_err(|_| unusable())
    }

    /// [`Self::gateway_certificate`] in PEM.
    pub async fn gateway_certificate_pem(&self) -> Result<String, Error> {
        Ok(crate::ca::pem("CERTIFICATE", &self.gateway_certificate().await?))
    }

    /// The certificate by which devices know the gateway, in DER: what a voucher pins.
    pub async fn gateway_certificate(&self) -> Result<Vec<u8>, Error> {
        self.gateway_credential().await?;
        let kept = self.store.operator.gateway_key().await?.unwrap_or_default();
        Ok(kept.get(SCALAR_BYTES..).unwrap_or_default().to_vec())
    }
}

/// A private key and behind it its certificate, which no authority signs: a voucher names it as it is.
fn make(now_s: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |error: rcgen::Error| Error::Unavailable(format!("the gateway's certificate: {error}"));
    let pair = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Bartizan gateway");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(now_s);
    (params.not_before, params.not_after) = (now - DAY, now + DAY * DAYS as u32);
    let certificate = params.self_signed(&pair).map_err(failed)?;
    let pkcs8 = Zeroizing::new(pair.serialize_der());
    let scalar = scalar_of(&pkcs8).ok_or_else(|| Error::Unavailable("the gateway's key has another form".into()))?;
    Ok(Zeroizing::new([scalar, certificate.der()].concat()))
}

/// The private key within a PKCS#8 (RFC 5958) around an ECPrivateKey (RFC 5915).
fn scalar_of(pkcs8: &[u8]) -> Option<&[u8]> {
    let mut outer = Reader::new(Reader::only(pkcs8, der::SEQUENCE).ok()?);
    outer.take(der::INTEGER).ok()?;
    outer.take(der::SEQUENCE).ok()?;
    let mut inner = Reader::new(Reader::only(outer.take(der::OCTET_STRING).ok()?, der::SEQUENCE).ok()?);
    inner.take(der::INTEGER).ok()?;
    inner.take(der::OCTET_STRING).ok().filter(|scalar| scalar.len() == SCALAR_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::AWS_LC;
    use bartizan_trust::PublicKey;
    use bartizan_trust::cose::SigningKey;
    use bartizan_trust::x509::Certificate;

    #[test]
    fn the_key_is_that_of_the_certificate() {
        let made = make(1_795_000_000).unwrap();
        let (scalar, certificate) = made.split_at(SCALAR_BYTES);
        let scalar = Secret::new(scalar.try_into().unwrap());
        let public: PublicKey = SigningKey::P256(&scalar).public(&AWS_LC).unwrap();
        assert_eq!(Certificate::read(certificate).unwrap().key(), Ok(public));
    }
}
