//! What can go wrong in a city, on purpose.

use std::net::IpAddr;

use bartizan_wire::UnixMillis;

/// The five attacks of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttackKind {
    /// A compromised group of street lights floods.
    LightFlood,
    /// A water meter reports fifty times an hour.
    MeterFrequency,
    /// Captured records of a lock are sent again from another address.
    LockReplay,
    /// Somebody knocks with a lock's identity and another key.
    WrongKey,
    /// Somebody changes the firmware of a water meter.
    MeterFirmware,
}

impl AttackKind {
    pub const ALL: [Self; 5] =
        [Self::MeterFirmware, Self::LightFlood, Self::MeterFrequency, Self::LockReplay, Self::WrongKey];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LightFlood => "light-flood",
            Self::MeterFrequency => "meter-frequency",
            Self::LockReplay => "lock-replay",
            Self::WrongKey => "wrong-key",
            Self::MeterFirmware => "meter-firmware",
        }
    }

    /// What happens, in plain words.
    #[must_use]
    pub const fn story(self) -> &'static str {
        match self {
            Self::LightFlood => "a group of street lights was taken over and floods",
            Self::MeterFrequency => "a water meter begins to report fifty times an hour",
            Self::LockReplay => "somebody repeats captured records of a bicycle lock from another address",
            Self::MeterFirmware => "somebody opens a water meter and changes its firmware",
            Self::WrongKey => "an impostor knocks with a bicycle lock's identity and another key",
        }
    }

    /// Whether the attacker holds the key of the device it speaks for.
    #[must_use]
    pub const fn is_authenticated(self) -> bool {
        matches!(self, Self::LightFlood | Self::MeterFrequency | Self::MeterFirmware)
    }
}

/// An attack under way: the truth about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    pub kind: AttackKind,
    /// The city's time at which it began.
    pub started: UnixMillis,
    /// The devices that it took over, or the one that it names.
    pub devices: Vec<String>,
    /// Where it comes from, if not from its devices.
    pub source: Option<IpAddr>,
}
