//! Ciphers that remember every nonce they were given, whoever used it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bartizan_crypto::{AWS_LC, Aead, Provider};

/// By key and nonce, what came of them.
type Sealed = HashMap<(Vec<u8>, [u8; 12]), u64>;

thread_local! {
    static SEALED: RefCell<Sealed> = RefCell::default();
}

macro_rules! watched {
    ($cipher:ident) => {
        Aead {
            seal: |key, nonce, aad, buffer| {
                (AWS_LC.$cipher.seal)(key, nonce, aad, buffer)?;
                note(key, nonce, aad, buffer);
                Some(())
            },
            ..AWS_LC.$cipher
        }
    };
}

/// For both sides of a simulation. Panics where a nonce is used twice under a key for different bytes.
pub static WATCHED: Provider = Provider {
    name: "watched",
    aes_128_ccm_8: watched!(aes_128_ccm_8),
    aes_128_ccm: watched!(aes_128_ccm),
    aes_128_gcm: watched!(aes_128_gcm),
    aes_256_gcm: watched!(aes_256_gcm),
    chacha20_poly1305: watched!(chacha20_poly1305),
    ..AWS_LC
};

fn note(key: &[u8], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) {
    let mut hasher = DefaultHasher::new();
    (aad, sealed).hash(&mut hasher);
    let record = hasher.finish();
    let before = SEALED.with_borrow_mut(|all| *all.entry((key.to_vec(), *nonce)).or_insert(record));
    assert_eq!(before, record, "a nonce was used twice: {nonce:02x?}");
}

/// Another world begins. Returns how many nonces there were.
pub fn forget_nonces() -> usize {
    SEALED.take().len()
}
