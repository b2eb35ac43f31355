//! Manifests of reference values (CoRIM), signed by the test itself.
#![allow(dead_code, reason = "each test binary uses its part")]

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_sim::RELEASES;
use bartizan_trust::PublicKey;
use bartizan_trust::cose::{Shape, SigningKey, put_signed};
use minicbor::Encoder;
use minicbor::data::Tag;

pub const VENDOR: &str = "Acme";
pub const MODEL: &str = "WM-100";

/// What one component measures.
#[derive(Clone, Debug)]
pub struct Value {
    pub component: String,
    pub version: String,
    pub security_version: u64,
    pub sha512: [u8; 64],
}

/// A manifest with one tag.
#[derive(Clone, Debug)]
pub struct Corim {
    pub tag: &'static str,
    pub tag_version: u64,
    pub model: &'static str,
    pub values: Vec<Value>,
}

impl Corim {
    /// What every meter of the simulated city runs.
    pub fn released() -> Self {
        let value = |release: bartizan_sim::Release| Value {
            component: release.component.into(),
            version: release.version.into(),
            security_version: release.security_version,
            sha512: (AWS_LC.sha512)(&[&release.image()]),
        };
        Self { tag: "wm-release", tag_version: 1, model: MODEL, values: RELEASES.map(value).to_vec() }
    }

    fn comid(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut to = Encoder::new(&mut out);
        to.map(2).unwrap().u8(1).unwrap().map(2).unwrap();
        to.u8(0).unwrap().str(self.tag).unwrap().u8(1).unwrap().u64(self.tag_version).unwrap();
        to.u8(4).unwrap().map(1).unwrap().u8(0).unwrap().array(self.values.len() as u64).unwrap();
        for value in &self.values {
            to.array(2).unwrap().map(1).unwrap().u8(0).unwrap().map(2).unwrap();
            to.u8(1).unwrap().str(VENDOR).unwrap().u8(2).unwrap().str(self.model).unwrap();
            to.array(1).unwrap().map(2).unwrap().u8(0).unwrap().str(&value.component).unwrap().u8(1).unwrap();
            to.map(3).unwrap().u8(0).unwrap().map(1).unwrap().u8(0).unwrap().str(&value.version).unwrap();
            to.u8(1).unwrap().tag(Tag::new(552)).unwrap().u64(value.security_version).unwrap();
            to.u8(2).unwrap().array(1).unwrap().array(2).unwrap().u8(8).unwrap().bytes(&value.sha512).unwrap();
        }
        out
    }

    fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut to = Encoder::new(&mut out);
        to.tag(Tag::new(501)).unwrap().map(2).unwrap().u8(0).unwrap().str("acme-wm").unwrap();
        to.u8(1).unwrap().array(1).unwrap().tag(Tag::new(506)).unwrap().bytes(&self.comid()).unwrap();
        out
    }

    /// Signed with the P-256 key of this number.
    pub fn signed(&self, by: u8) -> Vec<u8> {
        let mut meta = Vec::new();
        let mut to = Encoder::new(&mut meta);
        to.map(1).unwrap().u8(0).unwrap().map(1).unwrap().u8(0).unwrap().str(VENDOR).unwrap();
        let mut protected = Vec::new();
        let mut to = Encoder::new(&mut protected);
        to.map(3).unwrap().u8(1).unwrap().i8(-7).unwrap().u8(3).unwrap().str("application/rim+cbor").unwrap();
        to.u8(8).unwrap().bytes(&meta).unwrap();
        let payload = self.payload();
        let mut signed = Vec::new();
        put_signed(&mut Encoder::new(&mut signed), Shape::Sign1, &protected, b"", &payload).unwrap();
        let key = SigningKey::P256(&key(by)).sign(&AWS_LC, &mut |out: &mut [u8]| out.fill(7), &signed).unwrap();
        let mut out = Vec::new();
        let mut to = Encoder::new(&mut out);
        to.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(&protected).unwrap().map(0).unwrap();
        to.bytes(&payload).unwrap().bytes(&key).unwrap();
        out
    }
}

fn key(by: u8) -> Secret<32> {
    Secret::new([by; 32])
}

/// The public key of this number as openssl writes one.
pub fn pem(by: u8) -> String {
    let PublicKey::P256(point) = SigningKey::P256(&key(by)).public(&RUSTCRYPTO).unwrap() else { unreachable!() };
    let algorithm = b"\x30\x59\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";
    let der = [&algorithm[..], b"\x03\x42\x00", &point].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der))
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let mut padded = [0; 4];
        padded[1..=three.len()].copy_from_slice(three);
        let number = u32::from_be_bytes(padded);
        let digit = |place: usize| match place <= three.len() {
            true => char::from(alphabet[(number >> (18 - 6 * place)) as usize & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
