//! The blueprint's dependency rules and the house style, as tests that read every manifest and source file.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "reads the sources; a test that cannot go on says where"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Crate → the crates of ours that it may use (ARCHITECTURE.md, "The dependency rule").
const MAY_USE: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("crypto", &["wire"]),
    ("dtls", &["wire", "crypto"]),
    ("trust", &["wire", "crypto"]),
    ("v2x", &["wire", "crypto"]),
    ("device", &["wire", "crypto", "dtls", "trust", "v2x"]),
    ("pipe", &["wire", "trust"]),
    ("platform", &["wire", "trust"]),
    ("privacy", &["wire"]),
    ("manage", &["wire", "platform", "pipe", "privacy"]),
    ("lake", &["wire"]),
    (
        "server",
        &["wire", "crypto", "dtls", "trust", "v2x", "device", "pipe", "platform", "privacy", "manage", "lake", "sim"],
    ),
    ("agent", &["wire", "crypto", "dtls", "trust", "v2x", "device"]),
    ("sim", &["wire", "crypto", "dtls", "trust", "v2x", "device"]),
];

/// Outside crate (or prefix ending in `*`) → the only crates of ours that may name it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("tokio*", &["server", "agent", "xtask", "sim", "bench"]),
    ("axum*", &["server"]),
    ("sqlx*", &["server"]),
    ("clap*", &["server", "agent", "xtask"]),
    ("rumqttc", &["server"]),
    ("tss-esapi", &["server", "agent"]),
    ("cryptoki", &["server", "agent"]),
    ("nftables", &["server"]),
    ("rustls*", &["server", "agent", "trust", "v2x"]),
    ("rcgen", &["server", "agent"]),
    ("x509-cert", &["trust", "v2x"]),
    ("der", &["trust", "v2x"]),
    ("coset", &["trust", "v2x"]),
    ("corim", &["trust"]),
    ("arrow*", &["lake"]),
    ("parquet", &["lake"]),
    ("datafusion*", &["lake"]),
    ("object_store", &["lake"]),
    ("cedar-policy", &["server"]),
    ("aes", &["crypto"]),
    ("aes-gcm*", &["crypto"]),
    ("ccm", &["crypto"]),
    ("chacha20poly1305", &["crypto"]),
    ("sha2", &["crypto"]),
    ("hmac", &["crypto"]),
    ("hkdf", &["crypto"]),
    ("p256", &["crypto"]),
    ("x25519-dalek", &["crypto"]),
    ("aws-lc-rs", &["crypto"]),
    ("ring", &[]),
    ("openssl*", &[]),
];

const NO_STD: &[&str] = &["wire", "crypto", "dtls", "trust", "v2x", "device"];

/// Crates without socket, clock, thread, file or global randomness, and what they may therefore not say.
const NO_IO: &[&str] = &["wire", "crypto", "dtls", "trust", "v2x", "device", "pipe", "platform", "privacy", "manage"];
const IO_WORDS: &[&str] = &[
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "SystemTime",
    "std::time::Instant",
    "getrandom",
    "thread_rng",
];

/// What no source file may say: unfinished work, debugging, and words about how the project is made.
const NOWHERE: &[&str] = &["todo!(", "unimplemented!(", "dbg!(", "/work/", "/root/", "simplified for now"];

/// A file beyond this has more than one subject.
const FILE_LINES_MAX: usize = 700;

#[test]
fn crates_use_only_what_the_blueprint_allows() {
    let mut broken = Vec::new();
    for package in packages() {
        let name = short(&package);
        let Some((_, allowed)) = MAY_USE.iter().find(|(from, _)| *from == name) else { continue };
        for used in ours(&package) {
            if !allowed.contains(&used.as_str()) {
                broken.push(format!("{name} may not use {used}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_crate_has_a_rule() {
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for package in packages().iter().filter(|package| package.manifest_path.as_str().contains("/crates/")) {
        assert!(known.contains(short(package).as_str()), "{} has no line in MAY_USE", package.name);
    }
}

#[test]
fn outside_crates_stay_where_they_belong() {
    let mut broken = Vec::new();
    for package in packages() {
        for dependency in
            package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development)
        {
            for (_, rooms) in ONLY_IN.iter().filter(|(pattern, _)| matches(pattern, &dependency.name)) {
                if !rooms.contains(&short(&package).as_str()) && !is_dev_only(&package) {
                    broken.push(format!("{} names {}", package.name, dependency.name));
                }
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn no_binary_enables_the_insecure_provider() {
    for package in packages() {
        for dependency in package.dependencies.iter().filter(|d| d.name == "bartizan-crypto" && !is_dev_only(&package))
        {
            let insecure = dependency.features.iter().any(|feature| feature == "insecure-test");
            assert!(
                !insecure || dependency.kind == DependencyKind::Development,
                "{} ships the insecure provider",
                package.name
            );
        }
    }
}

#[test]
fn the_server_knows_the_simulator_only_for_the_demo() {
    let server = packages().into_iter().find(|package| short(package) == "server").expect("the server exists");
    let sim =
        server.dependencies.iter().find(|dependency| dependency.name == "bartizan-sim").expect("the demo uses it");
    assert!(sim.optional, "bartizan-sim must be optional, behind the feature `demo`");
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for package in packages().iter().filter(|package| !is_ffi(package)) {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} does not take the workspace's lints", package.name);
    }
}

#[test]
fn device_crates_are_no_std() {
    for name in NO_STD {
        let lib = root().join("crates").join(name).join("src/lib.rs");
        if let Ok(text) = fs::read_to_string(&lib) {
            assert!(
                text.contains("#![no_std]") || text.contains("#![cfg_attr(not(test), no_std)]"),
                "{} is not no_std",
                lib.display()
            );
        }
    }
}

#[test]
fn nothing_below_the_binaries_does_input_or_output() {
    let mut broken = Vec::new();
    for name in NO_IO {
        for file in rust_files(&root().join("crates").join(name).join("src")) {
            broken.extend(said(&file, IO_WORDS));
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_api_never_touches_the_store() {
    let mut broken = Vec::new();
    for file in rust_files(&root().join("crates/server/src/api")) {
        broken.extend(said(&file, &["crate::store", "sqlx"]));
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn no_file_speaks_of_unfinished_work_or_of_a_machine() {
    let mut broken = Vec::new();
    for file in text_files(&root()).iter().filter(|file| !file.ends_with("tests/tidy.rs")) {
        broken.extend(said(file, NOWHERE));
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn unsafe_code_stands_only_beside_foreign_code() {
    let mut broken = Vec::new();
    for file in
        rust_files(&root()).iter().filter(|file| !["peers/", "proof/", "boards/"].iter().any(|room| under(file, room)))
    {
        broken.extend(said(file, &["unsafe {", "unsafe fn", "allow(unsafe_code"]));
    }
    broken.retain(|line| !line.contains("xtask/tests/tidy.rs"));
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn no_file_is_a_drawer() {
    for file in rust_files(&root()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines: it holds more than one subject", file.display());
    }
}

/// A row of the table in ARCHITECTURE.md names files and tests in backquotes; each must exist.
#[test]
fn the_capability_table_points_at_what_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let sources = all_rust();
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 6).skip(1).collect();
    assert!(rows.len() >= 10, "the capability table has {} rows", rows.len());
    for row in rows.iter().filter(|row| !row.contains("*not yet*")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for path in quoted(cells[2]) {
            assert!(module_exists(path), "no module {path} for: {row}");
        }
        for name in quoted(cells[3]).into_iter().chain(quoted(cells[4])) {
            assert!(sources.contains(name) || root().join(name).exists(), "nothing is called {name}: {row}");
        }
    }
}

/// docs/attacks.md claims nothing that no test shows.
#[test]
fn every_attack_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/attacks.md")).unwrap();
    let sources = all_rust();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| **")).collect();
    assert!(rows.len() >= 20, "docs/attacks.md has {} rows", rows.len());
    for row in rows {
        let names = quoted(row.split('|').nth(3).unwrap_or_default());
        assert!(!names.is_empty(), "no test for: {row}");
        names.iter().for_each(|name| assert!(sources.contains(&format!("fn {name}(")), "no test is called {name}"));
    }
}

#[test]
fn the_web_lock_file_names_no_host() {
    let text = fs::read_to_string(root().join("web/package-lock.json")).unwrap();
    let hosts: Vec<&str> = text.lines().filter(|line| line.contains("\"resolved\"")).collect();
    assert!(hosts.is_empty(), "write it with `npm install --omit-lockfile-registry-resolved`: {:?}", hosts.first());
}

/// See the comment in Cargo.toml. Look at `dtls.ratio_to_best_peer` before this is taken out.
#[test]
fn the_lock_file_keeps_the_fast_aes() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"aes\"\nversion = \"0.9.2\"\n"), "`cargo update -p aes --precise 0.9.2`");
}

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    metadata.packages
}

fn short(package: &Package) -> String {
    package.name.trim_start_matches("bartizan-").to_owned()
}

/// The crates of ours that `package` uses outside its tests.
fn ours(package: &Package) -> Vec<String> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.filter_map(|dependency| dependency.name.strip_prefix("bartizan-").map(str::to_owned)).collect()
}

fn is_dev_only(package: &Package) -> bool {
    !package.manifest_path.as_str().contains("/crates/")
}

fn is_ffi(package: &Package) -> bool {
    package.manifest_path.as_str().contains("/peers/")
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn under(file: &Path, folder: &str) -> bool {
    file.strip_prefix(root()).is_ok_and(|inside| inside.starts_with(folder))
}

/// Where `file` says any of `words`, outside comments.
fn said(file: &Path, words: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let hits = lines.filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    hits.map(|(at, line)| format!("{}:{}: {}", file.display(), at + 1, line.trim())).collect()
}

fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// `dtls::server::cookie` is a file or folder below `crates/dtls/src`.
fn module_exists(path: &str) -> bool {
    if root().join(path).exists() {
        return true;
    }
    let mut parts = path.split("::");
    let Some(name) = parts.next() else { return false };
    let mut place = root().join("crates").join(name).join("src");
    parts.for_each(|part| place.push(part));
    place.is_dir() || place.with_extension("rs").is_file()
}

/// Every Rust source, one after the other.
fn all_rust() -> String {
    rust_files(&root()).iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    text_files(folder).into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Every file that a person writes, below `folder`.
fn text_files(folder: &Path) -> Vec<PathBuf> {
    const SKIPPED: &[&str] = &["target", "node_modules", "dist", ".git", "corpus", "artifacts", "test-results"];
    const WRITTEN: &[&str] =
        &["rs", "md", "toml", "ts", "svelte", "css", "html", "json", "sql", "sh", "mjs", "service"];
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && !SKIPPED.contains(&name.to_string_lossy().as_ref()) {
            files.extend(text_files(&path));
        } else if path.extension().is_some_and(|extension| WRITTEN.contains(&extension.to_string_lossy().as_ref())) {
            files.push(path);
        }
    }
    files
}
