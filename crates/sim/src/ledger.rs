//! The truth about every device's messages, kept by the devices themselves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What one device knows of its own messages. Each carries its number, from 1.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: AtomicU64,
    refused: AtomicU64,
    /// Somebody else spoke with this device's key.
    compromised: AtomicBool,
    acknowledged: Mutex<Vec<u64>>,
}

/// A ledger's numbers at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub compromised: bool,
    /// Messages that the device began to send.
    pub sent: u64,
    /// The numbers of those that were answered 2.xx.
    pub acknowledged: Vec<u64>,
    /// Answers of 4.03.
    pub refused: u64,
}

impl Ledger {
    /// The next message's number.
    pub(crate) fn send(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn acknowledge(&self, number: u64) {
        self.acknowledged.lock().expect("invariant: no panic while the ledger is held").push(number);
    }

    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn compromise(&self) {
        self.compromised.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            compromised: self.compromised.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            acknowledged: self.acknowledged.lock().expect("invariant: no panic while the ledger is held").clone(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_and_not_acknowledged_shows() {
        let ledger = Ledger::default();
        let (first, second) = (ledger.send(), ledger.send());
        ledger.acknowledge(second);
        ledger.refuse();
        let tally = ledger.tally();
        assert_eq!((first, tally.sent, tally.acknowledged, tally.refused), (1, 2, vec![2], 1));
        assert!(!tally.compromised);
    }
}
