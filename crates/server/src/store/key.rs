//! Secrets at rest: sealed under the key file, each bound to its place.

use bartizan_crypto::at_rest;
use bartizan_wire::{DeviceId, TenantId};
use zeroize::Zeroizing;

/// The 256-bit key of the key file.
pub use bartizan_crypto::at_rest::Key as MasterKey;

/// Seals and opens what the databases hold. Its key is derived, so that no other use of the key file can open it.
#[derive(Clone)]
pub struct Sealer(MasterKey);

/// Where a sealed value lies. A value moved elsewhere does not open.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// A device's key.
    Psk(TenantId, DeviceId),
    /// The private key of a tenant's authority, by its public half.
    AuthorityKey(TenantId, &'a [u8]),
    /// A key that its device has not used yet.
    PendingPsk(TenantId, DeviceId),
    /// A kept reply of an operator.
    Reply { operator: &'a str, key: &'a str },
    /// The gateway's own key and certificate.
    GatewayKey,
    /// The value that tells whether this is the right key file.
    KeyCheck,
}

impl Sealer {
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self(key.derive("bartizan registry"))
    }

    #[must_use]
    pub fn seal(&self, place: Place, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        at_rest::seal(&self.0, &mut fill_random, &place.aad(), plain, &mut out);
        out
    }

    /// `None` if the value was not sealed with this key for this place.
    #[must_use]
    pub fn open(&self, place: Place, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        at_rest::open(&self.0, &place.aad(), sealed).map(Zeroizing::new)
    }
}

impl Place<'_> {
    fn aad(&self) -> Vec<u8> {
        match self {
            Self::Psk(tenant, device) => format!("devices.psk|{}|{}", tenant.0, device.0),
            Self::AuthorityKey(tenant, key_info) => {
                return [format!("authorities.key|{}|", tenant.0).as_bytes(), key_info].concat();
            }
            Self::PendingPsk(tenant, device) => format!("pending_keys.psk|{}|{}", tenant.0, device.0),
            Self::Reply { operator, key } => format!("idempotency.body|{}|{operator}|{key}", operator.len()),
            Self::GatewayKey => "meta.gateway_key".into(),
            Self::KeyCheck => "meta.key_check".into(),
        }
        .into_bytes()
    }
}

/// Randomness of the operating system.
///
/// # Panics
/// If there is none: nothing may be keyed then.
pub fn fill_random(out: &mut [u8]) {
    getrandom::fill(out).expect("invariant: the operating system has randomness");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_in_its_place_and_with_its_key() {
        let sealer = Sealer::new(&MasterKey::from_bytes([7; 32]));
        let place = Place::Psk(TenantId(1), DeviceId(2));
        let sealed = sealer.seal(place, b"secret key bytes");
        assert_eq!(sealer.open(place, &sealed).unwrap().as_slice(), b"secret key bytes");
        let pending = Place::PendingPsk(TenantId(1), DeviceId(2));
        for other in
            [Place::Psk(TenantId(2), DeviceId(2)), Place::Psk(TenantId(1), DeviceId(3)), pending, Place::KeyCheck]
        {
            assert!(sealer.open(other, &sealed).is_none());
        }
        assert!(Sealer::new(&MasterKey::from_bytes([8; 32])).open(place, &sealed).is_none());
        assert_ne!(sealed, sealer.seal(place, b"secret key bytes"), "nonces are fresh");
    }
}
