//! What speaks against a device, in words for the people who run it.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{self, Write as _};

use bartizan_wire::{Attestation, UnixMillis};

use crate::reference::Source;

/// Declares the faults with their stable names, their tiers and what they mean.
macro_rules! faults {
    ($($(#[$meta:meta])* $name:ident $tier:ident $code:literal $claim:literal $text:literal,)+) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$meta])* $name,)+ }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name used in the API and in results.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The claim that fails.
            #[must_use]
            pub const fn claim(self) -> &'static str {
                match self { $(Self::$name => $claim,)+ }
            }

            /// A plain sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The tier, unless policy says otherwise.
            #[must_use]
            pub const fn tier(self) -> Attestation {
                match self { $(Self::$name => Attestation::$tier,)+ }
            }
        }
    };
}

faults! {
    IdentityMismatch Contraindicated "identity-mismatch" "identity"
        "This is not the registered device",
    NonceMismatch Contraindicated "nonce-mismatch" "nonce"
        "The evidence does not answer our challenge; it may be a replay",
    BindingMismatch Contraindicated "binding-mismatch" "session binding"
        "The evidence was made for another session; another device may have answered for this one",
    BindingMissing Contraindicated "binding-missing" "session binding"
        "The evidence cannot be tied to the session that it came over",
    TooOld Contraindicated "too-old" "age"
        "The evidence came too late after its challenge",
    BootCountBackwards Contraindicated "boot-count-backwards" "boot count"
        "The device has started fewer times than before; it may be a clone, or its memory was rolled back",
    BootSeedMismatch Contraindicated "boot-seed-mismatch" "boot seed"
        "As many starts as before, but another start: two devices answer under this identity",
    BootCountMissing Contraindicated "boot-count-missing" "boot count"
        "The device does not say how often it has started, so a clone of it could not be told",
    LayerCount Contraindicated "layer-count" "layers"
        "The device started another number of layers than its type has",
    LayerName Contraindicated "layer-name" "component"
        "Another component runs where this one belongs",
    ClassMismatch Contraindicated "class-mismatch" "vendor and model"
        "The component is made for another type of device",
    UnknownDigest Warning "unknown-digest" "digest"
        "No reference value knows this firmware; it may be new, it need not be tampered with",
    Withdrawn Warning "withdrawn" "digest"
        "Whoever vouched for this firmware has taken that back",
    NoDigest Warning "no-digest" "digest"
        "The layer does not say what it measured",
    UnknownEvent Warning "unknown-event" "event"
        "No reference value knows this register, nor what was measured into it here",
    LogMismatch Contraindicated "log-mismatch" "event log"
        "The event log does not lead to what the register holds",
    Tampered Contraindicated "tampered" "digest"
        "The firmware claims a known version and is not that version: it was changed",
    VersionMismatch Contraindicated "version-mismatch" "version"
        "The firmware is known, but under another version than it claims",
    SecurityVersionLower Contraindicated "security-version-lower" "security version"
        "The firmware is known, but claims a lower security version than it has",
    SecurityVersionOther Contraindicated "security-version-other" "security version"
        "The firmware is known, but claims another security version than it has",
    BelowFloor Contraindicated "below-floor" "security version"
        "The firmware is older than the oldest that may still run; it may have been rolled back",
    SecurityVersionMissing Contraindicated "security-version-missing" "security version"
        "The firmware does not say its security version, so a rollback could not be told",
    BelowOwnFloor Contraindicated "below-own-floor" "security version"
        "The firmware is older than the device's own boot loader allows",
    Forbidden Contraindicated "forbidden" "version"
        "This version is forbidden",
    Deprecated Warning "deprecated" "version"
        "This version is about to be forbidden; the device needs an update",
    DebugMode Contraindicated "debug-mode" "mode"
        "The layer was started in debug mode; anybody at the device can change it",
    RecoveryMode Warning "recovery-mode" "mode"
        "The layer was started to be repaired",
    NotConfigured Warning "not-configured" "mode"
        "Not every protection of the device is set up",
    ConfigMismatch Contraindicated "config-mismatch" "configuration"
        "The layer was started with another configuration than its type's",
    AuthorityMismatch Contraindicated "authority-mismatch" "authority"
        "Another key than its type's decides what this layer may be",
}

/// One thing that speaks against a device: which claim of which layer, what was seen, and against what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub fault: Fault,
    pub tier: Attestation,
    /// Number of the layer in the order of boot, from zero.
    pub layer: Option<usize>,
    pub component: Option<String>,
    pub observed: Option<String>,
    pub expected: Option<String>,
    /// Who says what was expected.
    pub source: Option<Source>,
}

impl Reason {
    pub(super) fn of(fault: Fault) -> Self {
        let (layer, component, observed, expected, source) = (None, None, None, None, None);
        Self { fault, tier: fault.tier(), layer, component, observed, expected, source }
    }

    pub(super) fn seen(self, observed: impl ToString) -> Self {
        Self { observed: Some(observed.to_string()), ..self }
    }

    pub(super) fn wanted(self, expected: impl ToString) -> Self {
        Self { expected: Some(expected.to_string()), ..self }
    }

    pub(super) fn at(self, layer: usize, component: &str) -> Self {
        Self { layer: Some(layer), component: Some(component.to_string()), ..self }
    }

    pub(super) fn says(self, source: &Source) -> Self {
        Self { source: Some(source.clone()), ..self }
    }

    /// As policy has it; nothing is said if it is fine by policy.
    pub(super) fn tier(self, tier: Attestation) -> Option<Self> {
        (tier > Attestation::Affirming).then_some(Self { tier, ..self })
    }
}

/// `firmware: The firmware claims a known version … (digest: seen sha-256 ab…, expected sha-256 cd…, by tag …).`
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.component, self.layer) {
            (Some(component), Some(layer)) => write!(f, "Layer {layer} ({}): ", Plain(component))?,
            (Some(component), None) => write!(f, "{}: ", Plain(component))?,
            (None, _) => {}
        }
        f.write_str(self.fault.sentence())?;
        let source = self.source.as_ref().map(Source::to_string);
        let details = [("seen", &self.observed), ("expected", &self.expected), ("by", &source)];
        let details = details.into_iter().filter_map(|(word, detail)| detail.as_ref().map(|detail| (word, detail)));
        let mut open = false;
        for (word, detail) in details {
            match core::mem::replace(&mut open, true) {
                false => write!(f, " ({}: {word} {}", self.fault.claim(), Plain(detail))?,
                true => write!(f, ", {word} {}", Plain(detail))?,
            }
        }
        f.write_str(if open { ")." } else { "." })
    }
}

/// A name that came from outside, without what could change a terminal or a line of a log.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |c: char| {
            c.is_control()
                || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
        };
        self.0.chars().try_for_each(|c| f.write_char(if hidden(c) { '\u{FFFD}' } else { c }))
    }
}

/// `2027-01-15 08:00 UTC`, by the proleptic Gregorian calendar.
pub(super) fn date(at: UnixMillis) -> String {
    let minutes = at.0 / 60_000;
    let (days, minute) = (minutes / 1440, minutes % 1440);
    // Days since 1 March of the year 0, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + late;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_800_000_000, "2027-01-15 08:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(UnixMillis(seconds * 1000)), text);
        }
        assert!(date(UnixMillis(u64::MAX)).ends_with("UTC"));
    }
}
