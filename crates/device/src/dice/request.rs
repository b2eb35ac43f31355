//! Certification requests (PKCS#10, RFC 2986): how a device asks for an operational certificate.

use bartizan_crypto::{Provider, Random};

use super::der::{Der, SEQUENCE};
use super::x509::{put_key, put_name, put_signature};
use super::{CertificateId, Error, KeyPair, NO_ROOM, move_down};

/// What is signed: a name, a key on P-256 at most, and the heads around them.
const SIGNED_BYTES_MAX: usize = 192;
const INTEGER: u8 = 0x02;
/// The attributes, of which there are none.
const ATTRIBUTES: u8 = 0xA0;

/// Asks for a certificate over `key`, which [`Cdi::operational_key`](super::Cdi::operational_key) is the seed of. The
/// name is the key's own: who the device is called is for its owner to say. Returns the length in `out`; 320 bytes are
/// enough.
///
/// # Errors
/// `Unavailable` if `out` is too small, `Misuse` if the provider lacks the algorithm.
pub fn certification_request(
    provider: &Provider,
    random: &mut dyn Random,
    key: &KeyPair,
    out: &mut [u8],
) -> Result<usize, Error> {
    let mut room = [0; SIGNED_BYTES_MAX];
    let mut der = Der::new(&mut room);
    der.element(SEQUENCE, |der| {
        der.primitive(ATTRIBUTES, &[]);
        put_key(der, key.public());
        put_name(der, &CertificateId::of(provider, key.public()));
        der.integer(INTEGER, &[]);
    });
    let start = der.finish()?;
    let signed = room.get(start..).ok_or(NO_ROOM)?;
    let signature = key.sign(provider, random, signed)?;
    let length = out.len();
    let mut der = Der::new(out);
    der.element(SEQUENCE, |der| {
        put_signature(der, key.algorithm(), &signature);
        der.put(signed);
    });
    let start = der.finish()?;
    let length = length.checked_sub(start).ok_or(NO_ROOM)?;
    move_down(out, start, length, 0)?;
    Ok(length)
}
