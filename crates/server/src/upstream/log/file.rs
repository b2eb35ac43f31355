//! The file under the log: whole lines only, and never a lost one.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An append-only file that ends with a newline whenever no append is under way.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Bytes that are on disk and acknowledged.
    committed: u64,
    rotate_bytes: u64,
    /// A failed append could not be undone; undo it before the next.
    torn: bool,
}

impl LogFile {
    /// Opens or makes the file, takes its lock, and cuts off a torn last line.
    pub(super) fn open(path: &Path, rotate_bytes: u64) -> io::Result<Self> {
        let file = open_locked(path)?;
        let mut log = Self { path: path.to_owned(), file, committed: 0, rotate_bytes, torn: false };
        log.committed = end_of_last_line(&mut log.file)?;
        log.undo()?;
        Ok(log)
    }

    pub(super) fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Appends whole lines; they are on disk when it returns.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.undo()?;
        }
        if self.committed > 0 && self.committed + lines.len() as u64 > self.rotate_bytes {
            self.rotate()?;
        }
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.committed += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // A full disk leaves half a line; if it cannot be cut off now, the next append tries again.
                self.torn = self.undo().is_err();
                Err(error)
            }
        }
    }

    fn undo(&mut self) -> io::Result<()> {
        self.torn = true;
        self.file.set_len(self.committed)?;
        self.file.seek(SeekFrom::Start(self.committed))?;
        self.file.sync_data()?;
        self.torn = false;
        Ok(())
    }

    /// Sets the file aside under the next free number and begins a new one. Nothing is ever deleted here:
    /// what was acknowledged is the operator's to remove.
    fn rotate(&mut self) -> io::Result<()> {
        let aside = next_number(&self.path)?;
        std::fs::rename(&self.path, &aside)?;
        self.file = open_locked(&self.path)?;
        self.committed = 0;
        Ok(())
    }
}

fn open_locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(io::Error::other("another process writes to it")),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The name must survive a power cut too, or the file with acknowledged lines would have none.
    File::open(folder_of(path))?.sync_all()?;
    Ok(file)
}

/// Where the last whole line ends, reading backwards from the end.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = [0; 4096];
    while end > 0 {
        let size = end.min(chunk.len() as u64);
        file.seek(SeekFrom::Start(end - size))?;
        let chunk = &mut chunk[..size as usize];
        file.read_exact(chunk)?;
        if let Some(newline) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(end - size + newline as u64 + 1);
        }
        end -= size;
    }
    Ok(0)
}

/// `city.ndjson.000007` if six were set aside before.
fn next_number(path: &Path) -> io::Result<PathBuf> {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    let prefix = prefix.to_string_lossy().into_owned();
    let mut last = 0;
    for entry in std::fs::read_dir(folder_of(path))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(&prefix).and_then(|number| number.parse::<u64>().ok());
        last = last.max(number.unwrap_or(0));
    }
    let mut aside = OsString::from(path);
    aside.push(format!(".{:06}", last + 1));
    Ok(PathBuf::from(aside))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("city.ndjson");
        (folder, path)
    }

    #[test]
    fn a_torn_last_line_is_cut_off_at_the_start() {
        let (_folder, path) = folder();
        for (left, kept) in [
            (&b"one\ntwo\nthr"[..], &b"one\ntwo\n"[..]),
            (b"torn from the first byte", b""),
            (b"whole\n", b"whole\n"),
            (b"", b""),
        ] {
            std::fs::write(&path, left).unwrap();
            let mut log = LogFile::open(&path, 1 << 20).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), kept);
            log.append(b"next\n").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), [kept, b"next\n"].concat());
        }
    }

    #[test]
    fn a_torn_line_longer_than_a_chunk_is_cut_off() {
        let (_folder, path) = folder();
        let long = "x".repeat(10_000);
        std::fs::write(&path, format!("{long}\n{long}")).unwrap();
        LogFile::open(&path, 1 << 20).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 10_001);
    }

    #[test]
    fn rotation_sets_files_aside_and_loses_no_line() {
        let (folder, path) = folder();
        let mut log = LogFile::open(&path, 20).unwrap();
        for n in 0..10 {
            log.append(format!("line {n}\n").as_bytes()).unwrap();
        }
        drop(log);
        LogFile::open(&path, 20).unwrap().append(b"a line longer than the bound\n").unwrap();
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        assert_eq!(names.len(), 6);
        let lines: Vec<String> = names[1..].iter().map(|name| std::fs::read_to_string(name).unwrap()).collect();
        assert_eq!(lines[0], "line 0\nline 1\n");
        assert_eq!(lines.concat().lines().count(), 10);
    }

    #[test]
    fn two_writers_are_refused() {
        let (_folder, path) = folder();
        let _first = LogFile::open(&path, 20).unwrap();
        let error = LogFile::open(&path, 20).err().unwrap();
        assert!(error.to_string().contains("another process"));
    }
}
