//! Associations on disk: sealed, in one file that is appended to and now and then begun anew.
//!
//! ```text
//!  receive loop ── record(entry) ──▶ pending ── flush() ──▶ writer thread: seal, write, fdatasync
//!       ▲                                                        │
//!       └────────────── notice(): the group is durable ◀─────────┘
//! ```
//!
//! One group is on its way to the disk while the next gathers, so the receive loop never waits and a busy
//! gateway pays one `fdatasync` for many messages. What must not happen before a fact is durable (a Finished,
//! a delivery upstream, a sequence number) is held by the caller until the group's notice.
//!
//! Compaction needs no second copy of the associations: a new file begins ([`Journal::begin_file`]), updates
//! go to it at once, and between them the caller writes every living association ([`Entry::Session`]) at its
//! own pace, then [`Journal::complete`]. Until that mark is durable the older file is kept and read first.
//! A start does the same, so an old file is never appended to.
//!
//! A file that was copied, out of a folder or back into it, says nothing that can be relied on: the original may have
//! gone on. It is known by its [`Identity`], and no association comes back from it; devices make a new handshake. What
//! a copied file cannot be told by is a copied disk: a snapshot rolled back, a cloned machine.

pub mod block;
pub mod disk;
pub mod entry;
pub mod replay;
pub mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use bartizan_crypto::{Random, at_rest};
use tokio::sync::mpsc;

pub use disk::{Disk, Folder, Identity};
pub use entry::{Entry, Window};
pub use replay::{Recovered, Replay};
pub use writer::{Group, Notice, Writer};

use crate::limits::JOURNAL_GROUP_BYTES_MAX;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("it is not a session journal")]
    NotAJournal,
    #[error("it is of version {0}, which this version of bartizan does not know")]
    Version(u16),
    #[error("it was sealed under another key than the key file's, or its header is damaged")]
    WrongKey,
    #[error("its name says another generation than its header")]
    Misnamed,
    #[error("it is damaged at block {block}, before its end")]
    Damaged { block: u64 },
    #[error("the session journal {name} cannot be read: {cause}; without its file every device makes a new handshake")]
    InFile { name: String, cause: Box<JournalError> },
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl JournalError {
    fn in_file(self, name: &str) -> Self {
        Self::InFile { name: name.to_owned(), cause: Box::new(self) }
    }
}

/// The receive loop's end of the journal.
pub struct Journal {
    groups: Option<SyncSender<Group>>,
    notices: mpsc::Receiver<Notice>,
    thread: Option<JoinHandle<()>>,
    pending: Group,
    in_flight: bool,
    /// Length of the newest file, and what it was when it was last complete.
    bytes: u64,
    bytes_complete: u64,
    /// A file shorter than this is never rewritten.
    bytes_min: u64,
}

impl Journal {
    /// Reads what is on `disk` and begins a new file, which is not rewritten before it has `bytes_min`. The
    /// caller records every association that it keeps, then calls [`Journal::complete`]. From a copy none comes back,
    /// and with that call the copy is gone.
    ///
    /// # Errors
    /// The first file that cannot be trusted; see [`Replay::read`].
    pub fn open<D: Disk>(
        disk: D,
        key: at_rest::Key,
        rng: Box<dyn Random + Send>,
        bytes_min: u64,
    ) -> Result<(Self, Vec<Recovered>), JournalError> {
        let mut replay = Replay::read(&disk, &key)?;
        if let Some(name) = &replay.copy {
            tracing::warn!(file = name, "the session journal is a copy: every device makes a new handshake");
        }
        let older = std::mem::take(&mut replay.files);
        let generation = replay.generation + 1;
        let (groups, work) = sync_channel(1);
        let (told, notices) = mpsc::channel(4);
        let writer = Writer::new(disk, key, rng, older);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&work, &told))?;
        let journal = Self {
            groups: Some(groups),
            notices,
            thread: Some(thread),
            pending: Group { generation, ..Group::default() },
            in_flight: false,
            bytes: 0,
            bytes_complete: 0,
            bytes_min,
        };
        Ok((journal, replay.into_sessions()))
    }

    /// Adds a fact to the group that gathers.
    pub fn record(&mut self, entry: &Entry<'_>) {
        entry.encode(&mut self.pending.entries);
    }

    /// Whether the gathering group holds as much as a block may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pending.entries.len() >= JOURNAL_GROUP_BYTES_MAX
    }

    /// Whether a group is on its way to the disk.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.in_flight
    }

    /// Hands the gathered group to the writer, unless there is none or one is on its way; answers whether.
    pub fn flush(&mut self) -> bool {
        if self.in_flight || self.pending.entries.is_empty() {
            return false;
        }
        let next = Group { generation: self.pending.generation, ..Group::default() };
        let group = std::mem::replace(&mut self.pending, next);
        if group.complete {
            self.bytes_complete = 0; // set when its notice comes
        }
        self.in_flight = match &self.groups {
            Some(groups) => groups.try_send(group).is_ok(),
            None => false,
        };
        self.in_flight
    }

    /// Waits for word of the group that is on its way. Dropping the future loses nothing.
    pub async fn notice(&mut self) -> Notice {
        match self.notices.recv().await {
            Some(notice) => self.noticed(notice),
            // The writer only ends when its sender is gone: this is a panic in it. Nothing more is confirmed.
            None => std::future::pending().await,
        }
    }

    fn noticed(&mut self, notice: Notice) -> Notice {
        if let Notice::Durable { bytes } = notice {
            self.in_flight = false;
            self.bytes = bytes;
            if self.bytes_complete == 0 {
                self.bytes_complete = bytes;
            }
        }
        notice
    }

    /// Whether the file has grown so far beyond its complete part that a new one should begin.
    #[must_use]
    pub const fn is_outgrown(&self) -> bool {
        self.bytes_complete > 0 && self.bytes > self.bytes_min && self.bytes / 4 > self.bytes_complete
    }

    /// What is recorded from now on goes to a new file.
    pub const fn begin_file(&mut self) {
        self.pending.generation += 1;
    }

    /// Every living association has been recorded since the file began.
    pub fn complete(&mut self) {
        self.record(&Entry::Complete);
        self.pending.complete = true;
    }
}

impl Drop for Journal {
    /// Ends the writer after the group that is on its way. What still gathers is lost.
    fn drop(&mut self) {
        drop(self.groups.take());
        self.notices.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn name_of(generation: u64) -> String {
    format!("sessions-{generation:020}.log")
}

/// The name of a file that was ended in order. Not the one that it was written under, so that an older copy of the
/// folder that is copied over it lies beside it and does not flow into it.
fn ended_name_of(generation: u64) -> String {
    format!("sessions-{generation:020}-ended.log")
}

fn generation_of(name: &str) -> Option<u64> {
    let middle = name.strip_prefix("sessions-")?.strip_suffix(".log")?;
    middle.strip_suffix("-ended").unwrap_or(middle).parse().ok()
}
