//! One cell of the matrix.

use core::fmt;

use bartizan_peer_common::{Auth, Group, Role, Suite, Version};

/// An implementation by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outside {
    Mbed,
    Wolfssl,
    Purecrypto,
    Openssl,
    Gnutls,
}

impl Outside {
    pub const ALL: [Self; 5] = [Self::Mbed, Self::Wolfssl, Self::Purecrypto, Self::Openssl, Self::Gnutls];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mbed => "mbed",
            Self::Wolfssl => "wolfssl",
            Self::Purecrypto => "purecrypto",
            Self::Openssl => "openssl",
            Self::Gnutls => "gnutls",
        }
    }
}

/// What is tried with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    pub outside: Outside,
    pub version: Version,
    pub auth: Auth,
    pub suite: Suite,
    /// `None` where nothing ephemeral is agreed on.
    pub group: Option<Group>,
    pub cid: bool,
    /// The client goes on from another source port.
    pub rebind: bool,
    /// Both sides change the keys that they send with, after the first message (DTLS 1.3).
    pub update: bool,
    /// Percent of the datagrams lost, each way.
    pub loss: u8,
    pub ours: Role,
}

impl Cell {
    /// IANA's number of the cipher suite.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.suite.code(self.version, self.auth)
    }

    #[must_use]
    pub fn group_name(&self) -> &'static str {
        self.group.map_or("none", Group::name)
    }

    /// Of the datagrams to lose: the same ones in every run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        // FNV-1a
        self.to_string()
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
    }
}

/// `wolfssl 1.2 psk ccm8 none cid rebind loss0 server`: the last word is our role. Key updates have a word of their own.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outside, version, auth, suite, cid, rebind, update, loss, ours, .. } = self;
        let (cid, rebind) = (if *cid { "cid" } else { "nocid" }, if *rebind { "rebind" } else { "stay" });
        let words = [outside.name(), version.name(), auth.name(), suite.name(), self.group_name(), cid, rebind];
        let update = if *update { " update" } else { "" };
        write!(f, "{}{update} loss{loss} {}", words.join(" "), ours.name())
    }
}
