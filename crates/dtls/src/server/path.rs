//! Peers that move: addresses that follow them, budgets for addresses that nobody vouches for yet, and the checks
//! under way ([`rrc`](crate::rrc)).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::constant_time_eq;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::ContentType;

use super::address::PackedAddress;
use super::endpoint::Endpoint;
use super::event::{EndpointEvent, SessionId};
use super::timers::Timers;
use crate::codec::try_copy;
use crate::rrc::{Cookie, Message, Next, Path, PathCheck, PathOutcome, Stage, Step};
use crate::{Error, Instant, limits};

/// A check under way, or data that waits for one.
struct Check {
    stage: Stage,
    cookie: Cookie,
    /// The address before, if it was validated.
    old: Option<SocketAddr>,
    held: VecDeque<Vec<u8>>,
    due: Instant,
}

/// All checks under way: few, bounded, and none for a peer that only wakes up and is answered.
#[derive(Default)]
pub(super) struct Paths {
    checks: BTreeMap<SessionId, Box<Check>>,
    timers: Timers<SessionId>,
    held_bytes: usize,
}

impl Paths {
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next_timeout()
    }

    fn due(&self, now: Instant) -> Option<SessionId> {
        self.timers.due(now)
    }

    /// The session's check, a new one if it has none; `None` if there are too many.
    fn open(&mut self, session: SessionId, stage: Stage, old: Option<SocketAddr>) -> Option<&mut Check> {
        if !self.checks.contains_key(&session) && self.checks.len() >= limits::PATH_CHECKS_MAX {
            return None;
        }
        let fresh = || Box::new(Check { stage, cookie: [0; 8], old, held: VecDeque::new(), due: Instant::default() });
        Some(self.checks.entry(session).or_insert_with(fresh))
    }

    fn schedule(&mut self, session: SessionId, due: Instant) {
        if let Some(check) = self.checks.get_mut(&session) {
            self.timers.change(session, Some(check.due), Some(due));
            check.due = due;
        }
    }

    fn hold(&mut self, session: SessionId, data: &[u8]) -> Option<()> {
        let held_bytes = self.held_bytes.checked_add(data.len())?;
        let check = self.checks.get_mut(&session)?;
        if held_bytes > limits::PATH_HELD_BYTES_MAX || check.held.len() >= limits::PATH_HELD_RECORDS_MAX {
            return None;
        }
        check.held.push_back(try_copy(data)?);
        self.held_bytes = held_bytes;
        Some(())
    }

    /// Ends a check and returns what it held.
    pub fn close(&mut self, session: SessionId) -> Option<VecDeque<Vec<u8>>> {
        let check = self.checks.remove(&session)?;
        self.timers.change(session, Some(check.due), None);
        let bytes: usize = check.held.iter().map(Vec::len).sum();
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
        Some(check.held)
    }
}

impl Endpoint {
    /// An authentic record of `bytes` came from `remote`. RFC 9146 section 6: only one that is newer than all before
    /// moves the peer's address, and only for peers that are found by Connection ID.
    pub(super) fn note_arrival(
        &mut self,
        now: Instant,
        session: SessionId,
        remote: SocketAddr,
        bytes: usize,
        newest: bool,
    ) {
        let Some(hot) = self.slab.hot_mut(session).filter(|hot| hot.own_cid) else {
            return;
        };
        if hot.remote != PackedAddress::pack(remote) {
            //= rfc9146#6-1
            //= rfc9146#6-2
            if newest {
                self.rebind(now, session, remote, bytes);
            }
            return;
        }
        hot.path.earn(bytes);
        if newest && !hot.rrc && hot.path.believes_silence() && !self.spoken {
            self.path_ends(now, session, PathOutcome::Validated);
        }
    }

    //= rfc9146#6-3
    //= rfc9147#11-4
    fn rebind(&mut self, now: Instant, session: SessionId, to: SocketAddr, bytes: usize) {
        //= rfc9853#5.2-3
        let home = self.paths.checks.get(&session).and_then(|check| check.old);
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        let from = hot.remote.unpack();
        let old = Some(from).filter(|_| hot.path.is_validated()).or(home);
        hot.remote = PackedAddress::pack(to);
        hot.path = Path::moved(bytes);
        let (principal, rrc) = (hot.principal, hot.rrc);
        self.events.push_back(EndpointEvent::Rebound { session, principal, from, to });
        if home == Some(to) {
            return self.path_ends(now, session, PathOutcome::Validated);
        }
        let enhanced = rrc && self.config.path_check == PathCheck::Enhanced;
        let waiting = self.paths.checks.contains_key(&session);
        match old {
            Some(_) if enhanced => self.challenge(now, session, Stage::Old, old),
            _ if waiting && rrc => self.challenge(now, session, Stage::New(1), old),
            _ => {}
        }
    }

    /// Sends a challenge under a fresh cookie and waits for the answer.
    fn challenge(&mut self, now: Instant, session: SessionId, stage: Stage, old: Option<SocketAddr>) {
        let mut cookie = [0; 8];
        //= rfc9853#5.3-1
        self.rng.fill(&mut cookie);
        let Some(check) = self.paths.open(session, stage, old) else {
            return;
        };
        (check.stage, check.cookie, check.old) = (stage, cookie, old.or(check.old));
        let to = check.old.filter(|_| stage == Stage::Old);
        //= rfc9853#5.5-s2
        self.paths.schedule(session, now.plus(self.config.retransmit_ms));
        let challenge = Message::Challenge(cookie).encode();
        match to {
            Some(old) => self.send_to(session, old, &challenge),
            None => self.send_within(session, ContentType::RETURN_ROUTABILITY_CHECK, &challenge),
        }
    }

    /// A return_routability_check message, which no more than the peer itself can have sent. It moves no address.
    pub(super) fn on_path_message(
        &mut self,
        now: Instant,
        session: SessionId,
        remote: SocketAddr,
        bytes: usize,
        content: &[u8],
    ) {
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        let (principal, rrc) = (hot.principal, hot.rrc);
        if hot.remote == PackedAddress::pack(remote) {
            hot.path.earn(bytes);
        }
        match Message::decode(content) {
            _ if !rrc => self.reject(remote, Some(principal), RecordRejection::Unexpected),
            // RFC 9853 section 5.4: exactly one answer, at once, to where the challenge came from.
            //= rfc9853#5.2-1
            //= rfc9853#5.4-1
            //= rfc9853#5.4-2
            Some(Message::Challenge(cookie)) => self.send_to(session, remote, &Message::Response(cookie).encode()),
            Some(Message::Response(cookie)) => self.on_path_answer(now, session, remote, Step::Response, &cookie),
            Some(Message::Drop(cookie)) => self.on_path_answer(now, session, remote, Step::Drop, &cookie),
            Some(Message::Unknown) => {}
            None => self.reject(remote, Some(principal), RecordRejection::Malformed),
        }
    }

    //= rfc9853#5.4-4
    /// RFC 9853 section 5.4: an answer from elsewhere or to another challenge is silently discarded.
    fn on_path_answer(&mut self, now: Instant, session: SessionId, remote: SocketAddr, step: Step, cookie: &Cookie) {
        let Some(check) = self.paths.checks.get(&session) else {
            return;
        };
        let new = self.slab.hot(session).map(|hot| hot.remote.unpack());
        let asked = match check.stage {
            Stage::Old => check.old,
            Stage::New(_) | Stage::Silent => new,
        };
        if asked == Some(remote) && constant_time_eq(&check.cookie, cookie) {
            self.step_path(now, session, step);
        }
    }

    fn step_path(&mut self, now: Instant, session: SessionId, step: Step) {
        let Some(stage) = self.paths.checks.get(&session).map(|check| check.stage) else {
            return;
        };
        //= rfc9853#5.2-4
        //= rfc9853#5.2-5
        match stage.after(step, limits::PATH_CHALLENGES_MAX) {
            Next::Ask(stage) => self.challenge(now, session, stage, None),
            Next::End(outcome) => self.path_ends(now, session, outcome),
            Next::Nothing => {}
        }
    }

    /// Goes on with the checks whose time has come.
    pub(super) fn check_paths(&mut self, now: Instant) {
        while let Some(session) = self.paths.due(now) {
            self.step_path(now, session, Step::TimedOut);
        }
    }

    fn path_ends(&mut self, now: Instant, session: SessionId, outcome: PathOutcome) {
        let old = self.paths.checks.get(&session).and_then(|check| check.old);
        let held = self.paths.close(session);
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        let (principal, address) = (hot.principal, hot.remote.unpack());
        if let (PathOutcome::Refused, Some(old)) = (outcome, old) {
            hot.remote = PackedAddress::pack(old);
        }
        if outcome != PathOutcome::Unanswered {
            hot.path = Path::VALIDATED;
        }
        if let Some(held) = held {
            self.events.push_back(EndpointEvent::PathChecked { session, principal, address, outcome });
            let held = held.into_iter().filter(|_| outcome != PathOutcome::Unanswered);
            for data in held {
                let _ = self.send(now, session, &data); // a lost datagram, if it cannot go out
            }
        }
    }

    /// The application has its own proof that the peer receives at `remote`, such as CoAP Echo (RFC 9175), or an
    /// acknowledgement of something that was sent there.
    pub fn confirm_path(&mut self, now: Instant, session: SessionId, remote: SocketAddr) {
        let there = self.established(session).is_some_and(|hot| hot.remote == PackedAddress::pack(remote));
        if there {
            self.path_ends(now, session, PathOutcome::Validated);
        }
    }

    /// Keeps data that is too long for an unvalidated address, and has the address checked.
    pub(super) fn hold(&mut self, now: Instant, session: SessionId, data: &[u8]) -> Result<(), Error> {
        let full = Error::Unavailable("the peer's new address is not validated yet");
        let rrc = self.slab.hot(session).is_some_and(|hot| hot.rrc);
        let fresh = !self.paths.checks.contains_key(&session);
        let stage = if rrc { Stage::New(1) } else { Stage::Silent };
        self.paths.open(session, stage, None).ok_or(full)?;
        let held = self.paths.hold(session, data).ok_or(full);
        if fresh && rrc {
            self.challenge(now, session, stage, None);
        } else if fresh {
            self.paths.schedule(session, now.plus(limits::PATH_HOLD_MS));
        }
        self.spend(session, 0);
        held
    }

    /// Whether so many bytes may go to the peer's address.
    pub(super) fn allows(&self, session: SessionId, bytes: usize) -> bool {
        self.slab.hot(session).is_some_and(|hot| hot.path.allows(bytes))
    }

    /// Seals a record of ours and sends it, if the address may have so much.
    pub(super) fn send_within(&mut self, session: SessionId, kind: ContentType, content: &[u8]) {
        let bytes = content.len().saturating_add(self.overhead(session));
        if self.allows(session, bytes)
            && let Ok((to, record)) = self.seal(session, kind, content)
        {
            self.spend(session, bytes);
            self.transmit(to, record);
        }
    }

    pub(super) fn spend(&mut self, session: SessionId, bytes: usize) {
        self.spoken = true;
        if let Some(hot) = self.slab.hot_mut(session) {
            hot.path.spend(bytes);
        }
    }

    //= rfc9853#4-1
    //= rfc9853#5.4-3
    /// A path message to an address that is not the session's, or as long as what it answers.
    fn send_to(&mut self, session: SessionId, to: SocketAddr, message: &[u8]) {
        if let Ok((_, record)) = self.seal(session, ContentType::RETURN_ROUTABILITY_CHECK, message) {
            self.transmit(to, record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(slot: u32) -> SessionId {
        SessionId { slot, generation: 0 }
    }

    #[test]
    fn checks_and_what_waits_for_them_are_bounded() {
        let mut paths = Paths::default();
        for slot in 0..limits::PATH_CHECKS_MAX as u32 {
            assert!(paths.open(session(slot), Stage::Silent, None).is_some());
        }
        assert!(paths.open(session(u32::MAX), Stage::Silent, None).is_none());
        assert!(paths.open(session(0), Stage::Silent, None).is_some(), "it has one already");

        let piece = [0; 16_384];
        let fitting = limits::PATH_HELD_BYTES_MAX / piece.len();
        let places = (0_u32..).flat_map(|slot| [slot; limits::PATH_HELD_RECORDS_MAX]);
        for slot in places.clone().take(fitting) {
            assert!(paths.hold(session(slot), &piece).is_some());
        }
        let last = session(fitting as u32);
        assert!(paths.hold(last, &[0]).is_none(), "the bytes of all are used up");
        assert_eq!(paths.close(session(0)).map(|held| held.len()), Some(limits::PATH_HELD_RECORDS_MAX));
        assert!(paths.hold(last, &piece).is_some(), "and are there again");
    }

    #[test]
    fn timers_leave_with_their_check() {
        let mut paths = Paths::default();
        let at = Instant::from_millis;
        for (slot, due) in [(1, 30), (2, 10), (1, 20)] {
            paths.open(session(slot), Stage::Silent, None).unwrap();
            paths.schedule(session(slot), at(due));
        }
        assert_eq!((paths.next_timeout(), paths.due(at(9)), paths.due(at(10))), (Some(at(10)), None, Some(session(2))));
        paths.close(session(2));
        assert_eq!(paths.next_timeout(), Some(at(20)));
        paths.close(session(1));
        assert_eq!(paths.next_timeout(), None);
    }
}
