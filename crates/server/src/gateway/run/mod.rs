//! The gateway's one task: it owns the socket, the DTLS endpoint, the journal and every peer.
//!
//! Whatever takes time (storage, upstreams) runs in tasks of its own, bounded in number, and comes back as a
//! [`Done`]. The loop itself never waits for anything but the next thing to do.

mod applicants;
mod commands;
mod datagrams;
mod devices;
mod events;
mod keys;
mod restore;
mod steps;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bartizan_dtls::{Endpoint, HandshakeId, SessionId};
use bartizan_wire::{CommandId, DeviceKey, TenantId};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::coap::{Answer, Exchange, Peer, Shared, Turn};
use super::counters::{Shown, count};
use super::hold::{Held, Hold, record_session};
use super::journal::{Journal, Notice};
use super::socket::Socket;
use crate::app::door::is_applicant;
use crate::app::{AccessChange, App, Credential, Device, Error, ToDevice};
use crate::limits::{GATEWAY_DONE_PER_TURN, GATEWAY_PEERS_LIVE_MAX};
use commands::{CommandChange, store_commands};
use devices::Route;

pub use devices::principal_of;

/// Orders to the task.
pub enum Control {
    /// Finish what is under way and end.
    Drain,
}

/// What a task of ours found out.
enum Done {
    Credential { handshake: HandshakeId, identity: Vec<u8>, credential: Option<Credential> },
    KeyUsed { session: SessionId, principal: u64, number: u32, valid: bool },
    Loaded { principal: u64, device: Option<Arc<Device>>, route: Option<Route> },
    Answered { session: SessionId, principal: u64, exchange: Exchange, answer: Answer },
    Taken { session: SessionId, principal: u64, exchange: Exchange, wanted: bool },
    CommandStored { device: DeviceKey, command: CommandId },
}

/// A peer, and when it is due in the heap of timers.
struct Live {
    peer: Peer,
    scheduled: Option<u64>,
}

/// See the module.
pub struct Run {
    app: Arc<App>,
    shown: Arc<Shown>,
    socket: Socket,
    endpoint: Endpoint,
    journal: Journal,
    hold: Hold,
    /// Associations still to be written to the journal's new file.
    walk: Option<std::vec::IntoIter<SessionId>>,
    origin: Instant,
    shared: Shared,
    peers: HashMap<SessionId, Box<Live>>,
    timers: BinaryHeap<Reverse<(u64, SessionId)>>,
    /// Associations of strangers, which no journal knows.
    applicants: HashMap<SessionId, u64>,
    /// The newest association of each principal.
    sessions: HashMap<u64, SessionId>,
    /// The one before, until the first record opens on the newest.
    replaced: HashMap<u64, SessionId>,
    /// Principals whose association came from the journal and whose device is not loaded yet.
    restored: HashSet<u64>,
    /// Messages of devices that are being loaded.
    loading: HashMap<u64, Vec<(SessionId, Vec<u8>)>>,
    routes: HashMap<TenantId, Route>,
    /// Identities whose device is blocked, so that their failure is named as such.
    refused: HashMap<Vec<u8>, DeviceKey>,
    /// Principals whose key the DTLS layer has refused.
    unusable: HashSet<u64>,
    credentials: usize,
    in_flight: usize,
    done: mpsc::Sender<Done>,
    dones: mpsc::Receiver<Done>,
    command_changes: mpsc::Sender<CommandChange>,
    command_writer: JoinHandle<()>,
    /// Commands that were answered and are not stored as such yet: they must not be offered again.
    settling: HashSet<(DeviceKey, CommandId)>,
    access_changes: mpsc::UnboundedReceiver<AccessChange>,
    to_devices: mpsc::Receiver<ToDevice>,
    /// Associations at which the longest silent ones begin to make room.
    sessions_kept: usize,
    lease: u64,
    awake_ms: u64,
    stalled: bool,
    draining: bool,
}

/// What the loop woke up for.
enum Wake {
    Socket,
    Access(AccessChange),
    Done(Done),
    Journal(Notice),
    ToDevice(ToDevice),
    Control,
    Timer,
}

impl Run {
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.socket.local_addr().map_err(|error| Error::Unavailable(format!("the gateway's socket: {error}")))
    }

    /// Serves until told to drain, and then until nothing is under way.
    pub async fn run(mut self, mut controls: mpsc::Receiver<Control>) {
        while !(self.draining && self.is_finished()) {
            match self.wake(&mut controls).await {
                Wake::Socket => self.receive(),
                Wake::Access(change) => self.access_changed(&change),
                Wake::Done(done) => self.finish_tasks(done),
                Wake::Journal(notice) => self.journal_noticed(notice),
                Wake::ToDevice(ToDevice::Notification(downlink)) => self.notify(&downlink),
                Wake::ToDevice(ToDevice::CommandQueued(device)) => self.offer_to(device),
                Wake::Control => self.draining = true,
                Wake::Timer => self.time_passed(),
            }
            self.settle();
        }
        drop(self.command_changes);
        let _ = self.command_writer.await; // the states of commands that were answered to the last
    }

    async fn wake(&mut self, controls: &mut mpsc::Receiver<Control>) -> Wake {
        let read = !self.draining && (self.stalled || !self.hold.is_full());
        let timeout = self.timeout();
        tokio::select! {
            biased; // isolation first, then what frees memory, then new work
            Some(change) = self.access_changes.recv() => Wake::Access(change),
            notice = self.journal.notice() => Wake::Journal(notice),
            Some(done) = self.dones.recv() => Wake::Done(done),
            Some(Control::Drain) = controls.recv() => Wake::Control,
            () = tokio::time::sleep(timeout), if timeout.is_zero() => Wake::Timer,
            Some(what) = self.to_devices.recv() => Wake::ToDevice(what),
            () = self.socket.ready(read) => Wake::Socket,
            () = tokio::time::sleep(timeout) => Wake::Timer,
        }
    }

    /// Nothing is under way: every message that was taken is answered, and the journal has everything.
    fn is_finished(&self) -> bool {
        self.in_flight == 0 && self.loading.is_empty() && self.hold.is_empty() && !self.journal.is_busy()
    }

    /// Monotonic milliseconds since the task began.
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn instant(&self) -> bartizan_dtls::Instant {
        bartizan_dtls::Instant::from_millis(self.now())
    }

    fn timeout(&self) -> Duration {
        let peers = self.timers.peek().map(|Reverse((due, _))| *due);
        let endpoint = self.endpoint.poll_timeout().map(|due| due.as_millis());
        let due = peers.into_iter().chain(endpoint).min();
        due.map_or(Duration::from_secs(60), |due| Duration::from_millis(due.saturating_sub(self.now())))
    }

    fn time_passed(&mut self) {
        self.endpoint.handle_timeout(self.instant());
        let now = self.now();
        while let Some(Reverse((due, session))) = self.timers.peek().copied() {
            if due > now {
                break;
            }
            self.timers.pop();
            if let Some(live) = self.peers.get_mut(&session)
                && live.scheduled == Some(due)
            {
                live.scheduled = None;
                self.with_peer(session, |peer, turn| peer.handle_timeout(turn));
            }
        }
    }

    /// After every turn: take the endpoint's events, hand the journal its group, send what waits.
    fn settle(&mut self) {
        while let Some(event) = self.endpoint.poll() {
            self.dtls_event(event);
        }
        self.walk_on();
        self.hold.flush(&mut self.journal, &self.endpoint);
        self.transmit();
        let gauge = |gauge: &std::sync::atomic::AtomicU64, value: usize| {
            gauge.store(value as u64, Ordering::Relaxed);
        };
        gauge(&self.shown.sessions, self.sessions.len());
        gauge(&self.shown.peers, self.peers.len());
        gauge(&self.shown.in_flight, self.in_flight);
    }

    fn journal_noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Stalled(why) => {
                self.stalled = true;
                self.shown.set_unready(Some(format!("the session journal cannot be written: {why}")));
            }
            Notice::Durable { .. } => {
                if std::mem::take(&mut self.stalled) {
                    self.shown.set_unready(None);
                }
                count(&self.shown.journal_groups);
                for held in self.hold.release() {
                    self.now_durable(held);
                }
                if self.walk.is_none() && self.journal.is_outgrown() {
                    self.journal.begin_file();
                    self.begin_walk();
                }
            }
        }
    }

    fn now_durable(&mut self, held: Held) {
        match held {
            Held::Confirm(session) => self.endpoint.confirm_durable(self.instant(), session),
            Held::ConfirmKey(session, number) => self.confirm_key(session, number),
            Held::Lease(session, upto) => self.endpoint.extend_lease(session, upto),
            Held::Data { session, principal, data } => self.deliver(session, principal, data),
        }
    }

    /// Begins to write every association to the journal's newest file.
    fn begin_walk(&mut self) {
        let sessions: Vec<SessionId> = self.endpoint.sessions().collect();
        self.walk = Some(sessions.into_iter());
    }

    /// Writes a few more associations, as the journal has room.
    fn walk_on(&mut self) {
        if self.journal.is_busy() || self.journal.is_full() {
            return;
        }
        let Some(walk) = &mut self.walk else {
            return;
        };
        for session in walk.by_ref().take(crate::limits::JOURNAL_WALK_PER_GROUP) {
            if self.applicants.contains_key(&session) {
                continue;
            }
            if let (Some(info), Some(lease)) = (self.endpoint.session(session), self.endpoint.lease(session)) {
                record_session(&mut self.journal, &self.endpoint, session, lease, info.remote);
            }
        }
        if walk.len() == 0 {
            self.walk = None;
            self.journal.complete();
        }
    }

    fn finish_tasks(&mut self, first: Done) {
        self.task_done(first);
        for _ in 0..GATEWAY_DONE_PER_TURN {
            match self.dones.try_recv() {
                Ok(done) => self.task_done(done),
                Err(_) => break,
            }
        }
    }

    fn task_done(&mut self, done: Done) {
        match done {
            Done::Credential { handshake, identity, credential } => {
                self.credential_found(handshake, identity, credential)
            }
            Done::KeyUsed { session, principal, number, valid } => self.key_used(session, principal, number, valid),
            Done::Loaded { principal, device, route } => self.loaded(principal, device, route),
            Done::Answered { session, principal, exchange, answer } => {
                self.in_flight -= 1;
                self.with_device_peer(session, principal, |peer, turn| {
                    peer.answer(turn, exchange, answer);
                });
            }
            Done::Taken { session, principal, exchange, wanted } => {
                self.in_flight -= 1;
                self.with_device_peer(session, principal, |peer, turn| {
                    peer.taken(turn, exchange, wanted);
                });
            }
            Done::CommandStored { device, command } => {
                self.settling.remove(&(device, command));
                self.offer_to(device);
            }
        }
    }

    /// Gives a peer its turn, if it is still there.
    fn with_peer(&mut self, session: SessionId, act: impl FnOnce(&mut Peer, &mut Turn<'_>)) {
        if let Some(info) = self.endpoint.session(session) {
            self.with_device_peer(session, info.principal, act);
        } else {
            self.drop_peer(session);
        }
    }

    fn drop_peer(&mut self, session: SessionId) {
        if let Some(mut live) = self.peers.remove(&session) {
            live.peer.release(&mut self.shared);
        }
    }

    fn with_device_peer(&mut self, session: SessionId, principal: u64, act: impl FnOnce(&mut Peer, &mut Turn<'_>)) {
        if is_applicant(principal) {
            return self.applicant_turn(session, principal, act);
        }
        match self.app.device(devices::key_of(principal)) {
            Some(device) => self.turn(session, &device, act),
            None => self.drop_peer(session),
        }
    }

    /// Gives the peer of an association its turn, making one if there is none, and does what it wants done.
    fn turn(&mut self, session: SessionId, device: &Arc<Device>, act: impl FnOnce(&mut Peer, &mut Turn<'_>)) {
        let mut steps = Vec::new();
        let mut live =
            self.peers.remove(&session).unwrap_or_else(|| Box::new(Live { peer: Peer::default(), scheduled: None }));
        let mut turn = Turn {
            now: self.now(),
            access: device.access(),
            applicant: false,
            transparent: self.is_transparent(device.key.tenant),
            shared: &mut self.shared,
            steps: &mut steps,
        };
        act(&mut live.peer, &mut turn);
        self.keep(session, live);
        self.take_steps(session, device, steps);
    }

    /// Keeps a peer that has unfinished business, and its timer.
    fn keep(&mut self, session: SessionId, mut live: Box<Live>) {
        let crowded = self.peers.len() >= GATEWAY_PEERS_LIVE_MAX && live.peer.is_settled();
        if live.peer.is_idle() || crowded {
            live.peer.release(&mut self.shared);
            return;
        }
        if let Some(due) = live.peer.due()
            && live.scheduled.is_none_or(|scheduled| due < scheduled)
        {
            live.scheduled = Some(due);
            self.timers.push(Reverse((due, session)));
        }
        self.peers.insert(session, live);
    }

    /// Runs a task whose result comes back as a [`Done`].
    fn spawn(&self, task: impl Future<Output = Done> + Send + 'static) {
        let done = self.done.clone();
        tokio::spawn(async move {
            let result = task.await;
            let _ = done.send(result).await; // the gateway may have ended meanwhile
        });
    }
}
