//! A disk that is slower than the network, as a gateway's journal is: facts gather into groups, one group is on its way
//! to the disk at a time, and what must not happen before its group is durable is held until then. Whoever is killed
//! loses what gathers; of the group on its way nobody knows.

use std::net::SocketAddr;

use bartizan_dtls::*;

use super::World;

/// What a journal writes down.
enum Entry {
    Session { session: SessionId, state: Vec<u8>, window: ReplayWindow, lease: u64, remote: SocketAddr },
    Window(SessionId, ReplayWindow),
    Lease(SessionId, u64),
    Address(SessionId, SocketAddr),
    Closed(SessionId),
}

/// What waits for it.
enum Held {
    Confirm(SessionId),
    Lease(SessionId, u64),
    Data(Delivery),
}

/// A message that went upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub session: SessionId,
    pub principal: u64,
    pub data: Vec<u8>,
}

/// Stands between what an answer repeats and what makes it longer.
pub const ANSWER: u8 = b'!';

#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    held: Vec<Held>,
}

pub struct Journal {
    /// How long a group takes, at least and at most.
    sync_ms: (u64, u64),
    gathering: Group,
    /// Associations whose window has moved since the last group.
    advanced: Vec<SessionId>,
    in_flight: Option<(u64, Group)>,
    /// What went upstream since somebody looked.
    pub delivered: Vec<Delivery>,
    /// How many bytes an answer has, at most, beyond what it repeats.
    pub answer_bytes_max: u64,
}

impl Journal {
    pub fn new(sync_ms: (u64, u64), answer_bytes_max: u64) -> Self {
        let (gathering, advanced, in_flight, delivered) = Default::default();
        Self { sync_ms, gathering, advanced, in_flight, delivered, answer_bytes_max }
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.in_flight.as_ref().map(|(at, _)| *at)
    }
}

impl World {
    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().unwrap()
    }

    /// What has to be durable of an event.
    pub(super) fn record(&mut self, event: &EndpointEvent) {
        let (entry, held) = match event {
            EndpointEvent::Establishing { session, .. } | EndpointEvent::StateChanged { session, .. } => {
                (Some(self.entry_of(*session)), Some(Held::Confirm(*session)))
            }
            EndpointEvent::LeaseLow { session, upto } => {
                (Some(Entry::Lease(*session, *upto)), Some(Held::Lease(*session, *upto)))
            }
            EndpointEvent::Data { session, principal, data, .. } => {
                self.journal().advanced.push(*session);
                let delivery = Delivery { session: *session, principal: *principal, data: data.clone() };
                (None, Some(Held::Data(delivery)))
            }
            EndpointEvent::Rebound { session, to, .. } => (Some(Entry::Address(*session, *to)), None),
            EndpointEvent::Closed { session, .. } => (Some(Entry::Closed(*session)), None),
            _ => (None, None),
        };
        let gathering = &mut self.journal().gathering;
        gathering.entries.extend(entry);
        gathering.held.extend(held);
    }

    fn entry_of(&self, session: SessionId) -> Entry {
        Entry::Session {
            session,
            state: self.server.state(session).unwrap().to_bytes(),
            window: self.server.window(session).unwrap(),
            lease: self.server.lease(session).unwrap(),
            remote: self.server.session(session).unwrap().remote,
        }
    }

    /// Sends the gathered group on its way, unless there is none or one is under way.
    pub(super) fn flush(&mut self) {
        let Some(journal) = self.journal.as_mut().filter(|journal| journal.in_flight.is_none()) else {
            return;
        };
        let mut group = std::mem::take(&mut journal.gathering);
        for session in std::mem::take(&mut journal.advanced) {
            let window = self.server.window(session);
            group.entries.extend(window.map(|window| Entry::Window(session, window)));
        }
        if !group.entries.is_empty() || !group.held.is_empty() {
            let (least, most) = journal.sync_ms;
            let at = self.now + least + self.rng.below(most - least + 1);
            journal.in_flight = Some((at, group));
        }
    }

    /// The group whose time has come is durable: what waited for it happens.
    pub(super) fn commit(&mut self) {
        let now = self.now;
        let Some(journal) = &mut self.journal else {
            return;
        };
        let Some((_, group)) = journal.in_flight.take_if(|(at, _)| *at <= now) else {
            return;
        };
        self.write(group.entries);
        for held in group.held {
            match held {
                Held::Confirm(session) => self.server.confirm_durable(self.instant(), session),
                Held::Lease(session, upto) => self.server.extend_lease(session, upto),
                Held::Data(delivery) => self.deliver_upstream(delivery),
            }
        }
    }

    fn deliver_upstream(&mut self, delivery: Delivery) {
        let most = self.journal().answer_bytes_max;
        let mut answer = delivery.data.clone();
        answer.push(ANSWER);
        answer.resize(answer.len() + self.rng.below(most + 1) as usize, 0);
        // An association that has ended, or a lease that is used up: the device does not hear from us.
        let _ = self.server.send(self.instant(), delivery.session, &answer);
        self.journal().delivered.push(delivery);
    }

    fn write(&mut self, entries: Vec<Entry>) {
        let disk = &mut self.disk;
        for entry in entries {
            match entry {
                Entry::Session { session, state, window, lease, remote } => {
                    disk.states.insert(session, state);
                    disk.windows.insert(session, window);
                    disk.leases.insert(session, lease);
                    disk.remotes.insert(session, remote);
                }
                Entry::Window(session, window) => drop(disk.windows.insert(session, window)),
                Entry::Lease(session, upto) => drop(disk.leases.insert(session, upto)),
                Entry::Address(session, remote) => drop(disk.remotes.insert(session, remote)),
                Entry::Closed(session) => drop(disk.states.remove(&session)),
            }
        }
    }

    /// `kill -9`: what gathers is lost, and the group on its way has reached the disk or has not. The start writes every
    /// association down again, as it has come back, before it serves.
    pub fn kill(&mut self) {
        let journal = self.journal();
        journal.gathering = Group::default();
        journal.advanced.clear();
        let in_flight = journal.in_flight.take();
        if let Some((_, group)) = in_flight.filter(|_| self.rng.chance(50)) {
            self.write(group.entries);
        }
        self.restart();
        let sessions: Vec<_> = self.server.sessions().collect();
        for session in sessions {
            let entry = self.entry_of(session);
            let Entry::Session { remote, lease, .. } = &entry else { unreachable!() };
            assert_eq!(*lease, self.disk.leases[&session], "the start has leased what it wrote down");
            if let Some(ledger) = &mut self.ledger {
                ledger.trust(*remote);
            }
            self.write(vec![entry]);
        }
    }
}
