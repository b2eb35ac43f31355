//! What a device does to be believed: at each start secrets and certificates of three layers, then evidence with all
//! of them, in Ed25519 and CBOR. No heap.

use bartizan_crypto::{Provider, RUSTCRYPTO, Random, Secret};
use bartizan_device::attest::Carry;
use bartizan_device::dice::{Algorithm, Code, Component, Error, Form, Layer, Mode, SoftwareBoard, measured_boot};

/// Only what this needs: the linker leaves the rest out.
static DEVICE: Provider = Provider {
    sha512: RUSTCRYPTO.sha512,
    hmac_sha512: RUSTCRYPTO.hmac_sha512,
    ed25519: RUSTCRYPTO.ed25519,
    ..RUSTCRYPTO.only_psk_ccm()
};

/// Longest chain, and longest evidence.
pub const BUFFER_BYTES: usize = 2048;

/// An example's; a device reads its own from a place that it can lock.
const SECRET: Secret<32> = Secret::new([0x5A; 32]);

/// Starts, attests, and returns the length of the evidence in `out`.
#[inline(never)]
pub fn start_and_attest(random: &mut dyn Random, chain: &mut [u8], out: &mut [u8]) -> Result<usize, Error> {
    let layer = |name, hash| Layer {
        code: Code::Verified([hash; 64]),
        component: Component { name, version: "2.7", security_version: Some(3), ..Component::default() },
        authority: [9; 64],
        mode: Mode::Normal,
        hidden: None,
    };
    let layers = [layer("bootloader", 1), layer("radio", 2), layer("firmware", 3)];
    let mut board = SoftwareBoard::new(SECRET, 300, 2);
    let attester = measured_boot(&DEVICE, random, &mut board, (Form::Cbor, Algorithm::Ed25519), &layers, chain)?;
    attester.evidence(&DEVICE, random, &[0xC1; 30], &[0xB1; 32], Carry::Chain, out)
}
