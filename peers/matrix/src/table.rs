//! The whole table: what each outside implementation has in common with what ours is to speak.

use bartizan_peer_common::{Auth, Group, Role, Suite, Version};

use crate::cell::{Cell, Outside};

use Auth::{EcdhePsk, Ecdsa, Psk, Rpk};
use Group::{P256, X25519, X25519MlKem768};
use Suite::{Ccm, Ccm8, Chacha, Gcm, Gcm256};
use Version::{Dtls12, Dtls13};

const ALL: &[Suite] = &[Ccm8, Ccm, Gcm, Gcm256, Chacha];

/// What one implementation offers of one version and authentication: each suite with the first group, and the first
/// suite with the other groups.
struct Offer(Outside, Version, Auth, &'static [Suite], &'static [Option<Group>]);

const NO_GROUP: &[Option<Group>] = &[None];
const CLASSIC: &[Option<Group>] = &[Some(X25519), Some(P256)];
const HYBRID: &[Option<Group>] = &[Some(X25519), Some(P256), Some(X25519MlKem768)];

/// What is not here, the peer does not have. In particular: Mbed TLS 3.6, OpenSSL 3.0 and GnuTLS 3.7 have no DTLS 1.3;
/// nobody but us has ECDHE-PSK with CCM; purecrypto has certificates only over DTLS, and no CCM; OpenSSL has raw public
/// keys from 3.2 on.
const OFFERS: &[Offer] = &[
    Offer(Outside::Mbed, Dtls12, Psk, ALL, NO_GROUP),
    Offer(Outside::Mbed, Dtls12, EcdhePsk, &[Chacha], CLASSIC),
    Offer(Outside::Mbed, Dtls12, Ecdsa, ALL, CLASSIC),
    Offer(Outside::Wolfssl, Dtls12, Psk, ALL, NO_GROUP),
    Offer(Outside::Wolfssl, Dtls12, EcdhePsk, &[Chacha, Gcm], CLASSIC),
    Offer(Outside::Wolfssl, Dtls12, Ecdsa, ALL, CLASSIC),
    Offer(Outside::Wolfssl, Dtls12, Rpk, &[Ccm8, Gcm], &[Some(X25519)]),
    Offer(Outside::Wolfssl, Dtls13, Psk, ALL, NO_GROUP),
    Offer(Outside::Wolfssl, Dtls13, EcdhePsk, ALL, HYBRID),
    Offer(Outside::Wolfssl, Dtls13, Ecdsa, ALL, HYBRID),
    Offer(Outside::Wolfssl, Dtls13, Rpk, &[Ccm8, Gcm], &[Some(X25519)]),
    Offer(Outside::Purecrypto, Dtls12, Ecdsa, &[Gcm, Gcm256, Chacha], CLASSIC),
    Offer(Outside::Purecrypto, Dtls13, Ecdsa, &[Gcm, Gcm256, Chacha], HYBRID),
    Offer(Outside::Openssl, Dtls12, Psk, ALL, NO_GROUP),
    Offer(Outside::Openssl, Dtls12, EcdhePsk, &[Chacha], CLASSIC),
    Offer(Outside::Openssl, Dtls12, Ecdsa, ALL, CLASSIC),
    Offer(Outside::Gnutls, Dtls12, Psk, ALL, NO_GROUP),
    Offer(Outside::Gnutls, Dtls12, EcdhePsk, &[Chacha], CLASSIC),
    Offer(Outside::Gnutls, Dtls12, Ecdsa, ALL, CLASSIC),
    Offer(Outside::Gnutls, Dtls12, Rpk, &[Ccm8, Gcm], &[Some(X25519)]),
];

struct Circumstance {
    cid: bool,
    rebind: bool,
    update: bool,
    loss: u8,
}

const PLAIN: Circumstance = Circumstance { cid: false, rebind: false, update: false, loss: 0 };
const CIRCUMSTANCES: &[Circumstance] = &[
    PLAIN,
    Circumstance { loss: 20, ..PLAIN },
    Circumstance { update: true, ..PLAIN },
    Circumstance { update: true, loss: 20, ..PLAIN },
    Circumstance { cid: true, ..PLAIN },
    Circumstance { cid: true, rebind: true, ..PLAIN },
    Circumstance { cid: true, loss: 20, ..PLAIN },
    Circumstance { cid: true, rebind: true, update: true, ..PLAIN },
];

/// Every cell, in a fixed order.
#[must_use]
pub fn cells() -> Vec<Cell> {
    OFFERS.iter().flat_map(Offer::cells).collect()
}

impl Offer {
    fn cells(&self) -> Vec<Cell> {
        let &Self(outside, version, auth, suites, groups) = self;
        let mut cells = Vec::new();
        for (suite, group) in pairs(suites, groups) {
            for &Circumstance { cid, rebind, update, loss } in CIRCUMSTANCES {
                let has = (!cid || has_cid(outside)) && (!update || has_update(outside, version));
                for ours in [Role::Server, Role::Client].into_iter().filter(|_| has) {
                    cells.push(Cell { outside, version, auth, suite, group, cid, rebind, update, loss, ours });
                }
            }
        }
        cells
    }
}

fn pairs(suites: &[Suite], groups: &[Option<Group>]) -> Vec<(Suite, Option<Group>)> {
    let with_first = suites.iter().map(|suite| (*suite, groups[0]));
    let others = groups.iter().skip(1).map(|group| (suites[0], *group));
    with_first.chain(others).collect()
}

/// purecrypto's command line cannot be told to.
const fn has_update(outside: Outside, version: Version) -> bool {
    matches!((outside, version), (Outside::Wolfssl, Dtls13))
}

const fn has_cid(outside: Outside) -> bool {
    !matches!(outside, Outside::Openssl | Outside::Gnutls)
}
