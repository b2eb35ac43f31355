//! Connection IDs (RFC 9146).

use crate::limits::CONNECTION_ID_BYTES_MAX;

/// A Connection ID of up to 20 bytes. Empty means "send me none".
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    length: u8,
    bytes: [u8; CONNECTION_ID_BYTES_MAX],
}

impl ConnectionId {
    pub const EMPTY: Self = Self { length: 0, bytes: [0; CONNECTION_ID_BYTES_MAX] };

    /// Copies `bytes`; `None` if there are more than [`CONNECTION_ID_BYTES_MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut cid = Self::EMPTY;
        cid.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        cid.length = u8::try_from(bytes.len()).ok()?;
        Some(cid)
    }

    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl core::fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("cid:")?;
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
