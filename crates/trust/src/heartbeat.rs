//! Heartbeats: a device says that the start which a verdict stands on still goes on.
//!
//! ```text
//! COSE_Sign1 = [ {1: alg}, {4: name of the chain}, {10: [challenge, binding], 267: boot count}, signature of the leaf ]
//! COSE_Mac0  = [ {1: HMAC 256/64}, {}, {10: challenge, 267: boot count}, tag ]                        55 bytes and more
//!
//! key of the tag = HKDF-SHA-256(salt: SHA-256(full evidence), secret: exporter value of the session,
//!                               info: "bartizan heartbeat", 32 bytes)
//! ```
//!
//! A heartbeat prolongs the verdict over full evidence of the same start of the same firmware, and does nothing else:
//! it has no claim that could make a verdict, a better one, or let anybody in again. Boards without a boot counter say
//! their boot seed (268) in its place. The key of the tag is one session's and one evidence's, and who keeps it in
//! memory only loses it with the start that it is for; what it prolongs was signed.

use bartizan_crypto::{Provider, Secret};
use minicbor::encode::Encoder;
use minicbor::encode::write::{Cursor, EndOfSlice};

use crate::eat::{Claims, Nonce};
use crate::{Error, cose, limits};

#[cfg(feature = "verifier")]
mod accept;

#[cfg(feature = "verifier")]
pub use accept::{Expected, Heartbeat, Proof, Standing, is_tagged};

const LABEL: &[u8] = b"bartizan heartbeat";
/// `alg` of a heartbeat with a tag. Eight bytes, as in the records that carry it: a guess costs a message of a session
/// that is proven already, and wins the prolonging of a verdict.
const PROTECTED: [u8; 3] = [0xA1, 1, cose::HMAC_256_64 as u8];
const TAG_BYTES: usize = 8;
/// The longest claims: challenge and boot seed of 64 bytes.
const CLAIMS_BYTES_MAX: usize = 1 + 1 + 2 + 64 + 3 + 9 + 3 + 2 + 64;

/// The key that heartbeats are tagged with after this full evidence, in the session that carried it. `exporter` is the
/// value that [`crate::challenge::binding`] is made from.
#[must_use]
pub fn key(provider: &Provider, exporter: &Secret<32>, evidence: &[u8]) -> Secret<32> {
    key_of(provider, exporter, &(provider.sha256)(&[evidence]))
}

/// The same from the SHA-256 of the evidence, for who keeps no more of it.
#[must_use]
pub fn key_of(provider: &Provider, exporter: &Secret<32>, evidence_hash: &[u8; 32]) -> Secret<32> {
    // RFC 5869: extract, then one block of expand.
    let extracted = Secret::new((provider.hmac_sha256)(evidence_hash, &[exporter.expose()]));
    Secret::new((provider.hmac_sha256)(extracted.expose(), &[LABEL, &[1]]))
}

/// Writes a heartbeat under [`key`]: an untagged COSE_Mac0 (RFC 9052 section 6.2). Returns its length in `out`; 160
/// bytes are enough. `boot_seed` is for boards without a boot count.
///
/// # Errors
/// `Misuse` if challenge or boot seed are longer or shorter than they may be, `Unavailable` if `out` is too small.
pub fn write(
    provider: &Provider,
    key: &Secret<32>,
    challenge: &[u8],
    boot_count: Option<u64>,
    boot_seed: &[u8],
    out: &mut [u8],
) -> Result<usize, Error> {
    if !limits::NONCE_BYTES.contains(&challenge.len()) || !limits::BOOT_SEED_BYTES.contains(&boot_seed.len()) {
        return Err(Error::Misuse("a challenge or boot seed that no verifier would take"));
    }
    let claims = claims(Nonce { challenge, binding: None }, boot_count, boot_seed);
    let mut room = [0; CLAIMS_BYTES_MAX];
    let payload = written(&mut room, |to| claims.write(to))?;
    let tag = cose::mac(provider, key.expose(), &PROTECTED, b"", payload);
    let tag = tag.first_chunk::<TAG_BYTES>().ok_or(NO_ROOM)?;
    written(out, |to| to.array(4)?.bytes(&PROTECTED)?.map(0)?.bytes(payload)?.bytes(tag).map(drop))
        .map(|heartbeat| heartbeat.len())
}

/// All that a heartbeat says.
#[must_use]
pub fn claims<'a>(nonce: Nonce<'a>, boot_count: Option<u64>, boot_seed: &'a [u8]) -> Claims<'a> {
    let boot_seed = Some(boot_seed).filter(|_| boot_count.is_none());
    Claims { nonce: Some(nonce), boot_count, boot_seed, ..Claims::default() }
}

const NO_ROOM: Error = Error::Unavailable("the buffer is too small for a heartbeat");

type Out<'a> = Encoder<Cursor<&'a mut [u8]>>;

fn written(
    out: &mut [u8],
    put: impl FnOnce(&mut Out<'_>) -> Result<(), minicbor::encode::Error<EndOfSlice>>,
) -> Result<&[u8], Error> {
    let mut to = Encoder::new(Cursor::new(&mut *out));
    put(&mut to).map_err(|_| NO_ROOM)?;
    let length = to.writer().position();
    out.get(..length).ok_or(NO_ROOM)
}
