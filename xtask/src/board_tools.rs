//! A compiler, a linker and an emulator for boards, unpacked from Debian packages into the target folder.
//!
//! Unpacked and not installed: as installed packages they conflict with rustup's compiler and with one another.
//! They come to about 900 MB; `target/board-tools` can be removed at any time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{Run, program, target_dir};
use crate::setup::apt_get;

const PACKAGES: &[(&str, &str)] = &[
    ("rustc-web", "a compiler whose standard library comes with its source"),
    ("rust-web-src", "that source, from which core and alloc are built for the board"),
    ("binutils-arm-none-eabi", "the board's linker, and what reads an image's size"),
    ("qemu-system-arm", "the board"),
];

/// Where the tools were unpacked.
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// The tools, if they are there.
    pub fn present() -> Option<Self> {
        let tools = Self { root: folder().join("root") };
        folder().join("ready").exists().then_some(tools)
    }

    /// The tools, unpacked now if they are missing.
    pub fn prepare(may_install: bool) -> Result<Self> {
        if let Some(tools) = Self::present() {
            return Ok(tools);
        }
        for (name, why) in PACKAGES {
            println!("xtask: needs the Debian package {name}: {why}");
        }
        if !may_install {
            bail!("the tools for boards are missing: run `cargo xtask size` without --no-install");
        }
        if !program("dpkg", &["--version"]).succeeds() {
            bail!("the tools for boards come from Debian packages, and this is no Debian");
        }
        println!("xtask: unpacking them, and what they need, into {}", folder().display());
        unpack()?;
        Self::present().context("the tools are not where they were unpacked")
    }

    /// A program of these, or of the machine, that finds them and their libraries.
    pub fn program(&self, name: &str, arguments: &[&str]) -> Run {
        let own = self.root.join("usr/bin").join(name);
        let name = if own.exists() { own.to_string_lossy().into_owned() } else { name.to_owned() };
        self.enable(program(&name, arguments))
    }

    /// Lets a command find these tools and their libraries.
    pub fn enable(&self, run: Run) -> Run {
        let libraries =
            ["usr/lib", "lib"].map(|folder| self.place(&format!("{folder}/{}-linux-gnu", std::env::consts::ARCH)));
        let path = std::env::var("PATH").unwrap_or_default();
        run.env("LD_LIBRARY_PATH", &libraries.join(":")).env("PATH", &format!("{}:{path}", self.place("usr/bin")))
    }

    /// Where a file of the packages lies.
    pub fn place(&self, path: &str) -> String {
        self.root.join(path).to_string_lossy().into_owned()
    }
}

fn folder() -> PathBuf {
    target_dir().join("board-tools")
}

fn unpack() -> Result<()> {
    let packages = folder().join("packages");
    fs::create_dir_all(&packages)?;
    let names = closure()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let download = || program("apt-get", &["download", "-qq"]).args(&names).within_path(&packages);
    if !download().succeeds() {
        apt_get(&["update", "-qq"])?;
        download().stream().context("apt-get could not download them")?;
    }
    let root = folder().join("root");
    for entry in fs::read_dir(&packages)? {
        program("dpkg", &["-x", &text(&entry?.path()), &text(&root)]).stream()?;
    }
    fs::remove_dir_all(&packages)?;
    Ok(fs::write(folder().join("ready"), "")?)
}

/// The packages, and those of what they need that the machine lacks.
fn closure() -> Result<Vec<String>> {
    let mut names: Vec<String> = PACKAGES.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (name, _) in PACKAGES {
        let arguments = ["--simulate", "-qq", "--no-install-recommends", "install", name];
        let (said, _) = program("apt-get", &arguments).output()?;
        let needed = said.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        names.extend(needed.map(str::to_owned));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
