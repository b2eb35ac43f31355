//! Operators' spreadsheets of keys: CSV with the columns `name,type,identity,psk` and optionally `endpoint` and
//! `attestation_identity`.
//!
//! [`Rows`] streams: one row or one bad line at a time, in the order of the file. It remembers names, identities
//! and endpoints (not keys) to name both lines of a duplicate.

use std::collections::HashMap;
use std::io::Read;

use bartizan_trust::Identity;
use zeroize::Zeroizing;

use crate::limits::{IDENTITY_BYTES_MAX, IMPORT_LINES_MAX, NAME_BYTES_MAX};

mod lines;
pub mod orders;
pub mod secret;

use lines::Lines;
use secret::decode_psk;

/// One device of a spreadsheet, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// 1 is the header.
    pub line: u64,
    pub name: String,
    pub device_type: String,
    pub identity: Vec<u8>,
    pub psk: Zeroizing<Vec<u8>>,
    /// Absent: the device's name.
    pub endpoint: Option<String>,
    /// Who the device is when it attests; absent: it cannot.
    pub attestation_identity: Option<Identity>,
}

/// A line that cannot be imported, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// 1 is the header.
    pub line: u64,
    pub error: String,
}

/// Reads a spreadsheet line by line.
pub struct Rows<R> {
    csv: csv::Reader<Lines<R>>,
    columns: Columns,
    record: csv::ByteRecord,
    seen: Seen,
    lines: u64,
    lines_max: u64,
    ended: bool,
}

/// Where each column stands.
#[derive(Clone, Copy, Debug)]
struct Columns {
    name: usize,
    device_type: usize,
    identity: usize,
    psk: usize,
    endpoint: Option<usize>,
    attestation_identity: Option<usize>,
    count: usize,
}

/// On which line each name, identity and endpoint stood.
#[derive(Default)]
struct Seen {
    names: HashMap<Box<str>, u64>,
    identities: HashMap<Box<[u8]>, u64>,
    endpoints: HashMap<Box<str>, u64>,
    attesters: HashMap<Identity, u64>,
}

impl<R: Read> Rows<R> {
    /// Reads the header. Letter case, blanks and order of its columns do not matter; unknown ones are an error,
    /// since a misspelt `endpoint` would otherwise be lost in silence.
    ///
    /// # Errors
    /// Line 1 with its fault.
    pub fn open(read: R) -> Result<Self, BadLine> {
        Self::open_with(read, IMPORT_LINES_MAX)
    }

    /// As [`Rows::open`], with a bound on lines other than [`IMPORT_LINES_MAX`].
    ///
    /// # Errors
    /// Line 1 with its fault.
    pub fn open_with(read: R, lines_max: u64) -> Result<Self, BadLine> {
        let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(Lines::new(read));
        let mut record = csv::ByteRecord::new();
        let read = csv.read_byte_record(&mut record);
        let found = read.map_err(|error| bad(1, format!("cannot be read: {error}")))?;
        if !found {
            return Err(bad(1, "the file is empty; its first line must be name,type,identity,psk"));
        }
        let columns = Columns::read(&record).map_err(|error| bad(1, error))?;
        Ok(Self { csv, columns, record, seen: Seen::default(), lines: 0, lines_max, ended: false })
    }

    fn read_row(&mut self) -> Option<Result<Row, BadLine>> {
        let next_line = self.csv.position().line();
        match self.csv.read_byte_record(&mut self.record) {
            Ok(false) => None,
            Err(error) => {
                self.ended = true;
                Some(Err(bad(next_line, format!("cannot be read: {error}"))))
            }
            Ok(true) => {
                let line = self.line_of_record();
                self.lines += 1;
                if self.lines > self.lines_max {
                    self.ended = true;
                    return Some(Err(bad(line, format!("more than {} devices in one file", self.lines_max))));
                }
                Some(self.check(line).map_err(|error| bad(line, error)))
            }
        }
    }

    /// The line on which the record just read begins: blank lines before it and line breaks within it count.
    fn line_of_record(&self) -> u64 {
        let breaks = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
        self.csv.position().line().saturating_sub(1 + breaks as u64)
    }

    fn check(&mut self, line: u64) -> Result<Row, String> {
        let columns = self.columns;
        if self.record.len() != columns.count {
            return Err(format!("has {} columns, the header has {}", self.record.len(), columns.count));
        }
        let name = text("name", self.cell(columns.name))?;
        let device_type = text("type", self.cell(columns.device_type))?;
        let identity = decode_identity(self.cell(columns.identity))?;
        let psk = decode_psk(self.cell(columns.psk))?;
        let endpoint = match columns.endpoint.map(|column| self.cell(column)) {
            None | Some([]) => None,
            Some(bytes) => Some(text("endpoint", bytes)?),
        };
        let attestation_identity = match columns.attestation_identity.map(|column| self.cell(column)) {
            None | Some([]) => None,
            Some(bytes) => Some(decode_attestation_identity(bytes)?),
        };
        self.seen.note(line, &name, &identity, endpoint.as_deref())?;
        if let Some(attester) = attestation_identity {
            self.seen.note_attester(line, attester)?;
        }
        Ok(Row { line, name, device_type, identity, psk, endpoint, attestation_identity })
    }
}

impl<R> Rows<R> {
    fn cell(&self, column: usize) -> &[u8] {
        self.record[column].trim_ascii()
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<Row, BadLine>;

    /// The next row, or the next bad line. After a line that cannot be read at all nothing follows.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.read_row()
    }
}

impl Columns {
    fn read(header: &csv::ByteRecord) -> Result<Self, String> {
        let names: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase()).collect();
        let find = |name: &str| names.iter().position(|other| other == name);
        let need = |name: &str| {
            find(name)
                .ok_or_else(|| format!("the column {name:?} is missing; the first line must be name,type,identity,psk"))
        };
        const KNOWN: [&str; 6] = ["name", "type", "identity", "psk", "endpoint", "attestation_identity"];
        for (index, name) in names.iter().enumerate() {
            if !KNOWN.contains(&name.as_str()) {
                return Err(format!("unknown column {name:?}; known ones are {}", KNOWN.join(", ")));
            }
            if names[..index].contains(name) {
                return Err(format!("the column {name:?} stands twice"));
            }
        }
        Ok(Self {
            name: need("name")?,
            device_type: need("type")?,
            identity: need("identity")?,
            psk: need("psk")?,
            endpoint: find("endpoint"),
            attestation_identity: find("attestation_identity"),
            count: names.len(),
        })
    }
}

impl Seen {
    /// Notes all three, so that each duplicate is named with the line on which the value stood first.
    fn note(&mut self, line: u64, name: &str, identity: &[u8], endpoint: Option<&str>) -> Result<(), String> {
        let endpoint = endpoint.unwrap_or(name);
        let first_name = *self.names.entry(name.into()).or_insert(line);
        let first_identity = *self.identities.entry(identity.into()).or_insert(line);
        let first_endpoint = *self.endpoints.entry(endpoint.into()).or_insert(line);
        if first_name != line {
            return Err(format!("the name {name:?} stands on line {first_name} already"));
        }
        if first_identity != line {
            return Err(format!("the identity {} stands on line {first_identity} already", show_identity(identity)));
        }
        if first_endpoint != line {
            return Err(format!("the endpoint {endpoint:?} belongs to line {first_endpoint} already"));
        }
        Ok(())
    }

    /// Two devices with one identity share a secret that must be one device's alone.
    fn note_attester(&mut self, line: u64, attester: Identity) -> Result<(), String> {
        let first = *self.attesters.entry(attester).or_insert(line);
        if first == line { Ok(()) } else { Err(format!("the attestation identity stands on line {first} already")) }
    }
}

fn decode_attestation_identity(text: &[u8]) -> Result<Identity, String> {
    let identity = std::str::from_utf8(text).ok().and_then(Identity::from_hex);
    identity.ok_or_else(|| "the attestation identity does not have 64 hexadecimal digits".into())
}

/// A PSK identity as people read it: text, or `hex:…` if it is not plain text.
#[must_use]
pub fn show_identity(identity: &[u8]) -> String {
    match std::str::from_utf8(identity) {
        Ok(text) if !text.is_empty() && !text.starts_with("hex:") && !text.chars().any(char::is_control) => {
            text.to_owned()
        }
        _ => format!("hex:{}", secret::to_hex(identity)),
    }
}

/// The inverse of [`show_identity`].
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn decode_identity(text: &[u8]) -> Result<Vec<u8>, String> {
    let identity = match text.strip_prefix(b"hex:") {
        Some(hex) => secret::from_hex(hex).ok_or("the identity is not hex after \"hex:\"")?,
        None => text.to_vec(),
    };
    match identity.len() {
        0 => Err("the identity is empty".into()),
        length if length > IDENTITY_BYTES_MAX => {
            Err(format!("the identity has {length} bytes; at most {IDENTITY_BYTES_MAX} are allowed"))
        }
        _ => Ok(identity),
    }
}

/// A name that people use: UTF-8, not empty, without control characters, not too long.
///
/// # Errors
/// What is wrong with it, as a sentence that starts with `what`.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("the {what} has {} bytes; at most {NAME_BYTES_MAX} are allowed", name.len()));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(format!("the {what} {name:?} has blanks around it or control characters in it"));
    }
    Ok(())
}

fn text(what: &str, bytes: &[u8]) -> Result<String, String> {
    let name = std::str::from_utf8(bytes).map_err(|_| format!("the {what} is not UTF-8 text"))?;
    check_name(what, name)?;
    Ok(name.to_owned())
}

fn bad(line: u64, error: impl Into<String>) -> BadLine {
    BadLine { line, error: error.into() }
}
