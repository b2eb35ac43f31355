//! Devices that attest, and what their platform knows of them.

use anyhow::{Context, ensure};
use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_device::attest::Carry;
use bartizan_device::dice::{Algorithm, Code, Component, Form, Layer, Mode, SoftwareBoard, measured_boot};
use bartizan_trust::appraisal::{Expected, LayerPolicy, Policy, Verdict, appraise};
use bartizan_trust::challenge::CHALLENGE_BYTES;
use bartizan_trust::evidence::{Carried, ChainName, Digest, HashAlgorithm};
use bartizan_trust::reference::{Class, ReferenceValues, SecurityVersion, Source, Value};
use bartizan_trust::{Evidence, Identity, heartbeat};
use bartizan_wire::{Attestation, UnixMillis};

pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const CODE: [(&str, [u8; 64]); 3] = [("bootloader", [1; 64]), ("radio", [2; 64]), ("firmware", [3; 64])];
const CHALLENGE: [u8; CHALLENGE_BYTES] = [0xC1; CHALLENGE_BYTES];
const BINDING: [u8; 32] = [0xB1; 32];
/// Devices of one make, each with a reference value of its own.
const DEVICES_PER_CLASS: usize = 50_000;

/// A device with three layers, and what it once said.
pub struct Device {
    pub identity: Identity,
    /// With the chain.
    pub full: Vec<u8>,
    /// With the chain's name.
    pub brief: Vec<u8>,
    /// Under the leaf key, and under the session's.
    pub heartbeat: Vec<u8>,
    pub tagged: Vec<u8>,
    pub chain_name: ChainName,
}

impl Device {
    pub fn new(form: Form, algorithm: Algorithm, number: usize) -> anyhow::Result<Self> {
        let mut secret = [0x5A; 32];
        secret[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let mut board = SoftwareBoard::new(Secret::new(secret), 300, 2);
        let layers = CODE.map(|(name, hash)| Layer {
            code: Code::Verified(hash),
            component: Component { name, version: "2.7", security_version: Some(3), ..Component::default() },
            authority: [9; 64],
            mode: Mode::Normal,
            hidden: None,
        });
        let mut random = |out: &mut [u8]| out.fill(7);
        let (mut chain, mut out) = ([0; 4_000], [0; 4_400]);
        let attester = measured_boot(&RUSTCRYPTO, &mut random, &mut board, (form, algorithm), &layers, &mut chain)?;
        let mut said = |carry| {
            let made = attester.evidence(&RUSTCRYPTO, &mut random, &CHALLENGE, &BINDING, carry, &mut out);
            made.map(|length| out[..length].to_vec())
        };
        let (full, brief) = (said(Carry::Chain)?, said(Carry::Reference)?);
        let length = attester.heartbeat(&RUSTCRYPTO, &mut random, &CHALLENGE, &BINDING, &mut out)?;
        let heartbeat = out[..length].to_vec();
        let length = attester.tagged_heartbeat(&RUSTCRYPTO, &heartbeat_key(&full), &CHALLENGE, &mut out)?;
        let tagged = out[..length].to_vec();
        Ok(Self { identity: *attester.identity(), full, brief, heartbeat, tagged, chain_name: *attester.reference() })
    }

    pub fn several(form: Form, algorithm: Algorithm, count: usize) -> anyhow::Result<Vec<Self>> {
        (0..count).map(|number| Self::new(form, algorithm, number)).collect()
    }
}

/// What heartbeats are tagged with after this evidence.
pub fn heartbeat_key(evidence: &[u8]) -> Secret<32> {
    heartbeat::key(&AWS_LC, &Secret::new([0xE1; 32]), evidence)
}

/// What heartbeats must answer.
pub const EXPECTED: heartbeat::Expected<'static> =
    heartbeat::Expected { nonce: &CHALLENGE, challenged: NOW, binding: &BINDING };

/// What is held against devices of one make.
pub struct Platform {
    pub references: ReferenceValues,
    policy: Policy,
    classes: Vec<Class>,
}

impl Platform {
    /// Knows the firmware of so many devices: of every make the three layers, and of every device a value that is its
    /// own, such as that of a configuration.
    pub fn new(devices: usize) -> anyhow::Result<Self> {
        let policy = Policy { layers: CODE.map(|(name, _)| LayerPolicy::known(name)).into(), ..Policy::default() };
        let count = devices.div_ceil(DEVICES_PER_CLASS).max(1);
        let classes: Vec<Class> = (0..count).map(|number| Class::new("Maker", &format!("Meter {number}"))).collect();
        let mut references = ReferenceValues::new();
        for class in &classes {
            for (component, hash) in CODE {
                let digest = Digest { algorithm: HashAlgorithm::Sha512, bytes: hash.to_vec() };
                references.add(value(class, None, component, "2.7".into(), digest))?;
            }
        }
        for (number, class) in (0..devices).zip(classes.iter().cycle()) {
            let identity = identity_of(number);
            let digest = Digest { algorithm: HashAlgorithm::Sha256, bytes: identity.0.to_vec() };
            references.add(value(class, Some(identity), "radio", number.to_string(), digest))?;
        }
        Ok(Self { references, policy, classes })
    }

    /// Judges what a device said.
    pub fn appraise(&self, number: usize, registered: &Identity, evidence: &Evidence) -> Verdict {
        let expected = Expected {
            class: &self.classes[number % self.classes.len()],
            identity: registered,
            nonce: &CHALLENGE,
            challenged: NOW,
            binding: Some(&BINDING),
            last_boot_count: Some(300),
            last_boot_seed: None,
            now: NOW,
        };
        appraise(&self.policy, &self.references, evidence, &expected)
    }

    /// Reads and verifies evidence with its chain, and judges it.
    ///
    /// # Errors
    /// Unless all is as it should be.
    pub fn believe(&self, number: usize, registered: &Identity, bytes: &[u8]) -> anyhow::Result<()> {
        let carried = Carried::read(bytes, NOW)?;
        let chain = carried.chain(&AWS_LC, &|_| None, NOW)?;
        let verdict = self.appraise(number, registered, &carried.verify(&AWS_LC, chain)?);
        ensure!(verdict.tier == Attestation::Affirming, "{:?}", verdict.reasons);
        Ok(())
    }
}

fn value(class: &Class, instance: Option<Identity>, component: &str, version: String, digest: Digest) -> Value {
    Value {
        class: class.clone(),
        instance,
        component: component.into(),
        version: Some(version),
        security_version: Some(SecurityVersion::AtLeast(3)),
        digests: vec![digest],
        source: Source::Measured { by: "bench".into() },
        withdrawn: false,
    }
}

/// Of a device that never attests here.
pub fn identity_of(number: usize) -> Identity {
    Identity((AWS_LC.sha256)(&[&(number as u64).to_be_bytes()]))
}

/// The element in the middle of them.
pub fn median(mut values: Vec<f64>) -> anyhow::Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("nothing was measured")
}
