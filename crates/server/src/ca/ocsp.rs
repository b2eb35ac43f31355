//! Answers of OCSP (RFC 6960 section 4.2), signed by the authority itself.

use bartizan_crypto::{AWS_LC, sha1_name};
use bartizan_trust::der::write::{element, generalized_time};
use bartizan_trust::der::{ENUMERATED, OBJECT, OCTET_STRING, SEQUENCE};
use bartizan_trust::x509::ocsp::{CertificateId, Hash, NONCE};
use bartizan_wire::UnixMillis;

use super::write::{self, parts};
use super::{Authority, Error, Serial, Validity};

/// id-pkix-ocsp-basic.
const BASIC: &[u8] = b"\x2B\x06\x01\x05\x05\x07\x30\x01\x01";

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Good,
    /// When, and why (CRLReason; 0 stands for none).
    Revoked(UnixMillis, u8),
    /// Not one of this authority's.
    Unknown,
}

/// Why a question is not answered (RFC 6960 section 4.2.1). It is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unanswered {
    Malformed = 1,
    TryLater = 3,
}

impl Unanswered {
    #[must_use]
    pub fn to_der(self) -> Vec<u8> {
        element(SEQUENCE, &[&[ENUMERATED, 1, self as u8]])
    }
}

impl Authority {
    /// The serial number that is asked about, if this authority is the one that is asked.
    #[must_use]
    pub fn asked(&self, id: &CertificateId<'_>) -> Option<Serial> {
        let key = write::bits_of(self.key.info())?;
        let ours = match id.hash {
            Hash::Sha1 => sha1_name(&[&self.name]) == id.issuer_name && sha1_name(&[key]) == id.issuer_key,
            Hash::Sha256 => {
                let hash = |bytes: &[u8]| (AWS_LC.sha256)(&[bytes]);
                hash(&self.name) == id.issuer_name && hash(key) == id.issuer_key
            }
            Hash::Other => false,
        };
        Serial::read(id.serial).filter(|_| ours)
    }

    /// A signed answer (DER). `validity` says from when it is and until when it may be kept.
    ///
    /// # Errors
    /// `Key` if the key does not sign.
    pub fn answer(
        &self,
        statuses: &[(CertificateId<'_>, Status)],
        nonce: Option<&[u8]>,
        validity: Validity,
    ) -> Result<Vec<u8>, Error> {
        let each: Vec<_> = statuses.iter().map(|(id, status)| single(id, *status, validity)).collect();
        let nonce = nonce.map(|nonce| element(0xA1, &[&element(SEQUENCE, &[&write::extension(NONCE, false, nonce)])]));
        let data = [
            &element(0xA1, &[&self.name])[..],
            &generalized_time(validity.from()),
            &element(SEQUENCE, &parts(&each)),
            &nonce.unwrap_or_default(),
        ];
        let basic = write::signed(&element(SEQUENCE, &data), &self.key)?;
        let bytes = element(SEQUENCE, &[&element(OBJECT, &[BASIC]), &element(OCTET_STRING, &[&basic])]);
        Ok(element(SEQUENCE, &[&[ENUMERATED, 1, 0], &element(0xA0, &[&bytes])]))
    }
}

fn single(id: &CertificateId<'_>, status: Status, validity: Validity) -> Vec<u8> {
    let status = match status {
        Status::Good => vec![0x80, 0],
        Status::Unknown => vec![0x82, 0],
        Status::Revoked(at, reason) => {
            let at = Validity { not_before: at, not_after: at };
            let reason = if reason == 0 { Vec::new() } else { element(0xA0, &[&[ENUMERATED, 1, reason]]) };
            element(0xA1, &[&generalized_time(at.from()), &reason])
        }
    };
    let next = element(0xA0, &[&generalized_time(validity.to())]);
    element(SEQUENCE, &[id.whole, &status, &generalized_time(validity.from()), &next])
}
