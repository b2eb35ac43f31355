//! One AES block at a time, under a key that is kept expanded: what Connection IDs are encrypted with.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// AES-128 as a bare permutation (FIPS 197). Not a cipher for messages.
#[derive(Clone)]
pub struct Aes128Block(Aes128);

impl Aes128Block {
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Self {
        Self(Aes128::new(key.into()))
    }

    pub fn encrypt(&self, block: &mut [u8; 16]) {
        self.0.encrypt_block(block.into());
    }

    pub fn decrypt(&self, block: &mut [u8; 16]) {
        self.0.decrypt_block(block.into());
    }
}

impl core::fmt::Debug for Aes128Block {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Aes128Block(<hidden>)")
    }
}
