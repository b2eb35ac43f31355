//! What only this firmware on this device may read again: sleeping DTLS associations in flash.
//!
//! ```text
//! nonce (12) ‖ ciphertext ‖ tag (16)
//! ```
//!
//! The key comes from the attestation CDI, so firmware that has changed finds nothing that it could resume by
//! Connection ID: it must do a handshake, and attest.

use bartizan_crypto::{Aead, Provider, Random};

use super::Attester;
use crate::dice::Error;

/// By how much sealed bytes are longer.
pub const SEALED_EXTRA_BYTES: usize = NONCE_BYTES + TAG_BYTES;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const PURPOSE: &[u8] = b"bartizan sleeping session";

impl Attester<'_> {
    /// Seals a sleeping client's bytes for flash, under a nonce from `random`. Returns the length in `out`.
    ///
    /// # Errors
    /// `Unavailable` if `out` is not longer by [`SEALED_EXTRA_BYTES`], `Misuse` if the provider has no cipher for it.
    pub fn seal_session(
        &self,
        provider: &Provider,
        random: &mut dyn Random,
        asleep: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        const NO_ROOM: Error = Error::Unavailable("the buffer is too small for what is sealed");
        let key = self.session_sealing_key(provider)?;
        let (cipher, key) = cipher(provider, key.expose())?;
        let length = asleep.len().checked_add(SEALED_EXTRA_BYTES).ok_or(NO_ROOM)?;
        let (nonce, rest) =
            out.get_mut(..length).and_then(<[u8]>::split_first_chunk_mut::<NONCE_BYTES>).ok_or(NO_ROOM)?;
        random.fill(nonce);
        rest.get_mut(..asleep.len()).ok_or(NO_ROOM)?.copy_from_slice(asleep);
        (cipher.seal)(key, nonce, PURPOSE, rest).ok_or(NO_CIPHER)?;
        Ok(length)
    }

    /// Opens in place what [`Self::seal_session`] made. Wipe the bytes after use: they hold keys.
    ///
    /// # Errors
    /// `Untrusted` if other firmware or another device sealed it, or it is damaged: begin anew with a handshake.
    pub fn open_session<'b>(&self, provider: &Provider, sealed: &'b mut [u8]) -> Result<&'b [u8], Error> {
        const FOREIGN: Error = Error::Untrusted("a session that this firmware did not seal");
        let key = self.session_sealing_key(provider)?;
        let (cipher, key) = cipher(provider, key.expose())?;
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_BYTES>().ok_or(FOREIGN)?;
        (cipher.open)(key, nonce, PURPOSE, rest).map_err(|_| FOREIGN)?;
        let length = rest.len().checked_sub(TAG_BYTES).ok_or(FOREIGN)?;
        rest.get(..length).ok_or(FOREIGN)
    }
}

const NO_CIPHER: Error = Error::Misuse("a provider without a cipher to seal sessions with");

/// The strongest that the provider has; small devices have AES-CCM for their records anyway.
fn cipher<'p, 'k>(provider: &'p Provider, key: &'k [u8; 32]) -> Result<(&'p Aead, &'k [u8]), Error> {
    let ciphers = [&provider.aes_256_gcm, &provider.chacha20_poly1305, &provider.aes_128_ccm];
    let cipher = ciphers.into_iter().find(|cipher| !cipher.is_none() && cipher.tag_len == TAG_BYTES);
    let cipher = cipher.ok_or(NO_CIPHER)?;
    Ok((cipher, key.get(..cipher.key_len).ok_or(NO_CIPHER)?))
}
