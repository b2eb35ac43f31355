//! What can go wrong with storage, split by fault.

use std::path::PathBuf;

use crate::app::BadLines;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Lines of an import are wrong.
    #[error("{} of the import's lines are wrong; nothing was imported", .0.total)]
    Malformed(BadLines),
    /// A name or identity is taken; says which.
    #[error("{0}")]
    Misuse(String),
    /// The file was made by a newer version of this software.
    #[error("{} was written by a newer version of bartizan (schema {found}, this version knows {known}); use that version", .file.display())]
    Unsupported { file: PathBuf, found: i64, known: i64 },
    #[error("the key file does not belong to the databases in {}: restore the key file with which they were made", .0.display())]
    WrongKey(PathBuf),
    #[error("{} cannot be opened: {cause}", .file.display())]
    Unopened { file: PathBuf, cause: String },
    #[error("storage failed: {0}")]
    Unavailable(#[from] sqlx::Error),
    /// Stored bytes that no version of this software writes.
    #[error("the stored {0} is damaged")]
    Damaged(&'static str),
}
