//! The CBOR of events.

use minicbor::encode::Encoder;

use super::{CBOR, Input, Output, VERSION, Written, read, read_subject, write, write_subject};
use crate::error::{Error, Unsupported};
use crate::event::{CommandState, Direction, Event, EventKind, HandshakeFailure, Message, RecordRejection};
use crate::id::CommandId;
use crate::posture::Access;
use crate::time::UnixMillis;

impl Event {
    /// Writes the event into `out`; [`EVENT_BYTES_MAX`](crate::limits::EVENT_BYTES_MAX) is always enough.
    ///
    /// # Errors
    /// [`Misuse::NoRoom`](crate::Misuse::NoRoom) if `out` is too short.
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], Error> {
        write(out, |to| {
            to.array(4)?.u8(VERSION)?.u64(self.at.0)?;
            write_subject(to, &self.subject)?;
            write_kind(to, &self.kind)
        })
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are not of its shape, [`Error::Unsupported`] if they are of another
    /// version or hold a number that this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        read(bytes, |from| {
            from.array(4)?;
            from.version()?;
            Ok(Self { at: UnixMillis(from.u64()?), subject: read_subject(from)?, kind: read_kind(from)? })
        })
    }
}

fn write_kind(to: &mut Encoder<Output<'_>>, kind: &EventKind) -> Written {
    match kind {
        EventKind::Established { suite, connection_id } => to.array(3)?.u8(0)?.u16(*suite)?.bool(*connection_id)?,
        EventKind::HandshakeFailed { reason } => to.array(2)?.u8(1)?.u8(reason.code())?,
        EventKind::RecordRejected { reason } => to.array(2)?.u8(2)?.u8(reason.code())?,
        EventKind::Rebound { network } => to.array(2)?.u8(3)?.u32(*network)?,
        EventKind::Message(message) => {
            to.array(5)?.u8(4)?.u8(message.direction.code())?;
            to.u32(message.kind)?.u16(message.payload_bytes)?.u32(message.peer)?
        }
        EventKind::Refused { access } => to.array(2)?.u8(5)?.u8(access.code())?,
        EventKind::UpstreamFailed => to.array(1)?.u8(6)?,
        EventKind::Command { id, state } => to.array(3)?.u8(7)?.u64(id.0)?.u8(state.code())?,
        EventKind::EndpointMismatch { endpoint } => to.array(2)?.u8(8)?.u32(*endpoint)?,
        EventKind::Closed { by_peer } => to.array(2)?.u8(9)?.bool(*by_peer)?,
    };
    Ok(())
}

fn read_kind(from: &mut Input<'_>) -> Result<EventKind, Error> {
    Ok(match from.tagged()? {
        (0, 3) => EventKind::Established { suite: from.u16()?, connection_id: from.bool()? },
        (1, 2) => EventKind::HandshakeFailed { reason: from.code(HandshakeFailure::from_code)? },
        (2, 2) => EventKind::RecordRejected { reason: from.code(RecordRejection::from_code)? },
        (3, 2) => EventKind::Rebound { network: from.u32()? },
        (4, 5) => EventKind::Message(Message {
            direction: from.code(Direction::from_code)?,
            kind: from.u32()?,
            payload_bytes: from.u16()?,
            peer: from.u32()?,
        }),
        (5, 2) => EventKind::Refused { access: from.code(Access::from_code)? },
        (6, 1) => EventKind::UpstreamFailed,
        (7, 3) => EventKind::Command { id: CommandId(from.u64()?), state: from.code(CommandState::from_code)? },
        (8, 2) => EventKind::EndpointMismatch { endpoint: from.u32()? },
        (9, 2) => EventKind::Closed { by_peer: from.bool()? },
        (0..=9, _) => return Err(CBOR),
        _ => return Err(Error::Unsupported(Unsupported::Code)),
    })
}
