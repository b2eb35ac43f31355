//! Frames over the serial line: a kind, a length of two bytes, a payload. A radio would stand here.

use crate::board;

/// From the other end: randomness, of which this chip has no source.
pub const SEED: u8 = b'S';
/// Either way: a UDP payload.
pub const DATAGRAM: u8 = b'D';
/// To the other end: a number (four bytes) and its name.
pub const FIGURE: u8 = b'F';
/// To the other end: evidence, to be believed there.
#[cfg(feature = "attest")]
pub const EVIDENCE: u8 = b'A';
/// To the other end: the work is done.
pub const DONE: u8 = b'E';

#[derive(Default)]
pub struct Line {
    ms: u64,
}

impl Line {
    pub const fn now_ms(&self) -> u64 {
        self.ms
    }

    pub fn send(&self, kind: u8, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let [high, low] = (length as u16).to_be_bytes();
        [kind, high, low].into_iter().for_each(board::write);
        parts.iter().copied().flatten().copied().for_each(board::write);
    }

    pub fn figure(&self, name: &str, value: usize) {
        self.send(FIGURE, &[&(value as u32).to_be_bytes(), name.as_bytes()]);
    }

    /// The payload of the next frame of this kind, as much of it as the buffer holds; `None` once the clock stands
    /// at `deadline_ms`.
    pub fn receive<'b>(&mut self, wanted: u8, buffer: &'b mut [u8], deadline_ms: u64) -> Option<&'b mut [u8]> {
        loop {
            let kind = self.byte(deadline_ms)?;
            let length = [self.byte(deadline_ms)?, self.byte(deadline_ms)?];
            let length = usize::from(u16::from_be_bytes(length));
            for at in 0..length {
                let byte = self.byte(deadline_ms)?;
                if let Some(place) = buffer.get_mut(at) {
                    *place = byte;
                }
            }
            if kind == wanted {
                return buffer.get_mut(..length);
            }
        }
    }

    fn byte(&mut self, deadline_ms: u64) -> Option<u8> {
        while self.ms < deadline_ms {
            if let Some(byte) = board::read() {
                return Some(byte);
            }
            self.ms += u64::from(board::tick());
        }
        None
    }
}
