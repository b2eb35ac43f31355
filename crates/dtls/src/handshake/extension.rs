//! Hello extensions.

use alloc::vec::Vec;

use crate::codec::{Reader, put_u16, put_vec8, put_vec16};
use crate::limits::EXTENSIONS_MAX;
use crate::{ConnectionId, Error, Group};

/// IANA's TLS ExtensionType values that mean something here.
pub(crate) mod kind {
    /// RFC 6066 section 3.
    pub const SERVER_NAME: u16 = 0;
    /// RFC 6066 section 4.
    pub const MAX_FRAGMENT_LENGTH: u16 = 1;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const EC_POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    /// RFC 7250.
    pub const CLIENT_CERTIFICATE_TYPE: u16 = 19;
    /// RFC 7250.
    pub const SERVER_CERTIFICATE_TYPE: u16 = 20;
    /// RFC 7627.
    pub const EXTENDED_MASTER_SECRET: u16 = 23;
    /// RFC 8449.
    pub const RECORD_SIZE_LIMIT: u16 = 28;
    /// RFC 5077.
    pub const SESSION_TICKET: u16 = 35;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const SUPPORTED_VERSIONS: u16 = 43;
    pub const COOKIE: u16 = 44;
    pub const PSK_KEY_EXCHANGE_MODES: u16 = 45;
    pub const KEY_SHARE: u16 = 51;
    /// RFC 9146 and RFC 9147 section 9.
    pub const CONNECTION_ID: u16 = 54;
    /// Return routability check (RFC 9853).
    pub const RRC: u16 = 61;
    /// RFC 5746.
    pub const RENEGOTIATION_INFO: u16 = 0xFF01;
}

use kind::{CONNECTION_ID, EC_POINT_FORMATS, EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO, SUPPORTED_GROUPS};

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
    /// All of them as they stand: kinds, lengths, bodies. Well-formed, each kind once.
    pub list: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Reads the extensions that end a hello; none at all is the same as an empty list.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut found = Self::default();
        if reader.is_empty() {
            return Ok(found);
        }
        found.list = reader.vec16()?;
        let mut list = Reader::new(found.list);
        for index in 0.. {
            if list.is_empty() {
                break;
            }
            if index >= EXTENSIONS_MAX {
                return Err(Error::Malformed("too many extensions"));
            }
            let kind = list.u16()?;
            let body = list.vec16()?;
            found.note(kind, body)?;
        }
        match found.has_duplicates() {
            true => Err(Error::Malformed("an extension stands twice")),
            false => Ok(found),
        }
    }

    /// The content of the extension of this kind.
    pub fn body(&self, kind: u16) -> Option<&'a [u8]> {
        self.iter().find(|(each, _)| *each == kind).map(|(_, body)| body)
    }

    /// Kinds and contents, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut list = Reader::new(self.list);
        core::iter::from_fn(move || Some((list.u16().ok()?, list.vec16().ok()?)))
    }

    /// Whether nothing but these kinds is there.
    pub fn are_among(&self, kinds: &[u16]) -> bool {
        self.iter().all(|(kind, _)| kinds.contains(&kind))
    }

    fn note(&mut self, kind: u16, body: &'a [u8]) -> Result<(), Error> {
        let mut reader = Reader::new(body);
        match kind {
            EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            CONNECTION_ID => self.connection_id = ConnectionId::new(reader.vec8()?),
            RENEGOTIATION_INFO => self.renegotiation_info = Some(reader.vec8()?),
            SUPPORTED_GROUPS => self.groups = Some(reader.vec16()?),
            EC_POINT_FORMATS => self.point_formats = Some(reader.vec8()?),
            _ => return Ok(()),
        }
        reader.finish().map_err(|_| Error::Malformed("an extension has the wrong length"))
    }

    /// RFC 8446 section 4.2: no two of the same kind. Their number is bounded, so the square is small.
    fn has_duplicates(&self) -> bool {
        self.iter().enumerate().any(|(index, (kind, _))| self.iter().take(index).any(|(other, _)| other == kind))
    }
}

/// Writes extensions one by one.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub fn extended_master_secret(&mut self) {
        self.put(EXTENDED_MASTER_SECRET, &[]);
    }

    //= rfc9146#3-1
    pub fn connection_id(&mut self, cid: &ConnectionId) {
        let mut body = Vec::new();
        put_vec8(&mut body, cid.as_slice());
        self.put(CONNECTION_ID, &body);
    }

    /// An empty renegotiated_connection: this is the first handshake.
    pub fn renegotiation_info(&mut self) {
        self.put(RENEGOTIATION_INFO, &[0]);
    }

    pub fn groups(&mut self, groups: impl Iterator<Item = Group>) {
        let mut list = Vec::new();
        groups.for_each(|group| put_u16(&mut list, group.code()));
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

    /// Any extension.
    pub fn put(&mut self, kind: u16, body: &[u8]) {
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
        writer.groups(Group::CLASSICAL.into_iter());
        writer.point_formats();
        let mut bytes = Vec::new();
        writer.finish(&mut bytes);
        let found = Extensions::read(&mut Reader::new(&bytes)).unwrap();
        assert!(found.extended_master_secret);
        assert_eq!(found.body(kind::EC_POINT_FORMATS), Some(&[1, 0][..]));
        assert_eq!(found.iter().count(), 5);
        assert_eq!(found.connection_id, Some(cid));
        assert_eq!(found.renegotiation_info, Some(&[][..]));
        assert_eq!(found.groups, Some(&[0, 29, 0, 23][..]));
        assert_eq!(found.point_formats, Some(&[0][..]));
        for length in 1..bytes.len() {
            assert!(Extensions::read(&mut Reader::new(&bytes[..length])).is_err());
        }
    }

    #[test]
    fn the_number_of_extensions_is_bounded() {
        for (count, fits) in [(EXTENSIONS_MAX, true), (EXTENSIONS_MAX + 1, false)] {
            let mut writer = Writer::default();
            (0..count).for_each(|kind| writer.put(0x4000 + kind as u16, &[]));
            let mut bytes = Vec::new();
            writer.finish(&mut bytes);
            assert_eq!(Extensions::read(&mut Reader::new(&bytes)).is_ok(), fits);
        }
    }

    #[test]
    fn the_same_extension_twice_is_refused() {
        let mut writer = Writer::default();
        writer.extended_master_secret();
        writer.extended_master_secret();
        let mut bytes = Vec::new();
        writer.finish(&mut bytes);
        assert!(Extensions::read(&mut Reader::new(&bytes)).is_err());
    }
}
