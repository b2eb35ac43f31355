//! The start: bind, read the journal, bring the associations back, and only then serve.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use bartizan_crypto::{AWS_LC, Secret};
use bartizan_dtls::{
    Endpoint, EndpointConfig, PeerVerifier, ReplayWindow, RouteConfig, Routes, SessionId, SessionState,
};
use tokio::sync::mpsc;

use super::super::GatewayOptions;
use super::super::coap::Shared;
use super::super::counters::Shown;
use super::super::hold::{Hold, record_session};
use super::super::journal::{Disk, Journal, Notice, Recovered};
use super::super::socket::Socket;
use super::devices::key_of;
use super::{Done, Run, store_commands};
use crate::app::door::is_applicant;
use crate::app::{App, Error};
use crate::limits::{GATEWAY_COMMAND_CHANGES_MAX, GATEWAY_DONE_MAX};
use crate::store::MasterKey;

/// What the journal's key is derived for.
const PURPOSE: &str = "bartizan session journal";
/// What the key of Connection IDs is derived for. Derived, so that sessions find their way after a restart without
/// another file that could be lost; another purpose will be another config id.
const ROUTE_PURPOSE: &str = "bartizan connection ids 1";
const ROUTE_ID: u8 = 1;

impl Run {
    pub async fn new<D: Disk>(
        app: Arc<App>,
        options: &GatewayOptions,
        disk: D,
        shown: Arc<Shown>,
    ) -> Result<Self, Error> {
        let socket = bind(options)?;
        let (journal, recovered) = open_journal(options, disk).await?;
        let credential = app.gateway_credential().await?;
        let verifier: Arc<dyn PeerVerifier> = app.door().clone();
        let endpoint = endpoint_config(options)
            .map(|config| EndpointConfig { credential: Some(credential), verifier: Some(verifier), ..config })
            .and_then(|config| Endpoint::server(config, Box::new(fill)))
            .map_err(|error| Error::Unavailable(format!("DTLS: {error}")))?;
        let (done, dones) = mpsc::channel(GATEWAY_DONE_MAX);
        let (command_changes, changes) = mpsc::channel(GATEWAY_COMMAND_CHANGES_MAX);
        let command_writer = tokio::spawn(store_commands(Arc::clone(&app), changes, done.clone()));
        let mut run = Self {
            access_changes: app.access_changes(),
            to_devices: app.to_devices(),
            app,
            shown,
            socket,
            endpoint,
            journal,
            hold: Hold::default(),
            walk: None,
            origin: Instant::now(),
            shared: Shared::new(seed()),
            applicants: HashMap::new(),
            peers: HashMap::new(),
            timers: BinaryHeap::new(),
            sessions: HashMap::new(),
            replaced: HashMap::new(),
            restored: HashSet::new(),
            loading: HashMap::new(),
            routes: HashMap::new(),
            refused: HashMap::new(),
            unusable: HashSet::new(),
            credentials: 0,
            in_flight: 0,
            done,
            dones,
            command_changes,
            command_writer,
            settling: HashSet::new(),
            sessions_kept: sessions_kept(options.sessions_max),
            lease: options.lease,
            awake_ms: options.awake_ms,
            stalled: false,
            draining: false,
        };
        run.restore(recovered).await?;
        tracing::info!(associations = run.sessions.len(), "the gateway has its associations back");
        run.load_restored();
        run.settle();
        Ok(run)
    }

    /// Brings every association back, each with a new lease that is durable before anything is sent.
    async fn restore(&mut self, recovered: Vec<Recovered>) -> Result<(), Error> {
        let mut leases = Vec::with_capacity(recovered.len());
        for known in recovered {
            if let Some((session, upto, address)) = self.restore_one(known) {
                record_session(&mut self.journal, &self.endpoint, session, upto, address);
                leases.push((session, upto));
            }
            if self.journal.is_full() {
                self.sync().await?;
            }
        }
        self.journal.complete();
        self.sync().await?;
        for (session, upto) in leases {
            self.endpoint.extend_lease(session, upto);
        }
        Ok(())
    }

    fn restore_one(&mut self, known: Recovered) -> Option<(SessionId, u64, std::net::SocketAddr)> {
        let window = ReplayWindow { top: known.window.top, bits: known.window.bits };
        let restored = SessionState::from_bytes(&known.state).and_then(|state| {
            let principal = state.principal();
            if is_applicant(principal) {
                return Err(bartizan_dtls::Error::Misuse("a stranger's association"));
            }
            let address = known.address;
            let session = self.endpoint.restore(state, window, known.lease, address)?;
            Ok((principal, session))
        });
        match restored {
            Ok((principal, session)) => {
                self.restored.insert(principal);
                if let Some(before) = self.sessions.insert(principal, session) {
                    self.replaced.insert(principal, before);
                }
                Some((session, known.lease.saturating_add(self.lease), known.address))
            }
            Err(error) => {
                tracing::warn!(session = known.session, %error, "an association was not restored");
                None
            }
        }
    }

    /// Waits until what was recorded is durable.
    async fn sync(&mut self) -> Result<(), Error> {
        if self.journal.flush()
            && let Notice::Stalled(why) = self.journal.notice().await
        {
            let error = format!("the session journal cannot be written: {why}");
            return Err(Error::Unavailable(error));
        }
        Ok(())
    }

    /// Loads the devices of restored associations in the background, so that they show, and blocked ones
    /// end, before they speak.
    fn load_restored(&self) {
        let principals: Vec<u64> = self.sessions.keys().copied().collect();
        let (app, done) = (Arc::clone(&self.app), self.done.clone());
        tokio::spawn(async move {
            for principal in principals {
                let Ok(device) = app.load_device(key_of(principal)).await else {
                    continue; // tried again at its next message
                };
                let loaded = Done::Loaded { principal, device, route: None };
                if done.send(loaded).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn bind(options: &GatewayOptions) -> Result<Socket, Error> {
    Socket::bind(options.listen)
        .map_err(|error| Error::Unavailable(format!("the gateway cannot listen on UDP {}: {error}", options.listen)))
}

/// Reads the journal; away from the runtime's threads, since a large one takes a while.
async fn open_journal<D: Disk>(options: &GatewayOptions, disk: D) -> Result<(Journal, Vec<Recovered>), Error> {
    let key = options.key.derive(PURPOSE);
    let bytes_min = options.journal_bytes_min;
    let opened = tokio::task::spawn_blocking(move || Journal::open(disk, key, Box::new(fill), bytes_min));
    let opened = opened.await.map_err(|error| Error::Unavailable(format!("the session journal: {error}")))?;
    opened.map_err(|error| {
        let path = options.sessions_dir.display();
        Error::Unavailable(format!("sessions in {path}: {error}"))
    })
}

/// A sixteenth of the places is for handshakes under way.
fn sessions_kept(sessions_max: u32) -> usize {
    (sessions_max - (sessions_max / 16).max(1).min(sessions_max)) as usize
}

fn endpoint_config(options: &GatewayOptions) -> Result<EndpointConfig, bartizan_dtls::Error> {
    Ok(EndpointConfig {
        routes: routes(&options.key)?,
        sessions_max: options.sessions_max,
        handshakes_max: options.handshakes_max,
        versions: options.versions,
        lease: options.lease,
        require_cid: options.require_cid,
        path_check: options.path_check,
        ..EndpointConfig::new(&AWS_LC)
    })
}

/// Sessions from before Connection IDs were encrypted keep theirs.
fn routes(key: &MasterKey) -> Result<Routes, bartizan_dtls::Error> {
    let derived = key.derive(ROUTE_PURPOSE);
    let mut route_key = Secret::new([0; 16]);
    route_key.expose_mut().iter_mut().zip(derived.expose()).for_each(|(to, from)| *to = *from);
    Ok(Routes::sealed(&RouteConfig::new(ROUTE_ID, route_key))?.accepting_plain())
}

/// The operating system's randomness.
fn fill(out: &mut [u8]) {
    getrandom::fill(out).expect("invariant: the operating system has randomness");
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_be_bytes(bytes)
}
