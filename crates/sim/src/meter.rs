//! The trusted half of a water meter: its flash behind a switch, its start, its sealed sleep, its evidence.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_crypto::{RUSTCRYPTO, Random, Secret};
use bartizan_device::attest::{Attester, Carry, SEALED_EXTRA_BYTES};
use bartizan_device::{Asleep, Client, ClientEvent, Code, Psk, Request, content_format};
use bartizan_trust::cbor::Strict;
use bartizan_trust::challenge;
use bartizan_wire::UnixMillis;
use tokio::sync::watch;

use crate::flash::{CHAIN_BYTES, Flash};
use crate::radio::Radio;

/// Where the gateway gives challenges and takes evidence.
const PATH: &str = "/.well-known/bartizan/attestation";
/// How long a meter that may do everything waits before it attests again, in the city's milliseconds.
const AGAIN_AFTER_MS: u64 = 12 * 3_600_000;
/// How long it waits for an answer, in real time.
const PATIENCE: Duration = Duration::from_secs(45);
/// Challenges that it fetches in a row when one grew too old on the way.
const CHALLENGES_MAX: usize = 3;
const EVIDENCE_BYTES_MAX: usize = CHAIN_BYTES + 320;

/// A flash in its housing: somebody may open it, and switch it off and on.
#[derive(Clone)]
pub(crate) struct Installed {
    flash: Arc<Mutex<Flash>>,
    /// How often it was switched on.
    power: Arc<watch::Sender<u64>>,
}

impl Installed {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { flash: Arc::new(Mutex::new(Flash::new(secret))), power: Arc::new(watch::Sender::new(0)) }
    }

    pub(crate) fn reprogram(&self, change: impl Fn(&mut Flash)) {
        change(&mut self.flash.lock().expect("invariant: no panic while the flash is held"));
        self.power.send_modify(|count| *count += 1);
    }

    pub(crate) fn start<'c>(&self, random: &mut dyn Random, chain: &'c mut [u8; CHAIN_BYTES]) -> Meter<'c> {
        let power = self.power.subscribe();
        let mut flash = self.flash.lock().expect("invariant: no panic while the flash is held");
        let attester = flash.start(random, chain);
        let again = *power.borrow() > 0;
        Meter { attester, power, due: None, wants_key: false, again }
    }
}

/// A meter that has started.
pub(crate) struct Meter<'c> {
    attester: Attester<'c>,
    power: watch::Receiver<u64>,
    /// When it attests next; `None`: at the next waking.
    due: Option<UnixMillis>,
    /// Whether the gateway wants it to take another key.
    pub(crate) wants_key: bool,
    /// Whether it was switched off and on, and not just delivered.
    pub(crate) again: bool,
}

impl Meter<'_> {
    /// Returns when it is switched off.
    pub(crate) async fn switched_off(&mut self) {
        if self.power.changed().await.is_err() {
            std::future::pending().await // nobody is left to do it
        }
    }

    pub(crate) fn owes_evidence(&self, now: UnixMillis) -> bool {
        self.due.is_none_or(|due| now >= due)
    }

    /// Code that was changed since has another key, and must shake hands.
    pub(crate) fn seal(&self, asleep: &Asleep, random: &mut dyn Random) -> Vec<u8> {
        let mut sealed = vec![0; asleep.len() + SEALED_EXTRA_BYTES];
        let sealing = self.attester.seal_session(&RUSTCRYPTO, random, asleep, &mut sealed);
        sealing.expect("invariant: there is room, and the provider has the cipher");
        sealed
    }

    /// What another start of other code sealed does not open.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Asleep> {
        let mut sealed = Asleep::new(sealed.to_vec());
        let opened = self.attester.open_session(&RUSTCRYPTO, &mut sealed).ok()?;
        Some(Asleep::new(opened.to_vec()))
    }

    /// Fetches a challenge and answers it. Whatever comes of it, the next report may go.
    pub(crate) async fn attest(&mut self, radio: &mut Radio, client: &mut Client, now: UnixMillis) {
        for _ in 0..CHALLENGES_MAX {
            match self.answer_challenge(radio, client).await {
                Some((Code::CONFLICT, _)) => {}
                Some((Code::CHANGED, standing)) => {
                    self.due = is_free(&standing).then(|| now.plus(AGAIN_AFTER_MS));
                    self.wants_key = says(&standing, "rotate");
                    return;
                }
                _ => return,
            }
        }
    }

    async fn answer_challenge(&self, radio: &mut Radio, client: &mut Client) -> Option<(Code, Vec<u8>)> {
        let (code, challenge) = ask(radio, client, Request::get(PATH)).await?;
        let exporter = Secret::new(*client.exporter().filter(|_| code == Code::CONTENT)?);
        let binding = challenge::binding(&RUSTCRYPTO, &exporter, &challenge);
        let mut evidence = [0; EVIDENCE_BYTES_MAX];
        let made =
            self.attester.evidence(&RUSTCRYPTO, &mut radio.random(), &challenge, &binding, Carry::Chain, &mut evidence);
        ask(radio, client, Request::post(PATH, content_format::EAT_CWT, &evidence[..made.ok()?])).await
    }
}

async fn ask(radio: &mut Radio, client: &mut Client, request: Request) -> Option<(Code, Vec<u8>)> {
    let id = client.request(radio.now(), request).ok()?;
    let answer = radio.drive(client, PATIENCE, |event| match event {
        ClientEvent::Response { request, code, payload, .. } if *request == id => Some(Some((*code, payload.clone()))),
        ClientEvent::Failed { request, .. } if *request == id => Some(None),
        _ => None,
    });
    answer.await.flatten()
}

/// Fetches another key over the association, which carried good evidence.
pub(crate) async fn fetch_key(radio: &mut Radio, client: &mut Client) -> Option<Psk> {
    let id = client.request_key(radio.now(), &[]).ok()?;
    let answer = radio.drive(client, PATIENCE, |event| match event {
        ClientEvent::NewKey { request, key } if *request == id => Some(Some(key.clone())),
        ClientEvent::Response { request, .. } | ClientEvent::Failed { request, .. } if *request == id => Some(None),
        _ => None,
    });
    answer.await.flatten()
}

/// Connects with the key. Whether it is the only one now.
pub(crate) async fn prove_key(radio: &mut Radio, client: &mut Client, key: Psk) -> bool {
    client.use_key(radio.now(), key);
    let proven = radio.drive(client, PATIENCE, |event| match event {
        ClientEvent::KeyProven => Some(true),
        ClientEvent::Disconnected { .. } => Some(false),
        _ => None,
    });
    proven.await.unwrap_or(false)
}

fn says(standing: &[u8], key: &str) -> bool {
    let Ok(map) = Strict::new(standing) else { return false };
    map.under_text(key).and_then(|item| item.boolean()) == Some(true)
}

/// Whether the gateway's answer says that everything passes and no evidence is owed.
fn is_free(standing: &[u8]) -> bool {
    let Ok(map) = Strict::new(standing) else { return false };
    let says = |key| map.under_text(key);
    says("access").and_then(|access| access.text()) == Some("full")
        && says("attest").and_then(|owed| owed.boolean()) != Some(true)
}
