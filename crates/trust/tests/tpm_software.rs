//! Our reading and our credentials against a software TPM that others wrote.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test runs programs and owns its files, and says where it cannot go on"
)]

#[path = "tpm/maker.rs"]
#[allow(dead_code, reason = "only its logs are needed here")]
mod maker;
#[path = "tpm/software.rs"]
mod software;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_trust::evidence::Account;
use bartizan_trust::tpm::{Carried, Credential, Message, Name, Public};
use bartizan_trust::{Error, PublicKey};
use software::*;

const CHALLENGE: [u8; 30] = [7; 30];
const BINDING: [u8; 32] = [9; 32];

fn random(out: &mut [u8]) {
    // A fixed key of the test's own; what TPMs keep secret does not depend on it.
    out.fill(0x5A);
}

fn name(tpm: &SoftwareTpm) -> Name {
    Public::read(&tpm.key).unwrap().name(&AWS_LC)
}

fn carried(bytes: &[u8]) -> Carried<'_> {
    let Ok(Message::Evidence(carried)) = Message::read(bytes) else { panic!("no evidence") };
    carried
}

#[test]
fn a_tpm_opens_what_was_made_for_it_and_its_key_alone() {
    let (Some(mut tpm), Some(other)) = (SoftwareTpm::start(), SoftwareTpm::start()) else { return };
    let endorsement = Public::read(&tpm.endorsement).unwrap();
    endorsement.check_endorsement_key().unwrap();
    Public::read(&tpm.key).unwrap().check_attestation_key().unwrap();
    let secret = Secret::new([0xC3; 32]);
    for provider in [&AWS_LC, &RUSTCRYPTO] {
        let credential = Credential::make(provider, &mut random, &endorsement, &name(&tpm), &secret).unwrap();
        assert_eq!(Credential::read(&credential.write()).as_ref(), Ok(&credential));
        assert_eq!(tpm.activate(&credential).as_deref(), Some(&secret.expose()[..]));
        assert_eq!(other.activate(&credential), None, "another TPM");
    }
    // A key of another TPM, said to be one of this one's.
    let foreign = Credential::make(&AWS_LC, &mut random, &endorsement, &name(&other), &secret).unwrap();
    assert_eq!(tpm.activate(&foreign), None);
    assert_eq!(other.activate(&foreign), None);
    // And one of this TPM that signs whatever it is given: the TPM would open a credential for it, we make none.
    tpm.make_key(UNRESTRICTED);
    let loose = Public::read(&tpm.key).unwrap();
    assert!(matches!(loose.check_attestation_key(), Err(Error::Misbehaved(_))));
}

#[test]
fn a_real_quote_is_read_and_every_change_of_it_found() {
    let Some(mut tpm) = SoftwareTpm::start() else { return };
    let first = [(AWS_LC.sha256)(&[b"shim"]), (AWS_LC.sha256)(&[b"loader"])];
    first.iter().for_each(|digest| tpm.measure(4, digest));
    let events = first.iter().flat_map(|digest| maker::event(4, 0x8000_0003, digest, b""));
    let log: Vec<u8> = maker::header().into_iter().chain(events).collect();
    let bytes = tpm.evidence(&CHALLENGE, &BINDING, &log);
    let (evidence, clock) = carried(&bytes).verify(&AWS_LC, &name(&tpm)).unwrap();
    let endorsement = Public::read(&tpm.endorsement).unwrap();
    assert_eq!(evidence.identity, PublicKey::P256(endorsement.point).thumbprint(&AWS_LC));
    assert_eq!((evidence.binding, evidence.layers.len()), (Some(BINDING), 3));
    assert!(matches!(&evidence.layers[1].account, Account::Events(events) if events.len() == 2));
    assert!((1..10).contains(&clock.resets), "the starts are told in plain: {clock:?}");

    let mut flipped = bytes.clone();
    let ([quote, _], _) = tpm.quote(&BINDING, &[0, 4, 7]);
    let start = flipped.windows(40).position(|part| part == &quote[..40]).unwrap();
    for bit in 0..quote.len() * 8 {
        flipped[start + bit / 8] ^= 1 << (bit % 8);
        let read = Message::read(&flipped);
        let believed = matches!(&read, Ok(Message::Evidence(it)) if it.verify(&AWS_LC, &name(&tpm)).is_ok());
        assert!(!believed, "bit {bit}");
        flipped[start + bit / 8] ^= 1 << (bit % 8);
    }
    tpm.restart();
    let again = tpm.evidence(&CHALLENGE, &BINDING, &[]);
    let (evidence, later) = carried(&again).verify(&AWS_LC, &name(&tpm)).unwrap();
    assert!(later.may_follow(&clock) && !clock.may_follow(&later), "{clock:?} {later:?}");
    assert_eq!(evidence.layers[1].digests[0].bytes, [0; 32], "registers begin anew");
}
