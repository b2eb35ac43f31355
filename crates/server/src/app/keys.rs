//! Another key for a device: handed out over its own association, used at its next handshake, or made by a person.
//!
//! ```text
//!  asked ─▶ handed out, beside the one in use ─▶ a handshake with it ─▶ the only one; associations of the old one end
//! ```
//!
//! Until that handshake both keys open the door, so a device that lost the answer, or crashed before it had stored it,
//! comes in with the old one and asks again. A key is handed out in one association only, and in one that is worth it:
//! with an ephemeral exchange, so that whoever knows the old key and recorded everything does not learn the new one; and
//! of a device that attests, with good evidence, so that whoever stole the old key cannot take its place.

use std::sync::Arc;

use bartizan_crypto::{AWS_LC, Secret};
use bartizan_platform::import::secret::to_hex;
use bartizan_platform::posture::Machine;
use bartizan_wire::{Access, Cause, DeviceKey, Lifecycle, UnixMillis};
use zeroize::Zeroizing;

use super::bus::UpdateKind;
use super::device::{Device, State};
use super::error::{Error, Misuse};
use super::views::{DeviceView, KeyView, rfc3339};
use super::words::device_view;
use super::{AccessChange, Actor, App};
use crate::limits::{KEY_CONTRIBUTION_BYTES_MAX, KEY_CONTRIBUTION_BYTES_MIN, KEY_HOURS_MAX, KEYS_PER_MINUTE_MAX};
use crate::store::{DeviceRow, KeyFacts, PendingKey, Place, fill_random};

/// Bytes of a PSK that the server makes.
const PSK_BYTES: usize = 32;
/// Random bytes in the identity of a key that is handed out; it is text (RFC 4279 section 5.1), in hex.
const IDENTITY_BYTES: usize = 12;

/// Why a device was given no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    #[error(
        "a new key needs an association with an ephemeral exchange: connect with TLS_ECDHE_PSK_* or, in DTLS 1.3, psk_dhe_ke"
    )]
    NotEphemeral,
    #[error("what a device adds to its key has {KEY_CONTRIBUTION_BYTES_MIN} to {KEY_CONTRIBUTION_BYTES_MAX} bytes")]
    Contribution,
    /// Its firmware may read what it is given.
    #[error("quarantined: prove first what you run")]
    Isolated,
    #[error("attest in this association first")]
    Unproven,
    #[error("too many keys in a minute")]
    TooMuch,
    #[error("keys cannot be stored now: {0}")]
    Unavailable(String),
}

/// A key for the device, with the identity that a handshake names it by.
pub struct NewKey {
    pub identity: Vec<u8>,
    pub psk: Zeroizing<Vec<u8>>,
}

/// What a device asks in which association.
pub struct KeyRequest<'a> {
    pub exporter: &'a Secret<32>,
    /// Whether the association has an ephemeral exchange and was opened with a key of ours.
    pub forward_secret: bool,
    /// Mixed into the key; may be empty.
    pub contribution: &'a [u8],
}

/// The keys of a device in memory.
#[derive(Debug)]
pub(super) struct KeyState {
    pub identity: Vec<u8>,
    sealed: Vec<u8>,
    facts: KeyFacts,
    pending: Option<PendingKey>,
    /// The key was replaced, and something of the old one may be left.
    replaced: bool,
}

/// Names an association without telling its secret.
pub(super) fn session_name(exporter: &Secret<32>) -> [u8; 32] {
    (AWS_LC.hmac_sha256)(exporter.expose(), &[b"bartizan key"])
}

impl KeyState {
    pub fn of(row: &DeviceRow) -> Self {
        Self {
            identity: row.identity.clone(),
            sealed: row.sealed_psk.clone(),
            facts: row.key,
            pending: row.pending_key.clone(),
            replaced: row.key_replaced,
        }
    }

    /// Number and sealed bytes of the key that the identity names.
    pub fn of_identity(&self, device: DeviceKey, identity: &[u8]) -> Option<(u32, Place<'static>, Vec<u8>)> {
        if identity == self.identity {
            return Some((self.facts.number, Place::Psk(device.tenant, device.device), self.sealed.clone()));
        }
        let pending = self.pending.as_ref().filter(|pending| pending.identity == identity)?;
        Some((pending.number, Place::PendingPsk(device.tenant, device.device), pending.sealed.clone()))
    }

    /// No key had this number yet.
    fn next_number(&self) -> u32 {
        let newest = self.pending.as_ref().map_or(0, |pending| pending.number);
        self.facts.number.max(newest).saturating_add(1)
    }
}

impl State {
    /// If another key is wanted: it has to be made after this.
    fn wants_key_from_after(&self) -> Option<UnixMillis> {
        self.posture.awaits_key().max(self.key.facts.asked)
    }
}

/// What people see of the key in use. `row`: of a device that is not in memory.
pub(super) fn key_view(facts: &KeyFacts, created: UnixMillis, pending: Option<UnixMillis>, wanted: bool) -> KeyView {
    KeyView {
        number: facts.number,
        made: rfc3339(facts.made.unwrap_or(created)),
        wanted,
        due: facts.due.map(rfc3339),
        pending_since: pending.map(rfc3339),
    }
}

impl Device {
    /// Which of its keys is in use.
    #[must_use]
    pub fn key_number(&self) -> u32 {
        self.state().key.facts.number
    }

    /// Whether the device is to take another key.
    #[must_use]
    pub fn wants_key(&self) -> bool {
        self.state().wants_key_from_after().is_some()
    }

    /// Whether associations of a key that was replaced may be left.
    #[must_use]
    pub fn is_key_replaced(&self) -> bool {
        self.state().key.replaced
    }

    /// Whether the number is that of the key that the device was handed and has not used yet.
    #[must_use]
    pub fn is_key_pending(&self, number: u32) -> bool {
        self.state().key.pending.as_ref().is_some_and(|pending| pending.number == number)
    }
}

impl App {
    /// Hands the device another key, durable when it returns. In the same association it is the same one until it was
    /// used, so that an answer that was lost can be had again; another association is given another.
    pub async fn hand_out_key(&self, device: &Arc<Device>, request: &KeyRequest<'_>) -> Result<NewKey, KeyRefusal> {
        self.may_have_key(device, request).await?;
        let session = session_name(request.exporter);
        let _one = device.tenant().changing_keys.lock().await;
        let again = {
            let state = device.state();
            let after = state.wants_key_from_after();
            let usable = |key: &&PendingKey| key.session == session && after.is_none_or(|after| key.made > after);
            state.key.pending.as_ref().filter(usable).cloned()
        };
        let (pending, psk) = match again {
            Some(pending) => {
                let place = Place::PendingPsk(device.key.tenant, device.key.device);
                let psk = self.store.sealer.open(place, &pending.sealed);
                (pending, psk.ok_or_else(|| KeyRefusal::Unavailable("the stored key is damaged".into()))?)
            }
            None => self.make_pending_key(device, session, request.contribution).await?,
        };
        let current = device.state().key.identity.clone();
        self.store.operator.set_identities(device.key, &current, Some(&pending.identity)).await.map_err(unavailable)?;
        Ok(NewKey { identity: pending.identity, psk })
    }

    /// Whether the device and this association of it are worth a key.
    async fn may_have_key(&self, device: &Arc<Device>, request: &KeyRequest<'_>) -> Result<(), KeyRefusal> {
        if !request.forward_secret {
            return Err(KeyRefusal::NotEphemeral);
        }
        let length = request.contribution.len();
        if length != 0 && !(KEY_CONTRIBUTION_BYTES_MIN..=KEY_CONTRIBUTION_BYTES_MAX).contains(&length) {
            return Err(KeyRefusal::Contribution);
        }
        let (awaited, proven) = {
            let state = device.state();
            let proven = state.proven_in == Some(session_name(request.exporter));
            (state.posture.awaits_key().is_some(), proven)
        };
        if device.access() >= Access::Quarantined && !awaited {
            return Err(KeyRefusal::Isolated);
        }
        let attests = device.can_attest()
            && device.tenant().attestation_policy(&device.type_name).await.map_err(unavailable)?.is_some();
        if (attests || awaited) && !proven {
            return Err(KeyRefusal::Unproven);
        }
        Ok(())
    }

    async fn make_pending_key(
        &self,
        device: &Arc<Device>,
        session: [u8; 32],
        contribution: &[u8],
    ) -> Result<(PendingKey, Zeroizing<Vec<u8>>), KeyRefusal> {
        let now = self.clock.now();
        let (number, after) = {
            let mut state = device.state();
            if !state.key_allowance.take(now, KEYS_PER_MINUTE_MAX) {
                return Err(KeyRefusal::TooMuch);
            }
            (state.key.next_number(), state.wants_key_from_after())
        };
        let psk = mixed(&fresh_psk(), contribution);
        let mut name = [0; IDENTITY_BYTES];
        fill_random(&mut name);
        let pending = PendingKey {
            number,
            identity: to_hex(&name).into_bytes(),
            sealed: self.store.sealer.seal(Place::PendingPsk(device.key.tenant, device.key.device), &psk),
            // Within one millisecond, or with a clock that was put back, it is still the later one.
            made: after.map_or(now, |after| now.max(after.plus(1))),
            session,
        };
        device.tenant().store.keep_pending_key(device.key.device, &pending).await.map_err(unavailable)?;
        device.state().key.pending = Some(pending.clone());
        self.note(device, "key", "It was handed a new key; until it connects with it, both keys are good.".into());
        self.tell_key_changed(device);
        Ok((pending, psk))
    }

    /// A handshake with this key of the device has come to its last message, which waits for the answer: true if the
    /// device has no other key (any more), false if this one is not valid any more. Durable when it returns.
    pub async fn use_key(&self, device: &Arc<Device>, number: u32) -> Result<bool, Error> {
        let _one = device.tenant().changing_keys.lock().await;
        let pending = {
            let state = device.state();
            if state.key.facts.number == number {
                return Ok(true);
            }
            state.key.pending.clone().filter(|pending| pending.number == number)
        };
        let Some(pending) = pending else { return Ok(false) };
        let (tenant, id) = (device.key.tenant, device.key.device);
        let psk = self.store.sealer.open(Place::PendingPsk(tenant, id), &pending.sealed);
        let psk = psk.ok_or_else(|| Error::Unavailable("the stored key of a device is damaged".into()))?;
        let sealed = self.store.sealer.seal(Place::Psk(tenant, id), &psk);
        device.tenant().store.use_pending_key(id, &pending, &sealed).await?;
        {
            let mut state = device.state();
            let asked = state.key.facts.asked.filter(|asked| *asked >= pending.made);
            let due = state.key.facts.due.filter(|_| asked.is_some());
            let facts = KeyFacts { number, made: Some(pending.made), asked, due };
            let identity = pending.identity;
            state.key = KeyState { identity, sealed, facts, pending: None, replaced: true };
            state.version += 1;
        }
        self.note(device, "key", "It connected with its new key; the old one is not valid any more.".into());
        self.tell_key_changed(device);
        Ok(true)
    }

    /// The handshake is over, with the key in use. What waits for another key hears when this one was made.
    pub fn key_used(&self, device: &Arc<Device>) {
        let made = {
            let state = device.state();
            state.key.facts.made.filter(|_| state.posture.awaits_key().is_some())
        };
        if let Some(made) = made {
            self.say(device, self.clock.now(), Machine::Rekeyed(made), None);
        }
    }

    /// The association whose exporter value this is was opened with a certificate, not with a pre-shared key.
    pub fn opened_by_certificate(&self, device: &Device, exporter: &Secret<32>) {
        device.state().certified_in = Some(session_name(exporter));
    }

    /// All associations of keys that were replaced have ended, durably.
    pub async fn forget_replaced_key(&self, device: &Arc<Device>) -> Result<(), Error> {
        let _one = device.tenant().changing_keys.lock().await;
        let (current, pending) = {
            let state = device.state();
            (state.key.identity.clone(), state.key.pending.as_ref().map(|pending| pending.identity.clone()))
        };
        self.store.operator.set_identities(device.key, &current, pending.as_deref()).await?;
        device.tenant().store.forget_replaced_key(device.key.device).await?;
        device.state().key.replaced = false;
        Ok(())
    }

    /// The device comes back with its certificate: the pre-shared key that it has as well, and that what failed may have
    /// read, is replaced by one that nobody knows. Once for each failure.
    pub(super) async fn void_key(&self, device: &Arc<Device>) -> Result<(), Error> {
        let failed = {
            let state = device.state();
            let failures = state.posture.holds.iter().filter(|hold| hold.cause == Cause::Attestation);
            let made = state.key.facts.made;
            failures.map(|hold| hold.since).max().filter(|since| made.is_none_or(|made| made <= *since))
        };
        if failed.is_none() {
            return Ok(());
        }
        self.replace_key(device, &fresh_psk()).await?;
        self.note(device, "key", "Its pre-shared key was voided: it comes back with its certificate.".into());
        self.tell_key_changed(device);
        self.forget_replaced_key(device).await
    }

    /// Replaces the key under its identity, and answers the device's access.
    async fn replace_key(&self, device: &Arc<Device>, psk: &[u8]) -> Result<Access, Error> {
        let _one = device.tenant().changing_keys.lock().await;
        let (number, after) = {
            let state = device.state();
            let failed = state.posture.holds.iter().map(|hold| hold.since).max();
            (state.key.next_number(), state.wants_key_from_after().max(failed))
        };
        let made = after.map_or(self.clock.now(), |after| self.clock.now().max(after.plus(1)));
        let sealed = self.store.sealer.seal(Place::Psk(device.key.tenant, device.key.device), psk);
        device.tenant().store.replace_key(device.key.device, number, &sealed, made).await?;
        let mut state = device.state();
        let facts = KeyFacts { number, made: Some(made), asked: None, due: None };
        let identity = std::mem::take(&mut state.key.identity);
        state.key = KeyState { identity, sealed, facts, pending: None, replaced: true };
        state.version += 1;
        Ok(state.posture.access())
    }

    fn tell_key_changed(&self, device: &Arc<Device>) {
        let now = self.clock.now();
        self.publish(device.key.tenant, || UpdateKind::Device(Box::new(device_view(device, &self.policy, now, true))));
    }

    // --- people

    /// Replaces the device's PSK and answers the new one in hex. Its association is closed.
    pub async fn rotate_key(&self, actor: &Actor, device: DeviceKey) -> Result<String, Error> {
        let device = self.require_in_service(device).await?;
        let psk = fresh_psk();
        let access = self.replace_key(&device, &psk).await?;
        self.note_by(&device, actor, "key", "Its key was replaced; it must connect with the new one.".into());
        self.announce(&AccessChange { device: device.clone(), access, close: true });
        self.tell_key_changed(&device);
        self.audit(actor, "device.rotate_key", Some(device.key.tenant), &device.name, "").await?;
        Ok(to_hex(&psk))
    }

    /// Asks the device to take another key by itself, within so many hours. It goes on with the one that it has.
    pub async fn ask_for_key(&self, actor: &Actor, device: DeviceKey, hours: u32) -> Result<DeviceView, Error> {
        if !(1..=KEY_HOURS_MAX).contains(&hours) {
            return Err(Error::Malformed(format!("a device has 1 to {KEY_HOURS_MAX} hours to take another key")));
        }
        let device = self.require_in_service(device).await?;
        let now = self.clock.now();
        let due = now.plus(u64::from(hours) * 3_600_000);
        {
            let _one = device.tenant().changing_keys.lock().await;
            device.tenant().store.ask_for_key(device.key.device, now, due).await?;
            let mut state = device.state();
            (state.key.facts.asked, state.key.facts.due) = (Some(now), Some(due));
            state.version += 1;
        }
        self.note_by(&device, actor, "key", format!("Asked to take another key within {hours} h."));
        self.tell_key_changed(&device);
        let detail = format!("over the air within {hours} h");
        self.audit(actor, "device.rotate_key", Some(device.key.tenant), &device.name, &detail).await?;
        Ok(self.view(&device))
    }

    async fn require_in_service(&self, device: DeviceKey) -> Result<Arc<Device>, Error> {
        let device = self.require_device(device).await?;
        match device.state().posture.lifecycle {
            Lifecycle::Retired => return Err(Misuse::Conflict("the device is retired".into()).into()),
            Lifecycle::Pending | Lifecycle::Active => {}
        }
        Ok(device)
    }
}

pub(super) fn fresh_psk() -> Zeroizing<Vec<u8>> {
    let mut psk = Zeroizing::new(vec![0; PSK_BYTES]);
    fill_random(&mut psk);
    psk
}

/// As good as the better of both, if one of them is not random.
fn mixed(ours: &[u8], contribution: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new((AWS_LC.hmac_sha256)(ours, &[b"bartizan psk", contribution]).to_vec())
}

/// What [`device_view`] shows of the key.
pub(super) fn shown(state: &State, created: UnixMillis) -> KeyView {
    let pending = state.key.pending.as_ref().map(|pending| pending.made);
    key_view(&state.key.facts, created, pending, state.wants_key_from_after().is_some())
}

fn unavailable(error: crate::store::Error) -> KeyRefusal {
    KeyRefusal::Unavailable(Error::from(error).to_string())
}
