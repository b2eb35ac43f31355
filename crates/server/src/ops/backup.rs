//! Backup and restore.
//!
//! A backup is a folder: consistent copies of the databases, the configuration, and a manifest. What is
//! sealed in the databases stays sealed, and the key file is not part of it: keep that somewhere else.
//! Open DTLS associations are left out on purpose. Brought back later they would reuse nonces and accept
//! replays; devices shake hands anew instead. For whoever copies the data directory by hand, the journal sees to it
//! ([`crate::gateway::journal`]).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bartizan_wire::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::app::views::rfc3339;
use crate::app::{App, Error};

const MANIFEST: &str = "manifest.json";
const DATABASES: &str = "data";
const CONFIG: &str = "config.toml";
const FORMAT: u32 = 1;

/// What stands in `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the folder's layout.
    pub format: u32,
    /// The version of Bartizan that made it.
    pub bartizan: String,
    pub created: String,
}

/// Makes a backup in a new folder under `folder` and answers where. The manifest is written last: a folder
/// without one is not a backup.
///
/// # Errors
/// `Unavailable` if the disk does not take it.
pub async fn create(app: &Arc<App>, folder: &Path, now: UnixMillis) -> Result<PathBuf, Error> {
    let name = rfc3339(now).replace([':', '.'], "-");
    let target = folder.join(format!("backup-{name}"));
    private_dirs(&target).map_err(|error| failed(&target, &error))?;
    let databases = target.join(DATABASES);
    app.backup(&databases).await?;
    let data_dir = folder.parent().unwrap_or(folder);
    finish(data_dir, &target, now).map_err(|error| failed(&target, &error))?;
    Ok(target)
}

fn finish(data_dir: &Path, target: &Path, now: UnixMillis) -> io::Result<()> {
    let config = data_dir.join(CONFIG);
    if config.exists() {
        fs::copy(config, target.join(CONFIG))?;
    }
    let manifest = Manifest { format: FORMAT, bartizan: env!("CARGO_PKG_VERSION").into(), created: rfc3339(now) };
    let text = serde_json::to_vec_pretty(&manifest)?;
    let file = fs::File::create_new(target.join(MANIFEST))?;
    io::Write::write_all(&mut &file, &text)?;
    file.sync_all()
}

/// Moves a finished backup to `target`, which must be absent or an empty folder. Works across file systems.
///
/// # Errors
/// One sentence.
pub fn hand_over(made: &Path, target: &Path) -> Result<(), String> {
    let told = |error: io::Error| format!("cannot write {}: {error}", target.display());
    if !is_free(target).map_err(told)? {
        return Err(format!("{} is not empty", target.display()));
    }
    copy_tree(made, target).map_err(told)?;
    fs::remove_dir_all(made).map_err(|error| format!("cannot remove {}: {error}", made.display()))
}

/// Reads and checks the manifest of the backup in `folder`.
///
/// # Errors
/// One sentence.
pub fn read_manifest(folder: &Path) -> Result<Manifest, String> {
    let path = folder.join(MANIFEST);
    let text = fs::read(&path)
        .map_err(|error| format!("{} is not a finished backup: cannot read {MANIFEST}: {error}", folder.display()))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if manifest.format != FORMAT {
        return Err(format!("{} has format {}, this version reads format {FORMAT}", folder.display(), manifest.format));
    }
    Ok(manifest)
}

/// Copies databases and configuration of the backup in `folder` into the empty `data_dir`.
///
/// # Errors
/// One sentence.
pub fn unpack(folder: &Path, data_dir: &Path) -> Result<(), String> {
    let told = |error: io::Error| format!("cannot write {}: {error}", data_dir.display());
    private_dirs(data_dir).map_err(told)?;
    copy_tree(&folder.join(DATABASES), &data_dir.join(DATABASES)).map_err(told)?;
    if folder.join(CONFIG).exists() {
        fs::copy(folder.join(CONFIG), data_dir.join(CONFIG)).map_err(told)?;
    }
    Ok(())
}

/// Whether `path` is absent or an empty folder.
///
/// # Errors
/// It cannot be looked at, or is a file.
pub fn is_free(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Makes `path` and what is above it; nobody but the owner may look in.
///
/// # Errors
/// The system's.
pub fn private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    private_dirs(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("cannot write {}: {error}", path.display()))
}
