//! The work that no gateway can avoid: opening AES-128-CCM-8 records, and nothing else.

use bartizan_crypto::AWS_LC;

use crate::cpu;

/// Records of so many devices, so that keys change as they do in the gateway.
const DEVICES: usize = 256;
const ROUNDS: u64 = 2_000;
/// Record header with an 8-byte Connection ID, and the explicit nonce (RFC 9146 section 4, RFC 6655 section 3).
const HEADER_BYTES: usize = 13 + 8 + 8;
/// Additional data of a record with an 8-byte Connection ID (RFC 9146 section 5.3).
const AAD: [u8; 31] = [0x19; 31];
const NONCE: [u8; 12] = [3; 12];

/// How many records of `record_bytes` the gateway's own provider opens in a second of CPU time.
pub fn opens_per_second(record_bytes: usize) -> f64 {
    let sealed: Vec<([u8; 16], Vec<u8>)> = (0..DEVICES).map(|number| seal(number, record_bytes)).collect();
    let mut buffer = Vec::new();
    let mut opened = 0_u64;
    let before = cpu::of_thread();
    for _ in 0..ROUNDS {
        for (key, record) in &sealed {
            buffer.clone_from(record);
            opened += u64::from((AWS_LC.aes_128_ccm_8.open)(key, &NONCE, &AAD, &mut buffer).is_ok());
        }
    }
    assert_eq!(opened, ROUNDS * DEVICES as u64, "every record opens");
    cpu::per_second(opened, cpu::of_thread() - before)
}

fn seal(number: usize, record_bytes: usize) -> ([u8; 16], Vec<u8>) {
    let mut key = [0x42; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    let mut record = vec![0; record_bytes.saturating_sub(HEADER_BYTES).max(16)];
    (AWS_LC.aes_128_ccm_8.seal)(&key, &NONCE, &AAD, &mut record).expect("invariant: there is room for a tag");
    (key, record)
}
