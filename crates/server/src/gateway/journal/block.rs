//! Journal files: a versioned header, then sealed blocks, one per group of entries.
//!
//! ```text
//! file   = magic 8 | version u16 | generation u64 | file id 16 | sealed length u16 | sealed identity 16
//! block  = length u32 | check u32 | sealed entries
//! ```
//!
//! The identity is the one that the file had when it was begun (`Disk::identity`): a file with another one is a copy.
//!
//! A block is sealed with the file's id, its generation and the block's number as associated data: a block
//! that was moved, repeated, or taken from another file does not open. The check covers length, number and
//! file id; it tells a flipped length in the middle (damage, refused) from a write that a crash cut short
//! (the torn tail, tolerated). Only one group is ever on its way to the disk, so only the last block can be
//! torn. What cannot be told from a torn tail is damage to the very last block, and a file that someone cut
//! back to an earlier block boundary: whoever can do that owns the machine.

use std::io::{self, Read};

use bartizan_crypto::{Random, at_rest};

use super::JournalError;
use super::disk::Identity;
use crate::limits::JOURNAL_BLOCK_BYTES_MAX;

const MAGIC: &[u8; 8] = b"BZSESSN\n";
/// The only version there has been.
const VERSION: u16 = 1;
const DOMAIN: &[u8] = b"bartizan session journal v1";
const FIXED_BYTES: usize = 8 + 2 + 8 + 16 + 2;
const FRAME_BYTES: usize = 8;

/// Which file a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    pub generation: u64,
    id: [u8; 16],
}

impl FileId {
    pub fn new(generation: u64, rng: &mut dyn Random) -> Self {
        let mut id = [0; 16];
        rng.fill(&mut id);
        Self { generation, id }
    }

    /// The header of a file of this identity. Its sealed end shows a wrong key before any block is read.
    pub fn header(&self, identity: &Identity, key: &at_rest::Key, rng: &mut dyn Random) -> Vec<u8> {
        let mut sealed = Vec::new();
        at_rest::seal(key, rng, &self.aad(u64::MAX), identity, &mut sealed);
        let mut out = Vec::with_capacity(FIXED_BYTES + sealed.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&(sealed.len() as u16).to_be_bytes());
        out.extend_from_slice(&sealed);
        out
    }

    /// Block number `index` of the file, holding `entries`.
    pub fn block(&self, index: u64, entries: &[u8], key: &at_rest::Key, rng: &mut dyn Random) -> Vec<u8> {
        let mut out = vec![0; FRAME_BYTES];
        at_rest::seal(key, rng, &self.aad(index), entries, &mut out);
        let length = (out.len() - FRAME_BYTES) as u32;
        out[..4].copy_from_slice(&length.to_be_bytes());
        out[4..8].copy_from_slice(&self.check(index, length).to_be_bytes());
        out
    }

    fn aad(&self, index: u64) -> Vec<u8> {
        [DOMAIN, &self.generation.to_be_bytes(), &self.id, &index.to_be_bytes()].concat()
    }

    /// FNV-1a: every step is a bijection, so no single changed byte goes unnoticed.
    fn check(&self, index: u64, length: u32) -> u32 {
        bartizan_wire::event::kind_hash(&[&self.id, &index.to_be_bytes(), &length.to_be_bytes()])
    }
}

/// How a file's header reads.
pub enum Header {
    /// Of a file that was begun under this identity.
    Valid(FileId, Identity),
    /// The file was being made when the machine stopped; nothing was ever confirmed from it.
    Torn,
}

/// Reads a file's header from its beginning.
///
/// # Errors
/// Not a journal, a newer version, the wrong key, or the disk.
pub fn read_header(file: &mut dyn Read, key: &at_rest::Key) -> Result<Header, JournalError> {
    let mut fixed = [0; FIXED_BYTES];
    let length = read_up_to(file, &mut fixed)?;
    if length < FIXED_BYTES || fixed.iter().all(|byte| *byte == 0) {
        return Ok(Header::Torn);
    }
    if &fixed[..8] != MAGIC {
        return Err(JournalError::NotAJournal);
    }
    let mut fields = &fixed[8..];
    let version = u16::from_be_bytes(take(&mut fields));
    if version != VERSION {
        return Err(JournalError::Version(version));
    }
    let generation = u64::from_be_bytes(take(&mut fields));
    let id = FileId { generation, id: take(&mut fields) };
    let mut sealed = vec![0; usize::from(u16::from_be_bytes(take(&mut fields)))];
    if read_up_to(file, &mut sealed)? < sealed.len() {
        return Ok(Header::Torn);
    }
    match at_rest::open(key, &id.aad(u64::MAX), &sealed) {
        Some(identity) => {
            let identity = identity.as_slice().try_into().map_err(|_| JournalError::NotAJournal)?;
            Ok(Header::Valid(id, identity))
        }
        None => Err(JournalError::WrongKey),
    }
}

fn take<const N: usize>(fields: &mut &[u8]) -> [u8; N] {
    let (head, rest) = fields.split_first_chunk().expect("invariant: the fixed header holds all its fields");
    *fields = rest;
    *head
}

/// How the reading of blocks goes on.
pub enum Block {
    /// The next group of entries.
    Group(Vec<u8>),
    /// The end; `torn` if the last write was cut short and its group dropped.
    End { torn: bool },
}

/// Reads block number `index`.
///
/// # Errors
/// Damage before the tail, or the disk.
pub fn read_block(file: &mut dyn Read, id: &FileId, index: u64, key: &at_rest::Key) -> Result<Block, JournalError> {
    let mut frame = [0; FRAME_BYTES];
    match read_up_to(file, &mut frame)? {
        0 => return Ok(Block::End { torn: false }),
        FRAME_BYTES => {}
        _ => return Ok(Block::End { torn: true }),
    }
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    let check = u32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
    if check != id.check(index, length) || length as usize > JOURNAL_BLOCK_BYTES_MAX {
        return torn_tail(file, index);
    }
    let mut sealed = vec![0; length as usize];
    if read_up_to(file, &mut sealed)? < sealed.len() {
        return Ok(Block::End { torn: true });
    }
    match at_rest::open(key, &id.aad(index), &sealed) {
        Some(entries) => Ok(Block::Group(entries)),
        None => torn_tail(file, index),
    }
}

/// A bad block is a torn tail only if nothing was ever written after it.
fn torn_tail(file: &mut dyn Read, index: u64) -> Result<Block, JournalError> {
    let mut rest = [0; 4096];
    loop {
        match read_up_to(file, &mut rest)? {
            0 => return Ok(Block::End { torn: true }),
            length if rest[..length].iter().all(|byte| *byte == 0) => {}
            _ => return Err(JournalError::Damaged { block: index }),
        }
    }
}

fn read_up_to(file: &mut dyn Read, mut out: &mut [u8]) -> io::Result<usize> {
    let wanted = out.len();
    while !out.is_empty() {
        match file.read(out) {
            Ok(0) => break,
            Ok(length) => out = &mut out[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted - out.len())
}
