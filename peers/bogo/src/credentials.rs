//! The runner's key and certificate files, and the verifier that believes what a case says.

use std::fs;
use std::sync::{Arc, Mutex};

use bartizan_crypto::Secret;
use bartizan_dtls::{
    AlertDescription, CertificateType, Credential, PeerVerifier, PublicKey, SignatureScheme, SoftwareKey, VerifiedPeer,
};

use crate::flags::{Refusal, Settings};

/// What comes before the private key in a PKCS#8 file (RFC 5958, 5915, 8410) as the runner writes it: lengths and
/// algorithm are fixed for each kind of key.
const PKCS8_P256: &[u8] = &[
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
];
const PKCS8_ED25519: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

const SEQUENCE: u8 = 0x30;
/// `[0]`, a certificate's explicit version.
const VERSION: u8 = 0xA0;
/// Of a TBSCertificate (RFC 5280 section 4.1), the version apart: serial number, signature, issuer, validity and
/// subject come before the key.
const FIELDS_BEFORE_KEY: usize = 5;

/// Who we are, if the case gives us a certificate.
pub fn own(settings: &Settings) -> Result<Option<Credential>, Refusal> {
    let (Some(key), Some(chain)) = (&settings.key_file, &settings.cert_file) else {
        return Ok(None);
    };
    let key = blocks(key)?.into_iter().next().ok_or_else(|| usage("an empty key file"))?;
    let (scheme, private) =
        private_key(&key).ok_or_else(|| Refusal::Unimplemented("a key of RSA or another curve".to_owned()))?;
    let signer = Arc::new(SoftwareKey::new(scheme, Secret::new(private)));
    let credential = Credential::x509(blocks(chain)?, signer);
    credential.map(Some).map_err(|error| Refusal::Unimplemented(error.to_string()))
}

/// The certificate at the end of the peer's chain, in DER, and how its key signs.
pub type Leaf = Arc<Mutex<Option<(Vec<u8>, SignatureScheme)>>>;

/// Believes every certificate with a key of ours, unless the case wants a failure.
pub struct Verifier {
    /// The alert with which it refuses every certificate.
    pub fails: Option<AlertDescription>,
    /// What it has seen.
    pub leaf: Leaf,
}

impl PeerVerifier for Verifier {
    fn verify(&self, _: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        let leaf = chain.first().ok_or(AlertDescription::BAD_CERTIFICATE)?;
        let spki = subject_public_key_info(leaf).ok_or(AlertDescription::BAD_CERTIFICATE)?;
        let key = PublicKey::from_spki(spki).ok_or(AlertDescription::UNSUPPORTED_CERTIFICATE)?;
        *self.leaf.lock().expect("nobody panics with it") = Some((leaf.to_vec(), key.scheme));
        if let Some(alert) = self.fails {
            return Err(alert);
        }
        Ok(VerifiedPeer { principal: 1, key })
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509]
    }
}

/// The first certificate of a PEM file.
pub fn first(path: &str) -> Result<Vec<u8>, Refusal> {
    blocks(path)?.into_iter().next().ok_or_else(|| usage("an empty certificate file"))
}

/// What stands in a PEM file, block by block.
fn blocks(path: &str) -> Result<Vec<Vec<u8>>, Refusal> {
    let text = fs::read_to_string(path).map_err(|error| usage(&format!("{path}: {error}")))?;
    let mut blocks = Vec::new();
    let mut digits = String::new();
    for line in text.lines() {
        match line {
            _ if line.starts_with("-----BEGIN ") => digits.clear(),
            _ if line.starts_with("-----END ") => {
                blocks.push(from_base64(&digits).ok_or_else(|| usage(&format!("{path} is no PEM file")))?);
            }
            _ => digits.push_str(line.trim()),
        }
    }
    Ok(blocks)
}

fn usage(what: &str) -> Refusal {
    Refusal::Usage(what.to_owned())
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

fn private_key(pkcs8: &[u8]) -> Option<(SignatureScheme, [u8; 32])> {
    let known = [(PKCS8_P256, SignatureScheme::EcdsaSecp256r1Sha256), (PKCS8_ED25519, SignatureScheme::Ed25519)];
    known.into_iter().find_map(|(prefix, scheme)| Some((scheme, *pkcs8.strip_prefix(prefix)?.first_chunk()?)))
}

/// The SubjectPublicKeyInfo of a certificate in DER.
fn subject_public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if *fields.first()? == VERSION {
        fields = element(fields)?.2;
    }
    for _ in 0..FIELDS_BEFORE_KEY {
        fields = element(fields)?.2;
    }
    let (tag, _, rest) = element(fields)?;
    let length = fields.len() - rest.len();
    fields.get(..length).filter(|_| tag == SEQUENCE)
}

/// The first element of `der`: its tag, what is in it, and what comes behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None,
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_rfc_4648_has_it() {
        let vectors = [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")];
        vectors.iter().for_each(|(text, plain)| assert_eq!(from_base64(text).unwrap(), plain.as_bytes()));
        assert_eq!(from_base64("Zm9v!"), None);
    }

    #[test]
    fn the_key_is_found_behind_five_fields() {
        let field: &[u8] = &[0x02, 0x01, 0x07];
        let spki: &[u8] = &[0x30, 0x03, 0x02, 0x01, 0x09];
        for version in [&[][..], &[0xA0, 0x03, 0x02, 0x01, 0x02]] {
            let fields = [version, &field.repeat(5), spki, field].concat();
            let tbs = [&[0x30, fields.len() as u8], &fields[..]].concat();
            let certificate = [&[0x30, 0x81, tbs.len() as u8], &tbs[..]].concat();
            assert_eq!(subject_public_key_info(&certificate), Some(spki));
            (0..certificate.len()).for_each(|end| assert_eq!(subject_public_key_info(&certificate[..end]), None));
        }
    }
}
