//! The writing side: one sealed block, one write and one `fdatasync` per group.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use bartizan_crypto::{Random, at_rest};
use tokio::sync::mpsc;

use super::block::FileId;
use super::disk::Disk;
use super::{ended_name_of, name_of};

/// How often a failed write is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// Entries that become durable together.
#[derive(Debug, Default)]
pub struct Group {
    pub entries: Vec<u8>,
    /// The generation of the file it belongs to; a newer one than before begins a new file.
    pub generation: u64,
    /// Once it is durable, older generations are deleted.
    pub complete: bool,
}

/// What the writer tells about the group it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is durable; `bytes` is the length of its file now.
    Durable { bytes: u64 },
    /// It cannot be written for now; says why. It is tried again until it can.
    Stalled(String),
}

/// Appends groups to the newest file of the journal.
pub struct Writer<D: Disk> {
    disk: D,
    key: at_rest::Key,
    rng: Box<dyn Random + Send>,
    older: Vec<String>,
    open: Option<OpenFile<D::File>>,
}

struct OpenFile<F> {
    id: FileId,
    file: F,
    blocks: u64,
    bytes: u64,
    /// A failed append may have left part of a block behind.
    dirty: bool,
}

impl<D: Disk> Writer<D> {
    /// `older` are the files found at the start, deleted when a newer one is complete.
    pub fn new(disk: D, key: at_rest::Key, rng: Box<dyn Random + Send>, older: Vec<String>) -> Self {
        Self { disk, key, rng, older, open: None }
    }

    /// Makes a group durable and answers the length of its file. After an error the same group may be
    /// committed again, and nothing of the failed attempt will be read.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn commit(&mut self, group: &Group) -> io::Result<u64> {
        self.begin_file(group.generation)?;
        let open = self.open.as_mut().expect("invariant: a file was just begun");
        if open.dirty {
            self.disk.truncate(&mut open.file, open.bytes)?;
        }
        open.dirty = true;
        let block = open.id.block(open.blocks, &group.entries, &self.key, &mut *self.rng);
        self.disk.append(&mut open.file, &block)?;
        self.disk.sync(&mut open.file)?;
        open.dirty = false;
        open.blocks += 1;
        open.bytes += block.len() as u64;
        let bytes = open.bytes;
        if group.complete {
            self.delete_older();
        }
        Ok(bytes)
    }

    fn begin_file(&mut self, generation: u64) -> io::Result<()> {
        if let Some(open) = &self.open
            && open.id.generation >= generation
        {
            return Ok(());
        }
        let id = FileId::new(generation, &mut *self.rng);
        let name = name_of(generation);
        let mut file = self.disk.create(&name)?;
        let identity = self.disk.identity(&name)?;
        let header = id.header(&identity, &self.key, &mut *self.rng);
        self.disk.append(&mut file, &header)?;
        self.disk.sync(&mut file)?;
        self.disk.sync_names()?;
        if let Some(before) = self.open.take() {
            self.older.push(name_of(before.id.generation));
        }
        self.open = Some(OpenFile { id, file, blocks: 0, bytes: header.len() as u64, dirty: false });
        Ok(())
    }

    /// Oldest first. One that cannot be deleted now is harmless, and is tried again at the next compaction.
    fn delete_older(&mut self) {
        self.older.sort_unstable();
        while let Some(name) = self.older.first() {
            match self.disk.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => break,
                _ => drop(self.older.remove(0)),
            }
        }
        let _ = self.disk.sync_names(); // a file that comes back is folded in and superseded again
    }

    /// Gives the file its last name. Without it the next start reads the file as well.
    fn end(&mut self) {
        if let Some(open) = self.open.take() {
            let generation = open.id.generation;
            let _ = self.disk.rename(&name_of(generation), &ended_name_of(generation));
            let _ = self.disk.sync_names();
        }
    }

    /// Commits groups as they come until the sender is gone, and ends the file. A group that cannot be written is held and
    /// tried again; it is given up only when the sender is gone too.
    pub fn run(mut self, groups: &Receiver<Group>, notices: &mpsc::Sender<Notice>) {
        while let Ok(group) = groups.recv() {
            let mut stalled = false;
            loop {
                match self.commit(&group) {
                    Ok(bytes) => {
                        let _ = notices.blocking_send(Notice::Durable { bytes });
                        break;
                    }
                    Err(error) => {
                        if !stalled {
                            let _ = notices.blocking_send(Notice::Stalled(error.to_string()));
                        }
                        stalled = true;
                    }
                }
                std::thread::sleep(RETRY);
                if matches!(groups.try_recv(), Err(TryRecvError::Disconnected)) {
                    return;
                }
            }
        }
        self.end();
    }
}
