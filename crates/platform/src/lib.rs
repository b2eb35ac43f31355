//! The rules about devices: what a posture is and what it allows ([`posture`]), how much machines may isolate
//! ([`brake`]), how an operator's spreadsheet of keys is read ([`import`]), and how all of it is said in words
//! ([`explain`]). No I/O: `now` is an argument.

pub mod brake;
pub mod explain;
pub mod import;
pub mod posture;
