//! DICE chains: which device signed, and which layers it started, proven from the first certificate to the last.
//!
//! Both families come out as one [`Chain`]: [`cbor`] reads the Open Profile for DICE in its CBOR form, [`x509`] its
//! X.509 form and TCG's. Nothing in a chain is an anchor. Whoever makes a key pair can begin a chain with it, so
//! [`Chain::identity`] is only a name until it is found among the identities that were provisioned.

pub mod cbor;
mod open;
pub mod tcb;
pub mod x509;

pub use open::key_id;

use alloc::vec::Vec;

use bartizan_wire::UnixMillis;

use crate::evidence::Profile;
use crate::{Error, Identity, Layer, PublicKey};

/// What a verified chain proves about whoever holds the key of its last certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub profile: Profile,
    /// Of the key that the first certificate is verified with.
    pub identity: Identity,
    /// In the order of boot.
    pub layers: Vec<Layer>,
    /// Verifies the attester's token, and nothing else: it changes with the firmware and names nobody.
    pub leaf: PublicKey,
    /// The last moment at which all its certificates hold. `None`: none of them ends.
    pub valid_until: Option<UnixMillis>,
}

/// Every layer derives a key of its own: a key that comes twice is a certificate that was put in twice.
fn distinct<'a>(keys: impl Iterator<Item = &'a PublicKey> + Clone) -> Result<(), Error> {
    let repeats = |(index, key): (usize, &PublicKey)| keys.clone().take(index).any(|earlier| earlier == key);
    if keys.clone().enumerate().any(repeats) {
        return Err(Error::Misbehaved("a chain with the same key twice"));
    }
    Ok(())
}
