//! The cryptography that a server's handshake cannot do without, and nothing else.

use std::fmt;
use std::hint::black_box;

use bartizan_crypto::{AWS_LC, Provider, Secret};

use super::world::{Kind, random};
use crate::cpu;

const PROVIDER: &Provider = &AWS_LC;

/// How often a server calls each primitive in one handshake.
#[derive(Clone, Copy, Default)]
pub struct Work {
    /// HMAC-SHA-256 over some 64 bytes: cookie, key schedule, Finished.
    hmacs: u32,
    /// SHA-256 over a transcript of some 512 bytes.
    hashes: u32,
    /// Sealing or opening a record of some 32 bytes.
    records: u32,
    /// Making an X25519 pair and agreeing.
    agreements: u32,
    signatures: u32,
    verifications: u32,
    encapsulations: u32,
}

/// The calls that RFC 5246, 7627 and 5705 ask for in DTLS 1.2, and RFC 8446 section 7.1 in 1.3; the cookie is made
/// and checked once.
pub fn handshake(kind: Kind) -> Work {
    let v12 = Work { hmacs: 16, hashes: 3, records: 2, ..Work::default() };
    let v13 = Work { hmacs: 36, hashes: 7, records: 4, ..Work::default() };
    match kind {
        Kind::Psk => v12,
        Kind::EcdhePsk => Work { agreements: 1, ..v12 },
        Kind::EcdsaMutual => Work { agreements: 1, signatures: 1, verifications: 1, ..v12 },
        Kind::Psk13 => v13,
        Kind::Hybrid13 => Work { agreements: 1, encapsulations: 1, ..v13 },
    }
}

impl Work {
    /// How often a core does it all in a second.
    pub fn per_second(self, count: u32) -> f64 {
        let inputs = Inputs::new();
        let before = cpu::of_thread();
        for _ in 0..count {
            self.once(&inputs);
        }
        cpu::per_second(u64::from(count), cpu::of_thread() - before)
    }

    fn once(self, inputs: &Inputs) {
        for _ in 0..self.hmacs {
            black_box((PROVIDER.hmac_sha256)(&inputs.key, &[&inputs.message[..64]]));
        }
        for _ in 0..self.hashes {
            black_box((PROVIDER.sha256)(&[&inputs.message]));
        }
        for _ in 0..self.records {
            let mut record = [0; 40];
            black_box((PROVIDER.aes_128_ccm_8.seal)(&inputs.key[..16], &[1; 12], &[2; 31], &mut record));
        }
        for _ in 0..self.agreements {
            let pair = (PROVIDER.x25519.generate)(&mut random);
            black_box((PROVIDER.x25519.agree)(&pair.private, &inputs.share));
        }
        for _ in 0..self.signatures {
            black_box((PROVIDER.ecdsa_p256_sha256.sign)(&inputs.private, &mut random, &inputs.message));
        }
        for _ in 0..self.verifications {
            let _ = black_box((PROVIDER.ecdsa_p256_sha256.verify)(&inputs.public, &inputs.message, &inputs.signature));
        }
        for _ in 0..self.encapsulations {
            black_box((PROVIDER.ml_kem_768.encapsulate)(&mut random, &inputs.kem));
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} HMACs, {} hashes, {} records", self.hmacs, self.hashes, self.records)?;
        let rest = [
            (self.agreements, "X25519 exchange"),
            (self.signatures, "ECDSA signature"),
            (self.verifications, "ECDSA verification"),
            (self.encapsulations, "ML-KEM encapsulation"),
        ];
        rest.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

struct Inputs {
    key: [u8; 32],
    message: [u8; 512],
    share: Vec<u8>,
    private: Secret<32>,
    public: Vec<u8>,
    signature: Vec<u8>,
    kem: Vec<u8>,
}

impl Inputs {
    fn new() -> Self {
        let private = Secret::new([7; 32]);
        let ecdsa = &PROVIDER.ecdsa_p256_sha256;
        let message = [5; 512];
        let public = (ecdsa.public)(&private).expect("invariant: 7 repeated is a private key");
        let signature = (ecdsa.sign)(&private, &mut random, &message).expect("invariant: the key signs");
        Self {
            key: [3; 32],
            message,
            share: (PROVIDER.x25519.generate)(&mut random).public.as_slice().to_vec(),
            private,
            public: public.as_slice().to_vec(),
            signature: signature.as_slice().to_vec(),
            kem: (PROVIDER.ml_kem_768.generate)(&mut random).public.to_vec(),
        }
    }
}
