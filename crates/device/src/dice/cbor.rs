//! CBOR certificates of the Open Profile for DICE, and COSE_Sign1 in the caller's buffer.

use bartizan_crypto::{Provider, Random};
use bartizan_trust::{PublicKey, cose};
use minicbor::encode::write::{Cursor, EndOfSlice};
use minicbor::encode::{self, Encoder};

use super::key::NO_LAYER_KEY;
use super::{CertificateId, Config, Error, Inputs, KeyPair, NO_ROOM, move_down};

pub(crate) type Out<'a> = Encoder<Cursor<&'a mut [u8]>>;
pub(crate) type Written = Result<(), encode::Error<EndOfSlice>>;

const ISSUER: i32 = 1;
const SUBJECT: i32 = 2;
const CODE_HASH: i32 = -4_670_545;
const CODE_DESCRIPTOR: i32 = -4_670_546;
const CONFIG_HASH: i32 = -4_670_547;
const CONFIG_DESCRIPTOR: i32 = -4_670_548;
const AUTHORITY_HASH: i32 = -4_670_549;
const AUTHORITY_DESCRIPTOR: i32 = -4_670_550;
const MODE: i32 = -4_670_551;
const SUBJECT_PUBLIC_KEY: i32 = -4_670_552;
const KEY_USAGE: i32 = -4_670_553;
const PROFILE_NAME: i32 = -4_670_554;
/// Bit 5 of KeyUsage (RFC 5280 section 4.2.1.3), lowest bit first. The profile has it in every certificate.
const CERTIFICATE_SIGNING: u8 = 1 << 5;

// Members of a COSE_Key (RFC 9052 section 7.1, RFC 9053 section 7).
const KEY_KTY: i8 = 1;
const KEY_ALG: i8 = 3;
const KEY_OPS: i8 = 4;
const KEY_CRV: i8 = -1;
const KEY_X: i8 = -2;
const KEY_Y: i8 = -3;
/// The operation that the key is for.
const VERIFY: i8 = 2;

/// The longest COSE_Key: P-256 with algorithm and operations.
const KEY_BYTES_MAX: usize = 80;

/// Certifies the layer behind `subject` and `inputs` with the key of the layer before it: an untagged COSE_Sign1 over
/// a CWT. Returns its length in `out`.
///
/// # Errors
/// `Unavailable` if `out` is too small, `Misuse` if the provider lacks the algorithm.
pub fn certificate(
    provider: &Provider,
    random: &mut dyn Random,
    authority: &KeyPair,
    subject: &PublicKey,
    inputs: &Inputs<'_>,
    profile_name: Option<&str>,
    out: &mut [u8],
) -> Result<usize, Error> {
    let names = [authority.id(provider).hex(), CertificateId::of(provider, subject).hex()];
    let [issuer, subject_name] = names.each_ref().map(|name| core::str::from_utf8(name).unwrap_or_default());
    let mut key = [0; KEY_BYTES_MAX];
    let key_length = cose_key(subject, &mut key)?;
    let key = key.get(..key_length).ok_or(NO_ROOM)?;
    sign1(provider, random, authority, &[&[0xA0]], out, |to| {
        let optional = |present: bool| u64::from(present);
        let descriptor = matches!(inputs.config, Config::Descriptor(_));
        to.map(
            8 + optional(!inputs.code_descriptor.is_empty())
                + optional(descriptor)
                + optional(!inputs.authority_descriptor.is_empty())
                + optional(profile_name.is_some()),
        )?;
        to.i32(ISSUER)?.str(issuer)?.i32(SUBJECT)?.str(subject_name)?;
        to.i32(CODE_HASH)?.bytes(&inputs.code)?;
        put_present(to, CODE_DESCRIPTOR, inputs.code_descriptor)?;
        match &inputs.config {
            Config::Inline(bytes) => to.i32(CONFIG_DESCRIPTOR)?.bytes(bytes)?,
            Config::Descriptor(bytes) => {
                to.i32(CONFIG_DESCRIPTOR)?.bytes(bytes)?;
                to.i32(CONFIG_HASH)?.bytes(&inputs.config.measured(provider))?
            }
        };
        to.i32(AUTHORITY_HASH)?.bytes(&inputs.authority)?;
        put_present(to, AUTHORITY_DESCRIPTOR, inputs.authority_descriptor)?;
        to.i32(MODE)?.bytes(&[inputs.mode as u8])?;
        to.i32(SUBJECT_PUBLIC_KEY)?.bytes(key)?;
        to.i32(KEY_USAGE)?.bytes(&[CERTIFICATE_SIGNING])?;
        if let Some(name) = profile_name {
            to.i32(PROFILE_NAME)?.str(name)?;
        }
        Ok(())
    })
}

fn put_present(to: &mut Out<'_>, label: i32, bytes: &[u8]) -> Written {
    if !bytes.is_empty() {
        to.i32(label)?.bytes(bytes)?;
    }
    Ok(())
}

/// Writes the key as COSE_Key (RFC 9052 section 7) that may only verify. Returns its length.
///
/// # Errors
/// `Unavailable` if `out` is too small, `Misuse` if the key is not of an [`Algorithm`](super::Algorithm).
pub fn cose_key(key: &PublicKey, out: &mut [u8]) -> Result<usize, Error> {
    let algorithm = cose::algorithm_of(key);
    if matches!(key, PublicKey::P384(_)) {
        return Err(NO_LAYER_KEY);
    }
    written(out, |to| {
        match key {
            PublicKey::P256([_, coordinates @ ..]) => {
                let (x, y) = coordinates.split_at(32);
                to.map(6)?
                    .i8(KEY_KTY)?
                    .i8(2)?
                    .i8(KEY_ALG)?
                    .i64(algorithm)?
                    .i8(KEY_OPS)?
                    .array(1)?
                    .i8(VERIFY)?
                    .i8(KEY_CRV)?
                    .i8(1)?;
                to.i8(KEY_X)?.bytes(x)?.i8(KEY_Y)?.bytes(y)?;
            }
            PublicKey::Ed25519(bytes) => {
                to.map(5)?
                    .i8(KEY_KTY)?
                    .i8(1)?
                    .i8(KEY_ALG)?
                    .i64(algorithm)?
                    .i8(KEY_OPS)?
                    .array(1)?
                    .i8(VERIFY)?
                    .i8(KEY_CRV)?
                    .i8(6)?;
                to.i8(KEY_X)?.bytes(bytes)?;
            }
            PublicKey::P384(_) => {}
        }
        Ok(())
    })
}

/// What `put` writes at the start of `out`.
pub(crate) fn written(out: &mut [u8], put: impl FnOnce(&mut Out<'_>) -> Written) -> Result<usize, Error> {
    let mut to = Encoder::new(Cursor::new(out));
    put(&mut to).map_err(|_| NO_ROOM)?;
    Ok(to.writer().position())
}

/// `[context, protected (4 bytes), no external data` of a Sig_structure (RFC 9052 section 4.4).
const SIGNED_FRONT: usize = 1 + 11 + 4 + 1;
/// `[protected (4 bytes)` of a COSE_Sign1.
const CARRIED_FRONT: usize = 1 + 4;
pub(crate) const HEAD_MAX: usize = 3;

/// Writes an untagged COSE_Sign1. `unprotected` is the encoded map in pieces; `payload` is written first, behind a
/// Sig_structure that the envelope then takes the place of, so that no second buffer is needed.
pub(crate) fn sign1(
    provider: &Provider,
    random: &mut dyn Random,
    key: &KeyPair,
    unprotected: &[&[u8]],
    out: &mut [u8],
    payload: impl FnOnce(&mut Out<'_>) -> Written,
) -> Result<usize, Error> {
    let algorithm = cose::algorithm_of(key.public());
    let protected = [0xA1, 1, 0x20 | (-1 - algorithm) as u8];
    let front = unprotected.iter().map(|piece| piece.len()).sum::<usize>().saturating_add(CARRIED_FRONT);
    let at = front.max(SIGNED_FRONT).saturating_add(HEAD_MAX);
    let length = written(out.get_mut(at..).ok_or(NO_ROOM)?, payload)?;
    let head = Head::byte_string(length).ok_or(NO_ROOM)?;

    let start = at - head.as_slice().len() - SIGNED_FRONT;
    let signed = out.get_mut(start..at + length).ok_or(NO_ROOM)?;
    let front_length = written(signed, |to| {
        to.array(4)?.str("Signature1")?.bytes(&protected)?.bytes(&[])?;
        to.raw(head.as_slice())
    })?;
    debug_assert_eq!(front_length + length, signed.len());
    let signature = key.sign(provider, random, signed)?;

    let payload_at = front + head.as_slice().len();
    move_down(out, at, length, payload_at)?;
    written(out, |to| {
        to.array(4)?.bytes(&protected)?;
        for piece in unprotected {
            to.raw(piece)?;
        }
        to.raw(head.as_slice())
    })?;
    let end = payload_at + length;
    Ok(end + written(out.get_mut(end..).ok_or(NO_ROOM)?, |to| to.bytes(&signature).map(drop))?)
}

/// Bytes that are encoded already.
pub(crate) trait Raw {
    fn raw(&mut self, bytes: &[u8]) -> Written;
}

impl Raw for Out<'_> {
    fn raw(&mut self, bytes: &[u8]) -> Written {
        encode::Write::write_all(self.writer_mut(), bytes).map_err(encode::Error::write)
    }
}

/// A byte string's head, as long as it needs to be.
pub(crate) struct Head {
    bytes: [u8; HEAD_MAX],
    length: usize,
}

impl Head {
    pub(crate) fn byte_string(length: usize) -> Option<Self> {
        let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
        Some(match length {
            0..=23 => Self { bytes: [0x40 | low, 0, 0], length: 1 },
            24..=255 => Self { bytes: [0x58, low, 0], length: 2 },
            _ => Self { bytes: [0x59, high, low], length: 3 },
        })
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
