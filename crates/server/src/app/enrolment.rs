//! Enrolment over Secure Transport without its transport: what RFC 7030 and RFC 9148 have in common. The listeners
//! translate, and nothing else.

use std::sync::Arc;

use bartizan_crypto::AWS_LC;
use bartizan_trust::der::{self, Reader};
use bartizan_wire::TenantId;
use zeroize::Zeroizing;

use super::App;
use super::device::Device;
use super::door::Applicant;
use super::error::{Error, Misuse};
use super::onboarding::Joining;
use crate::limits::CSR_BYTES_MAX;

/// Who asks.
#[derive(Clone, Debug)]
pub enum Asker {
    /// Somebody at the door who has joined nothing yet.
    Stranger(Box<Applicant>),
    /// A device in a session of its own.
    Device(Arc<Device>),
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A person has to look; ask again later.
    #[error("this waits for a person")]
    Waits,
    /// Nobody waits for it, a person has refused it, or it is isolated.
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    Unavailable(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Malformed(why) => Self::Malformed(why),
            Error::Misbehaved(why) | Error::Untrusted(why) | Error::Unsupported(why) => Self::Forbidden(why),
            Error::Misuse(why @ (Misuse::Unknown(_) | Misuse::Conflict(_))) => Self::Forbidden(why.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// A key made here, and its certificate.
pub struct MadeKey {
    /// PKCS#8 in DER.
    pub key: Zeroizing<Vec<u8>>,
    pub certificate: Vec<u8>,
}

impl App {
    /// Certifies the key of a PKCS#10 request in DER. For a stranger that is what it joins by; for a device it is the
    /// next certificate. Answers the certificate, recorded before.
    pub async fn enrol(&self, asker: &Asker, csr: &[u8]) -> Result<Vec<u8>, Refusal> {
        let leaf = (AWS_LC.sha256)(&[key_of(csr)?]);
        match asker {
            Asker::Device(device) => self.certify(device, csr).await,
            Asker::Stranger(applicant) => match self.join(applicant, &leaf).await? {
                Joining::Device(device) => {
                    let certificate = self.certify(&device, csr).await?;
                    self.joined(applicant, leaf).await?;
                    Ok(certificate)
                }
                Joining::Waits => Err(Refusal::Waits),
                Joining::Refused => Err(Refusal::Forbidden("nobody waits for this device".into())),
            },
        }
    }

    /// The next certificate of a device, which proves itself with the one before.
    pub async fn renew(&self, asker: &Asker, csr: &[u8]) -> Result<Vec<u8>, Refusal> {
        match asker {
            Asker::Device(device) => {
                key_of(csr)?;
                self.certify(device, csr).await
            }
            Asker::Stranger(_) => Err(Refusal::Forbidden("only a device that has joined can renew".into())),
        }
    }

    /// Makes a key for a device that cannot, and certifies it. The request says nothing that counts; its key is not used.
    pub async fn make_key(&self, asker: &Asker, csr: &[u8]) -> Result<MadeKey, Refusal> {
        key_of(csr)?;
        let failed = |error: rcgen::Error| Refusal::Unavailable(error.to_string());
        let pair = rcgen::KeyPair::generate().map_err(failed)?;
        let request = rcgen::CertificateParams::default().serialize_request(&pair).map_err(failed)?;
        let certificate = self.enrol(asker, request.der()).await?;
        Ok(MadeKey { key: Zeroizing::new(pair.serialize_der()), certificate })
    }

    /// The certificates that a device of the asker's tenant needs to believe its peers, the issuing authority's first.
    pub async fn authorities(&self, asker: &Asker) -> Result<Vec<Vec<u8>>, Refusal> {
        let tenant = match asker {
            Asker::Device(device) => Some(device.key.tenant),
            Asker::Stranger(applicant) => self.tenant_of(applicant).await?,
        };
        let tenant = tenant.ok_or_else(|| Refusal::Forbidden("nobody waits for this device".into()))?;
        Ok(self.authorities_of(tenant).await?)
    }
}

/// The key that a request is about, as a SubjectPublicKeyInfo. Whether the asker has its private half is checked where
/// it is certified.
fn key_of(csr: &[u8]) -> Result<&[u8], Refusal> {
    let read = || {
        let mut outer = Reader::new(Reader::only(csr, der::SEQUENCE)?);
        let mut info = Reader::new(outer.take(der::SEQUENCE)?);
        info.take(der::INTEGER)?;
        info.take(der::SEQUENCE)?;
        info.element().map(|element| element.whole)
    };
    if csr.len() > CSR_BYTES_MAX {
        return Err(Refusal::Malformed(format!("a certification request has at most {CSR_BYTES_MAX} bytes")));
    }
    read().map_err(|_: bartizan_trust::Error| Refusal::Malformed("not a certification request (RFC 2986)".into()))
}

/// What a request should be like (RFC 7030 section 4.5.2): a key on P-256, and ECDSA with SHA-256.
pub const CSR_ATTRIBUTES: &[u8] = b"\x30\x21\
    \x30\x15\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x31\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07\
    \x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02";

/// Certificates as a PKCS#7 without a signature (RFC 7030 section 4.1.3): a degenerate SignedData (RFC 5652 section 5.1).
#[must_use]
pub fn certs_only(certificates: &[Vec<u8>]) -> Vec<u8> {
    const SIGNED_DATA: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02";
    const DATA: &[u8] = b"\x30\x0B\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01";
    const NO_DIGESTS: &[u8] = b"\x31\x00";
    const NO_SIGNERS: &[u8] = b"\x31\x00";
    let certificates = element(0xA0, &certificates.concat());
    let signed = [b"\x02\x01\x01", NO_DIGESTS, DATA, &certificates, NO_SIGNERS].concat();
    let content = element(0xA0, &element(der::SEQUENCE, &signed));
    element(der::SEQUENCE, &[SIGNED_DATA, &content].concat())
}

fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let significant: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    let head = match value.len() {
        0..=0x7F => vec![tag, value.len() as u8],
        _ => [&[tag, 0x80 | significant.len() as u8], significant.as_slice()].concat(),
    };
    [&head, value].concat()
}

impl App {
    async fn authorities_of(&self, tenant: TenantId) -> Result<Vec<Vec<u8>>, Error> {
        todo!("{tenant:?}")
    }

    async fn certify(&self, device: &Arc<Device>, csr: &[u8]) -> Result<Vec<u8>, Refusal> {
        todo!("{device:?} {csr:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let bytes = element(der::OCTET_STRING, &vec![7; length]);
            assert_eq!(Reader::only(&bytes, der::OCTET_STRING).unwrap().len(), length);
        }
        assert!(Reader::only(CSR_ATTRIBUTES, der::SEQUENCE).is_ok());
    }

    #[test]
    fn requests_are_taken_for_what_they_are() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&pair).unwrap();
        let key = key_of(request.der()).unwrap();
        assert!(bartizan_trust::PublicKey::from_spki(key).is_ok());
        for length in 0..request.der().len() {
            assert!(key_of(&request.der()[..length]).is_err());
        }
        assert!(key_of(&vec![0x30; CSR_BYTES_MAX + 1]).is_err());
    }
}
