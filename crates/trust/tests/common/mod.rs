//! Where the vectors are, and the keys behind those that do not come with one.
#![allow(dead_code, reason = "each test file needs a part of it")]
#![allow(clippy::disallowed_methods, reason = "vectors are files")]

pub mod build;

use std::path::{Path, PathBuf};

use bartizan_crypto::{Provider, RUSTCRYPTO, Secret};
use bartizan_trust::PublicKey;
use bartizan_trust::cose::SigningKey;
use bartizan_wire::UnixMillis;

/// A day in 2026.
pub const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

/// The folder of vectors, or `None`, which it says.
pub fn vectors(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("BARTIZAN_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")), PathBuf::from);
    let path = root.join("trust").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no vectors at {}; set BARTIZAN_VECTORS", path.display());
    None
}

pub fn read(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

pub fn hex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The pseudo-random inputs of open-dice's tests: SHA-512 of a counter that starts as SHA-512 of the name.
pub fn input<const N: usize>(name: &str) -> [u8; N] {
    let mut counter = (RUSTCRYPTO.sha512)(&[name.as_bytes()]);
    let mut out = [0; N];
    for chunk in out.chunks_mut(64) {
        chunk.copy_from_slice(&(RUSTCRYPTO.sha512)(&[&counter])[..chunk.len()]);
        let number = u64::from_le_bytes(counter[..8].try_into().unwrap()) + 1;
        counter[..8].copy_from_slice(&number.to_le_bytes());
    }
    out
}

/// HKDF-SHA-512 (RFC 5869) with 32 bytes of output.
fn hkdf(provider: &Provider, secret: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let key = (provider.hmac_sha512)(salt, &[secret]);
    (provider.hmac_sha512)(&key, &[info, &[1]])[..32].try_into().unwrap()
}

/// The private key that the Open Profile derives from a CDI or UDS.
pub fn derived(cdi: &[u8; 32], p256: bool) -> Secret<32> {
    /// The profile's ASYM_SALT.
    const SALT: &str = "63b6a04d2c077fc10f639f21da793844356cc2b0b441b3a77124035c03f8e1be\
                        6035d31f282821a7450a02222ab1b3cff1679b05ab1ca5d1affb789ccd2b0b3b";
    let seed = hkdf(&RUSTCRYPTO, cdi, &hex(SALT), b"Key Pair");
    if !p256 {
        return Secret::new(seed);
    }
    let hmac = RUSTCRYPTO.hmac_sha512;
    let (mut key, mut value) = ([0; 64], [1; 64]);
    for round in [0, 1] {
        key = hmac(&key, &[&value, &[round], &seed]);
        value = hmac(&key, &[&value]);
    }
    Secret::new(hmac(&key, &[&value])[..32].try_into().unwrap())
}

pub fn signing(secret: &Secret<32>, p256: bool) -> SigningKey<'_> {
    if p256 { SigningKey::P256(secret) } else { SigningKey::Ed25519(secret) }
}

pub fn public(cdi: &[u8; 32], p256: bool) -> PublicKey {
    signing(&derived(cdi, p256), p256).public(&RUSTCRYPTO).unwrap()
}

/// Files with this ending, sorted.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    paths.sort();
    paths
}

/// Marsaglia's generator: a test's failure is its seed.
pub struct Xorshift(pub u64);

impl Xorshift {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
