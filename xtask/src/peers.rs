//! The outside DTLS implementations that are built from source: `peers/matrix` runs them and skips those that are
//! missing. All of it stays in the target folder, so that only the first run costs anything.

use anyhow::Result;

use crate::run::{cargo, target_dir};

const PURECRYPTO: &str = "0.10.4";

pub fn build() -> Result<()> {
    mbed()?;
    wolfssl()?;
    purecrypto()
}

/// Those that are measured beside ours, in release.
pub fn build_for_bench() -> Result<()> {
    cargo(&["build", "--quiet", "--release", "--package", "bartizan-peer-mbed", "--package", "bartizan-peer-dimpl"])
        .stream()?;
    let target = target_dir().join("peers");
    let target = target.to_string_lossy();
    cargo(&["build", "--quiet", "--release", "--locked", "--target-dir", &target]).within("peers/wolfssl").stream()
}

fn mbed() -> Result<()> {
    cargo(&["build", "--quiet", "--package", "bartizan-peer-mbed"]).stream()
}

/// A workspace of its own, since wolfSSL is under the GPL. Cargo runs in its folder, which is where it reads the flags
/// that wolfSSL is built with.
fn wolfssl() -> Result<()> {
    let target = target_dir().join("peers");
    let target = target.to_string_lossy();
    cargo(&["build", "--quiet", "--locked", "--target-dir", &target]).within("peers/wolfssl").stream()
}

/// Its command line, from the registry. Cargo would see that it is there, but ask the registry for it each time: a file
/// named after the version says it, too.
fn purecrypto() -> Result<()> {
    let root = target_dir().join("peers").join("purecrypto");
    let receipt = root.join(format!("{PURECRYPTO}.installed"));
    if receipt.exists() {
        return Ok(());
    }
    println!("xtask: building purecrypto {PURECRYPTO}, an outside DTLS peer, into {}", root.display());
    let (version, built) = (format!("={PURECRYPTO}"), target_dir().join("peers").join("purecrypto-build"));
    let (folder, built) = (root.to_string_lossy(), built.to_string_lossy());
    cargo(&["install", "purecrypto", "--version", &version, "--locked", "--quiet", "--no-default-features"])
        .args(&["--features", "cli,linux-getrandom,p256-table,embedded-roots", "--bin", "purecrypto", "--force"])
        .args(&["--root", &folder, "--target-dir", &built])
        .stream()?;
    Ok(std::fs::write(receipt, "")?)
}
