//! Spreadsheets of who may join: CSV with the columns `name,type` and either `identity` or `manufacturer` and
//! `serial_number`, or all three, of which each line has one or the other.

use std::collections::HashMap;
use std::io::Read;

use bartizan_trust::Identity;

use super::lines::Lines;
use super::{BadLine, bad, decode_attestation_identity, text};
use crate::limits::IMPORT_LINES_MAX;

/// How a device proves who it is when it joins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ordered {
    /// By a chain that hangs on the key of its unique device secret.
    Key(Identity),
    /// By a certificate of its manufacturer (IEEE 802.1AR).
    Made { manufacturer: String, serial_number: String },
}

/// One device that may join, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// 1 is the header.
    pub line: u64,
    pub name: String,
    pub device_type: String,
    pub who: Ordered,
}

/// Reads such a spreadsheet line by line.
pub struct Orders<R> {
    csv: csv::Reader<Lines<R>>,
    columns: [Option<usize>; 5],
    count: usize,
    names: HashMap<Box<str>, u64>,
    identities: HashMap<Ordered, u64>,
    lines: u64,
    ended: bool,
}

const KNOWN: [&str; 5] = ["name", "type", "identity", "manufacturer", "serial_number"];
const HEADER: &str = "the first line must be name,type,identity or name,type,manufacturer,serial_number";

impl<R: Read> Orders<R> {
    /// Reads the header. Letter case, blanks and order of its columns do not matter; unknown ones are an error.
    ///
    /// # Errors
    /// Line 1 with its fault.
    pub fn open(read: R) -> Result<Self, BadLine> {
        let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(Lines::new(read));
        let mut record = csv::ByteRecord::new();
        match csv.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Err(bad(1, format!("the file is empty; {HEADER}"))),
            Err(error) => return Err(bad(1, format!("cannot be read: {error}"))),
        }
        let mut columns = [None; 5];
        for (at, name) in record.iter().enumerate() {
            let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
            let known = KNOWN.iter().zip(&mut columns).find(|(known, _)| **known == name);
            let (_, place) = known.ok_or_else(|| bad(1, format!("unknown column {name:?}; {HEADER}")))?;
            if place.replace(at).is_some() {
                return Err(bad(1, format!("the column {name:?} stands twice")));
            }
        }
        match columns {
            [Some(_), Some(_), Some(_), None, None] | [Some(_), Some(_), _, Some(_), Some(_)] => {}
            _ => return Err(bad(1, format!("a column is missing; {HEADER}"))),
        }
        let count = record.len();
        let (names, identities) = (HashMap::new(), HashMap::new());
        Ok(Self { csv, columns, count, names, identities, lines: 0, ended: false })
    }

    fn check(&mut self, line: u64, record: &csv::ByteRecord) -> Result<Order, String> {
        if record.len() != self.count {
            return Err(format!("has {} columns, the header has {}", record.len(), self.count));
        }
        let cell = |column: Option<usize>| column.and_then(|at| record.get(at)).unwrap_or_default().trim_ascii();
        let [name, device_type, identity, manufacturer, serial] = self.columns.map(cell);
        let (name, device_type) = (text("name", name)?, text("type", device_type)?);
        let who = match (identity, manufacturer, serial) {
            (identity, [], []) if !identity.is_empty() => Ordered::Key(decode_attestation_identity(identity)?),
            ([], manufacturer, serial) => Ordered::Made {
                manufacturer: text("manufacturer", manufacturer)?,
                serial_number: text("serial number", serial)?,
            },
            _ => return Err("has an identity and a serial number; one of them says who the device is".into()),
        };
        let first = *self.names.entry(name.as_str().into()).or_insert(line);
        if first != line {
            return Err(format!("the name {name:?} stands on line {first} already"));
        }
        let first = *self.identities.entry(who.clone()).or_insert(line);
        if first != line {
            return Err(format!("the identity stands on line {first} already: two devices would share a secret"));
        }
        Ok(Order { line, name, device_type, who })
    }
}

impl<R: Read> Iterator for Orders<R> {
    type Item = Result<Order, BadLine>;

    /// The next order, or the next bad line. After a line that cannot be read at all nothing follows.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next_line = self.csv.position().line();
        let mut record = csv::ByteRecord::new();
        match self.csv.read_byte_record(&mut record) {
            Ok(false) => None,
            Err(error) => {
                self.ended = true;
                Some(Err(bad(next_line, format!("cannot be read: {error}"))))
            }
            Ok(true) => {
                let breaks = record.as_slice().iter().filter(|byte| **byte == b'\n').count();
                let line = self.csv.position().line().saturating_sub(1 + breaks as u64);
                self.lines += 1;
                if self.lines > IMPORT_LINES_MAX {
                    self.ended = true;
                    return Some(Err(bad(line, format!("more than {IMPORT_LINES_MAX} devices in one file"))));
                }
                Some(self.check(line, &record).map_err(|error| bad(line, error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(csv: &str) -> Result<Vec<Result<Order, BadLine>>, BadLine> {
        Orders::open(csv.as_bytes()).map(Iterator::collect)
    }

    #[test]
    fn an_identity_or_a_serial_number_says_who_may_join() {
        let key = "ab".repeat(32);
        let csv = format!("name,type,identity,manufacturer,serial_number\nm1,meter,{key},,\nm2,meter,,Acme,MX-1\n");
        let orders = read(&csv).unwrap();
        let orders: Vec<_> = orders.into_iter().map(Result::unwrap).collect();
        assert_eq!(orders[0].who, Ordered::Key(Identity([0xAB; 32])));
        assert_eq!(orders[1].who, Ordered::Made { manufacturer: "Acme".into(), serial_number: "MX-1".into() });
        assert_eq!((orders[1].line, orders[1].name.as_str()), (3, "m2"));
    }

    #[test]
    fn what_is_twice_or_neither_is_named_with_its_line() {
        let (a, b) = ("ab".repeat(32), "cd".repeat(32));
        let csv = format!("Name, Type ,identity\nm1,meter,{a}\nm2,meter,{a}\nm1,meter,{b}\nm4,meter,\nm5,meter,xy\n");
        let lines: Vec<_> = read(&csv).unwrap().into_iter().filter_map(Result::err).map(|bad| bad.line).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
        for header in ["name,type", "name,type,serial_number", "name,identity", "name,type,identity,psk", ""] {
            assert!(read(header).is_err(), "{header}");
        }
    }
}
