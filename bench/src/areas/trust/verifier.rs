//! Whole appraisals beside the bare signatures in them, and beside a hundred times as many devices.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, ensure};
use bartizan_crypto::{AWS_LC, Provider, SignatureAlgorithm, Verify};
use bartizan_device::dice::{Algorithm, Form};
use bartizan_trust::dice::Chain;
use bartizan_trust::evidence::{Carried, ChainName};
use bartizan_trust::heartbeat::{Heartbeat, Proof, Standing};
use bartizan_wire::Attestation;

use super::fleet::{Device, EXPECTED, NOW, Platform, heartbeat_key, median};
use crate::cpu;
use crate::report::Figure;

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
/// Devices that attest in turn.
const ATTESTERS: usize = 64;
/// Rounds of appraisals and bare verifications in turn, so that both see the same machine.
const ROUNDS: usize = 9;
const PASSES: usize = 6;

type Verification = (Vec<u8>, Vec<u8>, Vec<u8>);

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let many = Platform::new(MANY)?;
    let cbor = Fleet::new(Form::Cbor, Algorithm::P256)?;
    let x509 = Fleet::new(Form::X509, Algorithm::P256)?;
    let cbor_ed = Fleet::new(Form::Cbor, Algorithm::Ed25519)?;
    let x509_ed = Fleet::new(Form::X509, Algorithm::Ed25519)?;
    let mut figures = Vec::new();
    let mut ratios = Vec::new();
    for (fleet, [rate, ratio], form) in [
        (&cbor, ["trust.appraisals_cbor_per_s_core", "trust.ratio_to_bare_verify_cbor"], "CBOR, P-256"),
        (&x509, ["trust.appraisals_x509_per_s_core", "trust.ratio_to_bare_verify_x509"], "X.509, P-256"),
        (
            &cbor_ed,
            ["trust.appraisals_cbor_ed25519_per_s_core", "trust.ratio_to_bare_verify_cbor_ed25519"],
            "CBOR, Ed25519",
        ),
        (
            &x509_ed,
            ["trust.appraisals_x509_ed25519_per_s_core", "trust.ratio_to_bare_verify_x509_ed25519"],
            "X.509, Ed25519",
        ),
    ] {
        let full = fleet.full(&many)?;
        ratios.push(full.ratio);
        figures.push(Figure::new(
            rate,
            full.rate,
            format!(
                "{form}: evidence with a chain of three layers, read, verified and appraised against the reference values of {MANY} devices"
            ),
        ));
        figures.push(Figure::new(
            ratio,
            full.ratio,
            format!(
                "the same over its {} signatures alone, verified by AWS-LC: {:.0} times a second",
                fleet.signatures(),
                full.bare
            ),
        ));
    }
    let least = ratios.into_iter().fold(f64::INFINITY, f64::min);
    figures.push(Figure::new("trust.ratio_to_bare_verify", least, "the least of the four"));
    figures.extend(known_chains(&many, &cbor, &cbor_ed)?);
    figures.push(flatness(&many, &cbor)?);
    figures.extend(heartbeats(&cbor)?);
    Ok(figures)
}

/// Evidence under a chain that was verified before.
fn known_chains(many: &Platform, cbor: &Fleet, cbor_ed: &Fleet) -> anyhow::Result<Vec<Figure>> {
    let (p256, ed25519) = (cbor.brief(many)?, cbor_ed.brief(many)?);
    Ok(vec![
        Figure::new(
            "trust.appraisals_known_chain_per_s_core",
            p256.rate,
            "P-256: evidence that only names its chain, which is kept verified in memory",
        ),
        Figure::new(
            "trust.ratio_to_bare_verify_known_chain",
            p256.ratio,
            format!("the same over its one signature: {:.0} a second", p256.bare),
        ),
        Figure::new(
            "trust.appraisals_known_chain_ed25519_per_s_core",
            ed25519.rate,
            format!("the same with Ed25519; {:.2} of its bare signature", ed25519.ratio),
        ),
    ])
}

/// Of a device whose verdict stands: signed ones beside their signature, tagged ones with the making of their key.
fn heartbeats(cbor: &Fleet) -> anyhow::Result<Vec<Figure>> {
    let signed = cbor.beside(|| cbor.prolong(false), last)?;
    let tagged = cbor.beside(|| cbor.prolong(true), last)?;
    let [signed_bytes, tagged_bytes] =
        cbor.devices.first().map_or([0; 2], |device| [&device.heartbeat, &device.tagged].map(Vec::len));
    Ok(vec![
        Figure::new(
            "trust.heartbeats_per_s_core",
            signed.rate,
            format!("of {signed_bytes} bytes, signed with P-256; {:.2} of the bare signature", signed.ratio),
        ),
        Figure::new(
            "trust.tagged_heartbeats_per_s_core",
            tagged.rate,
            format!("of {tagged_bytes} bytes, under a key made anew from the session's secret and the stored evidence"),
        ),
    ])
}

/// The token's signature.
fn last(calls: &[Verification]) -> &[Verification] {
    calls.last().map(std::slice::from_ref).unwrap_or_default()
}

fn flatness(many: &Platform, fleet: &Fleet) -> anyhow::Result<Figure> {
    let few = Platform::new(FEW)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (small, large) = (fleet.pass(&few)?, fleet.pass(many)?);
        rounds.push(small.as_secs_f64() / large.as_secs_f64());
    }
    Ok(Figure::new(
        "trust.flatness_ratio",
        median(rounds)?,
        format!("CBOR appraisals a second with {MANY} devices' reference values loaded over those with {FEW}"),
    ))
}

/// Devices of one form that attest in turn.
struct Fleet {
    devices: Vec<Device>,
    /// The verifications in each one's full evidence; the token's is the last.
    bare: Vec<Vec<Verification>>,
    chains: HashMap<ChainName, Chain>,
    /// The verdict over each one's full evidence.
    standing: Vec<Standing>,
    verify: Verify,
}

/// Appraisals beside bare verifications.
struct Beside {
    rate: f64,
    bare: f64,
    ratio: f64,
}

impl Fleet {
    fn new(form: Form, algorithm: Algorithm) -> anyhow::Result<Self> {
        let devices = Device::several(form, algorithm, ATTESTERS)?;
        let (mut bare, mut chains, mut standing) = (Vec::new(), HashMap::new(), Vec::new());
        for device in &devices {
            let carried = Carried::read(&device.full, NOW)?;
            let ((chain, evidence), calls) = recorded(|provider| {
                let chain = carried.chain(provider, &|_| None, NOW)?;
                carried.verify(provider, chain.clone()).map(|evidence| (chain, evidence))
            })?;
            let verdict = Standing::begin(Attestation::Affirming, &evidence, device.chain_name, NOW);
            standing.push(verdict.context("a verdict that nothing prolongs")?);
            chains.insert(device.chain_name, chain);
            bare.push(calls);
        }
        let verify = match algorithm {
            Algorithm::P256 => AWS_LC.ecdsa_p256_sha256.verify,
            Algorithm::Ed25519 => AWS_LC.ed25519.verify,
        };
        Ok(Self { devices, bare, chains, standing, verify })
    }

    fn signatures(&self) -> usize {
        self.bare.first().map_or(0, Vec::len)
    }

    fn full(&self, platform: &Platform) -> anyhow::Result<Beside> {
        self.beside(|| self.pass(platform), |calls| calls)
    }

    fn brief(&self, platform: &Platform) -> anyhow::Result<Beside> {
        let cached = |name: &ChainName| self.chains.get(name).cloned();
        let appraise = || {
            let before = cpu::of_thread();
            for _ in 0..PASSES {
                for (number, device) in self.devices.iter().enumerate() {
                    let evidence = bartizan_trust::evidence::open(&AWS_LC, &device.brief, &cached, NOW)?;
                    let verdict = platform.appraise(number, &device.identity, &evidence);
                    ensure!(verdict.tier == Attestation::Affirming, "{:?}", verdict.reasons);
                }
            }
            Ok(cpu::of_thread() - before)
        };
        self.beside(appraise, last)
    }

    /// CPU time of appraising every device's full evidence some times.
    fn pass(&self, platform: &Platform) -> anyhow::Result<Duration> {
        let before = cpu::of_thread();
        for _ in 0..PASSES {
            for (number, device) in self.devices.iter().enumerate() {
                platform.believe(number, &device.identity, &device.full)?;
            }
        }
        Ok(cpu::of_thread() - before)
    }

    /// CPU time of prolonging every device's verdict some times.
    fn prolong(&self, tagged: bool) -> anyhow::Result<Duration> {
        let before = cpu::of_thread();
        for _ in 0..PASSES {
            for (device, standing) in self.devices.iter().zip(&self.standing) {
                let prolonged = if tagged {
                    let key = heartbeat_key(&device.full);
                    let heartbeat = Heartbeat::read(&device.tagged)?;
                    standing.prolong(&AWS_LC, &heartbeat, Proof::Key(&key), &EXPECTED)?
                } else {
                    let heartbeat = Heartbeat::read(&device.heartbeat)?;
                    let chain = heartbeat.chain_name().and_then(|name| self.chains.get(name));
                    let leaf = &chain.context("a chain that is not known")?.leaf;
                    standing.prolong(&AWS_LC, &heartbeat, Proof::Leaf(leaf), &EXPECTED)?
                };
                black_box(prolonged);
            }
        }
        Ok(cpu::of_thread() - before)
    }

    fn beside(
        &self,
        appraise: impl Fn() -> anyhow::Result<Duration>,
        which: impl Fn(&[Verification]) -> &[Verification],
    ) -> anyhow::Result<Beside> {
        let bare = || {
            let before = cpu::of_thread();
            for _ in 0..PASSES {
                for (key, message, signature) in self.bare.iter().flat_map(|calls| which(calls)) {
                    black_box((self.verify)(key, message, signature)).ok().context("a signature of a device")?;
                }
            }
            anyhow::Ok(cpu::of_thread() - before)
        };
        // Once to warm up.
        appraise()?;
        bare()?;
        let (mut appraisals, mut verifications, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (whole, alone) = (appraise()?, bare()?);
            ratios.push(alone.as_secs_f64() / whole.as_secs_f64());
            let count = (PASSES * self.devices.len()) as u64;
            appraisals.push(cpu::per_second(count, whole));
            verifications.push(cpu::per_second(count, alone));
        }
        Ok(Beside { rate: median(appraisals)?, bare: median(verifications)?, ratio: median(ratios)? })
    }
}

thread_local! {
    static CALLS: RefCell<Vec<Verification>> = const { RefCell::new(Vec::new()) };
}

/// AWS-LC, which notes what it is asked to verify.
fn recorded<T, E>(work: impl FnOnce(&Provider) -> Result<T, E>) -> Result<(T, Vec<Verification>), E> {
    fn note(key: &[u8], message: &[u8], signature: &[u8]) {
        CALLS.with_borrow_mut(|calls| calls.push((key.to_vec(), message.to_vec(), signature.to_vec())));
    }
    let p256: Verify = |key, message, signature| {
        note(key, message, signature);
        (AWS_LC.ecdsa_p256_sha256.verify)(key, message, signature)
    };
    let ed25519: Verify = |key, message, signature| {
        note(key, message, signature);
        (AWS_LC.ed25519.verify)(key, message, signature)
    };
    let provider = Provider {
        ecdsa_p256_sha256: SignatureAlgorithm { verify: p256, ..AWS_LC.ecdsa_p256_sha256 },
        ed25519: SignatureAlgorithm { verify: ed25519, ..AWS_LC.ed25519 },
        ..AWS_LC
    };
    CALLS.take();
    let done = work(&provider)?;
    Ok((done, CALLS.take()))
}
