//! Attacks to lay over a world.

use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use bartizan_wire::{Event, EventKind, Feature, Source, Subject, UnixMillis};

use super::benign::Actor;
use super::random::Seeded;
use super::world::Kind;

const HOUR_MS: f64 = 3_600_000.0;

/// One attack: what is done, with which devices, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Attack {
    pub name: &'static str,
    pub kind: AttackKind,
    /// The devices taken over (or named, for attacks from outside) are of this kind.
    pub victims: Kind,
    pub devices: usize,
    /// Hours after the world's beginning.
    pub starts_h: f64,
    pub lasts_h: f64,
}

/// What is done. The first six speak as the device they took over; the last two have no key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttackKind {
    /// Messages like the device's own, so many in a minute.
    Flood { per_minute: f64 },
    /// The device's own reports, this many times as often.
    Hasten { factor: f64 },
    /// Requests of kinds that nobody sends.
    Probe { per_hour: f64 },
    /// The device's own reports, this many times as large.
    Enlarge { factor: f64 },
    /// A new peer each time.
    Roam { per_hour: f64 },
    /// Handshakes.
    Reconnect { per_hour: f64 },
    /// Captured records, sent again from elsewhere.
    Replay { per_minute: f64 },
    /// Handshakes with a wrong key in the device's name.
    Knock { per_minute: f64 },
}

impl Attack {
    /// An attack that begins `starts_h` hours into the world and lasts two hours.
    #[must_use]
    pub const fn on(name: &'static str, kind: AttackKind, victims: Kind, devices: usize, starts_h: f64) -> Self {
        Self { name, kind, victims, devices, starts_h, lasts_h: 2.0 }
    }

    /// Features that name this attack rightly.
    #[must_use]
    pub const fn truth(&self) -> &'static [Feature] {
        match self.kind {
            AttackKind::Flood { .. } => &[Feature::MessageRate, Feature::ReportInterval],
            AttackKind::Hasten { .. } => &[Feature::ReportInterval, Feature::MessageRate],
            // Probing beside its own reports also makes it hasty.
            AttackKind::Probe { .. } => &[Feature::MessageKind, Feature::ReportInterval, Feature::MessageRate],
            AttackKind::Enlarge { .. } => &[Feature::PayloadBytes],
            AttackKind::Roam { .. } => &[Feature::Peer],
            AttackKind::Reconnect { .. } => &[Feature::HandshakeRate],
            AttackKind::Replay { .. } => &[Feature::ReplayedRecords],
            AttackKind::Knock { .. } => &[Feature::FailedHandshakes],
        }
    }

    /// Whether the attacker holds a device's key.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        !matches!(self.kind, AttackKind::Replay { .. } | AttackKind::Knock { .. })
    }

    /// Whether only the pace of events may give it away.
    pub(super) const fn is_about_pace(&self) -> bool {
        matches!(self.kind, AttackKind::Flood { .. } | AttackKind::Hasten { .. })
    }

    /// Mean time between the attacker's events in milliseconds.
    pub(super) fn pace_ms(&self, victim: &Actor) -> f64 {
        match self.kind {
            AttackKind::Flood { per_minute } | AttackKind::Replay { per_minute } | AttackKind::Knock { per_minute } => {
                60_000.0 / per_minute
            }
            AttackKind::Hasten { factor } => victim.period_ms() / factor,
            AttackKind::Probe { per_hour } | AttackKind::Roam { per_hour } | AttackKind::Reconnect { per_hour } => {
                HOUR_MS / per_hour
            }
            // As often as before: only the size may give it away.
            AttackKind::Enlarge { .. } => victim.period_ms(),
        }
    }

    /// One event of the attacker.
    pub(super) fn event(&self, at: UnixMillis, victim: &Actor, random: &mut Seeded) -> Event {
        let mut message = victim.report(random);
        let subject = victim.subject();
        let kind = match self.kind {
            AttackKind::Flood { .. } | AttackKind::Hasten { .. } => EventKind::Message(message),
            AttackKind::Probe { .. } => {
                message.kind = random.next_u64() as u32;
                EventKind::Message(message)
            }
            AttackKind::Enlarge { factor } => {
                message.payload_bytes = (f64::from(message.payload_bytes) * factor) as u16;
                EventKind::Message(message)
            }
            AttackKind::Roam { .. } => EventKind::Rebound { network: random.next_u64() as u32 },
            AttackKind::Reconnect { .. } => EventKind::Established { suite: 0xc0a8, connection_id: true },
            AttackKind::Replay { .. } => EventKind::RecordRejected { reason: RecordRejection::Replayed },
            AttackKind::Knock { .. } => EventKind::HandshakeFailed { reason: HandshakeFailure::WrongKey },
        };
        let subject = if self.is_authenticated() { subject } else { self.outside(victim) };
        Event { at, subject, kind }
    }

    fn outside(&self, victim: &Actor) -> Subject {
        Subject::Source { source: self.source(), claimed: Some(victim.key) }
    }

    /// Where an attack without a key comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        let host = self.name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        Source::of((std::net::Ipv4Addr::new(203, 0, 113, host), 5684).into())
    }
}
