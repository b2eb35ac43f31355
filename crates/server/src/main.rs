//! The binary `bartizan`: parses, dispatches, and turns the outcome into an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    bartizan_server::cli::run().into()
}
