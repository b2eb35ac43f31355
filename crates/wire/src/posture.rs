//! What a device is believed to be, and what it may therefore do.
//!
//! The rules that combine these live in `bartizan_platform::posture`; the data path only reads [`Access`].

/// Declares a field-less enum with a stable number (storage, CBOR) and a stable name (API, CLI).
macro_rules! coded {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $code,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable name used in the API, the CLI and exports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The stable number used in storage and on the wire.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }

            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use coded;

coded! {
    /// Where a device is in its life.
    Lifecycle {
        /// Known, but has never completed a handshake.
        Pending = 0 "pending",
        Active = 1 "active",
        /// Taken out of service for good; its credential is refused.
        Retired = 2 "retired",
    }
}

coded! {
    /// The tier of the last attestation result (EAR, AR4SI). `None` until a verifier has spoken.
    Attestation {
        None = 0 "none",
        Affirming = 1 "affirming",
        Warning = 2 "warning",
        Contraindicated = 3 "contraindicated",
    }
}

coded! {
    /// How a device behaves, with hysteresis: a grade is left at a lower score than it was entered at.
    Grade {
        Normal = 0 "normal",
        Suspicious = 1 "suspicious",
        Abnormal = 2 "abnormal",
    }
}

coded! {
    /// Where a device is in a firmware update.
    Update {
        None = 0 "none",
        Offered = 1 "offered",
        Installing = 2 "installing",
        Failed = 3 "failed",
    }
}

coded! {
    /// What the data path allows, from most to least. The greatest of all holds in force wins.
    Access {
        Full = 0 "full",
        /// Telemetry passes at a reduced rate; no commands reach the device.
        Limited = 1 "limited",
        /// Only the status resource answers (attestation and update join it); the association stays.
        Quarantined = 2 "quarantined",
        /// Nothing passes; associations are closed and handshakes refused.
        Blocked = 3 "blocked",
    }
}

coded! {
    /// Why a hold exists. Each cause has its own way out, and its own share of the brake.
    Cause {
        /// A person decided; only a person ends it.
        Person = 0 "person",
        /// A behavioural engine graded the device.
        Detection = 1 "detection",
        /// Evidence contradicted the reference values.
        Attestation = 2 "attestation",
        /// A policy that is not about this device's conduct.
        Policy = 3 "policy",
    }
}

coded! {
    /// What ends a hold. Nothing else does.
    Exit {
        /// A person releases it.
        Person = 0 "person",
        /// The grade falls back to normal, stays there for the dwell, and probation passes.
        Dwell = 1 "dwell",
        /// Fresh affirming evidence for a challenge issued after the hold.
        Evidence = 2 "evidence",
    }
}
