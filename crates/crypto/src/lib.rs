//! The primitives that Bartizan's protocols stand on, as one plain struct.
//!
//! A [`Provider`] is a table of functions: hashes, MACs, AEADs, key agreements, signatures. Protocol code takes a
//! `&'static Provider` and never names a cipher crate, so a device links RustCrypto ([`RUSTCRYPTO`]), a server
//! AWS-LC ([`AWS_LC`], feature `aws-lc`), and a fuzz target arithmetic that anybody can forge
//! (`INSECURE`, feature `insecure-test`).
//!
//! ```
//! use bartizan_crypto::RUSTCRYPTO;
//!
//! let digest = (RUSTCRYPTO.sha256)(&[b"ab", b"c"]);
//! assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
//! ```
//!
//! Keys are passed raw and expanded per call: an expanded AES key costs a session 352 bytes to keep and 69 ns to
//! make again. Secrets at rest are the business of [`at_rest`]; secrets in memory of [`Secret`] and [`SecretBytes`].
#![no_std]

#[cfg(feature = "aws-lc")]
extern crate alloc;

#[cfg(feature = "aws-lc")]
pub mod at_rest;
#[cfg(feature = "aws-lc")]
mod aws_lc;
mod block;
mod ed25519;
#[cfg(feature = "insecure-test")]
mod insecure;
pub mod limits;
mod provider;
mod rustcrypto;
mod secret;

#[cfg(feature = "aws-lc")]
pub use aws_lc::{AWS_LC, sha1_name};
pub use block::Aes128Block;
pub use ed25519::is_weak_ed25519;
#[cfg(feature = "insecure-test")]
pub use insecure::INSECURE;
pub use provider::{
    Aead, Forged, Kem, KemKeyPair, KeyAgreement, KeyPair, Provider, PublicShare, Signature, SignatureAlgorithm, Verify,
};
pub use rustcrypto::RUSTCRYPTO;
pub use secret::{Secret, SecretBytes, constant_time_eq};

/// A source of randomness that the caller hands in. It never fails: a caller whose source can fail must stop
/// before it comes here.
pub trait Random {
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}
