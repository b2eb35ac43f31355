//! What a handshake costs a sleeping device: bytes measured from our own stack, energy from published measurements.
//!
//! [`assess`] answers a [`Question`]; [`plot`] draws the answer, [`page`] writes it down (`docs/energy.md`).
//! [`scheme::ALL`] is the table of what is compared: a scheme that our stack learns is one row there. [`model`] is
//! the arithmetic with its sources, [`mod@measure`] runs a client against a server in memory. No input, no output.

mod assessment;
pub mod measure;
pub mod model;
mod page;
mod plot;
pub mod scheme;

pub use assessment::{Assessment, Cost, Origin, Pair, Question, Row, assess};
pub use page::page;
pub use plot::plot;

#[cfg(test)]
mod tests;
