//! Hello extensions.

use alloc::vec::Vec;

use crate::codec::{Reader, put_u16, put_vec8, put_vec16};
use crate::{ConnectionId, Error};

const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const EXTENDED_MASTER_SECRET: u16 = 23;
const CONNECTION_ID: u16 = 54;
const RENEGOTIATION_INFO: u16 = 0xFF01;

/// "I support secure renegotiation", said as a cipher suite (RFC 5746 section 3.3).
pub(crate) const RENEGOTIATION_SCSV: u16 = 0x00FF;

/// The extensions of a hello that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions<'a> {
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// RFC 9146. One that is longer than we can hold counts as not offered.
    pub connection_id: Option<ConnectionId>,
    /// RFC 5746: the content of renegotiated_connection.
    pub renegotiation_info: Option<&'a [u8]>,
    /// RFC 8422: a list of u16.
    pub groups: Option<&'a [u8]>,
    pub point_formats: Option<&'a [u8]>,
    /// Whether anything else was there.
    pub others: bool,
}

impl<'a> Extensions<'a> {
    /// Reads the extensions that end a hello; none at all is the same as an empty list.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut found = Self::default();
        if reader.is_empty() {
            return Ok(found);
        }
        let mut list = Reader::new(reader.vec16()?);
        while !list.is_empty() {
            let kind = list.u16()?;
            let body = list.vec16()?;
            found.note(kind, body)?;
        }
        Ok(found)
    }

    fn note(&mut self, kind: u16, body: &'a [u8]) -> Result<(), Error> {
        if !self.is_new(kind) {
            return Err(Error::Malformed("an extension stands twice"));
        }
        let mut reader = Reader::new(body);
        match kind {
            EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            CONNECTION_ID => self.connection_id = ConnectionId::new(reader.vec8()?),
            RENEGOTIATION_INFO => self.renegotiation_info = Some(reader.vec8()?),
            SUPPORTED_GROUPS => self.groups = Some(reader.vec16()?),
            EC_POINT_FORMATS => self.point_formats = Some(reader.vec8()?),
            _ => {
                self.others = true;
                return Ok(());
            }
        }
        reader.finish().map_err(|_| Error::Malformed("an extension has the wrong length"))
    }

    /// RFC 5246 section 7.4.1.4; extensions that mean nothing here may do as they like.
    const fn is_new(&self, kind: u16) -> bool {
        match kind {
            EXTENDED_MASTER_SECRET => !self.extended_master_secret,
            CONNECTION_ID => self.connection_id.is_none(),
            RENEGOTIATION_INFO => self.renegotiation_info.is_none(),
            SUPPORTED_GROUPS => self.groups.is_none(),
            EC_POINT_FORMATS => self.point_formats.is_none(),
            _ => true,
        }
    }
}

/// Writes extensions one by one.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub fn extended_master_secret(&mut self) {
        self.put(EXTENDED_MASTER_SECRET, &[]);
    }

    pub fn connection_id(&mut self, cid: &ConnectionId) {
        let mut body = Vec::new();
        put_vec8(&mut body, cid.as_slice());
        self.put(CONNECTION_ID, &body);
    }

    /// An empty renegotiated_connection: this is the first handshake.
    pub fn renegotiation_info(&mut self) {
        self.put(RENEGOTIATION_INFO, &[0]);
    }

    pub fn groups(&mut self, groups: &[u16]) {
        let mut list = Vec::new();
        groups.iter().for_each(|group| put_u16(&mut list, *group));
        let mut body = Vec::new();
        put_vec16(&mut body, &list);
        self.put(SUPPORTED_GROUPS, &body);
    }

    /// Uncompressed points only (RFC 8422 section 5.1.2).
    pub fn point_formats(&mut self) {
        self.put(EC_POINT_FORMATS, &[1, 0]);
    }

    /// Appends the list, or nothing if it is empty.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            put_vec16(out, &self.0);
        }
    }

    fn put(&mut self, kind: u16, body: &[u8]) {
        put_u16(&mut self.0, kind);
        put_vec16(&mut self.0, body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let cid = ConnectionId::new(b"abc").unwrap();
        let mut writer = Writer::default();
        writer.extended_master_secret();
        writer.connection_id(&cid);
        writer.renegotiation_info();
        writer.groups(&[29, 23]);
        writer.point_formats();
        let mut bytes = Vec::new();
        writer.finish(&mut bytes);
        let found = Extensions::read(&mut Reader::new(&bytes)).unwrap();
        assert!(found.extended_master_secret && !found.others);
        assert_eq!(found.connection_id, Some(cid));
        assert_eq!(found.renegotiation_info, Some(&[][..]));
        assert_eq!(found.groups, Some(&[0, 29, 0, 23][..]));
        assert_eq!(found.point_formats, Some(&[0][..]));
        for length in 1..bytes.len() {
            assert!(Extensions::read(&mut Reader::new(&bytes[..length])).is_err());
        }
    }

    #[test]
    fn the_same_extension_twice_is_malformed() {
        let mut writer = Writer::default();
        writer.extended_master_secret();
        writer.extended_master_secret();
        let mut bytes = Vec::new();
        writer.finish(&mut bytes);
        assert!(Extensions::read(&mut Reader::new(&bytes)).is_err());
    }
}
