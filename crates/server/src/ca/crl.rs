//! Revocation lists (RFC 5280 section 5).

use bartizan_trust::der::write::{element, time, unsigned};
use bartizan_trust::der::{ENUMERATED, INTEGER, SEQUENCE};
use bartizan_trust::x509::algorithm_of;

use super::write::{self, parts};
use super::{Authority, Error, Serial, Validity};

const NUMBER: &[u8] = b"\x55\x1D\x14";
const REASON: &[u8] = b"\x55\x1D\x15";

/// A certificate that was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    pub serial: Serial,
    pub at: bartizan_wire::UnixMillis,
    /// CRLReason; 0 stands for none.
    pub reason: u8,
}

impl Authority {
    /// The list (DER) of all that this authority took back. `validity` is from its making to the next one; `number` grows
    /// from list to list.
    ///
    /// # Errors
    /// `Key` if the key does not sign.
    pub fn revocation_list(&self, revoked: &[Revoked], number: u64, validity: Validity) -> Result<Vec<u8>, Error> {
        let entries: Vec<_> = revoked.iter().map(entry).collect();
        // An empty list is left out (RFC 5280 section 5.1.2.6).
        let entries = if entries.is_empty() { Vec::new() } else { element(SEQUENCE, &parts(&entries)) };
        let number = write::extension(NUMBER, false, &unsigned(&number.to_be_bytes()));
        let extensions = element(SEQUENCE, &[&write::authority_key(&self.key_id), &number]);
        let tbs = [
            &[INTEGER, 1, 1][..],
            algorithm_of(self.key.public()),
            &self.name,
            &time(validity.from()),
            &time(validity.to()),
            &entries,
            &element(0xA0, &[&extensions]),
        ];
        write::signed(&element(SEQUENCE, &tbs), &self.key)
    }
}

fn entry(revoked: &Revoked) -> Vec<u8> {
    let at = Validity { not_before: revoked.at, not_after: revoked.at };
    let reason = match revoked.reason {
        0 => Vec::new(),
        reason => element(SEQUENCE, &[&write::extension(REASON, false, &[ENUMERATED, 1, reason])]),
    };
    element(SEQUENCE, &[&unsigned(&revoked.serial.0), &time(at.from()), &reason])
}
