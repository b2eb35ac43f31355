//! Developer commands: `cargo xtask demo`, `cargo xtask test`, `cargo xtask peers`, `cargo xtask bench`,
//! `cargo xtask size`, `cargo xtask cite`, `cargo xtask setup`.
//!
//! Each installs what it needs and is missing, and says so before it does. Start at [`steps`] for what a test run
//! is made of and at [`setup`] for what is installed.
#![allow(clippy::disallowed_methods, reason = "a developer command owns files, processes and the clock")]

mod board_tools;
mod bogo;
mod cite;
mod peers;
mod run;
mod setup;
mod size;
mod steps;

use std::process::ExitCode;

const USAGE: &str = "\
Bartizan's developer commands.

usage: cargo xtask <command> [options]

  demo [-- OPTIONS]     install what is missing, build, run the loop on a simulated city under attack,
                        and print the console's address; OPTIONS go to `bartizan demo` (see its --help)
  test [--step NAME]…   install what is missing, run every test, or only the named steps
                        (`cargo xtask test --list` names them)
  peers                 build the outside DTLS implementations that the interop matrix meets (test does it by itself)
  bench [AREA] [--json FILE] [--markdown FILE]
                        build in release and measure: dtls, client, energy, pipe, trust, gateway, or everything
  size [--json FILE]    build the smallest client for a Cortex-M3, and what attests, run them in an emulator, and
                        print what they take of flash, stack and heap
  cite [--open] [--excepted] [--deny-open]
                        count the demands of the RFCs (docs/requirements) that code and tests cite as met;
                        list the open and the excepted ones; fail while a MUST is open
  setup [--all]         install what the demo needs (--all: what the tests need, too) and build the console

  --no-install          before any command's own options: install nothing, fail if something is missing
";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let may_install = take_flag(&mut arguments, "--no-install").is_none();
    if arguments.is_empty() || take_flag(&mut arguments, "--help").is_some() {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let command = arguments.remove(0);
    let outcome = match command.as_str() {
        "demo" => demo(may_install, &arguments),
        "test" => steps::test(may_install, &arguments),
        "peers" => peers::build(),
        "bench" => bench(may_install, &arguments),
        "cite" => cite::cite(&arguments),
        "size" => size::size(may_install, &arguments),
        "setup" => {
            let scope =
                if take_flag(&mut arguments, "--all").is_some() { setup::Scope::Test } else { setup::Scope::Demo };
            setup::everything(scope, may_install)
        }
        other => {
            eprintln!("xtask: no command {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(may_install: bool, arguments: &[String]) -> anyhow::Result<()> {
    setup::everything(setup::Scope::Demo, may_install)?;
    let options = arguments.strip_prefix(&["--".to_owned()]).unwrap_or(arguments);
    run::cargo(&["run", "--quiet", "--package", "bartizan-server", "--bin", "bartizan", "--", "demo"])
        .args(options)
        .stream()
}

fn bench(may_install: bool, arguments: &[String]) -> anyhow::Result<()> {
    let all = arguments.first().is_none_or(|first| first.starts_with("--"));
    let needs_peers = all || arguments.first().is_some_and(|area| area == "dtls");
    let scope = if needs_peers { setup::Scope::Test } else { setup::Scope::Demo };
    setup::everything(scope, may_install)?;
    if needs_peers {
        peers::build_for_bench()?;
    }
    run::cargo(&["run", "--quiet", "--release", "--package", "bartizan-bench", "--"]).args(arguments).stream()
}

/// Removes the first `flag` from `arguments`.
pub fn take_flag(arguments: &mut Vec<String>, flag: &str) -> Option<()> {
    let at = arguments.iter().position(|argument| argument == flag)?;
    arguments.remove(at);
    Some(())
}
