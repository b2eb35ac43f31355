//! Who stands at the certificate door: a device with a certificate of its tenant, a stranger whose make or chain holds, or
//! nobody. Answered within a handshake: from memory, without I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock, Weak};

use bartizan_crypto::AWS_LC;
use bartizan_dtls::{AlertDescription, CertificateType, PeerVerifier, VerifiedPeer};
use bartizan_trust::x509::path::{self, Anchor, Purpose};
use bartizan_trust::x509::{Certificate, extension};
use bartizan_trust::{Identity, PublicKey, dice};
use bartizan_wire::{Access, DeviceKey, TenantId, UnixMillis};

use super::App;
use super::certificates::{Admission, Distrust};
use super::device::Allowance;
use crate::clock::Clock;
use crate::gateway::principal_of;
use crate::limits::{
    APPLICANT_MS_MAX, APPLICANT_REQUESTS_PER_MINUTE_MAX, APPLICANTS_MAX, APPLICANTS_PER_KEY_MAX,
    STRANGERS_PER_SECOND_MAX,
};
use crate::store::{self, ManufacturerRow, OperatorStore};

/// The tenant's number of those who have none. Real tenants are numbered below it.
pub const NO_TENANT: u32 = 0xFF_FFFF;
/// Bits of a principal that number the device.
const DEVICE_BITS: u32 = 40;

/// Whether a principal is a stranger's.
#[must_use]
pub const fn is_applicant(principal: u64) -> bool {
    principal >> DEVICE_BITS == NO_TENANT as u64
}

/// A stranger who has proven who it is, but not whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// What order entries and the queue go by: [`key_identity`] or [`made_identity`].
    pub identity: [u8; 32],
    /// The same as people read it.
    pub shown: String,
    /// The identity that its evidence is held against, if it has layers.
    pub attester: Option<Identity>,
    /// Who vouches for its make, for whom.
    pub makes: Vec<(TenantId, String)>,
    /// When its chain was verified.
    pub since: UnixMillis,
    /// What it says of its starts.
    pub history: Option<History>,
}

/// What an applicant says of its starts: how many there were, and a value of the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub boot_count: Option<u64>,
    pub boot_seed: Vec<u8>,
}

/// See the module.
pub struct Door {
    clock: Clock,
    makers: RwLock<Vec<Maker>>,
    strangers: Mutex<Strangers>,
    admission: Arc<Admission>,
    app: Weak<App>,
}

/// A key that vouches for a make.
struct Maker {
    tenant: TenantId,
    name: String,
    key: PublicKey,
    thumbprint: Identity,
    subject: Option<Vec<u8>>,
}

#[derive(Default)]
struct Strangers {
    by_principal: HashMap<u64, Stranger>,
    next: u64,
    second: u64,
    verified: u32,
}

struct Stranger {
    applicant: Applicant,
    leaf: PublicKey,
    /// It has the private half of `leaf`: its handshake is over.
    proven: bool,
    requests: Allowance,
}

impl Door {
    #[must_use]
    pub(super) fn new(clock: Clock, admission: Arc<Admission>, app: Weak<App>) -> Self {
        Self { clock, makers: RwLock::default(), strangers: Mutex::default(), admission, app }
    }

    /// Reads the manufacturers anew.
    pub async fn reload(&self, operator: &OperatorStore) -> Result<(), store::Error> {
        let rows = operator.manufacturers(None).await?;
        let makers = rows.into_iter().map(Maker::of).collect::<Result<Vec<_>, _>>()?;
        *self.makers.write().expect(POISONED) = makers;
        Ok(())
    }

    /// The stranger behind a principal, unless its time is over.
    #[must_use]
    pub fn applicant(&self, principal: u64) -> Option<Applicant> {
        let now = self.clock.now();
        let applicant = self.strangers().by_principal.get(&principal).map(|stranger| stranger.applicant.clone());
        applicant.filter(|applicant| now.since(applicant.since) <= APPLICANT_MS_MAX)
    }

    /// One of the requests that a stranger may make in a minute.
    #[must_use]
    pub fn spend(&self, principal: u64) -> bool {
        let now = self.clock.now();
        let mut strangers = self.strangers();
        let stranger = strangers.by_principal.get_mut(&principal);
        stranger.is_some_and(|stranger| stranger.requests.take(now, APPLICANT_REQUESTS_PER_MINUTE_MAX))
    }

    /// Notes what a stranger says of its starts.
    pub fn say_history(&self, principal: u64, history: History) {
        if let Some(stranger) = self.strangers().by_principal.get_mut(&principal) {
            stranger.applicant.history = Some(history);
        }
    }

    /// The stranger has the key that it showed.
    pub fn proven(&self, principal: u64) {
        if let Some(stranger) = self.strangers().by_principal.get_mut(&principal) {
            stranger.proven = true;
        }
    }

    /// Forgets a stranger: its association is over.
    pub fn forget(&self, principal: u64) {
        self.strangers().by_principal.remove(&principal);
    }

    fn strangers(&self) -> std::sync::MutexGuard<'_, Strangers> {
        self.strangers.lock().expect(POISONED)
    }

    fn admit(&self, chain: &[&[u8]], now: UnixMillis) -> Result<VerifiedPeer, AlertDescription> {
        match self.admission.device_of(chain, now) {
            Ok((device, spki)) => return self.device(device, &spki),
            Err(Distrust::Unknown) => {}
            Err(Distrust::Revoked) => return Err(AlertDescription::CERTIFICATE_REVOKED),
            Err(Distrust::Refused(_)) => return Err(AlertDescription::BAD_CERTIFICATE),
        }
        self.strangers().may_verify(now)?;
        let (applicant, leaf) = self.stranger(chain, now).ok_or(AlertDescription::UNKNOWN_CA)?;
        let key = peer_key(&leaf).ok_or(AlertDescription::UNSUPPORTED_CERTIFICATE)?;
        Ok(VerifiedPeer { principal: self.strangers().enter(applicant, leaf)?, key })
    }

    /// A blocked device is refused here if it is in memory, and before its first message if it is not.
    fn device(&self, key: DeviceKey, spki: &[u8]) -> Result<VerifiedPeer, AlertDescription> {
        let known = self.app.upgrade().and_then(|app| app.device(key));
        if known.is_some_and(|device| device.access() == Access::Blocked) {
            return Err(AlertDescription::ACCESS_DENIED);
        }
        let principal = principal_of(key).ok_or(AlertDescription::INTERNAL_ERROR)?;
        let key = bartizan_dtls::PublicKey::from_spki(spki).ok_or(AlertDescription::UNSUPPORTED_CERTIFICATE)?;
        Ok(VerifiedPeer { principal, key })
    }

    /// Who the chain proves to stand there. Whether anybody waits for it is looked up when it asks for something.
    fn stranger(&self, chain: &[&[u8]], now: UnixMillis) -> Option<(Applicant, PublicKey)> {
        let makers = self.makers.read().expect(POISONED);
        let layers: Vec<&[u8]> = chain.iter().rev().copied().collect();
        let is_layered = chain.first().is_some_and(|leaf| has_layers(leaf));
        if is_layered && let Ok(proven) = dice::x509::verify(&AWS_LC, &layers, None, now) {
            return Some((layered(proven.identity, Vec::new(), now), proven.leaf));
        }
        let top = chain.last()?;
        let issuer = Certificate::read(top).ok()?.issuer;
        let near: Vec<&Maker> = makers.iter().filter(|maker| maker.may_have_issued(issuer)).collect();
        let mut verified: Vec<(&Maker, path::Leaf<'_>)> = Vec::new();
        let (named, purpose) = match is_layered {
            true => (chain.get(chain.len().checked_sub(1)?..)?, Purpose::Certify),
            false => (chain, Purpose::Authenticate),
        };
        for maker in near {
            // Several tenants may know the same key: it is tried once.
            let known = verified.iter().find(|(known, _)| known.thumbprint == maker.thumbprint).map(|(_, leaf)| *leaf);
            let leaf = known.or_else(|| path::verify(&AWS_LC, named, &maker.anchor(), purpose, Some(now)).ok());
            verified.extend(leaf.map(|leaf| (maker, leaf)));
        }
        let (first, leaf) = verified.first()?;
        let makes = verified.iter().map(|(maker, _)| (maker.tenant, maker.name.clone())).collect();
        if is_layered {
            // The manufacturer certified the key of the device's secret; the layers hang on that key.
            // Each certificate below it must be a layer's, or an authority between manufacturer and device could pass for a device.
            let (_, layers) = layers.split_first()?;
            if !layers.iter().all(|certificate| has_layers(certificate)) {
                return None;
            }
            let proven = dice::x509::verify(&AWS_LC, layers, Some(&leaf.key), now).ok()?;
            return Some((layered(proven.identity, makes, now), proven.leaf));
        }
        let serial = leaf.serial_number().ok()??;
        let identity = made_identity(&first.thumbprint, serial);
        let shown = format!("{} {serial}", first.name);
        Some((Applicant { identity, shown, attester: None, makes, since: now, history: None }, leaf.key))
    }
}

impl PeerVerifier for Door {
    fn verify(&self, kind: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        match kind {
            CertificateType::X509 => self.admit(chain, self.clock.now()),
            CertificateType::RawPublicKey => Err(AlertDescription::UNSUPPORTED_CERTIFICATE),
        }
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509]
    }
}

impl Strangers {
    /// Signatures cost time, and strangers are free of charge.
    fn may_verify(&mut self, now: UnixMillis) -> Result<(), AlertDescription> {
        if self.second != now.0 / 1000 {
            (self.second, self.verified) = (now.0 / 1000, 0);
        }
        self.verified = self.verified.saturating_add(1);
        if self.verified > STRANGERS_PER_SECOND_MAX { Err(AlertDescription::INTERNAL_ERROR) } else { Ok(()) }
    }

    /// A number for this handshake of the stranger. Two devices with one secret may show the same key, so that each
    /// association is one of its own; a few at a time are enough.
    fn enter(&mut self, applicant: Applicant, leaf: PublicKey) -> Result<u64, AlertDescription> {
        let same = |(_, stranger): &(&u64, &Stranger)| stranger.leaf == leaf;
        let mut known: Vec<_> = self
            .by_principal
            .iter()
            .filter(same)
            .map(|(key, stranger)| (stranger.proven, stranger.applicant.since, *key))
            .collect();
        known.sort_unstable();
        let leaving = (known.len() + 1).saturating_sub(APPLICANTS_PER_KEY_MAX);
        known.iter().take(leaving).for_each(|(_, _, key)| drop(self.by_principal.remove(key)));
        if self.by_principal.len() >= APPLICANTS_MAX {
            self.make_room(applicant.makes.is_empty())?;
        }
        // Away from `Authentication::NOBODY`, which has all bits set.
        self.next = (self.next + 1) % (1 << (DEVICE_BITS - 1));
        let principal = u64::from(NO_TENANT) << DEVICE_BITS | self.next;
        self.by_principal
            .insert(principal, Stranger { applicant, leaf, proven: false, requests: Allowance::default() });
        Ok(principal)
    }
}

impl Strangers {
    /// Who has proven least goes, the longest known of them first. Anybody can make a chain that hangs on nothing: such a stranger makes no room at the cost of
    /// one whose make is known.
    fn make_room(&mut self, for_nobodys: bool) -> Result<(), AlertDescription> {
        let nobodys = |stranger: &Stranger| stranger.applicant.makes.is_empty();
        let by_worth = self
            .by_principal
            .iter()
            .map(|(key, stranger)| (!nobodys(stranger), stranger.proven, stranger.applicant.since, *key));
        let leaving = by_worth.min().filter(|(made, ..)| !(*made && for_nobodys));
        let (.., leaving) = leaving.ok_or(AlertDescription::INTERNAL_ERROR)?;
        self.by_principal.remove(&leaving);
        Ok(())
    }
}

impl Maker {
    fn of(row: ManufacturerRow) -> Result<Self, store::Error> {
        let anchor = read_anchor(&row.anchor).ok_or(store::Error::Damaged("manufacturer"))?;
        let (key, subject) = (anchor.key, anchor.subject.map(<[u8]>::to_vec));
        Ok(Self { tenant: row.tenant, name: row.name, key, thumbprint: key.thumbprint(&AWS_LC), subject })
    }

    fn anchor(&self) -> Anchor<'_> {
        Anchor { key: self.key, subject: self.subject.as_deref() }
    }

    /// A key without a name may have issued anything.
    fn may_have_issued(&self, issuer: &[u8]) -> bool {
        self.subject.as_deref().is_none_or(|subject| subject == issuer)
    }
}

/// A manufacturer's certificate, or its key alone, in DER.
pub(super) fn read_anchor(der: &[u8]) -> Option<Anchor<'_>> {
    Anchor::of_certificate(der).ok().or_else(|| {
        let key = PublicKey::from_spki(der).ok()?;
        Some(Anchor { key, subject: None })
    })
}

/// Whether a certificate measures a layer.
fn has_layers(certificate: &[u8]) -> bool {
    let names = [extension::OPEN_DICE, extension::TCB_INFO, extension::MULTI_TCB_INFO];
    let read = Certificate::read(certificate);
    read.is_ok_and(|read| read.extensions().flatten().any(|extension| names.contains(&extension.name)))
}

fn layered(attester: Identity, makes: Vec<(TenantId, String)>, since: UnixMillis) -> Applicant {
    let shown = attester.to_string();
    Applicant { identity: key_identity(&attester), shown, attester: Some(attester), makes, since, history: None }
}

/// What a device with a unique device secret is known by before it joins.
#[must_use]
pub const fn key_identity(attester: &Identity) -> [u8; 32] {
    attester.0
}

/// What a device is known by that only has its manufacturer's certificate.
#[must_use]
pub fn made_identity(manufacturer: &Identity, serial_number: &str) -> [u8; 32] {
    (AWS_LC.sha256)(&[b"bartizan idevid\0", &manufacturer.0, serial_number.as_bytes()])
}

fn peer_key(key: &PublicKey) -> Option<bartizan_dtls::PublicKey> {
    use bartizan_dtls::SignatureScheme;
    let (scheme, bytes): (_, &[u8]) = match key {
        PublicKey::P256(point) => (SignatureScheme::EcdsaSecp256r1Sha256, point),
        PublicKey::Ed25519(bytes) => (SignatureScheme::Ed25519, bytes),
        PublicKey::P384(_) => return None,
    };
    Some(bartizan_dtls::PublicKey { scheme, bytes: bartizan_crypto::PublicShare::new(bytes) })
}

const POISONED: &str = "invariant: nothing panics while it holds the door";

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    };

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    struct Authority {
        params: CertificateParams,
        key: KeyPair,
        der: Vec<u8>,
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    impl Authority {
        fn root(name: &str) -> Self {
            let mut params = params(name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let key = KeyPair::generate().unwrap();
            let der = params.self_signed(&key).unwrap().der().to_vec();
            Self { params, key, der }
        }

        fn below(&self, name: &str, constraints: BasicConstraints) -> Self {
            let mut params = params(name);
            params.is_ca = IsCa::Ca(constraints);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let key = KeyPair::generate().unwrap();
            let der = self.sign(&params, &key);
            Self { params, key, der }
        }

        fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
            params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
        }

        fn device(&self, serials: &[&str]) -> Vec<u8> {
            let mut params = params("device");
            for serial in serials {
                let kind = DnType::CustomDnType(vec![2, 5, 4, 5]);
                params.distinguished_name.push(kind, DnValue::PrintableString((*serial).try_into().unwrap()));
            }
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            self.sign(&params, &KeyPair::generate().unwrap())
        }
    }

    /// A door that knows this manufacturer for these tenants.
    fn door(anchor: &[u8], tenants: &[u32]) -> Door {
        let door = Door::new(Clock::real(), Arc::default(), Weak::new());
        let maker = |tenant: &u32| {
            let row = ManufacturerRow {
                tenant: TenantId(*tenant),
                name: "Acme".into(),
                anchor: anchor.to_vec(),
                key: [0; 32],
                added: NOW,
                added_by: "ada".into(),
            };
            Maker::of(row).unwrap()
        };
        *door.makers.write().unwrap() = tenants.iter().map(maker).collect();
        door
    }

    fn shown(door: &Door, chain: &[&[u8]]) -> Option<Applicant> {
        door.stranger(chain, NOW).map(|(applicant, _)| applicant)
    }

    #[test]
    fn a_make_is_proven_through_authorities_that_may_and_by_no_others() {
        let root = Authority::root("Acme");
        let middle = root.below("Acme meters", BasicConstraints::Constrained(0));
        let door = door(&root.der, &[1, 2]);
        let (leaf, deep) = (root.device(&["MX-1"]), middle.device(&["MX-2"]));
        let direct = shown(&door, &[&leaf]).unwrap();
        assert_eq!(direct.shown, "Acme MX-1");
        assert_eq!(direct.makes.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(shown(&door, &[&leaf, &root.der]).unwrap().identity, direct.identity);
        assert_eq!(shown(&door, &[&deep, &middle.der]).unwrap().shown, "Acme MX-2");
        assert_eq!(shown(&door, &[&deep]), None, "the one between is missing");
        assert_eq!(shown(&door, &[&middle.der, &deep]), None, "out of order");
        assert_eq!(shown(&door, &[&middle.der]), None, "an authority is no device");
        assert_eq!(shown(&door, &[]), None);

        let below = middle.below("too deep", BasicConstraints::Unconstrained);
        assert_eq!(shown(&door, &[&below.device(&["MX-3"]), &below.der, &middle.der]), None, "path length");
        // A leaf that signs others, and another root with the same name.
        let leaf_key = KeyPair::generate().unwrap();
        let mut leaf_params = params("leaf");
        leaf_params.is_ca = IsCa::ExplicitNoCa;
        leaf_params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let signer = root.sign(&leaf_params, &leaf_key);
        let forger = Authority { params: leaf_params, key: leaf_key, der: signer };
        assert_eq!(shown(&door, &[&forger.device(&["MX-1"]), &forger.der]), None, "a leaf is no authority");
        assert_eq!(shown(&door, &[&Authority::root("Acme").device(&["MX-1"])]), None, "the name alone is nothing");
    }

    #[test]
    fn a_device_has_one_serial_number() {
        let root = Authority::root("Acme");
        let door = door(&root.der, &[1]);
        assert_eq!(shown(&door, &[&root.device(&[])]), None);
        assert!(shown(&door, &[&root.device(&["A"])]).is_some());
        assert_ne!(made_identity(&Identity([1; 32]), "A"), made_identity(&Identity([2; 32]), "A"));
    }

    #[test]
    fn strangers_are_few_and_who_has_proven_most_stays() {
        let mut strangers = Strangers::default();
        let applicant = |number: u32, made: bool| Applicant {
            identity: [0; 32],
            shown: number.to_string(),
            attester: None,
            makes: if made { vec![(TenantId(1), "Acme".into())] } else { Vec::new() },
            since: UnixMillis(u64::from(number)),
            history: None,
        };
        let key = |number: u32| {
            let mut key = [9; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            PublicKey::Ed25519(key)
        };
        let made = strangers.enter(applicant(0, true), key(0)).unwrap();
        for number in 1..=3 * APPLICANTS_MAX as u32 {
            let principal = strangers.enter(applicant(number, false), key(number)).unwrap();
            assert!(is_applicant(principal) && principal != bartizan_dtls::Authentication::NOBODY);
        }
        assert_eq!(strangers.by_principal.len(), APPLICANTS_MAX);
        assert!(strangers.by_principal.contains_key(&made), "a flood of nobody's chains costs a known make nothing");
        // One key, shown again and again by who has not its private half.
        let mut strangers = Strangers::default();
        let proven = strangers.enter(applicant(0, true), key(0)).unwrap();
        strangers.by_principal.get_mut(&proven).unwrap().proven = true;
        for number in 1..=100 {
            strangers.enter(applicant(number, true), key(0)).unwrap();
        }
        assert_eq!(strangers.by_principal.len(), APPLICANTS_PER_KEY_MAX);
        assert!(strangers.by_principal.contains_key(&proven));
    }

    #[test]
    fn so_many_chains_are_verified_in_a_second() {
        let mut strangers = Strangers::default();
        let verified = (0..1_000).filter(|_| strangers.may_verify(NOW).is_ok()).count();
        assert_eq!(verified, STRANGERS_PER_SECOND_MAX as usize);
        assert!(strangers.may_verify(NOW.plus(1_000)).is_ok());
    }
}
