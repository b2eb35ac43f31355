//! DER (X.690), written from its end to its start: every length is known when its header is due.

use super::{Error, NO_ROOM};

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const UTF8_STRING: u8 = 0x0C;

/// The place of what was written last. A call that finds no room leaves a mark, and [`Self::finish`] says so.
pub(super) struct Der<'a> {
    bytes: &'a mut [u8],
    at: usize,
    full: bool,
}

impl<'a> Der<'a> {
    pub(super) const fn new(bytes: &'a mut [u8]) -> Self {
        let at = bytes.len();
        Self { bytes, at, full: false }
    }

    /// Puts `bytes` before all that is there.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let start = self.at.checked_sub(bytes.len());
        match start.and_then(|start| self.bytes.get_mut(start..self.at)) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.at -= bytes.len();
            }
            None => self.full = true,
        }
    }

    /// What `contents` puts, in one element.
    pub(super) fn element(&mut self, tag: u8, contents: impl FnOnce(&mut Self)) {
        let end = self.at;
        contents(self);
        let length = end - self.at;
        let [.., high, low] = length.to_be_bytes();
        match length {
            0..=0x7F => self.put(&[tag, low]),
            0x80..=0xFF => self.put(&[tag, 0x81, low]),
            0x100..=0xFFFF => self.put(&[tag, 0x82, high, low]),
            _ => self.full = true,
        }
    }

    pub(super) fn primitive(&mut self, tag: u8, contents: &[u8]) {
        self.element(tag, |der| der.put(contents));
    }

    /// A positive integer under `tag`, from big-endian bytes of any length.
    pub(super) fn integer(&mut self, tag: u8, bytes: &[u8]) {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let number = bytes.get(zeros..).unwrap_or_default();
        self.element(tag, |der| {
            der.put(number);
            if number.first().is_none_or(|first| first & 0x80 != 0) {
                der.put(&[0]);
            }
        });
    }

    /// Where the written begins.
    ///
    /// # Errors
    /// `Unavailable` if not everything had room.
    pub(super) const fn finish(self) -> Result<usize, Error> {
        if self.full { Err(NO_ROOM) } else { Ok(self.at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(put: impl FnOnce(&mut Der<'_>)) -> Result<alloc::vec::Vec<u8>, Error> {
        let mut bytes = [0; 400];
        let mut der = Der::new(&mut bytes);
        put(&mut der);
        let at = der.finish()?;
        Ok(bytes[at..].to_vec())
    }

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        for (length, head) in [(0x7F, &[4, 0x7F][..]), (0x80, &[4, 0x81, 0x80]), (0x100, &[4, 0x82, 1, 0])] {
            let element = made(|der| der.primitive(OCTET_STRING, &alloc::vec![9; length])).unwrap();
            assert_eq!((&element[..head.len()], element.len()), (head, head.len() + length));
        }
        assert_eq!(made(|der| der.primitive(OCTET_STRING, &[9; 397])), Err(NO_ROOM));
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        for (bytes, expected) in
            [(&[0, 0, 1][..], &[2, 1, 1][..]), (&[0x80], &[2, 2, 0, 0x80]), (&[0, 0], &[2, 1, 0]), (&[], &[2, 1, 0])]
        {
            assert_eq!(made(|der| der.integer(2, bytes)).unwrap(), expected);
        }
    }
}
