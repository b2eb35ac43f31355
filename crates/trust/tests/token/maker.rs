//! A device of each family: a DICE chain of two layers, and evidence under its leaf key.

use bartizan_crypto::RUSTCRYPTO;
use bartizan_trust::eat::{Claims, DICE_PROFILE, Nonce};
use bartizan_trust::evidence::{DICE_CHAIN, KID, Profile, X5CHAIN};
use minicbor::encode::Encoder;

use crate::common::build::{self, Draft, Pair};
use crate::notation::{array, bytes, int, map};

pub const FAMILIES: [Profile; 3] = [Profile::OpenDiceCbor, Profile::OpenDiceX509, Profile::TcgDice];

pub struct Device {
    pub uds: Pair,
    pub leaf: Pair,
    /// The label of the header that carries the chain, and the chain.
    pub label: i64,
    pub chain: Vec<u8>,
}

impl Device {
    /// The code of its layers hashes to 0x11… and 0x22….
    pub fn new(family: Profile, p256: bool, number: u8) -> Self {
        let [uds, middle, leaf] = [0, 1, 2].map(|layer| Pair::new(number + layer, p256));
        let (label, chain) = match family {
            Profile::OpenDiceCbor => (DICE_CHAIN, cbor_chain(&uds, &middle, &leaf)),
            Profile::OpenDiceX509 => (X5CHAIN, open_chain(&uds, &middle, &leaf)),
            Profile::TcgDice => (X5CHAIN, tcg_chain(&uds, &middle, &leaf)),
            Profile::Psa | Profile::Tpm => panic!("it has no chain"),
        };
        Self { uds, leaf, label, chain }
    }

    /// Every family with both algorithms.
    pub fn each() -> impl Iterator<Item = (Profile, Self)> {
        let kinds = FAMILIES.into_iter().flat_map(|family| [true, false].map(|p256| (family, p256)));
        kinds.map(|(family, p256)| (family, Self::new(family, p256, 1)))
    }

    /// A token with this unprotected header.
    pub fn evidence(&self, unprotected: &[u8], claims: &Claims<'_>) -> Vec<u8> {
        let mut payload = Vec::new();
        claims.write(&mut Encoder::new(&mut payload)).unwrap();
        build::sign1(&self.leaf, &build::protected(&self.leaf), unprotected, &payload)
    }

    /// With the whole chain.
    pub fn full(&self, claims: &Claims<'_>) -> Vec<u8> {
        self.evidence(&map(&[(int(self.label), self.chain.clone())]), claims)
    }

    /// With the chain's name alone.
    pub fn brief(&self, claims: &Claims<'_>) -> Vec<u8> {
        self.evidence(&map(&[(int(KID), bytes(&(RUSTCRYPTO.sha256)(&[&self.chain])))]), claims)
    }
}

pub fn claims() -> Claims<'static> {
    Claims {
        nonce: Some(Nonce { challenge: &[0xC4; 16], binding: Some(&[0xB1; 32]) }),
        profile: Some(DICE_PROFILE),
        boot_count: Some(41),
        boot_seed: Some(&[5; 16]),
        security_version: Some(3),
        security_floor: Some(2),
        ..Claims::default()
    }
}

fn cbor_chain(uds: &Pair, middle: &Pair, leaf: &Pair) -> Vec<u8> {
    let certificate = |issuer: &Pair, subject: &Pair, code| {
        build::certificate(issuer, &build::claims(&issuer.public(), &subject.public(), code))
    };
    array(&[build::cose_key(&uds.public()), certificate(uds, middle, 0x11), certificate(middle, leaf, 0x22)])
}

/// The leaf first, as RFC 9360 says.
fn open_chain(uds: &Pair, middle: &Pair, leaf: &Pair) -> Vec<u8> {
    let certificate = |issuer: &Pair, subject: &Pair, code: Option<u8>| {
        let measured = code.map(build::open_input).into_iter().collect();
        Draft::authority(&issuer.public(), &subject.public(), measured).signed(issuer)
    };
    let chain =
        [certificate(middle, leaf, Some(0x22)), certificate(uds, middle, Some(0x11)), certificate(uds, uds, None)];
    array(&chain.map(|certificate| bytes(&certificate)))
}

fn tcg_chain(uds: &Pair, middle: &Pair, leaf: &Pair) -> Vec<u8> {
    let root = Draft::authority(&uds.public(), &uds.public(), Vec::new()).signed(uds);
    let info = |layer, code| vec![build::tcb_info(layer, code, &[0])];
    let first = Draft::authority(&uds.public(), &middle.public(), info(1, 0x11)).signed(uds);
    let second = Draft::leaf(&middle.public(), &leaf.public(), info(2, 0x22)).signed(middle);
    array(&[second, first, root].map(|certificate| bytes(&certificate)))
}
