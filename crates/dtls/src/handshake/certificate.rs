//! Certificate, CertificateRequest and CertificateVerify (RFC 5246 sections 7.4.2, 7.4.4 and 7.4.8, RFC 7250).

use alloc::vec::Vec;

use bartizan_crypto::Provider;

use crate::codec::{Reader, put_u16, put_u24, put_vec8, put_vec16, u16s};
use crate::limits::{CERTIFICATES_MAX, CHAIN_BYTES_MAX};
use crate::{AlertDescription, CertificateType, Error, PublicKey, SignatureScheme};

/// RFC 8422 section 5.5: ECDSA and EdDSA keys both go by this name.
const ECDSA_SIGN: u8 = 64;

/// The certificates of a Certificate message, leaf first; empty if the peer has none to show.
pub(crate) fn decode(kind: CertificateType, body: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let mut reader = Reader::new(body);
    let list = vec24(&mut reader)?;
    reader.finish()?;
    let mut chain = Vec::new();
    if kind == CertificateType::RawPublicKey {
        // RFC 7250 section 3: the key stands alone, without a list around it.
        chain.extend(Some(list).filter(|key| !key.is_empty()));
        return Ok(chain);
    }
    let mut list_reader = Reader::new(list);
    while !list_reader.is_empty() {
        let certificate = vec24(&mut list_reader)?;
        if certificate.is_empty() {
            return Err(Error::Malformed("an empty certificate"));
        }
        if chain.len() >= CERTIFICATES_MAX || list.len() > CHAIN_BYTES_MAX + 3 * CERTIFICATES_MAX {
            return Err(Error::Unsupported("a certificate chain that is too long"));
        }
        chain.push(certificate);
    }
    Ok(chain)
}

pub(crate) fn encode(kind: CertificateType, chain: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    match kind {
        CertificateType::RawPublicKey => {
            let key = chain.first().map(Vec::as_slice).unwrap_or_default();
            put_u24(&mut out, key.len());
            out.extend_from_slice(key);
        }
        CertificateType::X509 => {
            put_u24(&mut out, chain.iter().map(|certificate| 3 + certificate.len()).sum());
            for certificate in chain {
                put_u24(&mut out, certificate.len());
                out.extend_from_slice(certificate);
            }
        }
    }
    out
}

fn vec24<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = reader.u24()? as usize;
    reader.take(length)
}

/// Whether a CertificateRequest can be answered with a key of this kind. Its list of authorities is a hint for
/// choosing among several credentials; there is one at most here.
pub(crate) fn decode_request(body: &[u8], own: Option<SignatureScheme>) -> Result<bool, Error> {
    let mut reader = Reader::new(body);
    let types = reader.vec8()?;
    let schemes = reader.vec16()?;
    let mut authorities = Reader::new(reader.vec16()?);
    reader.finish()?;
    while !authorities.is_empty() {
        authorities.vec16()?;
    }
    if types.is_empty() || schemes.is_empty() || schemes.len() % 2 != 0 {
        return Err(Error::Malformed("a CertificateRequest that asks for nothing"));
    }
    let takes = |own: SignatureScheme| u16s(schemes).any(|code| code == own.code());
    Ok(types.contains(&ECDSA_SIGN) && own.is_some_and(takes))
}

/// Asks for a key under any of our schemes, from any authority.
pub(crate) fn encode_request() -> Vec<u8> {
    let mut out = Vec::new();
    put_vec8(&mut out, &[ECDSA_SIGN]);
    put_vec16(&mut out, &schemes());
    put_vec16(&mut out, &[]);
    out
}

/// The content of signature_algorithms, without its length.
pub(crate) fn schemes() -> Vec<u8> {
    let mut list = Vec::new();
    SignatureScheme::ALL.into_iter().for_each(|scheme| put_u16(&mut list, scheme.code()));
    list
}

/// A signature and how it was made: a CertificateVerify, or the end of a ServerKeyExchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signed<'a> {
    scheme: u16,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(Self { scheme: reader.u16()?, signature: reader.vec16()? })
    }

    pub fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body);
        let signed = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(signed)
    }

    pub fn put(out: &mut Vec<u8>, scheme: SignatureScheme, signature: &[u8]) {
        put_u16(out, scheme.code());
        put_vec16(out, signature);
    }

    /// Whether `key` made this over `message`. RFC 5246 section 7.4.3: the scheme must be one that we offered, and fit
    /// the key.
    pub fn verify(&self, provider: &Provider, key: &PublicKey, message: &[u8]) -> Result<(), AlertDescription> {
        if self.scheme != key.scheme.code() {
            return Err(AlertDescription::ILLEGAL_PARAMETER);
        }
        let verify = key.scheme.algorithm(provider).verify;
        verify(key.bytes.as_slice(), message, self.signature).map_err(|_| AlertDescription::DECRYPT_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SoftwareKey;
    use crate::credential::Signer;
    use alloc::vec;
    use bartizan_crypto::{RUSTCRYPTO, Secret};

    #[test]
    fn chains_and_keys_read_what_they_write() {
        let chain = vec![vec![1, 2, 3], vec![4]];
        let bytes = encode(CertificateType::X509, &chain);
        assert_eq!(decode(CertificateType::X509, &bytes).unwrap(), chain);
        for length in 0..bytes.len() {
            assert!(decode(CertificateType::X509, &bytes[..length]).is_err());
        }
        let key = encode(CertificateType::RawPublicKey, &chain[..1]);
        assert_eq!(decode(CertificateType::RawPublicKey, &key).unwrap(), [[1, 2, 3]]);
        for kind in [CertificateType::X509, CertificateType::RawPublicKey] {
            assert_eq!(encode(kind, &[]), [0, 0, 0]);
            assert!(decode(kind, &[0, 0, 0]).unwrap().is_empty());
        }
        assert!(decode(CertificateType::X509, &[0, 0, 3, 0, 0, 0]).is_err(), "an empty certificate");
    }

    #[test]
    fn chains_stop_at_their_limits() {
        let most = vec![vec![7]; CERTIFICATES_MAX];
        assert!(decode(CertificateType::X509, &encode(CertificateType::X509, &most)).is_ok());
        let more = vec![vec![7]; CERTIFICATES_MAX + 1];
        assert!(decode(CertificateType::X509, &encode(CertificateType::X509, &more)).is_err());
    }

    #[test]
    fn requests_are_answered_by_keys_that_they_name() {
        let request = encode_request();
        for scheme in SignatureScheme::ALL {
            assert_eq!(decode_request(&request, Some(scheme)), Ok(true));
        }
        assert_eq!(decode_request(&request, None), Ok(false));
        assert_eq!(decode_request(&[1, 1, 0, 2, 4, 3, 0, 0], Some(SignatureScheme::EcdsaSecp256r1Sha256)), Ok(false));
        assert_eq!(decode_request(&[1, 64, 0, 2, 4, 3, 0, 0], Some(SignatureScheme::Ed25519)), Ok(false));
        for length in 0..request.len() {
            assert!(decode_request(&request[..length], None).is_err());
        }
        assert!(decode_request(&[0, 0, 0, 0, 0], None).is_err());
    }

    #[test]
    fn a_signature_counts_for_its_key_its_scheme_and_its_message() {
        let mut rng = |out: &mut [u8]| out.fill(3);
        for scheme in SignatureScheme::ALL {
            let key = SoftwareKey::new(scheme, Secret::new([9; 32]));
            let public = key.public(&RUSTCRYPTO).unwrap();
            let signature = key.sign(&RUSTCRYPTO, &mut rng, b"said").unwrap();
            let mut out = Vec::new();
            Signed::put(&mut out, scheme, signature.as_slice());
            let signed = Signed::decode(&out).unwrap();
            assert_eq!(signed.verify(&RUSTCRYPTO, &public, b"said"), Ok(()));
            assert_eq!(signed.verify(&RUSTCRYPTO, &public, b"sad"), Err(AlertDescription::DECRYPT_ERROR));
            for other in SignatureScheme::ALL.into_iter().filter(|other| *other != scheme) {
                let other = SoftwareKey::new(other, Secret::new([9; 32])).public(&RUSTCRYPTO).unwrap();
                let refused = signed.verify(&RUSTCRYPTO, &other, b"said");
                assert_eq!(refused, Err(AlertDescription::ILLEGAL_PARAMETER));
            }
        }
    }
}
