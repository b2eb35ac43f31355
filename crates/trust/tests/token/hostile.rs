//! Every decoder takes any bytes: noise from seeds, and good inputs with some of their bytes changed.

use bartizan_crypto::AWS_LC;
use bartizan_trust::cbor::Strict;
use bartizan_trust::cmw::Cmw;
use bartizan_trust::eat::Claims;
use bartizan_trust::{Identity, evidence, psa};
use minicbor::encode::Encoder;

use crate::common::NOW;
use crate::maker::{Device, claims};
use crate::notation::{array, bytes, int, map, text};
use crate::vectors;

/// xorshift64*: a failure is a seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }

    /// Bytes of nothing, or of something that was good.
    fn input(&mut self, good: &[Vec<u8>]) -> Vec<u8> {
        if self.below(4) == 0 {
            return (0..self.below(64)).map(|_| self.next() as u8).collect();
        }
        let mut out = good[self.below(good.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len());
            match self.below(4) {
                0 => out[at] = self.next() as u8,
                1 => out[at] ^= 1 << self.below(8),
                2 => out.insert(at, self.next() as u8),
                _ => drop(out.drain(at..(at + self.below(8)).min(out.len()))),
            }
            if out.is_empty() {
                break;
            }
        }
        out
    }
}

fn written(claims: &Claims<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    claims.write(&mut Encoder::new(&mut out)).unwrap();
    out
}

#[test]
fn claims_that_read_are_written_and_read_again() {
    let good =
        [written(&claims()), written(&Claims { ueid: Some(&[1; 17]), software_name: Some("meter"), ..claims() })];
    let mut noise = Noise(0x4541_5401);
    let mut read = 0;
    for _ in 0..40_000 {
        let input = noise.input(&good);
        if let Ok(claims) = Strict::new(&input).and_then(Claims::read) {
            let again = written(&claims);
            assert_eq!(Claims::read(Strict::new(&again).unwrap()), Ok(claims));
            read += 1;
        }
    }
    assert!(read > 1_000, "only {read} inputs got anywhere");
}

#[test]
fn wrappers_end() {
    let record = array(&[text("application/eat+cwt"), bytes(&[1, 2, 3]), int(4)]);
    let inner = map(&[(int(1), record.clone()), (text("__cmwc_t"), text("tag:a.b,2026:c"))]);
    let good =
        [record.clone(), map(&[(text("a"), inner), (int(-7), record)]), b"\xDA\x63\x74\x02\x09\x45token".to_vec()];
    let mut noise = Noise(0x434D_5701);
    for _ in 0..40_000 {
        let input = noise.input(&good);
        if let Ok(Cmw::Collection(collection)) = Strict::new(&input).and_then(Cmw::read) {
            assert!(collection.entries().count() > 0);
            collection.entries().for_each(|(label, _)| assert!(collection.under(label).is_some()));
            let _ = collection.fits_json();
        }
    }
}

#[test]
fn no_noise_is_evidence() {
    let good: Vec<_> =
        Device::each().flat_map(|(_, device)| [device.full(&claims()), device.brief(&claims())]).collect();
    let whole = |opened: &bartizan_trust::Evidence| opened.nonce == [0xC4; 16] && opened.binding == Some([0xB1; 32]);
    let mut noise = Noise(0x4556_4944);
    for _ in 0..10_000 {
        let input = noise.input(&good);
        if let Ok(opened) = evidence::open(&AWS_LC, &input, &|_| None, NOW) {
            assert!(whole(&opened), "{input:02x?}");
        }
    }
}

#[test]
fn no_noise_is_a_psa_token() {
    let good: Vec<_> = vectors("psatoken/tf-m", "_sign1.bin").into_iter().map(|(_, token)| token).collect();
    if good.is_empty() {
        return;
    }
    let key = crate::common::build::Pair::new(1, true).public();
    let mut noise = Noise(0x5053_4101);
    for _ in 0..20_000 {
        let input = noise.input(&good);
        assert!(psa::open(&AWS_LC, &input, &key, Identity([0; 32])).is_err());
        if let Ok(item) = Strict::new(&input) {
            drop(psa::Claims::read(item));
        }
    }
}
