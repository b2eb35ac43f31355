//! Measured boot from a board's secret to evidence, and what each changed byte does to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_crypto::{AWS_LC, Provider, RUSTCRYPTO, Secret};
use bartizan_device::attest::{Attester, Carry, SEALED_EXTRA_BYTES};
use bartizan_device::dice::{
    Algorithm, Board, Cdi, Code, Component, Error, Form, Inputs, Layer, Mode, SoftwareBoard, Uds, measured_boot,
};
use bartizan_device::limits;
use bartizan_trust::Evidence;
use bartizan_trust::cbor::Strict;
use bartizan_trust::cose::{Envelope, Shape};
use bartizan_trust::dice::Chain;
use bartizan_trust::evidence::{self, Profile, open};
use bartizan_trust::heartbeat::{self, Expected, Heartbeat, Proof, Standing};
use bartizan_wire::{Attestation, UnixMillis};

const FORMS: [Form; 3] = [Form::Cbor, Form::X509, Form::Tcg];
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Ed25519, Algorithm::P256];
const CHALLENGE: &[u8] = &[0xC1; 16];
const BINDING: [u8; 32] = [0xB1; 32];

fn rng(out: &mut [u8]) {
    out.fill(7);
}

fn board() -> SoftwareBoard {
    SoftwareBoard::new(Secret::new([0x5A; 32]), 300, 2)
}

fn component<'a>(name: &'a str, version: &'a str) -> Component<'a> {
    Component { name, version, security_version: Some(3), ..Component::default() }
}

/// A meter in three layers, from its simulated flash.
struct Flash([Vec<u8>; 3]);

impl Flash {
    fn new() -> Self {
        Self([vec![1; 300], vec![2; 200], vec![3; 1_000]])
    }

    fn boot<'c>(&self, form: Form, algorithm: Algorithm, chain: &'c mut [u8]) -> Result<Attester<'c>, Error> {
        let parts = self.0.each_ref().map(|code| [code.as_slice()]);
        let layer = |index: usize, component| Layer {
            code: Code::Parts(&parts[index]),
            component,
            authority: [9; 64],
            mode: Mode::Normal,
            hidden: None,
        };
        let layers = [
            layer(0, component("bootloader", "1.0")),
            layer(1, component("radio", "4.1")),
            layer(2, component("firmware", "2.7")),
        ];
        measured_boot(&RUSTCRYPTO, &mut rng, &mut board(), (form, algorithm), &layers, chain)
    }
}

fn evidence(attester: &Attester<'_>, carry: Carry) -> Vec<u8> {
    let mut out = [0; 4_000];
    let length = attester.evidence(&RUSTCRYPTO, &mut rng, CHALLENGE, &BINDING, carry, &mut out).unwrap();
    out[..length].to_vec()
}

#[test]
fn a_changed_byte_changes_all_that_follows_and_never_who_the_device_is() {
    let mut rooms = [[0; 4_000]; 2];
    let [room, other_room] = &mut rooms;
    let good = Flash::new().boot(Form::Cbor, Algorithm::Ed25519, room).unwrap();
    for layer in 0..3 {
        let mut flash = Flash::new();
        flash.0[layer][100] ^= 1;
        let bad = flash.boot(Form::Cbor, Algorithm::Ed25519, other_room).unwrap();
        assert_eq!(bad.identity(), good.identity());
        assert_ne!(bad.public_key(), good.public_key());
        assert_ne!(bad.reference(), good.reference());
        assert_ne!(bad.session_sealing_key(&RUSTCRYPTO).unwrap(), good.session_sealing_key(&RUSTCRYPTO).unwrap());
        assert_eq!(bad.operational_key(&RUSTCRYPTO).unwrap(), good.operational_key(&RUSTCRYPTO).unwrap());
    }
}

/// CDIs after each of three layers, with a change in one of them.
fn secrets(change: impl Fn(usize, &mut Inputs<'_>)) -> Vec<(Secret<32>, Secret<32>)> {
    let mut cdi = Uds::new(Secret::new([0x5A; 32])).into_cdi();
    let mut all = Vec::new();
    for layer in 0..3 {
        let mut inputs = Inputs { code: [layer as u8; 64], mode: Mode::Normal, ..Inputs::default() };
        change(layer, &mut inputs);
        cdi = cdi.next(&RUSTCRYPTO, &inputs).unwrap();
        all.push((cdi.expose().0.clone(), cdi.expose().1.clone()));
    }
    all
}

#[test]
fn each_input_reaches_the_secrets_that_it_must() {
    let good = secrets(|_, _| {});
    let hidden = Secret::new([4; 64]);
    type Change<'h> = (&'h str, bool, Box<dyn Fn(&mut Inputs<'_>) + 'h>);
    let changes: [Change<'_>; 5] = [
        ("code", false, Box::new(|inputs| inputs.code[63] ^= 1)),
        ("config", false, Box::new(|inputs| inputs.config = bartizan_device::dice::Config::Descriptor(&[0xA0]))),
        ("authority", true, Box::new(|inputs| inputs.authority[0] ^= 0x80)),
        ("mode", true, Box::new(|inputs| inputs.mode = Mode::Debug)),
        ("hidden", true, Box::new(|inputs| inputs.hidden = None)),
    ];
    for at in 0..3 {
        for (name, seals, change) in &changes[..4] {
            let bad = secrets(|layer, inputs| {
                if layer == at {
                    change(inputs);
                }
            });
            for layer in 0..3 {
                let (attest, seal) = (bad[layer].0 != good[layer].0, bad[layer].1 != good[layer].1);
                assert_eq!((attest, seal), (layer >= at, *seals && layer >= at), "{name} of {at}, seen in {layer}");
            }
        }
    }
    let first = |hidden| {
        let cdi = Uds::new(Secret::new([0x5A; 32])).into_cdi();
        cdi.next(&RUSTCRYPTO, &Inputs { hidden, ..Inputs::default() }).unwrap()
    };
    assert_ne!(first(Some(&hidden)).expose(), first(None).expose());
}

#[test]
fn a_secret_is_taken_once() {
    let mut board = board();
    assert!(board.take_uds().is_some() && board.take_uds().is_none());
    let parts: [&[u8]; 1] = [b"code"];
    let layer = Layer {
        code: Code::Parts(&parts),
        component: Component::default(),
        authority: [0; 64],
        mode: Mode::Normal,
        hidden: None,
    };
    let mut chain = [0; 900];
    let form = (Form::Cbor, Algorithm::P256);
    let booted = measured_boot(&RUSTCRYPTO, &mut rng, &mut board, form, &[layer], &mut chain);
    assert_eq!(booted.err(), Some(Error::Misuse("the board's secret was taken before")));

    let mut place = [0; 64];
    Cdi::new(Secret::new([1; 32]), Secret::new([2; 32])).leave(&mut place);
    assert_eq!((place[31], place[32]), (1, 2));
    let taken = Cdi::take(&mut place).unwrap();
    assert_eq!(taken.expose(), (&Secret::new([1; 32]), &Secret::new([2; 32])));
    assert_eq!(place, [0; 64]);
    assert!(Cdi::take(&mut place).is_none());
}

#[test]
fn code_that_secure_boot_has_hashed_is_the_code_that_is_measured() {
    let parts: [&[u8]; 2] = [b"co", b"de"];
    let codes = [Code::Parts(&parts), Code::Verified((RUSTCRYPTO.sha512)(&[b"code"]))];
    let [a, b] = codes.map(|code| {
        let layer =
            Layer { code, component: Component::default(), authority: [0; 64], mode: Mode::Normal, hidden: None };
        let mut chain = [0; 900];
        let form = (Form::Cbor, Algorithm::Ed25519);
        *measured_boot(&RUSTCRYPTO, &mut rng, &mut board(), form, &[layer], &mut chain).unwrap().public_key()
    });
    assert_eq!(a, b);
}

#[test]
fn a_provider_without_hashes_is_refused() {
    let psk_only: Provider = RUSTCRYPTO.only_psk_ccm();
    let cdi = Uds::new(Secret::new([1; 32])).into_cdi();
    assert_eq!(cdi.session_sealing_key(&psk_only), Err(Error::Misuse("a provider without SHA-512")));
    assert!(cdi.key_pair(&psk_only, Algorithm::Ed25519).is_err());
    assert!(cdi.next(&psk_only, &Inputs::default()).is_err());
}

#[test]
fn layers_end_at_their_limit() {
    let layer = Layer {
        code: Code::Verified([1; 64]),
        component: Component::default(),
        authority: [0; 64],
        mode: Mode::Normal,
        hidden: None,
    };
    let boot = |count: usize| {
        let layers = vec![layer; count];
        let mut chain = [0; 8_000];
        let form = (Form::X509, Algorithm::Ed25519);
        measured_boot(&RUSTCRYPTO, &mut rng, &mut board(), form, &layers, &mut chain).map(drop)
    };
    assert_eq!(boot(limits::LAYERS_MAX), Ok(()));
    assert!(matches!(boot(limits::LAYERS_MAX + 1), Err(Error::Unavailable(_))));
    assert!(matches!(boot(0), Err(Error::Misuse(_))));
}

#[test]
fn descriptors_end_at_their_limit() {
    let text = "n".repeat(200);
    // A map's head, then for each text five bytes of label and one or two of head.
    for (name, version, fits) in [(128, 113, true), (128, 114, false), (129, 0, false), (0, 129, false), (0, 0, true)] {
        let component = Component { name: &text[..name], version: &text[..version], ..Component::default() };
        assert_eq!(component.descriptor().is_ok(), fits, "{name} {version}");
    }
}

#[test]
fn no_buffer_is_too_small_to_be_refused() {
    for (form, algorithm) in [(Form::Cbor, Algorithm::Ed25519), (Form::Tcg, Algorithm::Ed25519)] {
        let mut chain = [0; 4_000];
        let needed = Flash::new().boot(form, algorithm, &mut chain).unwrap().chain().len();
        for short in (0..needed).step_by(23) {
            let booted = Flash::new().boot(form, algorithm, &mut chain[..short]);
            assert!(matches!(booted, Err(Error::Unavailable(_))), "{form:?} {short}");
        }
        let attester = Flash::new().boot(form, algorithm, &mut chain).unwrap();
        let whole = evidence(&attester, Carry::Chain);
        let mut out = whole.clone();
        for length in 0..=whole.len() {
            let room = &mut out[..length];
            let made = attester.evidence(&RUSTCRYPTO, &mut rng, CHALLENGE, &BINDING, Carry::Chain, room);
            assert_eq!(made.is_ok(), length == whole.len(), "{form:?} {length}");
        }
    }
}

#[test]
fn evidence_says_what_this_start_is() {
    for form in FORMS {
        for algorithm in ALGORITHMS {
            let mut chain = [0; 4_000];
            let attester = Flash::new().boot(form, algorithm, &mut chain).unwrap();
            let bytes = evidence(&attester, Carry::Chain);
            let envelope = Envelope::read(Shape::Sign1, Strict::new(&bytes).unwrap()).unwrap();
            envelope.verify(&RUSTCRYPTO, attester.public_key(), b"").unwrap();
            let label = if form == Form::Cbor { -70_001 } else { 33 };
            assert_eq!(envelope.unprotected.under(label).unwrap().bytes(), attester.chain());
            let claims = Strict::new(envelope.payload).unwrap();
            let mut nonces = claims.under(10).unwrap().array().unwrap().map(|nonce| nonce.byte_string().unwrap());
            assert_eq!((nonces.next(), nonces.next(), nonces.next()), (Some(CHALLENGE), Some(&BINDING[..]), None));
            assert_eq!(claims.under(265).unwrap().text(), Some("tag:bartizan.io,2026:eat-dice"));
            assert_eq!(claims.under(267).unwrap().uint(), Some(301));
            assert_eq!(claims.under(268).unwrap().byte_string(), Some(&[7; 16][..]));
            assert_eq!(claims.under(-70_010).unwrap().uint(), Some(3));
            assert_eq!(claims.under(-70_011).unwrap().uint(), Some(2));

            let short = evidence(&attester, Carry::Reference);
            let envelope = Envelope::read(Shape::Sign1, Strict::new(&short).unwrap()).unwrap();
            envelope.verify(&RUSTCRYPTO, attester.public_key(), b"").unwrap();
            let reference = (RUSTCRYPTO.sha256)(&[attester.chain()]);
            assert_eq!(envelope.unprotected.under(4).unwrap().byte_string(), Some(&reference[..]));
        }
    }
}

#[test]
fn challenges_have_their_length() {
    let mut chain = [0; 4_000];
    let attester = Flash::new().boot(Form::Cbor, Algorithm::Ed25519, &mut chain).unwrap();
    for (length, good) in [(7, false), (8, true), (64, true), (65, false)] {
        let challenge = vec![1; length];
        let made = attester.heartbeat(&RUSTCRYPTO, &mut rng, &challenge, &BINDING, &mut [0; 300]);
        assert_eq!(made.is_ok(), good, "{length}");
    }
}

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// From full evidence to a heartbeat under its leaf key, and one under the session's: each prolongs, until the restart.
#[test]
fn the_platform_prolongs_by_heartbeats_until_the_next_start() {
    let exporter = Secret::new([0xE1; 32]);
    for (form, algorithm) in FORMS.into_iter().flat_map(|form| ALGORITHMS.map(|algorithm| (form, algorithm))) {
        for board in [&mut board() as &mut dyn Board, &mut Named(board())] {
            let layer = Layer {
                code: Code::Verified([1; 64]),
                component: component("firmware", "1"),
                authority: [2; 64],
                mode: Mode::Normal,
                hidden: None,
            };
            let mut chain = [0; 2_000];
            let attester =
                measured_boot(&RUSTCRYPTO, &mut rng, board, (form, algorithm), &[layer], &mut chain).unwrap();
            let full = self::evidence(&attester, Carry::Chain);
            let opened = open(&AWS_LC, &full, &|_| None, NOW).unwrap();
            let standing = Standing::begin(Attestation::Affirming, &opened, *attester.reference(), NOW).unwrap();
            let expected = Expected { nonce: CHALLENGE, challenged: UnixMillis(NOW.0 + 1), binding: &BINDING };
            let (mut out, leaf, key) =
                ([0; 256], *attester.public_key(), heartbeat::key(&RUSTCRYPTO, &exporter, &full));
            let length = attester.heartbeat(&RUSTCRYPTO, &mut rng, CHALLENGE, &BINDING, &mut out).unwrap();
            let prolong = |standing: &Standing, bytes: &[u8], proof| {
                standing.prolong(&AWS_LC, &Heartbeat::read(bytes)?, proof, &expected)
            };
            let signed = prolong(&standing, &out[..length], Proof::Leaf(&leaf)).unwrap();
            assert_eq!((signed.tier(), signed.challenged()), (Attestation::Affirming, expected.challenged));
            let later =
                Evidence { boot_count: opened.boot_count.map(|count| count + 1), boot_seed: Some(vec![1]), ..opened };
            let restarted = Standing::begin(Attestation::Affirming, &later, *attester.reference(), NOW).unwrap();
            assert!(prolong(&restarted, &out[..length], Proof::Leaf(&leaf)).is_err());
            let length = attester.tagged_heartbeat(&RUSTCRYPTO, &key, CHALLENGE, &mut out).unwrap();
            assert_eq!(prolong(&standing, &out[..length], Proof::Key(&key)), Ok(signed));
            assert!(prolong(&restarted, &out[..length], Proof::Key(&key)).is_err());
        }
    }
}

/// What the device makes is what the platform believes, in all forms, and nothing is lost on the way.
#[test]
fn the_platform_opens_evidence_of_every_form() {
    for (form, profile) in FORMS.into_iter().zip([Profile::OpenDiceCbor, Profile::OpenDiceX509, Profile::TcgDice]) {
        for algorithm in ALGORITHMS {
            let mut chain = [0; 4_000];
            let attester = Flash::new().boot(form, algorithm, &mut chain).unwrap();
            let opened = open(&AWS_LC, &evidence(&attester, Carry::Chain), &|_| None, NOW).unwrap();
            assert_eq!((opened.profile, opened.identity), (profile, *attester.identity()));
            assert_eq!((&opened.nonce[..], opened.binding), (CHALLENGE, Some(BINDING)));
            assert_eq!(
                (opened.boot_count, opened.security_version, opened.security_floor),
                (Some(301), Some(3), Some(2))
            );
            let layers = opened.layers.iter().map(|layer| (layer.component.as_deref(), layer.version.as_deref()));
            let expected = [("bootloader", "1.0"), ("radio", "4.1"), ("firmware", "2.7")];
            assert!(layers.eq(expected.map(|(name, version)| (Some(name), Some(version)))));
            for (layer, code) in opened.layers.iter().zip(&Flash::new().0) {
                assert_eq!(layer.digests[0].bytes, (RUSTCRYPTO.sha512)(&[code]));
                assert_eq!((layer.mode, layer.security_version), (evidence::Mode::Normal, Some(3)));
                assert!(layer.config.is_some());
            }
            let known = Chain {
                profile,
                identity: opened.identity,
                layers: opened.layers.clone(),
                leaf: *attester.public_key(),
                valid_until: None,
            };
            let cached = |name: &[u8; 32]| (name == attester.reference()).then(|| known.clone());
            assert_eq!(open(&AWS_LC, &evidence(&attester, Carry::Reference), &cached, NOW).unwrap(), opened);
        }
    }
}

#[test]
fn modes_and_names_of_the_device_reach_the_platform() {
    let modes = [Mode::NotConfigured, Mode::Normal, Mode::Debug, Mode::Recovery];
    let theirs =
        [evidence::Mode::NotConfigured, evidence::Mode::Normal, evidence::Mode::Debug, evidence::Mode::Recovery];
    for (mode, expected) in modes.into_iter().zip(theirs) {
        for form in FORMS {
            let component = Component { vendor: "V", model: "M", settings: Some([1; 32]), ..component("c", "1") };
            let layer = Layer { code: Code::Verified([1; 64]), component, authority: [2; 64], mode, hidden: None };
            let mut chain = [0; 2_000];
            let mut board = Named(board());
            let form_and_key = (form, Algorithm::P256);
            let attester =
                measured_boot(&RUSTCRYPTO, &mut rng, &mut board, form_and_key, &[layer], &mut chain).unwrap();
            let bytes = self::evidence(&attester, Carry::Chain);
            let opened = open(&AWS_LC, &bytes, &|_| None, NOW).unwrap();
            assert_eq!(opened.layers[0].mode, expected);
            if form == Form::Tcg {
                assert_eq!(opened.layers[0].vendor.as_deref(), Some("V"));
                assert_eq!(opened.layers[0].model.as_deref(), Some("M"));
            }
            let envelope = Envelope::read(Shape::Sign1, Strict::new(&bytes).unwrap()).unwrap();
            let ueid = Strict::new(envelope.payload).unwrap().under(256).unwrap().byte_string();
            assert_eq!(ueid, Some(&b"\x01METER-7"[..]));
        }
    }
}

struct Named(SoftwareBoard);

impl Board for Named {
    fn take_uds(&mut self) -> Option<Uds> {
        self.0.take_uds()
    }

    fn next_boot_count(&mut self) -> Option<u64> {
        None
    }

    fn security_floor(&self) -> Option<u64> {
        self.0.security_floor()
    }

    fn ueid(&self) -> Option<&[u8]> {
        Some(b"\x01METER-7")
    }
}

#[test]
fn only_the_same_firmware_on_the_same_device_opens_a_sealed_session() {
    let mut rooms = [[0; 4_000]; 3];
    let [room, same_room, other_room] = &mut rooms;
    let boot = |flash: &Flash, room| flash.boot(Form::Cbor, Algorithm::Ed25519, room).unwrap();
    let attester = boot(&Flash::new(), room);
    let again = boot(&Flash::new(), same_room);
    let mut flash = Flash::new();
    flash.0[2][0] ^= 1;
    let changed = boot(&flash, other_room);

    let mut sealed = [0; 100 + SEALED_EXTRA_BYTES];
    for (length, fits) in [(0, true), (100, true), (101, false)] {
        let made = attester.seal_session(&RUSTCRYPTO, &mut rng, &[0x5E; 101][..length], &mut sealed);
        assert_eq!(made.is_ok(), fits, "{length}");
    }
    attester.seal_session(&RUSTCRYPTO, &mut rng, &[0x5E; 100], &mut sealed).unwrap();
    let open = |by: &Attester<'_>, mut sealed: Vec<u8>| by.open_session(&RUSTCRYPTO, &mut sealed).map(<[u8]>::to_vec);
    assert_eq!(open(&again, sealed.to_vec()), Ok(vec![0x5E; 100]));
    assert!(matches!(open(&changed, sealed.to_vec()), Err(Error::Untrusted(_))));
    for at in 0..sealed.len() {
        let mut damaged = sealed.to_vec();
        damaged[at] ^= 1;
        assert!(open(&again, damaged).is_err(), "byte {at}");
        assert!(open(&again, sealed[..at].to_vec()).is_err(), "{at} bytes");
    }
    // A small device's provider has AES-CCM and no other.
    let small =
        Provider { sha512: RUSTCRYPTO.sha512, hmac_sha512: RUSTCRYPTO.hmac_sha512, ..RUSTCRYPTO.only_psk_ccm() };
    let length = attester.seal_session(&small, &mut rng, b"asleep", &mut sealed).unwrap();
    assert_eq!(again.open_session(&small, &mut sealed[..length]), Ok(&b"asleep"[..]));
}

/// No bit of evidence may be another: not of the chain, not of the claims, not of a signature.
#[test]
fn a_flipped_bit_is_never_believed() {
    let mut chain = [0; 4_000];
    let attester = Flash::new().boot(Form::Cbor, Algorithm::Ed25519, &mut chain).unwrap();
    let bytes = self::evidence(&attester, Carry::Chain);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let opened = open(&AWS_LC, &changed, &|_| None, NOW);
        assert!(opened.is_err(), "byte {at}: {opened:?}");
    }
}

/// Not a promise but a report, with bounds that say when somebody made evidence much larger.
#[test]
fn sizes() {
    for algorithm in ALGORITHMS {
        for form in FORMS {
            let mut chain = [0; 4_000];
            let attester = Flash::new().boot(form, algorithm, &mut chain).unwrap();
            let mut out = [0; 224];
            let heartbeat = attester.heartbeat(&RUSTCRYPTO, &mut rng, CHALLENGE, &BINDING, &mut out).unwrap();
            let tagged = attester.tagged_heartbeat(&RUSTCRYPTO, &Secret::new([1; 32]), &[0xC1; 30], &mut out).unwrap();
            let sizes = [
                attester.chain().len(),
                evidence(&attester, Carry::Chain).len(),
                evidence(&attester, Carry::Reference).len(),
                heartbeat,
                tagged,
            ];
            println!("{algorithm:?} {form:?}: chain, evidence, by reference, heartbeat, with a tag: {sizes:?}");
            let [chain, evidence, short, signed, tagged] = sizes;
            assert!(chain < 2_800 && evidence < chain + 320 && short < 300 && signed < 200 && tagged <= 80);
        }
    }
}
