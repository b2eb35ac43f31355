//! What a handshake can be about, by the names that command lines and cells of the interop matrix use.

use anyhow::{Context, Result};

/// A closed set of names.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// # Errors
            /// If nothing is called so.
            pub fn parse(name: &str) -> Result<Self> {
                let found = Self::ALL.iter().copied().find(|one| one.name() == name);
                found.with_context(|| format!("no {} {name:?}", stringify!($name).to_lowercase()))
            }
        }
    };
}

named! {
    Role {
        Client = "client",
        Server = "server",
    }
}

named! {
    Version {
        Dtls12 = "1.2",
        Dtls13 = "1.3",
    }
}

named! {
    /// How the two sides know each other.
    Auth {
        /// A pre-shared key alone; in 1.3, the mode `psk_ke`.
        Psk = "psk",
        /// A pre-shared key with an ephemeral exchange; in 1.3, the mode `psk_dhe_ke`.
        EcdhePsk = "ecdhe-psk",
        /// X.509 certificates on P-256, of both sides.
        Ecdsa = "ecdsa",
        /// Raw public keys on P-256 (RFC 7250), of both sides.
        Rpk = "rpk",
    }
}

named! {
    /// The cipher that protects records: with the version and the authentication it makes a cipher suite.
    Suite {
        Ccm8 = "ccm8",
        Ccm = "ccm",
        Gcm = "gcm",
        Gcm256 = "gcm256",
        Chacha = "chacha",
    }
}

named! {
    Group {
        X25519 = "x25519",
        P256 = "p256",
        X25519MlKem768 = "x25519mlkem768",
    }
}

impl Auth {
    #[must_use]
    pub const fn has_psk(self) -> bool {
        matches!(self, Self::Psk | Self::EcdhePsk)
    }
}

impl Group {
    /// IANA's number.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::P256 => 23,
            Self::X25519 => 29,
            Self::X25519MlKem768 => 0x11EC,
        }
    }
}

impl Suite {
    /// IANA's number of the cipher suite.
    #[must_use]
    pub const fn code(self, version: Version, auth: Auth) -> u16 {
        match (version, auth, self) {
            (Version::Dtls13, _, Self::Gcm) => 0x1301,
            (Version::Dtls13, _, Self::Gcm256) => 0x1302,
            (Version::Dtls13, _, Self::Chacha) => 0x1303,
            (Version::Dtls13, _, Self::Ccm) => 0x1304,
            (Version::Dtls13, _, Self::Ccm8) => 0x1305,
            (Version::Dtls12, Auth::Psk, Self::Ccm8) => 0xC0A8,
            (Version::Dtls12, Auth::Psk, Self::Ccm) => 0xC0A4,
            (Version::Dtls12, Auth::Psk, Self::Gcm) => 0x00A8,
            (Version::Dtls12, Auth::Psk, Self::Gcm256) => 0x00A9,
            (Version::Dtls12, Auth::Psk, Self::Chacha) => 0xCCAB,
            (Version::Dtls12, Auth::EcdhePsk, Self::Gcm) => 0xD001,
            (Version::Dtls12, Auth::EcdhePsk, Self::Gcm256) => 0xD002,
            (Version::Dtls12, Auth::EcdhePsk, Self::Ccm8) => 0xD003,
            (Version::Dtls12, Auth::EcdhePsk, Self::Ccm) => 0xD005,
            (Version::Dtls12, Auth::EcdhePsk, Self::Chacha) => 0xCCAC,
            (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Self::Ccm8) => 0xC0AE,
            (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Self::Ccm) => 0xC0AC,
            (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Self::Gcm) => 0xC02B,
            (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Self::Gcm256) => 0xC02C,
            (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Self::Chacha) => 0xCCA9,
        }
    }
}
