//! The four fixed bytes of a message (RFC 7252 section 3, figure 7).

use super::code::Code;
use crate::error::{Error, Malformed, Misuse, Unsupported};
use crate::limits::COAP_TOKEN_BYTES_MAX;

/// How a message is to be treated on its hop (RFC 7252 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Wants an acknowledgement and is repeated until it has one.
    Confirmable,
    NonConfirmable,
    Acknowledgement,
    /// The peer has no context for our message.
    Reset,
}

impl Type {
    const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Confirmable => 0,
            Self::NonConfirmable => 1,
            Self::Acknowledgement => 2,
            Self::Reset => 3,
        }
    }
}

/// Type, code and message id: what a hop needs to reject a message whose rest is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Type,
    pub code: Code,
    pub message_id: u16,
    pub(super) token_length: usize,
}

impl Header {
    /// Bytes of a header.
    pub const BYTES: usize = 4;

    /// Reads a header and leaves the rest unread, so that a malformed confirmable message can be
    /// rejected with a Reset of its message id (RFC 7252 section 4.2).
    ///
    /// # Errors
    /// [`Unsupported::Version`] for any version but 1; [`Malformed::Truncated`] below four bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let Some(&[first, code, id_high, id_low]) = bytes.first_chunk() else {
            return Err(Error::Malformed(Malformed::Truncated));
        };
        if first >> 6 != 1 {
            return Err(Error::Unsupported(Unsupported::Version));
        }
        Ok(Self {
            kind: Type::from_bits(first >> 4),
            code: Code(code),
            message_id: u16::from_be_bytes([id_high, id_low]),
            token_length: usize::from(first & 0b1111),
        })
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let [high, low] = self.message_id.to_be_bytes();
        // A token length above 8 is refused by whoever makes a header.
        let token_length = self.token_length.min(COAP_TOKEN_BYTES_MAX) as u8;
        [0x40 | (self.kind.bits() << 4) | token_length, self.code.0, high, low]
    }
}

/// An Empty message: an acknowledgement, a Reset, or (confirmable) a ping.
#[must_use]
pub fn empty(kind: Type, message_id: u16) -> [u8; Header::BYTES] {
    let header = Header { kind, code: Code::EMPTY, message_id, token_length: 0 };
    header.to_bytes()
}

/// Moves a message to another hop: same code, token, options and payload under a new type and message
/// id, as a gateway forwards it.
///
/// # Errors
/// As [`Header::parse`]; also [`Misuse::EmptyNotEmpty`] for an Empty message, which belongs to its hop.
pub fn patch_header(message: &mut [u8], kind: Type, message_id: u16) -> Result<(), Error> {
    let header = Header::parse(message)?;
    if header.code.is_empty() {
        return Err(Error::Misuse(Misuse::EmptyNotEmpty));
    }
    let moved = Header { kind, message_id, ..header };
    match message.first_chunk_mut() {
        Some(place) => *place = moved.to_bytes(),
        None => return Err(Error::Malformed(Malformed::Truncated)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_messages_are_four_bytes() {
        assert_eq!(empty(Type::Reset, 0x1234), [0x70, 0, 0x12, 0x34]);
        assert_eq!(empty(Type::Acknowledgement, 1), [0x60, 0, 0, 1]);
    }

    #[test]
    fn a_message_moves_to_another_hop_with_its_token() {
        let mut message = [0x42, 0x01, 0, 1, 0xaa, 0xbb, 0xff, b'x'];
        patch_header(&mut message, Type::NonConfirmable, 0xbeef).unwrap();
        assert_eq!(message, [0x52, 0x01, 0xbe, 0xef, 0xaa, 0xbb, 0xff, b'x']);
        let mut ping = empty(Type::Confirmable, 9);
        assert_eq!(patch_header(&mut ping, Type::Confirmable, 1), Err(Error::Misuse(Misuse::EmptyNotEmpty)));
        assert!(patch_header(&mut [0x40, 1], Type::Confirmable, 1).is_err());
    }

    #[test]
    fn only_version_one_is_read() {
        for version in [0_u8, 2, 3] {
            let bytes = [version << 6, 0, 0, 0];
            assert_eq!(Header::parse(&bytes), Err(Error::Unsupported(Unsupported::Version)));
        }
    }
}
