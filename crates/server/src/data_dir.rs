//! The data directory: where each file is, who may open it, and who holds it.
//!
//! ```text
//! config.toml      every key commented out
//! master.key       32 random bytes, 0600: seals PSKs and sessions
//! operator.token   the first operator's credential, 0600
//! ca.pem           what clients of the API trust
//! server.pem, server.key
//! data/            operator.db, tenants/, sessions/
//! backups/         made through the API, until they are fetched
//! run/endpoint.json  where the running server listens
//! lock             held by whoever has the databases open
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::store::MasterKey;

/// A data directory, which need not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(PathBuf);

/// Where a running server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub api: SocketAddr,
    /// The gateway's UDP address.
    pub gateway: Option<SocketAddr>,
    pub pid: u32,
}

/// While it lives, nobody else opens the databases. The system ends it with the process, however that dies.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file is what unlocks")] File);

/// Why the data directory cannot be used, in one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("there is no data directory at {}", .0.display())]
    Missing(PathBuf),
    #[error("another process has {} open", .0.display())]
    Held(PathBuf),
    #[error("{} can be read by others (mode {mode:04o})", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) => {
                Some("make one with `bartizan init`, or name it with --data-dir or BARTIZAN_DATA_DIR".into())
            }
            Self::Held(_) => Some("a server runs on it already".into()),
            Self::Exposed { path, .. } => Some(format!("chmod 600 {}", path.display())),
            Self::Unusable { .. } => None,
        }
    }
}

impl DataDir {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.0.join("master.key")
    }

    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.0.join("operator.token")
    }

    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.join("server.pem")
    }

    #[must_use]
    pub fn certificate_key(&self) -> PathBuf {
        self.0.join("server.key")
    }

    /// Databases and sessions.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn endpoint(&self) -> PathBuf {
        self.0.join("run").join("endpoint.json")
    }

    /// # Errors
    /// `init` was never run here.
    pub fn require(&self) -> Result<(), Error> {
        if self.key().exists() || self.data().exists() {
            return Ok(());
        }
        Err(Error::Missing(self.0.clone()))
    }

    /// The key under which everything secret is sealed.
    ///
    /// # Errors
    /// The file is unreadable, open to others, or not 32 bytes long.
    pub fn master_key(&self) -> Result<MasterKey, Error> {
        read_key(&self.key())
    }

    /// The operator's token.
    ///
    /// # Errors
    /// The file is unreadable or open to others.
    pub fn operator_token(&self) -> Result<Zeroizing<String>, Error> {
        let path = self.token();
        let bytes = read_secret(&path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unusable(&path, "it is no token"))?;
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    /// Takes the lock; answers at once.
    ///
    /// # Errors
    /// [`Error::Held`] if somebody else has it.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.0.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(|error| unusable(&path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Held(self.0.clone())),
            Err(error) => Err(unusable(&path, error)),
        }
    }

    /// Where the server that runs here listens; `None` if none says so.
    #[must_use]
    pub fn read_endpoint(&self) -> Option<Endpoint> {
        serde_json::from_slice(&fs::read(self.endpoint()).ok()?).ok()
    }

    /// Tells others where this server listens.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write_endpoint(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let path = self.endpoint();
        let text = serde_json::to_vec_pretty(endpoint).expect("invariant: addresses print");
        let folder = self.0.join("run");
        let fresh = folder.join("endpoint.json.new");
        crate::ops::backup::private_dirs(&folder)
            .and_then(|()| fs::write(&fresh, text))
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|error| unusable(&path, error))
    }

    /// This server no longer listens.
    pub fn remove_endpoint(&self) {
        let _ = fs::remove_file(self.endpoint());
    }
}

/// The key in `path`.
///
/// # Errors
/// The file is unreadable, open to others, or not 32 bytes long.
pub fn read_key(path: &Path) -> Result<MasterKey, Error> {
    let bytes = read_secret(path)?;
    let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| {
        let reason = format!("a key file is 32 bytes long, this one is {}", bytes.len());
        unusable(path, reason)
    })?;
    Ok(MasterKey::from_bytes(key))
}

/// The content of a file that nobody but its owner may read.
///
/// # Errors
/// It is open to others, unreadable, or far too long.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let file = File::open(path).map_err(|error| unusable(path, error))?;
    let facts = file.metadata().map_err(|error| unusable(path, error))?;
    let mode = facts.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path: path.into(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(CONFIG_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| unusable(path, error))?;
    Ok(bytes)
}

/// Writes a new file that is on the disk when this returns; `mode` as in `chmod`.
///
/// # Errors
/// The file exists, or the disk does not take it.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(mode);
    let written = options.open(path).and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    written.map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, reason: impl ToString) -> Error {
    let reason = reason.to_string();
    // The system's numbers help nobody who reads one line.
    let reason = match reason.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => reason,
    };
    Error::Unusable { path: path.into(), reason }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key_file(content: &[u8], mode: u32) -> (tempfile::TempDir, DataDir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        write_new(&dir.key(), content, 0o600).unwrap();
        fs::set_permissions(dir.key(), fs::Permissions::from_mode(mode)).unwrap();
        (folder, dir)
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            let (_folder, dir) = key_file(&[7; 32], mode);
            let read = dir.master_key();
            assert_eq!(read.is_ok(), good, "{mode:o}");
            if let Err(error) = read {
                let line = error.to_string();
                assert!(line.contains(&format!("mode {mode:04o}")), "{line}");
                assert!(error.hint().unwrap().starts_with("chmod 600 "));
            }
        }
    }

    #[test]
    fn a_key_has_32_bytes() {
        for (length, good) in [(0, false), (31, false), (32, true), (33, false)] {
            let (_folder, dir) = key_file(&vec![7; length], 0o600);
            assert_eq!(dir.master_key().is_ok(), good, "{length}");
        }
    }

    #[test]
    fn the_lock_is_exclusive_and_ends_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        let lock = dir.lock().unwrap();
        assert_eq!(dir.lock().err(), Some(Error::Held(folder.path().into())));
        drop(lock);
        assert!(dir.lock().is_ok());
    }

    #[test]
    fn a_missing_file_is_said_without_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        let line = dir.master_key().unwrap_err().to_string();
        assert!(line.ends_with("master.key: no such file or directory"), "{line}");
        assert!(matches!(dir.require(), Err(Error::Missing(_))));
    }

    #[test]
    fn the_endpoint_can_be_read_back_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        assert_eq!(dir.read_endpoint(), None);
        let endpoint = Endpoint { api: "127.0.0.1:1".parse().unwrap(), gateway: None, pid: 7 };
        dir.write_endpoint(&endpoint).unwrap();
        assert_eq!(dir.read_endpoint(), Some(endpoint));
        dir.remove_endpoint();
        assert_eq!(dir.read_endpoint(), None);
    }
}
