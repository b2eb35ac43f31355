//! From files to associations: the journal's entries folded in the order they were written.

use std::collections::HashMap;
use std::net::SocketAddr;

use bartizan_crypto::at_rest;

use super::block::{Block, FileId, Header, read_block, read_header};
use super::disk::Disk;
use super::entry::{Entries, Entry, Window};
use super::{JournalError, generation_of};

/// One association as it was last made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    pub session: u64,
    pub state: Vec<u8>,
    pub window: Window,
    /// Sending goes on at this sequence number: everything below may have been used.
    pub lease: u64,
    pub address: SocketAddr,
}

/// What the files hold.
#[derive(Debug, Default)]
pub struct Replay {
    sessions: HashMap<u64, (u64, Recovered)>, // with the generation of the last complete entry
    /// The newest generation seen, even in a torn file.
    pub generation: u64,
    /// Files that hold something, oldest first.
    pub files: Vec<String>,
    /// A crash cut the last write short; its group was never confirmed and is dropped.
    pub torn: bool,
    /// A file that is a copy, unless a later file superseded it. What it says may be long overtaken.
    pub copy: Option<String>,
}

impl Replay {
    /// Reads every file of the journal, oldest generation first. Of a copy only the header is read.
    ///
    /// # Errors
    /// The first file that is not a journal of ours, is of a newer version, does not open with `key`, or is
    /// damaged before its tail; the disk's own errors.
    pub fn read<D: Disk>(disk: &D, key: &at_rest::Key) -> Result<Self, JournalError> {
        let mut replay = Self::default();
        let mut files: Vec<(u64, String)> =
            disk.names()?.into_iter().filter_map(|name| Some((generation_of(&name)?, name))).collect();
        files.sort_unstable();
        for (generation, name) in files {
            replay.generation = generation;
            replay.file(disk, &name, key).map_err(|error| error.in_file(&name))?;
            replay.files.push(name);
        }
        Ok(replay)
    }

    /// The associations, oldest number first. None at all if any of them may have gone on elsewhere since: under their
    /// keys sequence numbers would come again and replays be taken, and nothing in a copy tells which.
    #[must_use]
    pub fn into_sessions(self) -> Vec<Recovered> {
        if self.copy.is_some() {
            return Vec::new();
        }
        let mut sessions: Vec<_> = self.sessions.into_values().map(|(_, known)| known).collect();
        sessions.sort_unstable_by_key(|known| known.session);
        sessions
    }

    fn file<D: Disk>(&mut self, disk: &D, name: &str, key: &at_rest::Key) -> Result<(), JournalError> {
        let mut file = disk.read(name)?;
        let Header::Valid(id, identity) = read_header(&mut file, key)? else {
            self.torn = true;
            return Ok(());
        };
        if id.generation != self.generation {
            return Err(JournalError::Misnamed);
        }
        if disk.identity(name)? != identity {
            self.copy = Some(name.to_owned());
            return Ok(());
        }
        for index in 0.. {
            match read_block(&mut file, &id, index, key)? {
                Block::Group(entries) => self.group(&id, &entries, index)?,
                Block::End { torn } => {
                    self.torn |= torn;
                    break;
                }
            }
        }
        Ok(())
    }

    fn group(&mut self, id: &FileId, entries: &[u8], index: u64) -> Result<(), JournalError> {
        for entry in Entries::new(entries) {
            let entry = entry.map_err(|_| JournalError::Damaged { block: index })?;
            self.apply(id.generation, &entry);
        }
        Ok(())
    }

    /// Folds one entry in. An update of an association that is not known says nothing: its complete entry
    /// follows later in the same file, or it was closed.
    fn apply(&mut self, generation: u64, entry: &Entry<'_>) {
        match *entry {
            Entry::Session { session, .. } => self.replace(generation, session, entry),
            Entry::Closed { session } => {
                self.sessions.remove(&session);
            }
            Entry::Window { session, window } => self.update(session, |known| {
                if window.top >= known.window.top {
                    known.window = window;
                }
            }),
            Entry::Lease { session, upto } => self.update(session, |known| {
                known.lease = known.lease.max(upto);
            }),
            Entry::Address { session, address } => {
                self.update(session, |known| known.address = address);
            }
            Entry::Complete => {
                self.sessions.retain(|_, (written, _)| *written == generation);
                self.copy = None;
            }
        }
    }

    fn replace(&mut self, generation: u64, session: u64, entry: &Entry<'_>) {
        if let Entry::Session { state, window, lease, address, .. } = *entry {
            let known = Recovered { session, state: state.to_vec(), window, lease, address };
            self.sessions.insert(session, (generation, known));
        }
    }

    fn update(&mut self, session: u64, change: impl FnOnce(&mut Recovered)) {
        if let Some((_, known)) = self.sessions.get_mut(&session) {
            change(known);
        }
    }
}
