//! Secrets in memory: zeroed when dropped, compared in constant time, never printed.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits::SECRET_BYTES_MAX;

/// A secret of fixed length, such as a key or a master secret.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The secret's bytes; the caller takes over the care for every copy.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The same secret to be written in place.
    pub const fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(<{N} bytes>)")
    }
}

/// A secret of any length up to [`SECRET_BYTES_MAX`], such as a pre-shared key. Kept inline, so that no freed
/// heap block holds a copy.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes {
    bytes: [u8; SECRET_BYTES_MAX],
    length: u8,
}

impl SecretBytes {
    /// No secret at all.
    pub const EMPTY: Self = Self { bytes: [0; SECRET_BYTES_MAX], length: 0 };

    /// Copies `bytes`; `None` if there are more than [`SECRET_BYTES_MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut secret = Self { bytes: [0; SECRET_BYTES_MAX], length: u8::try_from(bytes.len()).ok()? };
        secret.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(secret)
    }

    /// The secret's bytes; the caller takes over the care for every copy.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.expose(), other.expose())
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(<hidden>)")
    }
}

/// Whether `a` and `b` are equal, in time that depends on their lengths only.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_bytes_stop_at_their_limit() {
        assert_eq!(SecretBytes::new(&[7; SECRET_BYTES_MAX]).unwrap().len(), 64);
        assert!(SecretBytes::new(&[7; SECRET_BYTES_MAX + 1]).is_none());
        assert!(SecretBytes::new(&[7; 300]).is_none());
    }

    #[test]
    fn equality_looks_at_length_and_content() {
        let key = SecretBytes::new(b"abcd").unwrap();
        assert_eq!(key, SecretBytes::new(b"abcd").unwrap());
        assert_ne!(key, SecretBytes::new(b"abce").unwrap());
        assert_ne!(key, SecretBytes::new(b"abcd\0").unwrap());
    }

    #[test]
    fn debug_output_holds_no_content() {
        extern crate std;
        let text = std::format!("{:?} {:?}", SecretBytes::new(b"AAAA"), Secret::new([65; 4]));
        assert!(!text.contains("65") && !text.contains("AAAA"), "{text}");
    }

    #[test]
    fn zeroize_leaves_nothing() {
        let mut key = SecretBytes::new(b"abcd").unwrap();
        key.zeroize();
        assert_eq!(key.bytes, [0; SECRET_BYTES_MAX]);
    }
}
