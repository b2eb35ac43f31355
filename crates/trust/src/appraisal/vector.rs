//! The trustworthiness vector of AR4SI (draft-ietf-rats-ar4si section 2.3).

use bartizan_wire::Attestation;

use super::Fault;

/// One claim of the vector: −128 to 127, in bands that are tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Trust(pub i8);

impl Trust {
    pub const NONE: Self = Self(0);
    /// What AR4SI calls recognised, approved or genuine.
    pub const APPROVED: Self = Self(2);
    /// Of executables: known and approved during boot; nothing is said about the time after it.
    pub const APPROVED_AT_BOOT: Self = Self(3);
    pub const UNSAFE: Self = Self(32);
    /// Of executables: something runs that the verifier does not know.
    pub const UNRECOGNISED: Self = Self(33);
    pub const CONTRAINDICATED: Self = Self(96);
    /// Of an identity: nobody who is known here.
    pub const UNKNOWN_IDENTITY: Self = Self(97);

    /// The band that a value lies in.
    #[must_use]
    pub const fn tier(self) -> Attestation {
        match self.0 {
            -1..=1 => Attestation::None,
            2..=31 | -32..=-2 => Attestation::Affirming,
            32..=95 | -96..=-33 => Attestation::Warning,
            96..=127 | -128..=-97 => Attestation::Contraindicated,
        }
    }

    /// The number that a tier itself has in CBOR and in the vector.
    #[must_use]
    pub const fn of(tier: Attestation) -> Self {
        match tier {
            Attestation::None => Self::NONE,
            Attestation::Affirming => Self::APPROVED,
            Attestation::Warning => Self::UNSAFE,
            Attestation::Contraindicated => Self::CONTRAINDICATED,
        }
    }
}

/// Eight claims, in the order of their numbers in CBOR (draft-ietf-rats-ear section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Vector {
    pub instance_identity: Trust,
    pub configuration: Trust,
    pub executables: Trust,
    pub file_system: Trust,
    pub hardware: Trust,
    pub runtime_opaque: Trust,
    pub storage_opaque: Trust,
    pub sourced_data: Trust,
}

impl Vector {
    /// Their names in JSON.
    pub const NAMES: [&'static str; 8] = [
        "instance-identity",
        "configuration",
        "executables",
        "file-system",
        "hardware",
        "runtime-opaque",
        "storage-opaque",
        "sourced-data",
    ];

    #[must_use]
    pub const fn claims(&self) -> [Trust; 8] {
        [
            self.instance_identity,
            self.configuration,
            self.executables,
            self.file_system,
            self.hardware,
            self.runtime_opaque,
            self.storage_opaque,
            self.sourced_data,
        ]
    }

    #[must_use]
    pub const fn from_claims(claims: [Trust; 8]) -> Self {
        let [
            instance_identity,
            configuration,
            executables,
            file_system,
            hardware,
            runtime_opaque,
            storage_opaque,
            sourced_data,
        ] = claims;
        Self {
            instance_identity,
            configuration,
            executables,
            file_system,
            hardware,
            runtime_opaque,
            storage_opaque,
            sourced_data,
        }
    }

    /// The worst of the claims.
    #[must_use]
    pub fn tier(&self) -> Attestation {
        self.claims().into_iter().map(Trust::tier).max().unwrap_or(Attestation::None)
    }

    /// Takes what a fault costs the claim that it speaks against.
    pub(super) fn lower(&mut self, fault: Fault, tier: Attestation) {
        let (claim, warning, worst) = match fault {
            Fault::IdentityMismatch => (&mut self.instance_identity, Trust::UNSAFE, Trust::UNKNOWN_IDENTITY),
            Fault::NonceMismatch
            | Fault::BindingMismatch
            | Fault::BindingMissing
            | Fault::TooOld
            | Fault::BootCountBackwards
            | Fault::BootSeedMismatch
            | Fault::BootCountMissing => (&mut self.instance_identity, Trust::UNSAFE, Trust::CONTRAINDICATED),
            Fault::DebugMode | Fault::RecoveryMode | Fault::NotConfigured | Fault::ConfigMismatch => {
                (&mut self.configuration, Trust::UNSAFE, Trust::CONTRAINDICATED)
            }
            Fault::AuthorityMismatch => (&mut self.hardware, Trust::UNSAFE, Trust::CONTRAINDICATED),
            Fault::UnknownDigest | Fault::UnknownEvent | Fault::NoDigest | Fault::Withdrawn => {
                (&mut self.executables, Trust::UNRECOGNISED, Trust::CONTRAINDICATED)
            }
            _ => (&mut self.executables, Trust::UNSAFE, Trust::CONTRAINDICATED),
        };
        let value = match tier {
            Attestation::Contraindicated => worst,
            Attestation::Warning => warning,
            _ => return,
        };
        if value.0 > claim.0 {
            *claim = value;
        }
    }
}
