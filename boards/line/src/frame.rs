//! Frames on the serial line: a kind, a length of two bytes, a payload. The firmware's half is in its `line`.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};

pub enum Frame {
    /// To the board.
    Seed([u8; 32]),
    /// Either way: a UDP payload.
    Datagram(Vec<u8>),
    /// From the board: what it measured.
    Figure(String, u32),
    /// From the board: what it attests.
    Evidence(Vec<u8>),
    /// From the board: its work is done, well or not.
    Done(bool),
}

impl Frame {
    pub fn read(input: &mut impl Read) -> Result<Self> {
        let mut head = [0; 3];
        input.read_exact(&mut head).context("the board is gone")?;
        let [kind, high, low] = head;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        input.read_exact(&mut payload).context("the board is gone")?;
        Ok(match (kind, payload.split_first_chunk::<4>()) {
            (b'D', _) => Self::Datagram(payload),
            (b'A', _) => Self::Evidence(payload),
            (b'F', Some((value, name))) => {
                Self::Figure(String::from_utf8_lossy(name).into_owned(), u32::from_be_bytes(*value))
            }
            (b'E', _) => Self::Done(payload == [1]),
            _ => bail!("the board sent a frame of kind {kind}"),
        })
    }

    pub fn write(&self, output: &mut impl Write) -> Result<()> {
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Seed(seed) => (b'S', seed),
            Self::Datagram(datagram) => (b'D', datagram),
            Self::Figure(..) | Self::Evidence(_) | Self::Done(_) => bail!("only the board sends these"),
        };
        let [high, low] = u16::try_from(payload.len()).context("a frame is too long")?.to_be_bytes();
        output.write_all(&[kind, high, low])?;
        output.write_all(payload)?;
        Ok(output.flush()?)
    }
}
