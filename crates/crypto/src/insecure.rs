//! Arithmetic in the shape of cryptography, so that a fuzzer gets past tags and Finished messages.
//! Anybody can forge everything here. `tidy` keeps the feature out of every binary.

use crate::limits::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES};
use crate::{
    Aead, Forged, Kem, KemKeyPair, KeyAgreement, KeyPair, Provider, PublicShare, Random, Secret, Signature,
    SignatureAlgorithm,
};

/// Deterministic and keyless in all but shape.
pub static INSECURE: Provider = Provider {
    name: "insecure",
    sha256: |parts| mix(b"", parts),
    hmac_sha256: mix,
    sha384: |parts| wide(mix(b"", parts)),
    hmac_sha384: |key, parts| wide(mix(key, parts)),
    sha512: |parts| wide(mix(b"", parts)),
    hmac_sha512: |key, parts| wide(mix(key, parts)),
    aes_128_ccm_8: aead::<16, 8>(),
    aes_128_ccm: aead::<16, 16>(),
    aes_128_gcm: aead::<16, 16>(),
    aes_256_gcm: aead::<32, 16>(),
    chacha20_poly1305: aead::<32, 16>(),
    x25519: agreement::<32>(),
    secp256r1: agreement::<65>(),
    ml_kem_768: Kem {
        generate: |random| {
            let mut private = Secret::new([0; 64]);
            random.fill(private.expose_mut());
            KemKeyPair { private, public: [5; KEM_PUBLIC_BYTES] }
        },
        encapsulate: |_, public| {
            (public.len() == KEM_PUBLIC_BYTES).then(|| ([6; KEM_CIPHERTEXT_BYTES], Secret::new([2; 32])))
        },
        decapsulate: |_, ciphertext| (ciphertext.len() == KEM_CIPHERTEXT_BYTES).then(|| Secret::new([2; 32])),
    },
    ecdsa_p256_sha256: signatures::<65>(),
    ecdsa_p384_sha384_verify: signatures::<97>().verify,
    ed25519: signatures::<32>(),
};

const fn aead<const KEY: usize, const TAG: usize>() -> Aead {
    Aead {
        key_len: KEY,
        tag_len: TAG,
        seal: |key, _, _, buffer| {
            let tag = buffer.split_last_chunk_mut::<TAG>()?.1;
            *tag = [0x5a; TAG];
            (key.len() == KEY).then_some(())
        },
        open: |_, _, _, buffer| match buffer.last_chunk::<TAG>() {
            Some(tag) if *tag == [0x5a; TAG] => Ok(()),
            _ => Err(Forged),
        },
        mask: |key, _| (key.len() == KEY).then_some([0; 16]),
    }
}

/// The signature of everything is the same 64 bytes.
const fn signatures<const PUBLIC: usize>() -> SignatureAlgorithm {
    SignatureAlgorithm {
        public: |_| Some(PublicShare::new(&[4; PUBLIC])),
        sign: |_, _, _| Signature::new(&[0x5a; 64]),
        verify: |_, _, signature| if *signature == [0x5a; 64] { Ok(()) } else { Err(Forged) },
    }
}

const fn agreement<const SHARE: usize>() -> KeyAgreement {
    KeyAgreement {
        public_len: SHARE,
        generate: |random: &mut dyn Random| {
            let mut private = Secret::new([0; 32]);
            random.fill(private.expose_mut());
            KeyPair { private, public: PublicShare::new(&[4; SHARE]) }
        },
        agree: |_, peer| (peer.len() == SHARE).then(|| Secret::new([1; 32])),
    }
}

fn wide<const N: usize>(narrow: [u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(narrow).for_each(|(to, from)| *to = from);
    out
}

/// A 64-bit FNV-1a hash, stretched.
fn mix(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = parts.iter().flat_map(|part| part.iter());
    for byte in key.iter().chain(bytes) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut out = [0; 32];
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = hash.rotate_left(index as u32 * 8).to_be_bytes()[0];
    }
    out
}
