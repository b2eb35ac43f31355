//! The JSON form of a voucher: a JSON Web Signature (RFC 7515) over `{"ietf-voucher:voucher": {…}}`.

use alloc::string::String;
use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::UnixMillis;

use super::{ASSERTIONS, Assertion, Draft, SHAPE, Voucher, no_revocation_checks, time};
use crate::result::base64;
use crate::result::json::{self, Value};
use crate::{Error, PublicKey, limits};

/// What such a voucher says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    serial_number: String,
    assertion: Assertion,
    created: UnixMillis,
    expires: Option<UnixMillis>,
    nonce: Option<Vec<u8>>,
    pinned_domain_cert: Vec<u8>,
    idevid_issuer: Option<Vec<u8>>,
}

impl Owned {
    #[must_use]
    pub fn voucher(&self) -> Voucher<'_> {
        Voucher {
            serial_number: &self.serial_number,
            assertion: self.assertion,
            created: self.created,
            expires: self.expires,
            nonce: self.nonce.as_deref(),
            pinned_domain_cert: &self.pinned_domain_cert,
            idevid_issuer: self.idevid_issuer.as_deref(),
        }
    }
}

/// Reads and verifies either serialisation (RFC 7515 section 7): the compact one, or a JSON object with one signature.
///
/// # Errors
/// As [`Voucher::open`].
pub fn open(provider: &Provider, bytes: &[u8], key: &PublicKey) -> Result<Owned, Error> {
    if bytes.len() > limits::VOUCHER_BYTES_MAX {
        return Err(Error::Unavailable("a voucher that is longer than is taken"));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| SHAPE)?.trim();
    let (protected, payload, signature) = parts(text)?;
    let header = json::read(&base64::decode(&protected).ok_or(SHAPE)?)?;
    if header.under("crit").is_some() || header.under("b64").is_some() {
        return Err(Error::Unsupported("critical headers of a JSON Web Signature"));
    }
    if header.under("alg").and_then(Value::text) != Some(algorithm_of(key)) {
        return Err(Error::Untrusted("a signature of another algorithm than its key's"));
    }
    let owned = read(&json::read(&base64::decode(&payload).ok_or(SHAPE)?)?)?;
    let signed = [protected.as_str(), ".", payload.as_str()].concat();
    key.verify(provider, signed.as_bytes(), &base64::decode(&signature).ok_or(SHAPE)?)?;
    Ok(owned)
}

/// RFC 7518 section 3.1 and RFC 8037 section 3.1.
const fn algorithm_of(key: &PublicKey) -> &'static str {
    match key {
        PublicKey::P256(_) => "ES256",
        PublicKey::P384(_) => "ES384",
        PublicKey::Ed25519(_) => "EdDSA",
    }
}

fn parts(text: &str) -> Result<(String, String, String), Error> {
    if !text.starts_with('{') {
        let mut parts = text.split('.').map(String::from);
        return match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(protected), Some(payload), Some(signature), None) => Ok((protected, payload, signature)),
            _ => Err(SHAPE),
        };
    }
    let whole = json::read(text.as_bytes())?;
    let [signature] = whole.under("signatures").and_then(Value::array).ok_or(SHAPE)? else {
        return Err(Error::Unsupported("a voucher with several signatures"));
    };
    let member = |of: &Value, name| of.under(name).and_then(Value::text).map(String::from).ok_or(SHAPE);
    Ok((member(signature, "protected")?, member(&whole, "payload")?, member(signature, "signature")?))
}

fn read(whole: &Value) -> Result<Owned, Error> {
    let [(name, leaves)] = whole.object().ok_or(SHAPE)? else { return Err(SHAPE) };
    if name != "ietf-voucher:voucher" {
        return Err(SHAPE);
    }
    let mut draft = Draft::default();
    let (mut nonce, mut pinned, mut issuer) = (None, None, None);
    for (name, value) in leaves.object().ok_or(SHAPE)? {
        let text = || value.text().ok_or(SHAPE);
        match name.as_str() {
            "assertion" => {
                let text = text()?;
                let known = ASSERTIONS.iter().find(|(name, _)| *name == text);
                draft.assertion = Some(known.ok_or(Error::Unsupported("an assertion of a voucher"))?.1);
            }
            "created-on" => draft.created = Some(time(text()?)?),
            "expires-on" => draft.expires = Some(time(text()?)?),
            "last-renewal-date" => drop(time(text()?)?),
            "domain-cert-revocation-checks" => no_revocation_checks(value != &Value::Bool(false))?,
            "idevid-issuer" => issuer = Some(binary(text()?)?),
            "nonce" => nonce = Some(binary(text()?)?),
            "pinned-domain-cert" => pinned = Some(binary(text()?)?),
            "serial-number" => draft.serial_number = Some(text()?),
            _ => return Err(Error::Unsupported("a member of a voucher")),
        }
    }
    draft.nonce = nonce.as_deref();
    draft.pinned_domain_cert = pinned.as_deref();
    draft.idevid_issuer = issuer.as_deref();
    let read = draft.finish()?;
    Ok(Owned {
        serial_number: read.serial_number.into(),
        assertion: read.assertion,
        created: read.created,
        expires: read.expires,
        nonce: read.nonce.map(Vec::from),
        pinned_domain_cert: read.pinned_domain_cert.into(),
        idevid_issuer: read.idevid_issuer.map(Vec::from),
    })
}

/// YANG's `binary` (RFC 7951 section 6.6): base64 with its padding (RFC 4648 section 4), in one form only.
fn binary(text: &str) -> Result<Vec<u8>, Error> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 || text.contains(['-', '_']) {
        return Err(SHAPE);
    }
    let url: String = digits
        .chars()
        .map(|digit| match digit {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    base64::decode(&url).ok_or(SHAPE)
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;
    use crate::cose::SigningKey;
    use alloc::format;
    use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};

    const PAYLOAD: &str = r#"{"ietf-voucher:voucher":{"assertion":"verified","created-on":"2026-11-18T11:06:40Z","expires-on":"2026-11-19T11:06:40Z","serial-number":"MX-0815","pinned-domain-cert":"MAMCAQc="}}"#;

    fn parts_of(payload: &str, key: &SigningKey<'_>, algorithm: &str) -> [String; 3] {
        let mut rng = |out: &mut [u8]| out.fill(3);
        let header = base64::encode(format!("{{\"alg\":\"{algorithm}\",\"typ\":\"voucher-jws+json\"}}").as_bytes());
        let payload = base64::encode(payload.as_bytes());
        let signature = key.sign(&RUSTCRYPTO, &mut rng, format!("{header}.{payload}").as_bytes()).unwrap();
        [header, payload, base64::encode(&signature)]
    }

    fn compact(payload: &str, key: &SigningKey<'_>, algorithm: &str) -> String {
        parts_of(payload, key, algorithm).join(".")
    }

    #[test]
    fn both_serialisations_say_the_same() {
        let secret = Secret::new([9; 32]);
        for (key, algorithm) in [(SigningKey::P256(&secret), "ES256"), (SigningKey::Ed25519(&secret), "EdDSA")] {
            let public = key.public(&RUSTCRYPTO).unwrap();
            let [protected, payload, signature] = parts_of(PAYLOAD, &key, algorithm);
            let general = format!(
                r#"{{"payload":"{payload}","signatures":[{{"protected":"{protected}","signature":"{signature}"}}]}}"#
            );
            for text in [compact(PAYLOAD, &key, algorithm), general] {
                let owned = open(&AWS_LC, text.as_bytes(), &public).unwrap();
                assert_eq!(owned.voucher(), example());
            }
        }
    }

    #[test]
    fn what_is_not_signed_by_this_key_in_this_way_is_refused() {
        let (secret, other) = (Secret::new([9; 32]), Secret::new([8; 32]));
        let key = SigningKey::P256(&secret);
        let public = key.public(&RUSTCRYPTO).unwrap();
        let good = compact(PAYLOAD, &key, "ES256");
        assert!(open(&AWS_LC, good.as_bytes(), &public).is_ok());
        for bad in [
            compact(PAYLOAD, &SigningKey::P256(&other), "ES256"),
            compact(PAYLOAD, &key, "none"),
            compact(PAYLOAD, &key, "HS256"),
            good.rsplit_once('.').unwrap().0.into(),
            format!("{good}."),
            format!("{}..", good.rsplit_once('.').unwrap().0),
            compact(&PAYLOAD.replace("MX-0815", ""), &key, "ES256"),
            compact(&PAYLOAD.replace("serial-number", "serial_number"), &key, "ES256"),
            compact(&PAYLOAD.replace("verified", "agent-proximity"), &key, "ES256"),
            compact(&PAYLOAD.replace("MAMCAQc=", "MAMCAQc"), &key, "ES256"),
            compact(&PAYLOAD.replace("\"serial-number\"", "\"serial-number\":\"X\",\"serial-number\""), &key, "ES256"),
            compact(
                &PAYLOAD.replace("{\"assertion", "{\"domain-cert-revocation-checks\":true,\"assertion"),
                &key,
                "ES256",
            ),
        ] {
            assert!(open(&AWS_LC, bad.as_bytes(), &public).is_err(), "{bad}");
        }
        let mut swapped = good.clone().into_bytes();
        for at in 0..swapped.len() {
            swapped[at] ^= 1;
            assert!(open(&AWS_LC, &swapped, &public).is_err(), "byte {at}");
            swapped[at] ^= 1;
        }
    }
}
