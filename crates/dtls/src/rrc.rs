//! Return routability check (RFC 9853): whether the peer really is where its records seem to come from.
//!
//! A sleeping device is at a new address after every wake-up, and nobody has time for a check before its first answer.
//! So an authentic and newest record moves the peer's address at once (RFC 9146 section 6), and the answer leaves for
//! it at once, but no more than [`AMPLIFICATION`] times the bytes that came from there (RFC 9853 sections 2 and 5): the
//! path stays *unvalidated*. The check runs when something larger has to go out, which waits for it; or always, and on
//! the old path first, where somebody may pass on records from an address of his own ([`PathCheck::Enhanced`]).
//!
//! This file knows messages, budgets and what follows what; the endpoint that asks and answers is version-blind.

use crate::codec::Reader;

/// How many times the bytes that came from an unvalidated address may go there.
pub(crate) const AMPLIFICATION: u16 = 3;
/// RFC 9853 section 4.
pub(crate) const COOKIE_BYTES: usize = 8;
pub(crate) const MESSAGE_BYTES: usize = 1 + COOKIE_BYTES;

/// When a server checks where a peer is. Peers that do not know the check (RFC 9853 section 3) are believed once a
/// further record comes from where we sent something, or held something back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathCheck {
    /// Never: the check is not negotiated.
    Off,
    /// When more has to go to a new address than [the limit](crate::limits) allows. A wake-up costs nothing more.
    Basic,
    /// At every change of address, on the old path first (RFC 9853 section 5.2): finds out somebody who passes on a
    /// peer's records from an address of his own. Costs two datagrams or more a wake-up.
    Enhanced,
}

/// How a check of a path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathOutcome {
    /// The peer answers at its new address.
    Validated,
    /// The peer answers at its old address: somebody else passed its record on from the new one, which is forgotten.
    Refused,
    /// Nobody answers. What waited is dropped; the address stays, within the limit.
    Unanswered,
}

pub(crate) type Cookie = [u8; COOKIE_BYTES];

/// RFC 9853 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Challenge(Cookie),
    Response(Cookie),
    Drop(Cookie),
    /// To be ignored.
    Unknown,
}

impl Message {
    //= rfc9853#4-2
    //= rfc9853#4-3
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let kind = reader.u8().ok()?;
        if kind > 2 {
            return Some(Self::Unknown);
        }
        let cookie = reader.array().ok()?;
        reader.finish().ok()?;
        Some(match kind {
            0 => Self::Challenge(cookie),
            1 => Self::Response(cookie),
            _ => Self::Drop(cookie),
        })
    }

    pub fn encode(&self) -> [u8; MESSAGE_BYTES] {
        let (kind, cookie) = match self {
            Self::Challenge(cookie) => (0, *cookie),
            Self::Response(cookie) => (1, *cookie),
            Self::Drop(cookie) => (2, *cookie),
            Self::Unknown => (u8::MAX, [0; COOKIE_BYTES]),
        };
        let mut out = [kind; MESSAGE_BYTES];
        out.iter_mut().skip(1).zip(cookie).for_each(|(to, from)| *to = from);
        out
    }
}

/// What is known of the way to a peer. Three bytes, in every association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    trust: Trust,
    /// Bytes that may still go there, while it is not validated.
    budget: [u8; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Validated,
    Unvalidated,
    /// Unvalidated, and something went there or waits to.
    Spoken,
}

impl Path {
    pub const VALIDATED: Self = Self { trust: Trust::Validated, budget: [0; 2] };

    /// A new address, from which so many bytes came.
    pub fn moved(bytes: usize) -> Self {
        let mut path = Self { trust: Trust::Unvalidated, budget: [0; 2] };
        path.earn(bytes);
        path
    }

    pub fn is_validated(self) -> bool {
        self.trust == Trust::Validated
    }

    /// So many authentic bytes came from the address.
    pub fn earn(&mut self, bytes: usize) {
        let earned = u16::try_from(bytes).unwrap_or(u16::MAX).saturating_mul(AMPLIFICATION);
        self.budget = self.budget().saturating_add(earned).to_be_bytes();
    }

    /// Whether so many bytes may go there.
    pub fn allows(self, bytes: usize) -> bool {
        self.is_validated() || bytes <= usize::from(self.budget())
    }

    /// So many bytes go there. Zero: something waits to.
    pub fn spend(&mut self, bytes: usize) {
        if !self.is_validated() {
            let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
            self.budget = self.budget().saturating_sub(bytes).to_be_bytes();
            self.trust = Trust::Spoken;
        }
    }

    /// Whether a newest record from there proves enough of a peer that cannot be asked.
    pub fn believes_silence(self) -> bool {
        self.trust == Trust::Spoken
    }

    const fn budget(self) -> u16 {
        u16::from_be_bytes(self.budget)
    }
}

/// What a check waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// An answer on the old path.
    Old,
    /// An answer on the new path, to the challenge of this number.
    New(u8),
    /// The peer cannot be asked: its next record.
    Silent,
}

/// What happens to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A path_response where it was due.
    Response,
    /// A path_drop where a path_response was due.
    Drop,
    TimedOut,
}

/// What a check does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask on the new path.
    Ask(Stage),
    End(PathOutcome),
    Nothing,
}

impl Stage {
    /// The transition table (RFC 9853 sections 5.1 and 5.2).
    pub const fn after(self, step: Step, challenges_max: u8) -> Next {
        match (self, step) {
            (Self::Old, Step::Response) => Next::End(PathOutcome::Refused),
            (Self::Old, Step::Drop | Step::TimedOut) => Next::Ask(Self::New(1)),
            (Self::New(_), Step::Response) => Next::End(PathOutcome::Validated),
            (Self::New(count), Step::TimedOut) if count < challenges_max => Next::Ask(Self::New(count + 1)),
            (Self::New(_) | Self::Silent, Step::TimedOut) => Next::End(PathOutcome::Unanswered),
            (Self::New(_), Step::Drop) | (Self::Silent, Step::Response | Step::Drop) => Next::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    //= test rfc9853#4-2
    //= test rfc9853#4-3
    #[test]
    fn messages_read_what_they_write() {
        for message in [Message::Challenge([7; 8]), Message::Response([8; 8]), Message::Drop([9; 8])] {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes), Some(message));
            assert!((0..bytes.len()).all(|length| Message::decode(&bytes[..length]).is_none()));
        }
        assert_eq!(Message::decode(&[2, 9, 9, 9, 9, 9, 9, 9, 9, 9]), None, "one byte too many");
        assert_eq!(Message::decode(&[3]), Some(Message::Unknown), "a message of the future");
        assert_eq!(Message::Challenge([7; 8]).encode(), [0, 7, 7, 7, 7, 7, 7, 7, 7]);
    }

    #[test]
    fn three_times_what_came_and_not_a_byte_more() {
        let mut path = Path::moved(40);
        assert!(path.allows(120) && !path.allows(121));
        path.spend(100);
        assert!(path.allows(20) && !path.allows(21));
        path.earn(1);
        assert!(path.allows(23) && !path.allows(24));
        path.earn(1_000_000);
        assert!(path.allows(65_535) && !path.allows(65_536));
        assert!(Path::VALIDATED.allows(1_000_000));
    }

    //= test rfc9853#5.2-4
    //= test rfc9853#5.2-5
    /// The whole table as text, so that a changed edge is a changed line.
    #[test]
    fn the_transition_table() {
        let mut edges = Vec::new();
        for stage in [Stage::Old, Stage::New(1), Stage::New(2), Stage::Silent] {
            for step in [Step::Response, Step::Drop, Step::TimedOut] {
                edges.push(alloc::format!("{stage:?} --{step:?}--> {:?}", stage.after(step, 2)));
            }
        }
        let expected = [
            "Old --Response--> End(Refused)",
            "Old --Drop--> Ask(New(1))",
            "Old --TimedOut--> Ask(New(1))",
            "New(1) --Response--> End(Validated)",
            "New(1) --Drop--> Nothing",
            "New(1) --TimedOut--> Ask(New(2))",
            "New(2) --Response--> End(Validated)",
            "New(2) --Drop--> Nothing",
            "New(2) --TimedOut--> End(Unanswered)",
            "Silent --Response--> Nothing",
            "Silent --Drop--> Nothing",
            "Silent --TimedOut--> End(Unanswered)",
        ];
        assert_eq!(edges, expected);
    }
}
