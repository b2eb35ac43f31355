//! The few file operations the journal stands on, so that tests can pull the plug between any two of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What tells a file from every copy of it.
pub type Identity = [u8; 16];

/// A folder of append-only files. A file's *name* is durable after [`Disk::sync_names`], its *bytes* after
/// [`Disk::sync`]; until then a crash may keep any part of either.
pub trait Disk: Send + 'static {
    type File: Send;

    /// The names of all files in the folder, in no order.
    fn names(&self) -> io::Result<Vec<String>>;
    fn read(&self, name: &str) -> io::Result<Box<dyn Read>>;
    /// Makes an empty file, replacing one of this name.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file back to `length` bytes; the next append goes there.
    fn truncate(&self, file: &mut Self::File, length: u64) -> io::Result<()>;
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;
    /// The same for as long as the file lives, wherever it is moved, and another for a copy of it.
    fn identity(&self, name: &str) -> io::Result<Identity>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes the file, and what it held under every other name it may have.
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_names(&self) -> io::Result<()>;
}

/// A real folder, readable by its owner only.
pub struct Folder(PathBuf);

impl Folder {
    /// Opens the folder, making it if need be.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Disk for Folder {
    type File = File;

    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(BufReader::new(File::open(self.0.join(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        // Append mode: after a truncation the next write lands at the new end, not at the old offset.
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn truncate(&self, file: &mut File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    /// Inode and time of birth: nobody can set either, and together they do not come again, as an inode alone may
    /// when a file is deleted and a copy of it put back. Where the file system keeps no birth, the inode has to do.
    fn identity(&self, name: &str) -> io::Result<Identity> {
        let metadata = fs::metadata(self.0.join(name))?;
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let number = u128::from(metadata.ino()) << 64 | u128::from(born.map_or(0, |born| born.as_nanos() as u64));
        Ok(number.to_be_bytes())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        // A hard link is the same file: moved back, it would not look like a copy.
        let path = self.0.join(name);
        OpenOptions::new().write(true).open(&path)?.set_len(0)?;
        fs::remove_file(path)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

#[cfg(test)]
pub mod simulated {
    //! A disk in memory that can fail at any step and forget what was not synced.

    use std::collections::BTreeMap;
    use std::io::{self, Cursor, Read};
    use std::sync::{Arc, Mutex};

    use super::{Disk, Identity};

    #[derive(Clone, Default, Debug)]
    struct Stored {
        bytes: Vec<u8>,
        synced: usize,
        named: bool,
        identity: Identity,
    }

    #[derive(Default, Debug)]
    struct State {
        files: BTreeMap<String, Stored>,
        removed: BTreeMap<String, Stored>,
        steps_left: Option<usize>,
        bytes_free: Option<usize>,
    }

    /// Shared, so that a test can look at the disk while a writer owns it.
    #[derive(Clone, Default, Debug)]
    pub struct Memory(Arc<Mutex<State>>);

    impl Memory {
        /// From now on `steps` operations succeed; every later one fails, as if the machine stood still.
        pub fn fail_after(&self, steps: usize) {
            self.0.lock().unwrap().steps_left = Some(steps);
        }

        /// How much may still be appended before the disk is full; `None` is without end.
        pub fn set_free(&self, bytes: Option<usize>) {
            self.0.lock().unwrap().bytes_free = bytes;
        }

        /// What a new process finds after a power cut: synced bytes, and `luck` per mille of the others.
        pub fn crash(&self, luck: usize) -> Self {
            let state = self.0.lock().unwrap();
            let mut files = BTreeMap::new();
            for (name, stored) in &state.removed {
                if luck < 500 {
                    files.insert(name.clone(), stored.clone());
                }
            }
            for (name, stored) in &state.files {
                if stored.named || luck >= 500 {
                    let kept = stored.synced + (stored.bytes.len() - stored.synced) * luck / 1000;
                    let bytes = stored.bytes[..kept].to_vec();
                    let stored = Stored { synced: bytes.len(), bytes, named: true, ..*stored };
                    files.insert(name.clone(), stored);
                }
            }
            Self(Arc::new(Mutex::new(State { files, ..State::default() })))
        }

        pub fn bytes(&self, name: &str) -> Vec<u8> {
            self.0.lock().unwrap().files[name].bytes.clone()
        }

        pub fn put(&self, name: &str, bytes: Vec<u8>) {
            let stored = Stored { synced: bytes.len(), bytes, named: true, ..Stored::default() };
            self.0.lock().unwrap().files.insert(name.into(), stored);
        }

        /// Puts a copy of a file in its place.
        pub fn copy(&self, name: &str) {
            self.0.lock().unwrap().files.get_mut(name).unwrap().identity[0] += 1;
        }

        fn step(&self) -> io::Result<std::sync::MutexGuard<'_, State>> {
            let mut state = self.0.lock().unwrap();
            match &mut state.steps_left {
                Some(0) => return Err(io::Error::other("power cut")),
                Some(left) => *left -= 1,
                None => {}
            }
            Ok(state)
        }
    }

    impl Disk for Memory {
        type File = String;

        fn names(&self) -> io::Result<Vec<String>> {
            Ok(self.step()?.files.keys().cloned().collect())
        }

        fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
            let state = self.step()?;
            let stored = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(Cursor::new(stored.bytes.clone())))
        }

        fn create(&self, name: &str) -> io::Result<String> {
            self.step()?.files.insert(name.into(), Stored::default());
            Ok(name.into())
        }

        fn append(&self, file: &mut String, bytes: &[u8]) -> io::Result<()> {
            let mut state = self.step()?;
            let room = state.bytes_free.unwrap_or(bytes.len()).min(bytes.len());
            if let Some(free) = &mut state.bytes_free {
                *free -= room;
            }
            let stored = state.files.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
            stored.bytes.extend_from_slice(&bytes[..room]);
            match room == bytes.len() {
                true => Ok(()),
                false => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn truncate(&self, file: &mut String, length: u64) -> io::Result<()> {
            let mut state = self.step()?;
            let stored = state.files.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
            stored.bytes.truncate(length as usize);
            stored.synced = stored.synced.min(length as usize);
            Ok(())
        }

        fn sync(&self, file: &mut String) -> io::Result<()> {
            let mut state = self.step()?;
            let stored = state.files.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
            stored.synced = stored.bytes.len();
            Ok(())
        }

        fn identity(&self, name: &str) -> io::Result<Identity> {
            Ok(self.step()?.files.get(name).ok_or(io::ErrorKind::NotFound)?.identity)
        }

        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            let mut state = self.step()?;
            let stored = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.files.insert(to.into(), stored);
            Ok(())
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            let mut state = self.step()?;
            let stored = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
            state.removed.insert(name.into(), stored);
            Ok(())
        }

        fn sync_names(&self) -> io::Result<()> {
            let mut state = self.step()?;
            state.removed.clear();
            state.files.values_mut().for_each(|stored| stored.named = true);
            Ok(())
        }
    }
}
