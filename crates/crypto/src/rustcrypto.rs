//! RustCrypto and dalek: portable, `no_std`, what devices link.

mod kem;
mod signature;

pub(crate) use kem::ML_KEM_768;

use aes::cipher::{BlockCipherEncrypt, BlockSizeUser};
use aes::{Aes128, Aes256};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use ccm::Ccm;
use ccm::aead::{AeadInOut, KeyInit, consts};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20poly1305::ChaCha20Poly1305;
use hmac::{Hmac, Mac};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{NonZeroScalar, ProjectivePoint, PublicKey};
use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroize;

use crate::{Aead, Forged, KeyAgreement, KeyPair, Provider, PublicShare, Random, Secret, SignatureAlgorithm};

type Aes128Ccm8 = Ccm<Aes128, consts::U8, consts::U12>;
type Aes128Ccm = Ccm<Aes128, consts::U16, consts::U12>;

/// Every primitive from RustCrypto and dalek crates.
pub static RUSTCRYPTO: Provider = Provider {
    name: "rustcrypto",
    sha256,
    hmac_sha256,
    sha384,
    hmac_sha384,
    sha512,
    hmac_sha512,
    aes_128_ccm_8: AES_128_CCM_8,
    aes_128_ccm: AES_128_CCM,
    aes_128_gcm: Aead {
        key_len: 16,
        tag_len: 16,
        seal: seal::<Aes128Gcm, 16>,
        open: open::<Aes128Gcm, 16>,
        mask: aes_mask::<Aes128>,
    },
    aes_256_gcm: Aead {
        key_len: 32,
        tag_len: 16,
        seal: seal::<Aes256Gcm, 16>,
        open: open::<Aes256Gcm, 16>,
        mask: aes_mask::<Aes256>,
    },
    chacha20_poly1305: Aead {
        key_len: 32,
        tag_len: 16,
        seal: seal::<ChaCha20Poly1305, 16>,
        open: open::<ChaCha20Poly1305, 16>,
        mask: chacha20_mask,
    },
    x25519: KeyAgreement { public_len: 32, generate: x25519_generate, agree: x25519_agree },
    secp256r1: KeyAgreement { public_len: 65, generate: p256_generate, agree: p256_agree },
    ml_kem_768: ML_KEM_768,
    ecdsa_p256_sha256: signature::ECDSA_P256_SHA256,
    ecdsa_p384_sha384_verify: SignatureAlgorithm::NONE.verify,
    ed25519: signature::ED25519,
};

/// Also what the AWS-LC provider uses, which has no CCM.
pub(crate) const AES_128_CCM_8: Aead = Aead {
    key_len: 16,
    tag_len: 8,
    seal: seal::<Aes128Ccm8, 8>,
    open: open::<Aes128Ccm8, 8>,
    mask: aes_mask::<Aes128>,
};

/// Also what the AWS-LC provider uses, which has no CCM.
pub(crate) const AES_128_CCM: Aead = Aead {
    key_len: 16,
    tag_len: 16,
    seal: seal::<Aes128Ccm, 16>,
    open: open::<Aes128Ccm, 16>,
    mask: aes_mask::<Aes128>,
};

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("invariant: HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    let mut hash = Sha384::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn hmac_sha384(key: &[u8], parts: &[&[u8]]) -> [u8; 48] {
    let mut mac = Hmac::<Sha384>::new_from_slice(key).expect("invariant: HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("invariant: HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn seal<C: AeadInOut + KeyInit, const TAG: usize>(
    key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    buffer: &mut [u8],
) -> Option<()> {
    let cipher = C::new_from_slice(key).ok()?;
    let nonce = nonce.as_slice().try_into().ok()?;
    let (body, space) = buffer.split_last_chunk_mut::<TAG>()?;
    let tag = cipher.encrypt_inout_detached(nonce, aad, body.into()).ok()?;
    space.copy_from_slice(&tag);
    Some(())
}

fn open<C: AeadInOut + KeyInit, const TAG: usize>(
    key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    buffer: &mut [u8],
) -> Result<(), Forged> {
    let cipher = C::new_from_slice(key).map_err(|_| Forged)?;
    let nonce = nonce.as_slice().try_into().map_err(|_| Forged)?;
    let (body, tag) = buffer.split_last_chunk_mut::<TAG>().ok_or(Forged)?;
    let tag = tag.as_slice().try_into().map_err(|_| Forged)?;
    cipher.decrypt_inout_detached(nonce, aad, body.into(), tag).map_err(|_| Forged)
}

/// RFC 9147 section 4.2.3, AES suites: AES-ECB over the sample.
pub(crate) fn aes_mask<C>(key: &[u8], sample: &[u8; 16]) -> Option<[u8; 16]>
where
    C: BlockCipherEncrypt + KeyInit + BlockSizeUser<BlockSize = consts::U16>,
{
    let mut block = *sample;
    C::new_from_slice(key).ok()?.encrypt_block((&mut block).into());
    Some(block)
}

/// RFC 9147 section 4.2.3, ChaCha20: the sample's first four bytes are the block counter, the rest is the nonce.
pub(crate) fn chacha20_mask(key: &[u8], sample: &[u8; 16]) -> Option<[u8; 16]> {
    let (counter, nonce) = sample.split_first_chunk::<4>()?;
    let mut cipher = ChaCha20::new_from_slices(key, nonce).ok()?;
    cipher.try_seek(u64::from(u32::from_le_bytes(*counter)) * 64).ok()?;
    let mut mask = [0; 16];
    cipher.try_apply_keystream(&mut mask).ok()?;
    Some(mask)
}

fn x25519_generate(random: &mut dyn Random) -> KeyPair {
    let mut private = Secret::new([0; 32]);
    random.fill(private.expose_mut());
    let public = x25519_dalek::x25519(*private.expose(), x25519_dalek::X25519_BASEPOINT_BYTES);
    KeyPair { private, public: PublicShare::new(&public) }
}

/// RFC 7748 section 6.1: an all-zero result means a share of small order and is refused.
fn x25519_agree(private: &Secret<32>, peer: &[u8]) -> Option<Secret<32>> {
    let shared = Secret::new(x25519_dalek::x25519(*private.expose(), peer.try_into().ok()?));
    (shared != Secret::new([0; 32])).then_some(shared)
}

fn p256_generate(random: &mut dyn Random) -> KeyPair {
    let (private, scalar) = p256_scalar(random);
    let point = (ProjectivePoint::GENERATOR * *scalar).to_affine();
    KeyPair { private, public: PublicShare::new(point.to_sec1_point(false).as_bytes()) }
}

/// Draws until the number is a scalar of the group: all but one in 2^32 draws are.
fn p256_scalar(random: &mut dyn Random) -> (Secret<32>, NonZeroScalar) {
    loop {
        let mut private = Secret::new([0; 32]);
        random.fill(private.expose_mut());
        if let Some(scalar) = scalar_of(&private) {
            return (private, scalar);
        }
    }
}

fn scalar_of(private: &Secret<32>) -> Option<NonZeroScalar> {
    NonZeroScalar::from_repr((*private.expose()).into()).into()
}

fn p256_agree(private: &Secret<32>, peer: &[u8]) -> Option<Secret<32>> {
    // RFC 8422 section 5.4: the uncompressed form only; the curve equation is checked by the decoder.
    if peer.len() != 65 || peer.first() != Some(&4) {
        return None;
    }
    let peer = PublicKey::from_sec1_bytes(peer).ok()?;
    let mut scalar = scalar_of(private)?;
    let shared = (peer.to_projective() * *scalar).to_affine();
    scalar.zeroize();
    let mut x: [u8; 32] = shared.to_sec1_point(true).as_bytes().get(1..)?.try_into().ok()?;
    let secret = Secret::new(x);
    x.zeroize();
    Some(secret)
}
