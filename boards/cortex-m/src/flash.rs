//! What survives sleep. Here a static: memory that stays powered.

use bartizan_dtls::{Error, limits};

pub struct Flash {
    bytes: [u8; limits::SAVED_SESSION_BYTES_MAX],
    length: usize,
}

impl Flash {
    pub const EMPTY: Self = Self { bytes: [0; limits::SAVED_SESSION_BYTES_MAX], length: 0 };

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    #[cfg(feature = "wake")]
    pub fn store(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let place = self.bytes.get_mut(..bytes.len()).ok_or(Error::Unavailable("the flash is full"))?;
        place.copy_from_slice(bytes);
        self.length = bytes.len();
        Ok(())
    }

    #[cfg(feature = "handshake")]
    pub fn store_with(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, Error>) -> Result<(), Error> {
        self.length = write(&mut self.bytes)?;
        Ok(())
    }
}
