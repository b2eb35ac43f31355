//! The verifier: what believing a device costs beside its bare signatures, and what a million devices change about it.

mod fleet;
mod registry;
mod tampering;
mod verifier;

use crate::report::Figure;

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = verifier::run()?;
    figures.extend(registry::run()?);
    figures.extend(tampering::run()?);
    Ok(figures)
}
