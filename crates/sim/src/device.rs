//! One device's life: sleep, wake, report, sleep.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bartizan_crypto::RUSTCRYPTO;
use bartizan_device::{
    Asleep, CipherSuite, Client, ClientConfig, ClientEvent, Code, Config, Psk, Request, SecretBytes, Version, Versions,
    content_format,
};
use tokio::sync::watch;

use crate::city::{DeviceSpec, Kind};
use crate::flash::CHAIN_BYTES;
use crate::habit::{Habit, Wake};
use crate::ledger::Ledger;
use crate::limits::{ATTEMPTS_MAX, BACKLOG_MAX};
use crate::meter::{Installed, Meter, fetch_key, prove_key};
use crate::pace::Pace;
use crate::radio::{Radio, Tap};
use crate::random::Seeded;

/// How long a device waits for the answer to one report, in real time.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long a device without anything more to say listens for commands, in real time.
const LINGER: Duration = Duration::from_millis(20);

/// What a device does, and on whose behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As its habit says.
    Innocent,
    /// Somebody took it over: a report every so many of the city's milliseconds.
    Driven { every_ms: u64 },
    /// The day is over: deliver what is left and stop.
    Stopping,
}

/// Everything one device's task needs.
pub(crate) struct Life {
    pub(crate) spec: DeviceSpec,
    pub(crate) seed: u64,
    pub(crate) gateway: SocketAddr,
    pub(crate) pace: Pace,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) mode: watch::Receiver<Mode>,
    /// What it starts from, if it attests.
    pub(crate) installed: Option<Installed>,
    pub(crate) tap: Option<Tap>,
}

/// A report that has not been acknowledged yet.
struct Report {
    number: u64,
    path: &'static str,
    body: String,
    attempts: u8,
}

/// What became of one attempt.
enum Fate {
    Acknowledged,
    Refused,
    Failed,
}

/// An association that sleeps.
enum Saved {
    Plain(Asleep),
    /// Under a key that only the code knows that fell asleep.
    Sealed(Vec<u8>),
}

/// Why a device no longer sleeps.
enum Woken {
    InTime,
    ModeChanged,
    SwitchedOff,
}

/// Why a device stopped living as it did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Switched off and on.
    Restarted,
    Over,
}

struct Device {
    life: Life,
    radio: Radio,
    config: Config,
    habit: Habit,
    asleep: Option<Saved>,
    backlog: VecDeque<Report>,
}

/// The configuration of a device: one small suite, as its battery wants.
pub(crate) fn config(identity: &str, psk: &[u8], version: Version) -> Config {
    let psk = SecretBytes::new(psk).expect("invariant: a simulated key is short");
    let mut dtls = ClientConfig::new(&RUSTCRYPTO, identity.as_bytes(), psk);
    dtls.versions = Versions { min: version, max: version };
    dtls.suites = vec![match version {
        Version::Dtls12 => CipherSuite::PskAes128Ccm8,
        Version::Dtls13 => CipherSuite::Aes128Ccm8Sha256,
    }];
    dtls.retransmit_ms = 2_000;
    Config { reconnect_ms_min: 500, reconnect_ms_max: 4_000, ..Config::new(dtls) }
}

impl Life {
    /// Lives until the mode is [`Mode::Stopping`].
    ///
    /// # Errors
    /// No socket could be had.
    pub(crate) async fn run(self) -> std::io::Result<()> {
        let root = Seeded::new(self.seed).fork(self.spec.number as u64);
        let mut radio = Radio::open(self.spec.address, self.gateway, root.fork(2)).await?;
        radio.tap.clone_from(&self.tap);
        let mut config = config(&self.spec.name, &self.spec.psk, self.spec.version);
        if self.installed.is_some() && self.spec.version == Version::Dtls12 {
            // What proves itself may be given another key, which takes an ephemeral exchange.
            config.dtls.suites = vec![CipherSuite::EcdhePskAes128Ccm8Sha256];
        }
        let device = Device {
            config,
            habit: Habit::new(self.seed, &self.spec),
            radio,
            life: self,
            asleep: None,
            backlog: VecDeque::new(),
        };
        device.live().await
    }
}

impl Device {
    async fn live(mut self) -> std::io::Result<()> {
        let Some(installed) = self.life.installed.clone() else { return self.days(None).await.map(drop) };
        loop {
            let mut chain = Box::new([0; CHAIN_BYTES]);
            let mut meter = installed.start(&mut self.radio.random(), &mut chain);
            if self.days(Some(&mut meter)).await? == End::Over {
                return Ok(());
            }
        }
    }

    /// From a start to the end, or to the next one.
    async fn days(&mut self, mut meter: Option<&mut Meter<'_>>) -> std::io::Result<End> {
        if meter.as_ref().is_some_and(|meter| meter.again) {
            self.deliver(meter.as_deref_mut()).await;
        }
        loop {
            let mode = *self.life.mode.borrow_and_update();
            let wake = match mode {
                Mode::Innocent => self.habit.next(self.life.pace.now()),
                Mode::Driven { every_ms } => self.driven(every_ms),
                Mode::Stopping => break,
            };
            match self.sleep(wake.after_ms, meter.as_deref_mut()).await {
                Woken::InTime => {}
                Woken::ModeChanged => continue,
                Woken::SwitchedOff => return Ok(End::Restarted),
            }
            if wake.moves {
                self.radio.move_away().await?;
            }
            self.report(wake, meter.as_deref_mut()).await;
        }
        self.deliver_rest(meter).await;
        Ok(End::Over)
    }

    /// What somebody else makes of it: the device's own kind of report, only when they like.
    fn driven(&mut self, every_ms: u64) -> Wake {
        let path = match self.life.spec.kind {
            Kind::Meter => "/meter/volume",
            Kind::Light => "/light/state",
            Kind::Lock => "/lock/event",
        };
        Wake { after_ms: every_ms, path, fields: "\"test\":true".into(), moves: false }
    }

    async fn sleep(&mut self, ms: u64, meter: Option<&mut Meter<'_>>) -> Woken {
        let switched_off = async {
            match meter {
                Some(meter) => meter.switched_off().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.life.pace.sleep(ms) => Woken::InTime,
            () = switched_off => Woken::SwitchedOff,
            // A sender that is gone means that the world is gone; the mode then stays as it is.
            changed = self.life.mode.changed() => if changed.is_err() { Woken::InTime } else { Woken::ModeChanged },
        }
    }

    async fn report(&mut self, wake: Wake, meter: Option<&mut Meter<'_>>) {
        let number = self.life.ledger.send();
        if self.backlog.len() >= BACKLOG_MAX {
            self.backlog.pop_front();
        }
        let body = format!("{{\"number\":{number},{}}}", wake.fields);
        self.backlog.push_back(Report { number, path: wake.path, body, attempts: 0 });
        self.deliver(meter).await;
    }

    async fn deliver_rest(&mut self, mut meter: Option<&mut Meter<'_>>) {
        for _ in 0..ATTEMPTS_MAX {
            if self.backlog.is_empty() {
                return;
            }
            self.deliver(meter.as_deref_mut()).await;
        }
    }

    /// One waking: the evidence that is owed, then everything that waits, in order, until something fails.
    async fn deliver(&mut self, mut meter: Option<&mut Meter<'_>>) {
        let Some(mut client) = self.wake_up(meter.as_deref()) else { return };
        let now = self.life.pace.now();
        if let Some(meter) = meter.as_deref_mut().filter(|meter| meter.owes_evidence(now)) {
            meter.attest(&mut self.radio, &mut client, now).await;
            if std::mem::take(&mut meter.wants_key) {
                self.take_key(&mut client).await;
            }
        }
        while let Some(mut report) = self.backlog.pop_front() {
            report.attempts += 1;
            match self.attempt(&mut client, &report).await {
                Fate::Acknowledged => self.life.ledger.acknowledge(report.number),
                Fate::Refused => self.life.ledger.refuse(),
                Fate::Failed => {
                    if report.attempts < ATTEMPTS_MAX {
                        self.backlog.push_front(report);
                    }
                    break;
                }
            }
        }
        if self.life.spec.kind == Kind::Light {
            self.radio.drive(&mut client, LINGER, |_| None::<()>).await;
        }
        self.asleep = client.sleep().map(|asleep| self.saved(asleep, meter.as_deref()));
    }

    /// Another key, which is kept beside the old one before it is used.
    async fn take_key(&mut self, client: &mut Client) {
        let Some(key) = fetch_key(&mut self.radio, client).await else { return };
        let dtls = &mut self.config.dtls;
        let identity = std::mem::replace(&mut dtls.identity, key.identity.clone());
        let old = Psk { identity, key: std::mem::replace(&mut dtls.psk, key.key.clone()) };
        self.config.fallback.get_or_insert(old);
        if prove_key(&mut self.radio, client, key).await {
            self.config.fallback = None;
        }
    }

    fn saved(&mut self, asleep: Asleep, meter: Option<&Meter<'_>>) -> Saved {
        match meter {
            Some(meter) => Saved::Sealed(meter.seal(&asleep, &mut self.radio.random())),
            None => Saved::Plain(asleep),
        }
    }

    /// The client as it fell asleep, or a new one.
    fn wake_up(&mut self, meter: Option<&Meter<'_>>) -> Option<Client> {
        let now = self.radio.now();
        let saved = self.asleep.take().and_then(|saved| match (saved, meter) {
            (Saved::Plain(asleep), _) => Some(asleep),
            (Saved::Sealed(sealed), meter) => meter?.open(&sealed),
        });
        if let Some(asleep) = saved {
            let woken = Client::wake(self.config.clone(), &asleep, now, &mut self.radio.random());
            if let Ok((client, keep)) = woken {
                self.asleep = Some(self.saved(keep, meter));
                return Some(client);
            }
        }
        Client::new(self.config.clone(), now, &mut self.radio.random()).ok()
    }

    async fn attempt(&mut self, client: &mut Client, report: &Report) -> Fate {
        let request = Request::post(report.path, content_format::JSON, report.body.as_bytes());
        let Ok(id) = client.request(self.radio.now(), request) else {
            return Fate::Failed;
        };
        let answer = self.radio.drive(client, PATIENCE, |event| match event {
            ClientEvent::Response { request, code, .. } if *request == id => Some(Some(*code)),
            ClientEvent::Failed { request, .. } if *request == id => Some(None),
            _ => None,
        });
        match answer.await.flatten() {
            Some(code) if code.is_success() => Fate::Acknowledged,
            Some(Code::FORBIDDEN) => Fate::Refused,
            Some(_) | None => Fate::Failed,
        }
    }
}
