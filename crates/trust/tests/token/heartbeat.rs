//! Heartbeats: what prolongs a verdict, and everything that does not.

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_trust::cbor::Strict;
use bartizan_trust::cose::Shape;
use bartizan_trust::eat::{Claims, Nonce};
use bartizan_trust::evidence::{self, Carried, ChainName, Profile};
use bartizan_trust::heartbeat::{self, Expected, Heartbeat, Proof, Standing};
use bartizan_trust::{Error, Evidence, limits};
use bartizan_wire::{Attestation, UnixMillis};

use crate::common::NOW;
use crate::common::build::Pair;
use crate::maker::{Device, claims};
use crate::notation::{bytes, int, map};

const CHALLENGE: [u8; 30] = [0xC7; 30];
const BINDING: [u8; 32] = [0xB7; 32];
const SEED: [u8; 16] = [5; 16];
const LATER: UnixMillis = UnixMillis(NOW.0 + 60_000);
const EXPECTED: Expected<'static> = Expected { nonce: &CHALLENGE, challenged: LATER, binding: &BINDING };
const EXPORTER: Secret<32> = Secret::new([0xE1; 32]);

/// A device with its evidence, and the verdict over it.
struct Scene {
    device: Device,
    evidence: Evidence,
    full: Vec<u8>,
    name: ChainName,
}

impl Scene {
    fn new(p256: bool) -> Self {
        let device = Device::new(Profile::OpenDiceCbor, p256, 1);
        let full = device.full(&claims());
        let evidence = evidence::open(&AWS_LC, &full, &|_| None, NOW).unwrap();
        let name = Carried::read(&full, NOW).unwrap().chain_name(&AWS_LC);
        Self { device, evidence, full, name }
    }

    fn standing(&self) -> Standing {
        Standing::begin(Attestation::Affirming, &self.evidence, self.name, NOW).unwrap()
    }

    fn prolong(&self, heartbeat: &[u8]) -> Result<Standing, Error> {
        let leaf = self.device.leaf.public();
        self.standing().prolong(&AWS_LC, &Heartbeat::read(heartbeat)?, Proof::Leaf(&leaf), &EXPECTED)
    }

    fn key(&self) -> Secret<32> {
        heartbeat::key(&RUSTCRYPTO, &EXPORTER, &self.full)
    }

    fn prolong_tagged(&self, heartbeat: &[u8]) -> Result<Standing, Error> {
        let key = heartbeat::key(&AWS_LC, &EXPORTER, &self.full);
        self.standing().prolong(&AWS_LC, &Heartbeat::read(heartbeat)?, Proof::Key(&key), &EXPECTED)
    }

    fn tagged(&self, count: Option<u64>) -> Vec<u8> {
        let mut out = [0; 160];
        let length = heartbeat::write(&RUSTCRYPTO, &self.key(), &CHALLENGE, count, &SEED, &mut out).unwrap();
        out[..length].to_vec()
    }
}

fn said(count: Option<u64>) -> Claims<'static> {
    heartbeat::claims(Nonce { challenge: &CHALLENGE, binding: Some(&BINDING) }, count, &SEED)
}

fn untrusted(outcome: &Result<Standing, Error>) -> bool {
    matches!(outcome, Err(Error::Untrusted(_)))
}

#[test]
fn a_heartbeat_makes_a_verdict_younger_and_nothing_else() {
    for p256 in [true, false] {
        let scene = Scene::new(p256);
        for prolonged in
            [scene.prolong(&scene.device.brief(&said(Some(41)))), scene.prolong_tagged(&scene.tagged(Some(41)))]
        {
            let prolonged = prolonged.unwrap();
            assert_eq!(
                (prolonged.tier(), prolonged.since(), prolonged.challenged()),
                (Attestation::Affirming, NOW, LATER)
            );
        }
        let heartbeat = scene.device.brief(&said(Some(41)));
        let (leaf, heartbeat) = (scene.device.leaf.public(), Heartbeat::read(&heartbeat).unwrap());
        let earlier = Expected { challenged: UnixMillis(1), ..EXPECTED };
        let standing = scene.standing().prolong(&AWS_LC, &heartbeat, Proof::Leaf(&leaf), &earlier).unwrap();
        assert_eq!(standing, scene.standing(), "an old challenge makes nothing older");
    }
}

#[test]
fn only_a_good_verdict_can_be_prolonged() {
    let scene = Scene::new(true);
    let begin = |tier, evidence| Standing::begin(tier, evidence, scene.name, NOW);
    for (tier, good) in [
        (Attestation::None, false),
        (Attestation::Affirming, true),
        (Attestation::Warning, true),
        (Attestation::Contraindicated, false),
    ] {
        assert_eq!(begin(tier, &scene.evidence).map(|standing| standing.tier()), good.then_some(tier));
    }
    let nameless = Evidence { boot_count: None, boot_seed: None, ..scene.evidence.clone() };
    assert_eq!(begin(Attestation::Affirming, &nameless), None);
}

#[test]
fn another_start_firmware_session_challenge_or_key_prolongs_nothing() {
    let scene = Scene::new(true);
    let device = &scene.device;
    for (count, fault) in [(Some(42), "the next start"), (Some(40), "the one before"), (None, "a start by its seed")] {
        assert!(untrusted(&scene.prolong(&device.brief(&said(count)))), "{fault}");
        assert!(untrusted(&scene.prolong_tagged(&scene.tagged(count))), "{fault}");
    }
    let nonce = |challenge: &'static [u8], binding: &'static [u8; 32]| Claims {
        nonce: Some(Nonce { challenge, binding: Some(binding) }),
        ..said(Some(41))
    };
    assert!(untrusted(&scene.prolong(&device.brief(&nonce(&[0xC8; 30], &BINDING)))), "another challenge");
    assert!(untrusted(&scene.prolong(&device.brief(&nonce(&CHALLENGE[..29], &BINDING)))), "a part of it");
    assert!(untrusted(&scene.prolong(&device.brief(&nonce(&CHALLENGE, &[0xB8; 32])))), "another session");
    let other = Device { chain: vec![0x80], ..Device::new(Profile::OpenDiceCbor, true, 1) };
    assert!(untrusted(&scene.prolong(&other.brief(&said(Some(41))))), "another chain under the same key");
    let stranger = Device { leaf: Pair::new(9, true), ..Device::new(Profile::OpenDiceCbor, true, 1) };
    assert!(untrusted(&scene.prolong(&stranger.brief(&said(Some(41))))), "another key under the same name");

    // The key of a tag is one session's, and one evidence's.
    let keys = [
        heartbeat::key(&AWS_LC, &Secret::new([0xE2; 32]), &scene.full),
        heartbeat::key(&AWS_LC, &EXPORTER, &device.brief(&claims())),
    ];
    for key in keys {
        let (tagged, standing) = (scene.tagged(Some(41)), scene.standing());
        let heartbeat = Heartbeat::read(&tagged).unwrap();
        assert!(untrusted(&standing.prolong(&AWS_LC, &heartbeat, Proof::Key(&key), &EXPECTED)));
    }
    let both = [device.brief(&said(Some(41))), scene.tagged(Some(41))];
    assert!(untrusted(&scene.prolong_tagged(&both[0])) && untrusted(&scene.prolong(&both[1])), "proven in another way");
    assert!(Heartbeat::read(&both[1]).unwrap().is_tagged());
}

/// A board without a counter says its seed instead.
#[test]
fn a_seed_tells_starts_apart_where_nothing_counts() {
    let mut scene = Scene::new(false);
    scene.evidence.boot_count = None;
    assert!(scene.prolong(&scene.device.brief(&said(None))).is_ok());
    assert!(scene.prolong_tagged(&scene.tagged(None)).is_ok());
    scene.evidence.boot_seed = Some(vec![6; 16]);
    assert!(untrusted(&scene.prolong(&scene.device.brief(&said(None)))));
    assert!(untrusted(&scene.prolong_tagged(&scene.tagged(None))));
}

#[test]
fn a_heartbeat_says_nothing_that_would_have_to_be_believed() {
    let scene = Scene::new(true);
    let device = &scene.device;
    let unbound = Nonce { challenge: &CHALLENGE, binding: None };
    for (claims, fault) in [
        (Claims { nonce: Some(unbound), ..said(Some(41)) }, "no binding"),
        (Claims { nonce: None, ..said(Some(41)) }, "no nonce"),
        (Claims { boot_count: None, ..said(Some(41)) }, "no start"),
        (Claims { boot_seed: Some(&SEED), ..said(Some(41)) }, "two names of a start"),
        (Claims { security_version: Some(9), ..said(Some(41)) }, "a version"),
        (claims(), "evidence"),
    ] {
        assert!(matches!(Heartbeat::read(&device.brief(&claims)), Err(Error::Misbehaved(_))), "{fault}");
    }
    assert!(Heartbeat::read(&device.full(&said(Some(41)))).is_err(), "with its chain");
    assert!(Heartbeat::read(&device.evidence(&map(&[]), &said(Some(41)))).is_err(), "without a name");
    let two = map(&[(int(4), bytes(&scene.name)), (int(99), int(1))]);
    assert!(Heartbeat::read(&device.evidence(&two, &said(Some(41)))).is_err(), "something beside the name");
    assert!(Carried::read(&device.brief(&said(Some(41))), NOW).is_err(), "a heartbeat is no evidence");
    let tagged = scene.tagged(Some(41));
    assert!(Carried::read(&tagged, NOW).is_err(), "nor is one with a tag");
    // {1: 5}: a longer tag is another algorithm.
    let mut longer = tagged.clone();
    longer[4] = 5;
    assert!(Heartbeat::read(&longer).is_err());
    let carried = |prefix: &[u8], bytes: &[u8]| [prefix, bytes].concat();
    assert!(scene.prolong_tagged(&carried(&[0xD1], &tagged)).is_ok(), "its COSE tag says nothing more");
    assert!(Heartbeat::read(&carried(&[0xD2], &tagged)).is_err(), "another one's");
}

#[test]
fn no_flipped_bit_prolongs() {
    for p256 in [true, false] {
        let scene = Scene::new(p256);
        let signed = scene.device.brief(&said(Some(41)));
        let tagged = scene.tagged(Some(41));
        for (heartbeat, shape) in [(&signed, Shape::Sign1), (&tagged, Shape::Mac0)] {
            for bit in 0..heartbeat.len() * 8 {
                let mut changed = heartbeat.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(scene.prolong(&changed).is_err() && scene.prolong_tagged(&changed).is_err(), "{shape:?} {bit}");
            }
            for length in 0..heartbeat.len() {
                assert!(Heartbeat::read(&heartbeat[..length]).is_err(), "{shape:?} {length}");
            }
        }
    }
}

#[test]
fn heartbeats_are_small_and_end_at_their_limits() {
    let scene = Scene::new(false);
    assert_eq!((scene.tagged(Some(41)).len(), scene.tagged(Some(u64::MAX)).len()), (56, 63));
    let write = |challenge: &[u8], seed: &[u8], room: usize| {
        heartbeat::write(&RUSTCRYPTO, &scene.key(), challenge, None, seed, &mut [0; 200][..room])
    };
    let longest = write(&[1; 64], &[1; 64], 160).unwrap();
    for room in 0..longest {
        assert!(matches!(write(&[1; 64], &[1; 64], room), Err(Error::Unavailable(_))), "{room}");
    }
    for (challenge, seed) in [(7, 16), (65, 16), (8, 0), (8, 65)] {
        assert!(matches!(write(&vec![1; challenge], &vec![1; seed], 160), Err(Error::Misuse(_))));
    }
    let key = scene.device.brief(&said(Some(41)));
    assert!(Strict::new(&key).is_ok() && key.len() < 200);
    let noise = vec![0; limits::HEARTBEAT_BYTES_MAX + 1];
    assert!(matches!(Heartbeat::read(&noise), Err(Error::Unavailable(_))));
    assert!(matches!(Heartbeat::read(&noise[1..]), Err(Error::Malformed(_))));
}
