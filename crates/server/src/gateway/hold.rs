//! What must not happen before its group is on disk.

use std::net::SocketAddr;

use bartizan_dtls::{Endpoint, SessionId};

use super::journal::{Entry, Journal, Window};
use crate::limits::{GATEWAY_HELD_BYTES_MAX, GATEWAY_HELD_MAX};

/// Something that waits for its group.
#[derive(Debug)]
pub enum Held {
    /// The last message of a handshake, or one that a restart must not forget.
    Confirm(SessionId),
    /// The last message of a handshake with the pre-shared key of this number, if that is still the one in use.
    ConfirmKey(SessionId, u32),
    /// More send sequence numbers.
    Lease(SessionId, u64),
    /// A message of a device, behind the replay window that contains it.
    Data { session: SessionId, principal: u64, data: Vec<u8> },
}

/// What gathers for the next group, and what waits for the one on its way.
#[derive(Default)]
pub struct Hold {
    gathering: Vec<Held>,
    in_flight: Vec<Held>,
    /// Associations whose replay window advanced since the last group.
    advanced: Vec<SessionId>,
    bytes: usize,
}

impl Hold {
    pub fn hold(&mut self, held: Held) {
        if let Held::Data { session, data, .. } = &held {
            self.advanced.push(*session);
            self.bytes += data.len();
        }
        self.gathering.push(held);
    }

    /// No more messages can be held: none may be taken from the network.
    pub fn is_full(&self) -> bool {
        self.gathering.len() + self.in_flight.len() >= GATEWAY_HELD_MAX || self.bytes >= GATEWAY_HELD_BYTES_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.gathering.is_empty() && self.in_flight.is_empty()
    }

    /// Hands what gathered to the journal, unless a group is on its way.
    pub fn flush(&mut self, journal: &mut Journal, endpoint: &Endpoint) {
        if journal.is_busy() {
            return;
        }
        self.advanced.sort_unstable();
        self.advanced.dedup();
        for session in self.advanced.drain(..) {
            if let Some(window) = endpoint.window(session) {
                journal.record(&Entry::Window {
                    session: session.to_u64(),
                    window: Window { top: window.top, bits: window.bits },
                });
            }
        }
        // A window of a session that closed meanwhile is not recorded, but its end is: the group is not empty.
        if journal.flush() {
            self.in_flight = std::mem::take(&mut self.gathering);
        }
    }

    /// Messages of an association that we end are not carried on. What it recorded stays recorded.
    pub fn forget(&mut self, session: SessionId) {
        let mut bytes = 0;
        for all in [&mut self.gathering, &mut self.in_flight] {
            all.retain(|held| match held {
                Held::Data { session: of, data, .. } if *of == session => {
                    bytes += data.len();
                    false
                }
                _ => true,
            });
        }
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The group is durable: what waited for it may happen.
    pub fn release(&mut self) -> Vec<Held> {
        let released = std::mem::take(&mut self.in_flight);
        for held in &released {
            if let Held::Data { data, .. } = held {
                self.bytes = self.bytes.saturating_sub(data.len());
            }
        }
        released
    }
}

/// Records everything about one association.
pub fn record_session(journal: &mut Journal, endpoint: &Endpoint, session: SessionId, lease: u64, address: SocketAddr) {
    let (Some(state), Some(window)) = (endpoint.state(session), endpoint.window(session)) else {
        return;
    };
    journal.record(&Entry::Session {
        session: session.to_u64(),
        state: &state.to_bytes(),
        window: Window { top: window.top, bits: window.bits },
        lease,
        address,
    });
}
