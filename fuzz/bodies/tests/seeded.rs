//! Every fuzz body on its seeds, on mutations of them, and on noise, by seed. A failure names the target, the
//! round and the input in hexadecimal, which the fuzzer takes as a file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bartizan_fuzz_bodies::{TARGETS, Target};

/// SplitMix64.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn noise(&mut self, length_max: usize) -> Vec<u8> {
        (0..self.below(length_max + 1)).map(|_| self.next() as u8).collect()
    }

    /// A few changes of the kinds that fuzzers make.
    fn mutate(&mut self, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next() as u8),
                2 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                3 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                4 if at < bytes.len() => drop(bytes.remove(at)),
                5 => {
                    let piece = other[self.below(other.len() + 1)..].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => bytes.extend(self.noise(8)),
            }
        }
        bytes.truncate(16 * 1024);
        bytes
    }
}

fn run(target: &Target) {
    let seeds = (target.seeds)();
    for input in &seeds {
        (target.body)(input);
    }
    let mut rng =
        Seeded(target.name.bytes().fold(1, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))));
    for round in 0..target.rounds {
        let input = if round % 8 == 0 {
            rng.noise(200)
        } else {
            let (one, other) = (rng.below(seeds.len()), rng.below(seeds.len()));
            rng.mutate(seeds[one].clone(), &seeds[other])
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.body)(&input)));
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(outcome.is_ok(), "{} fails in round {round} on {hex}", target.name);
    }
}

macro_rules! seeded {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() {
            run(TARGETS.iter().find(|target| target.name == stringify!($name)).unwrap());
        })+

        #[test]
        fn every_target_is_run_here_and_has_its_file() {
            let here = [$(stringify!($name)),+];
            let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(targets, here);
            for name in here {
                let file = format!("{}/../fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
                assert!(std::path::Path::new(&file).exists(), "{file} is missing");
            }
        }
    };
}

seeded! {
    coap_message, record_header, cbor_event, dtls_client, dtls_server, dtls_messages, dtls_stored, dtls_associations,
    dtls13_client, dtls13_server, dtls13_records, dtls13_messages, dtls13_associations, device_client,
    device_saved, judge_events, judge_state, csv_import, trust_cbor_chain, trust_x509_chain, trust_evidence,
    trust_psa_token,
}
