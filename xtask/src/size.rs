//! `cargo xtask size`: what the smallest client takes of a Cortex-M3's flash, stack and heap.
//!
//! The firmware in `boards/cortex-m` is built three times (the frame alone; with wake-ups; with the handshake, too),
//! and the last one is run in an emulator, where it shakes hands with our server over its serial line, sleeps, wakes
//! up, and says how deep its stack and how far its heap went. A fourth image attests: it derives the secrets of three
//! layers, certifies them, and makes evidence that the other end verifies.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::board_tools::Tools;
use crate::run::{cargo, target_dir};

const USAGE: &str = "size [--json FILE]";
const TARGET: &str = "thumbv7m-none-eabi";
const NAME: &str = "bartizan-board-cortex-m";
const BOARD: &str = "lm3s6965evb";
/// That the firmware spends before it counts its own: how an emulator's clock and its instructions belong together.
const CALIBRATION_INSTRUCTIONS: u64 = 8_000_000;

/// One measured number, and the most that it may be.
struct Budget {
    name: &'static str,
    what: &'static str,
    most: u64,
}

const BUDGETS: [Budget; 10] = [
    Budget {
        name: "dtls.client_code_bytes",
        what: "flash of the whole image: handshake, wake-up, ciphers, allocator, start-up, serial line",
        most: 64 * 1024,
    },
    Budget { name: "dtls.client_stack_bytes", what: "deepest stack during handshake and first exchange", most: 8192 },
    Budget { name: "dtls.client_heap_bytes", what: "buffer that the handshake and first exchange need", most: 4096 },
    Budget { name: "dtls.saved_session_bytes", what: "what is kept over a sleep, server's CID of 8 bytes", most: 256 },
    Budget { name: "dtls.wake_code_bytes", what: "flash of an image that only wakes up and sleeps", most: 32 * 1024 },
    Budget { name: "dtls.wake_stack_bytes", what: "deepest stack during a wake-up", most: 6144 },
    Budget { name: "dtls.wake_heap_bytes", what: "heap that a wake-up uses", most: 0 },
    Budget {
        name: "trust.attest_code_bytes",
        what: "flash of an image that derives, certifies three layers and attests (Ed25519, CBOR), without a heap",
        most: 40 * 1024,
    },
    Budget { name: "trust.attest_stack_bytes", what: "its deepest stack", most: 8192 },
    Budget {
        name: "trust.attest_instructions",
        what: "instructions that a start with its evidence takes",
        most: 25_000_000,
    },
];

pub fn size(may_install: bool, arguments: &[String]) -> Result<()> {
    let json = match arguments {
        [] => None,
        [option, file] if option == "--json" => Some(file),
        _ => bail!("usage: cargo xtask {USAGE}"),
    };
    let measured = measure(&Tools::prepare(may_install)?)?;
    if let Some(file) = json {
        let lines: Vec<String> =
            measured.iter().map(|(budget, value)| format!("  \"{}\": {value}", budget.name)).collect();
        fs::write(file, format!("{{\n{}\n}}\n", lines.join(",\n"))).with_context(|| format!("cannot write {file}"))?;
    }
    within_budgets(&measured)
}

/// The step of `cargo xtask test`: runs only where the tools are there already.
pub fn step() -> Result<()> {
    cargo(&["test", "--quiet", "--manifest-path", "boards/Cargo.toml", "--package", "bartizan-board-line"])
        .env("CARGO_TARGET_DIR", &target_dir().join("boards").to_string_lossy())
        .stream()?;
    match Tools::present() {
        Some(tools) => within_budgets(&measure(&tools)?),
        None => {
            println!(
                "size: the emulated board is skipped, for its tools (900 MB) are missing; `cargo xtask size` installs them"
            );
            Ok(())
        }
    }
}

fn within_budgets(measured: &[(&Budget, u64)]) -> Result<()> {
    let over: Vec<&str> =
        measured.iter().filter(|(budget, value)| *value > budget.most).map(|(budget, _)| budget.name).collect();
    ensure!(over.is_empty(), "over budget: {}", over.join(", "));
    Ok(())
}

fn measure(tools: &Tools) -> Result<Vec<(&'static Budget, u64)>> {
    let frame = code_bytes(tools, &build(tools, "frame", &[])?)?;
    let wake = code_bytes(tools, &build(tools, "wake", &["wake"])?)?;
    let image = build(tools, "client", &["wake", "handshake"])?;
    let client = code_bytes(tools, &image)?;
    let attest = build(tools, "attest", &["attest"])?;
    let attested = run(tools, &attest, &["-icount", "shift=0"])?;
    let attested = |name: &str| figure(&attested, name);
    ensure!(attested("attest_allocations")? == 0, "attesting allocates");
    let instructions = attested("attest_ticks")? * CALIBRATION_INSTRUCTIONS / attested("calibration_ticks")?.max(1);
    let said = run(tools, &image, &[])?;
    let figure = |name: &str| figure(&said, name);
    ensure!(figure("wake_allocations")? == 0, "a wake-up allocates");
    let values = [
        client,
        figure("handshake_stack_bytes")?,
        figure("handshake_heap_bytes")?,
        figure("saved_session_bytes")?,
        wake,
        figure("wake_stack_bytes")?,
        figure("wake_allocations")?,
        code_bytes(tools, &attest)?,
        attested("attest_stack_bytes")?,
        instructions,
    ];
    let measured: Vec<(&Budget, u64)> = BUDGETS.iter().zip(values).collect();
    for (Budget { name, what, most }, value) in &measured {
        println!("{name:28} {value:>7}  {what} (at most {most})");
    }
    println!("{:28} {frame:>7}  of either image: start-up, serial line, measuring", "");
    Ok(measured)
}

/// What the firmware says of itself under this name.
fn figure(said: &str, name: &str) -> Result<u64> {
    let line = said.lines().find_map(|line| line.strip_suffix(name)?.trim().parse().ok());
    line.with_context(|| format!("the firmware did not say {name}:\n{said}"))
}

/// Builds the firmware with these features and returns a copy of its image.
fn build(tools: &Tools, name: &str, features: &[&str]) -> Result<PathBuf> {
    let target = target_dir().join("boards");
    let arguments = ["build", "--release", "--quiet", "--locked", "--no-default-features", "--features"];
    let compile = cargo(&arguments).args(&[features.join(",")]).within("boards/cortex-m");
    tools
        .enable(compile)
        .env("RUSTC", &tools.place("usr/bin/rustc"))
        .env("RUSTC_BOOTSTRAP", "1") // core and alloc are built from source, which stable compilers do not offer
        .env("CARGO_TARGET_DIR", &target.to_string_lossy())
        .stream()?;
    let image = target.join(format!("{NAME}-{name}"));
    fs::copy(target.join(TARGET).join("release").join(NAME), &image)?;
    Ok(image)
}

/// What of an image lies in flash.
fn code_bytes(tools: &Tools, image: &std::path::Path) -> Result<u64> {
    let (table, succeeded) = tools.program("arm-none-eabi-size", &["-A", &image.to_string_lossy()]).output()?;
    ensure!(succeeded, "arm-none-eabi-size cannot read {}:\n{table}", image.display());
    let sections = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let size: u64 = words.next()?.parse().ok()?;
        [".vectors", ".text", ".rodata", ".data"].contains(&name).then_some(size)
    });
    Ok(sections.sum())
}

/// Runs an image in the emulator, with our server at the other end of its line; returns what it said.
fn run(tools: &Tools, image: &std::path::Path, clock: &[&str]) -> Result<String> {
    let image = image.to_string_lossy();
    let line = ["run", "--quiet", "--manifest-path", "boards/Cargo.toml", "--package", "bartizan-board-line", "--"];
    let emulator = ["-M", BOARD, "-nodefaults", "-display", "none", "-monitor", "none", "-serial", "stdio", "-kernel"];
    let run = cargo(&line).args(&[tools.place("usr/bin/qemu-system-arm")]).args(&emulator).args(&[&image]).args(clock);
    let target = target_dir().join("boards");
    let (said, succeeded) = tools.enable(run).env("CARGO_TARGET_DIR", &target.to_string_lossy()).output()?;
    ensure!(succeeded, "the firmware did not do its work:\n{said}");
    Ok(said)
}
