//! The handshakes under way of one version: by number, by address and by time.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use super::event::HandshakeId;
use super::timers::Timers;
use crate::{Instant, limits};

/// What a table has to know of a handshake.
pub(super) trait UnderWay {
    /// Where the client is. It never changes.
    fn remote(&self) -> SocketAddr;

    fn started(&self) -> Instant;

    /// When to look at it next.
    fn next_wake(&self) -> Instant;
}

/// Numbers are given out elsewhere, since both versions share them. They rise, so the smallest is the oldest.
pub(super) struct Table<H> {
    by_id: BTreeMap<HandshakeId, Entry<H>>,
    by_address: BTreeMap<SocketAddr, HandshakeId>,
    timers: Timers<HandshakeId>,
}

struct Entry<H> {
    handshake: Box<H>,
    /// When the timers have it.
    wake: Instant,
}

impl<H> Default for Table<H> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), by_address: BTreeMap::new(), timers: Timers::default() }
    }
}

impl<H: UnderWay> Table<H> {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn at(&self, remote: SocketAddr) -> Option<HandshakeId> {
        self.by_address.get(&remote).copied()
    }

    pub fn get(&self, id: HandshakeId) -> Option<&H> {
        self.by_id.get(&id).map(|entry| &*entry.handshake)
    }

    pub fn get_mut(&mut self, id: HandshakeId) -> Option<&mut H> {
        self.by_id.get_mut(&id).map(|entry| &mut *entry.handshake)
    }

    pub fn insert(&mut self, id: HandshakeId, handshake: Box<H>) {
        let wake = handshake.next_wake();
        self.by_address.insert(handshake.remote(), id);
        self.timers.change(id, None, Some(wake));
        self.by_id.insert(id, Entry { handshake, wake });
    }

    pub fn remove(&mut self, id: HandshakeId) -> Option<Box<H>> {
        let Entry { handshake, wake } = self.by_id.remove(&id)?;
        self.timers.change(id, Some(wake), None);
        if self.by_address.get(&handshake.remote()) == Some(&id) {
            self.by_address.remove(&handshake.remote());
        }
        Some(handshake)
    }

    /// To be called after a change of phase or timer.
    pub fn reschedule(&mut self, id: HandshakeId) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            let wake = entry.handshake.next_wake();
            self.timers.change(id, Some(entry.wake), Some(wake));
            entry.wake = wake;
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next_timeout()
    }

    /// The handshake whose time has come.
    pub fn due(&self, now: Instant) -> Option<HandshakeId> {
        self.timers.due(now)
    }

    /// The oldest one, if it has had its chance: when there are too many it makes room for a newer client.
    pub fn displaceable(&self, now: Instant) -> Option<HandshakeId> {
        let (id, entry) = self.by_id.first_key_value()?;
        let protected = now.since(entry.handshake.started()) < limits::HANDSHAKE_MS_PROTECTED;
        (!protected).then_some(*id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        remote: SocketAddr,
        started: Instant,
        wake: Instant,
    }

    impl UnderWay for Fake {
        fn remote(&self) -> SocketAddr {
            self.remote
        }

        fn started(&self) -> Instant {
            self.started
        }

        fn next_wake(&self) -> Instant {
            self.wake
        }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn fake(port: u16, wake: u64) -> Box<Fake> {
        Box::new(Fake { remote: address(port), started: Instant::from_millis(5), wake: Instant::from_millis(wake) })
    }

    #[test]
    fn handshakes_are_found_by_address_and_time_until_they_leave() {
        let at = Instant::from_millis;
        let [one, two, three] = [1, 2, 3].map(HandshakeId);
        let mut table = Table::default();
        table.insert(one, fake(1, 30));
        table.insert(two, fake(2, 20));
        assert_eq!((table.len(), table.at(address(1)), table.at(address(3))), (2, Some(one), None));
        assert_eq!((table.next_timeout(), table.due(at(19)), table.due(at(20))), (Some(at(20)), None, Some(two)));
        table.get_mut(two).unwrap().wake = at(40);
        assert_eq!(table.next_timeout(), Some(at(20)), "not before it is scheduled anew");
        table.reschedule(two);
        assert_eq!(table.due(at(30)), Some(one));
        // One that leaves does not take the address from the one after it.
        table.insert(three, fake(1, 50));
        assert!(table.remove(one).is_some() && table.remove(one).is_none());
        assert_eq!((table.at(address(1)), table.next_timeout()), (Some(three), Some(at(40))));
        table.remove(two);
        table.remove(three);
        assert_eq!((table.len(), table.at(address(1)), table.next_timeout()), (0, None, None));
    }

    #[test]
    fn the_oldest_makes_room_when_it_has_had_its_chance() {
        let mut table = Table::default();
        assert_eq!(table.displaceable(Instant::from_millis(5)), None);
        table.insert(HandshakeId(2), fake(1, 30));
        table.insert(HandshakeId(1), fake(2, 30));
        let end = 5 + limits::HANDSHAKE_MS_PROTECTED;
        assert_eq!(table.displaceable(Instant::from_millis(end - 1)), None);
        assert_eq!(table.displaceable(Instant::from_millis(end)), Some(HandshakeId(1)));
    }
}
