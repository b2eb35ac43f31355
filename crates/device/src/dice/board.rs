//! What a board gives the engine.

use bartizan_crypto::Secret;

use super::Uds;

/// The hardware under the root: where its secret comes from, and what it counts.
pub trait Board {
    /// The unique device secret, from fuses, a PUF or a TPM. Only the first call of a start gives it; the
    /// implementation locks the way to it until the next reset.
    fn take_uds(&mut self) -> Option<Uds>;

    /// Counts this start and returns the count, durable before it returns. Boards without a place for it give `None`,
    /// and their clones are found later.
    fn next_boot_count(&mut self) -> Option<u64>;

    /// The security version below which the boot loader starts nothing.
    fn security_floor(&self) -> Option<u64>;

    /// The name that the manufacturer gave the device (UEID, RFC 9711 section 4.2.1), 7 to 33 bytes.
    fn ueid(&self) -> Option<&[u8]> {
        None
    }
}

/// A board in software: for simulators and tests, and for gateways whose operating system keeps the secret.
pub struct SoftwareBoard {
    secret: Option<Secret<32>>,
    boot_count: u64,
    security_floor: u64,
}

impl SoftwareBoard {
    /// A board that was started `boot_count` times before.
    #[must_use]
    pub const fn new(secret: Secret<32>, boot_count: u64, security_floor: u64) -> Self {
        Self { secret: Some(secret), boot_count, security_floor }
    }
}

impl Board for SoftwareBoard {
    fn take_uds(&mut self) -> Option<Uds> {
        self.secret.take().map(Uds::new)
    }

    fn next_boot_count(&mut self) -> Option<u64> {
        self.boot_count = self.boot_count.saturating_add(1);
        Some(self.boot_count)
    }

    fn security_floor(&self) -> Option<u64> {
        Some(self.security_floor)
    }
}
