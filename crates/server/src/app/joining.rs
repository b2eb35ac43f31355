//! Certificates for who stands at the door: a device asks for its next one, a stranger joins by asking for its first.

use std::sync::Arc;

use bartizan_crypto::AWS_LC;

use super::App;
use super::certificates::{CertificateError, Enrolled, open_csr};
use super::device::Device;
use super::door::Applicant;
use super::enrolment::MadeKey;
use super::error::{Error, Misuse};
use super::onboarding::Joining;

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
    #[error("the device was issued as many certificates as it may have in a day")]
    TooMany,
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

impl From<CertificateError> for Refusal {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Refused(why) => Self::Forbidden(why),
            CertificateError::Malformed(why) => Self::Malformed(why),
            CertificateError::TooMany => Self::TooMany,
            error @ CertificateError::NoAuthority => Self::Unavailable(error.to_string()),
            CertificateError::Failed(error) => error.into(),
        }
    }
}

impl App {
    /// Certifies the key of a PKCS#10 request in DER. For a stranger that is what it joins by; for a device it is a
    /// certificate beside its pre-shared key, or the next one. Recorded before it is answered.
    pub async fn enrol(&self, asker: &Asker, csr: &[u8]) -> Result<Vec<u8>, Refusal> {
        match asker {
            Asker::Device(device) => Ok(self.issue_certificate(device, csr, Enrolled::Session).await?),
            Asker::Stranger(applicant) => {
                let csr = open_csr(csr)?;
                let leaf = (AWS_LC.sha256)(&[csr.key_info()]);
                let device = self.joined_as(applicant, &leaf).await?;
                let certificate = self.certify(&device, &csr, Enrolled::Onboarding).await?;
                self.joined(applicant, leaf).await?;
                Ok(certificate)
            }
        }
    }

    /// The next certificate of a device, which proves itself in a session of its own. What the request asks to be called
    /// does not count: the certificate says what the device is called.
    pub async fn renew(&self, asker: &Asker, csr: &[u8]) -> Result<Vec<u8>, Refusal> {
        match asker {
            Asker::Device(device) => Ok(self.issue_certificate(device, csr, Enrolled::Renewal).await?),
            Asker::Stranger(_) => Err(Refusal::Forbidden("only a device that has joined can renew".into())),
        }
    }

    /// Makes a key for who cannot, and certifies it. The request's own key is used for nothing: that of a stranger is what
    /// it is told from another with the same secret by.
    pub async fn make_key_for(&self, asker: &Asker, csr: &[u8]) -> Result<MadeKey, Refusal> {
        match asker {
            Asker::Device(device) => Ok(self.make_key(device, csr, Enrolled::Session).await?),
            Asker::Stranger(applicant) => {
                let csr = open_csr(csr)?;
                let leaf = (AWS_LC.sha256)(&[csr.key_info()]);
                let device = self.joined_as(applicant, &leaf).await?;
                let made = self.make_key_as(&device, &csr, Enrolled::Onboarding).await?;
                self.joined(applicant, leaf).await?;
                Ok(made)
            }
        }
    }

    /// The certificates that the asker needs to believe others, the issuing authority's first.
    pub async fn authorities_for(&self, asker: &Asker) -> Result<Vec<Vec<u8>>, Refusal> {
        let tenant = match asker {
            Asker::Device(device) => Some(device.key.tenant),
            Asker::Stranger(applicant) => self.tenant_of(applicant).await?,
        };
        let tenant = tenant.ok_or_else(|| Refusal::Forbidden("nobody waits for this device".into()))?;
        Ok(self.ca_certificates(tenant).await?)
    }

    async fn joined_as(&self, applicant: &Applicant, leaf: &[u8; 32]) -> Result<Arc<Device>, Refusal> {
        match self.join(applicant, leaf).await? {
            Joining::Device(device) => Ok(device),
            Joining::Waits => Err(Refusal::Waits),
            Joining::Refused => Err(Refusal::Forbidden("nobody waits for this device".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CSR_BYTES_MAX;

    #[test]
    fn requests_are_taken_for_what_they_are() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&pair).unwrap();
        let csr = open_csr(request.der()).unwrap();
        assert!(bartizan_trust::PublicKey::from_spki(csr.key_info()).is_ok());
        for length in 0..request.der().len() {
            assert!(open_csr(&request.der()[..length]).is_err());
        }
        assert!(open_csr(&vec![0x30; CSR_BYTES_MAX + 1]).is_err());
    }
}
