//! A water meter's flash, and the board under it: what it measures when it starts, and what somebody may change.
//!
//! Nothing here says "tampered" to anybody. Bytes of an image change, the next start measures them, and all that
//! follows from them (other keys, other certificates) is the engine's doing.

use bartizan_crypto::{RUSTCRYPTO, Random, Secret};
use bartizan_device::attest::Attester;
use bartizan_device::dice::{Algorithm, Code, Component, Form, Layer, Mode, SoftwareBoard, Uds, measured_boot};
use bartizan_trust::Identity;

use crate::random::Seeded;

/// Room for the chain of certificates of one start.
pub const CHAIN_BYTES: usize = 2_048;
/// The key that signs releases, by its hash: what secure boot obeys.
const AUTHORITY: [u8; 64] = [0xA7; 64];
/// The rollback floor that is fused into every meter.
const SECURITY_FLOOR: u64 = 1;

/// One image as its maker released it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    pub component: &'static str,
    pub version: &'static str,
    pub security_version: u64,
    bytes: usize,
}

/// What meters of this city run, in the order of boot.
pub const RELEASES: [Release; 2] = [
    Release { component: "bootloader", version: "1.2.0", security_version: 2, bytes: 1_024 },
    Release { component: "firmware", version: "2.4.1", security_version: 5, bytes: 8_192 },
];

impl Release {
    /// The image, the same in every city.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        let mut image = vec![0; self.bytes];
        Seeded::new(self.bytes as u64).bytes(&mut image);
        image
    }
}

/// The flash of one meter, and its board.
pub struct Flash {
    secret: Secret<32>,
    starts: u64,
    images: [Vec<u8>; RELEASES.len()],
}

impl Flash {
    /// As it leaves the factory.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret: Secret::new(secret), starts: 0, images: RELEASES.map(|release| release.image()) }
    }

    /// Who the meter with this secret is, whatever it runs: what its maker writes into the order file.
    #[must_use]
    pub fn identity(secret: [u8; 32]) -> Identity {
        let pair = Uds::new(Secret::new(secret)).key_pair(&RUSTCRYPTO, Algorithm::Ed25519);
        pair.expect("invariant: the provider has Ed25519").public().thumbprint(&RUSTCRYPTO)
    }

    /// Somebody with a programmer changes a routine of the firmware.
    pub fn patch_firmware(&mut self) {
        let [.., firmware] = &mut self.images;
        firmware.iter_mut().skip(0x400).take(24).for_each(|byte| *byte ^= 0x5A);
    }

    /// Writes the released images.
    pub fn restore(&mut self) {
        self.images = RELEASES.map(|release| release.image());
    }

    /// Starts the meter: measures what lies here, makes the start's keys, counts it.
    pub fn start<'c>(&mut self, random: &mut dyn Random, chain: &'c mut [u8; CHAIN_BYTES]) -> Attester<'c> {
        self.start_in(Form::Cbor, random, chain)
    }

    /// The same with certificates of this form: those of X.509 can be shown in a handshake.
    pub fn start_in<'c>(
        &mut self,
        form: Form,
        random: &mut dyn Random,
        chain: &'c mut [u8; CHAIN_BYTES],
    ) -> Attester<'c> {
        let mut board = SoftwareBoard::new(self.secret.clone(), self.starts, SECURITY_FLOOR);
        self.starts += 1;
        let parts = self.images.each_ref().map(|image| [image.as_slice()]);
        let layers: Vec<Layer<'_>> = RELEASES
            .iter()
            .zip(&parts)
            .map(|(release, parts)| Layer {
                code: Code::Parts(parts),
                component: Component {
                    name: release.component,
                    version: release.version,
                    security_version: Some(release.security_version),
                    ..Component::default()
                },
                authority: AUTHORITY,
                mode: Mode::Normal,
                hidden: None,
            })
            .collect();
        let how = (form, Algorithm::Ed25519);
        measured_boot(&RUSTCRYPTO, random, &mut board, how, &layers, chain)
            .expect("invariant: two layers fit into the chain's room")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(out: &mut [u8]) {
        out.fill(3);
    }

    #[test]
    fn changed_bytes_make_another_attester_of_the_same_device() {
        let (mut good, mut bad) = (Flash::new([1; 32]), Flash::new([1; 32]));
        bad.patch_firmware();
        let mut rooms = [[0; CHAIN_BYTES]; 2];
        let [room, other] = &mut rooms;
        let (good, bad) = (good.start(&mut random, room), bad.start(&mut random, other));
        assert_eq!(*good.identity(), Flash::identity([1; 32]));
        assert_eq!(good.identity(), bad.identity());
        assert_ne!(good.public_key(), bad.public_key());
        let sealing = |attester: &Attester<'_>| attester.session_sealing_key(&RUSTCRYPTO).unwrap();
        assert!(sealing(&good) != sealing(&bad), "a saved session of the good one does not open");
    }

    #[test]
    fn a_repaired_flash_is_what_it_was_and_its_starts_are_counted() {
        let mut flash = Flash::new([2; 32]);
        flash.patch_firmware();
        flash.restore();
        let mut rooms = [[0; CHAIN_BYTES]; 2];
        let [room, other] = &mut rooms;
        let public = *flash.start(&mut random, room).public_key();
        assert_eq!(*Flash::new([2; 32]).start(&mut random, other).public_key(), public);
        assert_eq!(flash.start(&mut random, other).boot_count(), Some(2));
    }
}
