//! Connection IDs for later (RFC 9147 section 9), without a heap.

use crate::ConnectionId;
use crate::limits::CONNECTION_IDS_SPARE_MAX;

/// Connection IDs that a peer gave and that nobody has seen on the wire yet. The oldest is used first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spares {
    cids: [ConnectionId; CONNECTION_IDS_SPARE_MAX],
    length: usize,
}

impl Spares {
    /// Keeps one; what there is no room for is dropped, and so are empty ones and those that are there already.
    pub fn push(&mut self, cid: ConnectionId) {
        if cid.is_empty() || self.iter().any(|known| *known == cid) {
            return;
        }
        if let Some(place) = self.cids.get_mut(self.length) {
            *place = cid;
            self.length += 1;
        }
    }

    /// Takes the oldest out.
    pub fn take(&mut self) -> Option<ConnectionId> {
        let oldest = *self.cids.first().filter(|_| !self.is_empty())?;
        self.cids.rotate_left(1);
        self.length = self.length.saturating_sub(1);
        Some(oldest)
    }

    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &ConnectionId> {
        self.cids.iter().take(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_none_comes_twice() {
        let cid = |byte: u8| ConnectionId::new(&[byte; 10]).unwrap();
        let mut spares = Spares::default();
        spares.push(ConnectionId::EMPTY);
        for byte in [1, 1, 2, 3, 4, 5] {
            spares.push(cid(byte));
        }
        assert_eq!(spares.iter().count(), CONNECTION_IDS_SPARE_MAX);
        for byte in 1..=CONNECTION_IDS_SPARE_MAX as u8 {
            assert_eq!(spares.take(), Some(cid(byte)));
        }
        assert!(spares.is_empty() && spares.take().is_none());
    }
}
