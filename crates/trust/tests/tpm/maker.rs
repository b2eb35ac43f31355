//! A TPM that consists of keys in memory: it signs whatever it is told, so that attacks can be written down.

use bartizan_crypto::{AWS_LC, Secret};
use bartizan_trust::tpm::{Attributes, Carried, Name, Public};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
pub const SIGNING: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 16 | 1 << 18;
/// The same, with decrypt for sign and adminWithPolicy.
pub const STORAGE: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 16 | 1 << 17;
pub const CHALLENGE: [u8; 30] = [7; 30];
pub const BINDING: [u8; 32] = [9; 32];

pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// TPMT_PUBLIC of an ECC key on P-256.
pub fn public(private: &Secret<32>, attributes: u32) -> Vec<u8> {
    let point = (AWS_LC.ecdsa_p256_sha256.public)(private).unwrap();
    let (x, y) = point.as_slice()[1..].split_at(32);
    let decrypts = Attributes(attributes).hold(Attributes::DECRYPT);
    let symmetric: &[u8] = if decrypts { &[0, 6, 0, 128, 0, 0x43] } else { &[0, 0x10] };
    let scheme: &[u8] = if decrypts { &[0, 0x10] } else { &[0, 0x18, 0, 0x0B] };
    let head = [&[0, 0x23, 0, 0x0B][..], &attributes.to_be_bytes(), &sized(&[]), symmetric, scheme];
    [head.concat(), vec![0, 3, 0, 0x10], sized(x), sized(y)].concat()
}

#[derive(Clone)]
pub struct Tpm {
    pub endorsement: Secret<32>,
    pub key: Secret<32>,
    pub attributes: u32,
    pub registers: Vec<(u8, Vec<u8>)>,
    pub log: Vec<u8>,
    /// clock, resets, restarts
    pub clock: (u64, u32, u32),
    pub magic: u32,
}

impl Tpm {
    pub fn new(secret: u8) -> Self {
        let registers = vec![(0, vec![0; 32]), (4, vec![0; 32])];
        let mut tpm = Self {
            endorsement: Secret::new([secret; 32]),
            key: Secret::new([secret + 100; 32]),
            attributes: SIGNING,
            registers,
            log: header(),
            clock: (1_000, 3, 0),
            magic: 0xFF54_4347,
        };
        tpm.measure(0, 8, b"firmware 1");
        tpm.measure(4, 0x8000_0003, b"shim 1");
        tpm.measure(4, 0x8000_0003, b"loader 1");
        tpm
    }

    /// What firmware does: an event for the log, and the register extended.
    pub fn measure(&mut self, register: u8, kind: u32, code: &[u8]) {
        let digest = (AWS_LC.sha256)(&[code]);
        let (_, value) = self.registers.iter_mut().find(|(number, _)| *number == register).unwrap();
        *value = (AWS_LC.sha256)(&[value, &digest]).to_vec();
        self.log.extend(event(register.into(), kind, &digest, code));
    }

    pub fn endorsement(&self) -> Public {
        Public::read(&public(&self.endorsement, STORAGE)).unwrap()
    }

    pub fn name(&self) -> Name {
        Public::read(&public(&self.key, self.attributes)).unwrap().name(&AWS_LC)
    }

    pub fn quote(&self, extra: &[u8]) -> Vec<u8> {
        let key = Public::read(&public(&self.key, self.attributes)).unwrap();
        let signer = key.qualified_name(&AWS_LC, &self.endorsement());
        let values: Vec<&[u8]> = self.registers.iter().map(|(_, value)| value.as_slice()).collect();
        let bits = self.registers.iter().fold(0u32, |bits, (number, _)| bits | 1 << number).to_le_bytes();
        let (clock, resets, restarts) = self.clock;
        let parts: [&[u8]; 13] = [
            &self.magic.to_be_bytes(),
            &[0x80, 0x18],
            &sized(signer.as_slice()),
            &sized(extra),
            &clock.to_be_bytes(),
            &resets.to_be_bytes(),
            &restarts.to_be_bytes(),
            &[1],
            &[0x20; 8],
            &[0, 0, 0, 1, 0, 0x0B, 3],
            &bits[..3],
            &[],
            &sized(&(AWS_LC.sha256)(&values)),
        ];
        parts.concat()
    }

    pub fn sign(&self, quote: &[u8]) -> Vec<u8> {
        let mut random = |out: &mut [u8]| out.fill(1);
        let der = (AWS_LC.ecdsa_p256_sha256.sign)(&self.key, &mut random, quote).unwrap();
        let (r, s) = numbers(der.as_slice());
        [vec![0, 0x18, 0, 0x0B], sized(r), sized(s)].concat()
    }

    pub fn evidence(&self) -> Vec<u8> {
        let quote = self.quote(&BINDING);
        self.evidence_of(&quote, &self.sign(&quote))
    }

    pub fn evidence_of(&self, quote: &[u8], signature: &[u8]) -> Vec<u8> {
        let (endorsement, key) = (public(&self.endorsement, STORAGE), public(&self.key, self.attributes));
        Carried::write([&CHALLENGE, &endorsement, &key], [quote, signature], &self.registers, &self.log)
    }
}

/// R and S of a DER signature, without the zeros that keep them positive.
fn numbers(der: &[u8]) -> (&[u8], &[u8]) {
    let r = &der[4..4 + usize::from(der[3])];
    let s = &der[4 + r.len() + 2..];
    (r.strip_prefix(&[0]).unwrap_or(r), s.strip_prefix(&[0]).unwrap_or(s))
}

/// The header of a log with digests by SHA-1 and SHA-256.
pub fn header() -> Vec<u8> {
    let banks = [2u32.to_le_bytes().as_slice(), &[4, 0, 20, 0, 0x0B, 0, 32, 0], &[0]].concat();
    let spec = [b"Spec ID Event03\0".as_slice(), &[0, 0, 0, 0, 0, 2, 0, 2], &banks].concat();
    [&[0; 4], &3u32.to_le_bytes()[..], &[0; 20], &(spec.len() as u32).to_le_bytes(), &spec].concat()
}

pub fn event(register: u32, kind: u32, digest: &[u8; 32], data: &[u8]) -> Vec<u8> {
    let head = [register.to_le_bytes(), kind.to_le_bytes(), 2u32.to_le_bytes()].concat();
    let digests = [&[4, 0][..], &[0; 20], &[0x0B, 0], digest].concat();
    [head, digests, (data.len() as u32).to_le_bytes().to_vec(), data.to_vec()].concat()
}
