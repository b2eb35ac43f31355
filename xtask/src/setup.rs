//! What a fresh Debian machine with Rust and Node.js still lacks, installed after saying so.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run::{program, root};

/// Whose needs are to be met.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Demo,
    Test,
}

/// A Debian package, the file that shows it is there, and why it is needed.
pub struct Package {
    name: &'static str,
    shown_by: &'static str,
    why: &'static str,
}

const TEST_PACKAGES: &[Package] = &[
    Package { name: "chromium", shown_by: "/usr/bin/chromium", why: "browser tests of the console" },
    Package {
        name: "mosquitto",
        shown_by: "/usr/sbin/mosquitto",
        why: "the MQTT broker that the gateway publishes to in tests",
    },
    Package { name: "mosquitto-clients", shown_by: "/usr/bin/mosquitto_sub", why: "hears what that broker was sent" },
    Package {
        name: "libcoap3-bin",
        shown_by: "/usr/bin/coap-server-notls",
        why: "an independent CoAP origin behind the proxy",
    },
    Package { name: "clang", shown_by: "/usr/bin/clang", why: "builds Mbed TLS, an independent DTLS peer" },
    Package {
        name: "libclang-dev",
        shown_by: "/usr/lib/llvm-14/lib/libclang.so",
        why: "reads the headers of Mbed TLS and wolfSSL",
    },
    Package { name: "cmake", shown_by: "/usr/bin/cmake", why: "builds Mbed TLS" },
    Package { name: "ninja-build", shown_by: "/usr/bin/ninja", why: "builds Mbed TLS" },
    Package { name: "autoconf", shown_by: "/usr/bin/autoreconf", why: "builds wolfSSL, an independent DTLS peer" },
    Package { name: "automake", shown_by: "/usr/bin/automake", why: "builds wolfSSL" },
    Package { name: "libtool", shown_by: "/usr/bin/libtoolize", why: "builds wolfSSL" },
    Package { name: "patch", shown_by: "/usr/bin/patch", why: "builds wolfSSL" },
    Package { name: "openssl", shown_by: "/usr/bin/openssl", why: "another independent DTLS peer" },
    Package { name: "gnutls-bin", shown_by: "/usr/bin/gnutls-cli", why: "another independent DTLS peer" },
    Package { name: "curl", shown_by: "/usr/bin/curl", why: "an independent client of EST" },
    Package { name: "swtpm", shown_by: "/usr/bin/swtpm", why: "a TPM 2.0 in software" },
    Package { name: "tpm2-tools", shown_by: "/usr/bin/tpm2_quote", why: "has that TPM quote what was measured" },
];

/// The C compiler that SQLite and the server's cryptography are built with.
const BUILD_PACKAGES: &[Package] =
    &[Package { name: "build-essential", shown_by: "/usr/bin/cc", why: "builds SQLite and the server's cryptography" }];

/// For the step `bogo` alone.
pub const BOGO_PACKAGES: &[Package] = &[
    Package {
        name: "golang-golang-x-crypto-dev",
        shown_by: "/usr/share/gocode/src/golang.org/x/crypto/go.mod",
        why: "Go's extended library, which BoringSSL's protocol test runner is built with",
    },
    Package { name: "openssl", shown_by: "/usr/bin/openssl", why: "makes the runner's keys" },
];

pub fn everything(scope: Scope, may_install: bool) -> Result<()> {
    debian_packages(BUILD_PACKAGES, may_install)?;
    if scope == Scope::Test {
        debian_packages(TEST_PACKAGES, may_install)?;
    }
    console(may_install)
}

/// Installs the console's packages and builds it into `web/dist`, where the server embeds it from.
pub fn console(may_install: bool) -> Result<()> {
    if !program("npm", &["--version"]).succeeds() {
        bail!("npm is missing: install Node.js 20 or newer, which builds the console");
    }
    if newest(&["web/package-lock.json"]) > newest(&["web/node_modules/.package-lock.json"]) {
        if !may_install {
            bail!("the console's npm packages are missing or old: run `npm ci` in web/");
        }
        println!("xtask: installing the console's npm packages into web/node_modules (npm ci)");
        program("npm", &["ci", "--no-audit", "--no-fund"]).within("web").stream()?;
    }
    if newest(&["web/src", "web/index.html", "web/package-lock.json", "web/vite.config.ts"])
        > newest(&["web/dist/index.html"])
    {
        println!("xtask: building the console into web/dist");
        program("npm", &["run", "--silent", "build"]).within("web").stream()?;
    }
    Ok(())
}

pub fn debian_packages(packages: &[Package], may_install: bool) -> Result<()> {
    let missing: Vec<&Package> = packages.iter().filter(|package| !Path::new(package.shown_by).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        println!("xtask: needs the Debian package {}: {}", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !may_install {
        bail!("install first: apt-get install {}", names.join(" "));
    }
    println!("xtask: installing with apt-get: {}", names.join(" "));
    apt_get(&["update", "-qq"])?;
    apt_get(&["install", "-y", "-qq", "--no-install-recommends"].iter().copied().chain(names).collect::<Vec<_>>())
        .context("apt-get could not install them")
}

/// As root directly, else through sudo, which may ask for a password.
pub fn apt_get(arguments: &[&str]) -> Result<()> {
    let is_root = program("id", &["-u"]).output().is_ok_and(|(text, _)| text.trim() == "0");
    let apt = if is_root { program("apt-get", arguments) } else { program("sudo", &["apt-get"]).args(arguments) };
    apt.env("DEBIAN_FRONTEND", "noninteractive").stream()
}

/// The latest change under any of `paths`; the epoch if there is none.
fn newest(paths: &[&str]) -> std::time::SystemTime {
    paths.iter().map(|path| newest_under(&root().join(path))).max().unwrap_or(std::time::UNIX_EPOCH)
}

fn newest_under(path: &Path) -> std::time::SystemTime {
    let own = path.metadata().and_then(|data| data.modified()).unwrap_or(std::time::UNIX_EPOCH);
    let Ok(entries) = path.read_dir() else { return own };
    entries.flatten().map(|entry| newest_under(&entry.path())).fold(own, std::cmp::max)
}
