//! What can go wrong here: only the reading of learnt state that something else has damaged or written.

/// Why saved state was refused. The judge that was to be restored starts empty instead; nothing is half read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not what [`crate::Judge::save`] writes: cut short, damaged, or beyond a limit.
    #[error("saved profiles are damaged at byte {at}: {what}")]
    Malformed { at: usize, what: &'static str },
    /// Written by a version of this software that this one does not know.
    #[error("saved profiles have format {found}, this version reads {known}")]
    Unsupported { found: u16, known: u16 },
}
