//! DICE and evidence: `bartizan_device::dice` and `bartizan_device::attest`.

use bartizan_crypto::{Provider, Random, Secret};
use bartizan_device::attest::Carry;
use bartizan_device::dice::{Algorithm, Board, Cdi, Code, Component, Form, Layer, Mode, SoftwareBoard, measured_boot};

use crate::keep;
use crate::memory::{input, output};

struct Source(extern "C" fn(*mut u8, usize));

impl Random for Source {
    fn fill(&mut self, out: &mut [u8]) {
        (self.0)(out.as_mut_ptr(), out.len());
    }
}

/// A whole start, from the board's secret to evidence: secrets, certificates of the chosen form, claims, signatures.
///
/// # Safety
/// As [`input`] for `code`, as [`output`] for `chain` and `out`; `provider` is valid for ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_start(
    provider: *const Provider,
    random: extern "C" fn(*mut u8, usize),
    code: *const u8,
    code_length: usize,
    chain: *mut u8,
    chain_length: usize,
    out: *mut u8,
    out_length: usize,
    choice: u8,
) {
    // SAFETY: as promised.
    let (provider, code, chain, out) =
        unsafe { (&*provider, input(code, code_length), output(chain, chain_length), output(out, out_length)) };
    let form = match choice & 3 {
        0 => Form::Cbor,
        1 => Form::X509,
        _ => Form::Tcg,
    };
    let algorithm = if choice & 4 == 0 { Algorithm::P256 } else { Algorithm::Ed25519 };
    let text = core::str::from_utf8(code).unwrap_or_default();
    let component = Component { name: text, version: text, security_version: Some(1), ..Component::default() };
    let parts = [code];
    let layer = |mode| Layer { code: Code::Parts(&parts), component, authority: [choice; 64], mode, hidden: None };
    let layers = [layer(Mode::Normal), layer(Mode::Debug), layer(Mode::Recovery)];
    let layers = layers.get(..usize::from(choice >> 4)).unwrap_or(&layers);
    let mut board = Named(SoftwareBoard::new(Secret::new([choice; 32]), 0, 0), code);
    let mut random = Source(random);
    let booted = measured_boot(provider, &mut random, &mut board, (form, algorithm), layers, chain);
    let Ok(attester) = booted else { return };
    let carry = if choice & 8 == 0 { Carry::Chain } else { Carry::Reference };
    keep(attester.evidence(provider, &mut random, code, &[choice; 32], carry, out));
    keep(attester.heartbeat(provider, &mut random, code, &[choice; 32], out));
    keep(attester.tagged_heartbeat(provider, &Secret::new([choice; 32]), code, out));
    keep(attester.seal_session(provider, &mut random, code, out));
    keep(attester.open_session(provider, out));
    keep((attester.session_sealing_key(provider), attester.operational_key(provider)));
    let mut place = [0; 64];
    attester.into_cdi().leave(&mut place);
    keep(Cdi::take(&mut place).is_some());
}

struct Named<'a>(SoftwareBoard, &'a [u8]);

impl Board for Named<'_> {
    fn take_uds(&mut self) -> Option<bartizan_device::dice::Uds> {
        self.0.take_uds()
    }

    fn next_boot_count(&mut self) -> Option<u64> {
        self.0.next_boot_count()
    }

    fn security_floor(&self) -> Option<u64> {
        self.0.security_floor()
    }

    fn ueid(&self) -> Option<&[u8]> {
        Some(self.1)
    }
}
