//! Hot records of DTLS 1.3: windows, leases and numbers that count epochs, kept beside those of the keys.

use super::super::slab::Hot;
use crate::v13::record::{epoch_of, number, sequence_of};
use crate::{ReplayWindow, Version, limits};

impl Hot {
    pub(in super::super) fn is_dtls_1_3(&self) -> bool {
        self.suite.version() == Version::Dtls13
    }

    pub(in super::super) fn window_13(&self) -> ReplayWindow {
        match self.window() {
            window @ ReplayWindow { bits: 0, .. } => window,
            ReplayWindow { top, bits } => ReplayWindow { top: number(self.read_epoch, top), bits },
        }
    }

    pub(super) fn set_window_13(&mut self, window: ReplayWindow) {
        self.set_window(window_within(window, self.read_epoch));
    }

    pub(super) fn send_next_13(&self) -> u64 {
        number(self.write_epoch, self.send_next())
    }

    pub(in super::super) fn lease_13(&self) -> u64 {
        number(self.write_epoch, self.lease())
    }

    /// A lease that reaches beyond the epoch covers all of it.
    pub(super) fn extend_lease_13(&mut self, upto: u64) {
        let end = number(self.write_epoch, limits::SEQUENCE_MAX);
        self.set_lease(sequence_of(self.lease_13().max(upto).min(end)));
    }
}

/// A window without its epoch; an empty one if it is about another, whose records nothing opens any more.
pub(in super::super) const fn window_within(window: ReplayWindow, epoch: u16) -> ReplayWindow {
    match window.bits != 0 && epoch_of(window.top) == epoch {
        true => ReplayWindow { top: sequence_of(window.top), bits: window.bits },
        false => ReplayWindow { top: 0, bits: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_leases_come_back_with_their_epochs() {
        let mut hot = Hot::blank(0);
        (hot.read_epoch, hot.write_epoch) = (7, 9);
        assert_eq!(hot.window_13(), ReplayWindow::default());
        for (epoch, kept) in [(6, false), (7, true), (8, false)] {
            let window = ReplayWindow { top: number(epoch, 5), bits: 0b101 };
            hot.set_window_13(window);
            assert_eq!(hot.window_13() == window, kept);
        }
        for (upto, lease) in [(number(9, 5), number(9, 5)), (number(8, 9), number(9, 5)), (number(9, 8), number(9, 8))]
        {
            hot.extend_lease_13(upto);
            assert_eq!(hot.lease_13(), lease);
        }
        hot.extend_lease_13(number(10, 1));
        assert_eq!(hot.lease_13(), number(9, limits::SEQUENCE_MAX));
        assert_eq!(hot.send_next_13(), number(9, 0));
    }
}
