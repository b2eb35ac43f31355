//! Writes a message into a caller's buffer.

use super::block::Block;
use super::code::Code;
use super::header::{Header, Type};
use super::observe::{OBSERVE_DEREGISTER, OBSERVE_REGISTER};
use super::option::{OptionHead, OptionNumber, OptionView, Options, PAYLOAD_MARKER, encode_uint};
use super::target::unescape;
use crate::error::{Error, Misuse};
use crate::limits::{COAP_OPTION_BYTES_MAX, COAP_OPTIONS_MAX, COAP_TOKEN_BYTES_MAX};

/// A message under construction. Options may be added in any order; each goes to its place, behind
/// equal ones. The first mistake sticks and is told by [`Builder::finish`].
#[derive(Debug)]
pub struct Builder<'a> {
    out: &'a mut [u8],
    /// Bytes written so far.
    length: usize,
    /// Where the options start.
    options_at: usize,
    options: usize,
    payload: bool,
    code: Code,
    fault: Option<Misuse>,
}

impl<'a> Builder<'a> {
    #[must_use]
    pub fn new(out: &'a mut [u8], kind: Type, code: Code, message_id: u16, token: &[u8]) -> Self {
        let mut builder = Self { out, length: 0, options_at: 0, options: 0, payload: false, code, fault: None };
        if token.len() > COAP_TOKEN_BYTES_MAX {
            builder.fault = Some(Misuse::TokenLength);
        } else if code.is_empty() && !token.is_empty() {
            builder.fault = Some(Misuse::EmptyNotEmpty);
        }
        let header = Header { kind, code, message_id, token_length: token.len() };
        builder.append(&header.to_bytes());
        builder.append(token);
        builder.options_at = builder.length;
        builder
    }

    /// Adds an option. One whose definition is known must have a length that the definition allows.
    #[must_use]
    pub fn option(mut self, number: OptionNumber, value: &[u8]) -> Self {
        if let Err(misuse) = self.check_option(number, value) {
            self.fault.get_or_insert(misuse);
            return self;
        }
        self.options = self.options.saturating_add(1);
        self.insert(number, value);
        self
    }

    /// Adds an option with an unsigned integer in its shortest form.
    #[must_use]
    pub fn uint(self, number: OptionNumber, value: u32) -> Self {
        let (bytes, skip) = encode_uint(value);
        self.option(number, bytes.get(skip..).unwrap_or(&[]))
    }

    /// Path and query of a request, percent-encoded as in a URI: `/meter/volume?unit=l&since=3`.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        let (path, query) = cut_at(target.as_bytes(), b'?');
        let path = path.strip_prefix(b"/").unwrap_or(path);
        if !path.is_empty() {
            self = self.parts(OptionNumber::URI_PATH, path, b'/');
        }
        match query {
            Some(query) => self.parts(OptionNumber::URI_QUERY, query, b'&'),
            None => self,
        }
    }

    #[must_use]
    pub fn uri_path(self, segment: &str) -> Self {
        self.option(OptionNumber::URI_PATH, segment.as_bytes())
    }

    #[must_use]
    pub fn uri_query(self, part: &str) -> Self {
        self.option(OptionNumber::URI_QUERY, part.as_bytes())
    }

    #[must_use]
    pub fn content_format(self, format: u16) -> Self {
        self.uint(OptionNumber::CONTENT_FORMAT, u32::from(format))
    }

    #[must_use]
    pub fn accept(self, format: u16) -> Self {
        self.uint(OptionNumber::ACCEPT, u32::from(format))
    }

    #[must_use]
    pub fn max_age(self, seconds: u32) -> Self {
        self.uint(OptionNumber::MAX_AGE, seconds)
    }

    /// The sequence number of a notification, of which the low 24 bits count (RFC 7641 section 4.4).
    #[must_use]
    pub fn observe(self, sequence: u32) -> Self {
        self.uint(OptionNumber::OBSERVE, sequence & 0x00ff_ffff)
    }

    /// Asks for notifications, or for no more of them.
    #[must_use]
    pub fn observe_register(self, register: bool) -> Self {
        self.observe(if register { OBSERVE_REGISTER } else { OBSERVE_DEREGISTER })
    }

    #[must_use]
    pub fn block1(self, block: Block) -> Self {
        self.uint(OptionNumber::BLOCK1, block.to_uint())
    }

    #[must_use]
    pub fn block2(self, block: Block) -> Self {
        self.uint(OptionNumber::BLOCK2, block.to_uint())
    }

    #[must_use]
    pub fn size1(self, bytes: u32) -> Self {
        self.uint(OptionNumber::SIZE1, bytes)
    }

    #[must_use]
    pub fn size2(self, bytes: u32) -> Self {
        self.uint(OptionNumber::SIZE2, bytes)
    }

    /// The payload, after which no option may follow. An empty one writes nothing.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        if payload.is_empty() {
            return self;
        }
        if self.payload {
            self.fault.get_or_insert(Misuse::SecondPayload);
        } else if self.code.is_empty() {
            self.fault.get_or_insert(Misuse::EmptyNotEmpty);
        }
        self.payload = true;
        self.append(&[PAYLOAD_MARKER]);
        self.append(payload);
        self
    }

    /// The finished message.
    ///
    /// # Errors
    /// [`Error::Misuse`] with the first mistake.
    pub fn finish(self) -> Result<&'a [u8], Error> {
        if let Some(misuse) = self.fault {
            return Err(Error::Misuse(misuse));
        }
        let written: &'a [u8] = self.out;
        written.get(..self.length).ok_or(Error::Misuse(Misuse::NoRoom))
    }

    fn check_option(&self, number: OptionNumber, value: &[u8]) -> Result<(), Misuse> {
        let allowed = match number.definition() {
            Some(definition) => definition.allows(value.len()),
            None => value.len() <= COAP_OPTION_BYTES_MAX,
        };
        if self.payload {
            return Err(Misuse::OptionAfterPayload);
        }
        if self.code.is_empty() {
            return Err(Misuse::EmptyNotEmpty);
        }
        if self.options >= COAP_OPTIONS_MAX {
            return Err(Misuse::OptionCount);
        }
        if !allowed {
            return Err(Misuse::OptionLength);
        }
        Ok(())
    }

    /// Unescapes the parts of a path or query and adds each as an option.
    fn parts(mut self, number: OptionNumber, text: &[u8], separator: u8) -> Self {
        let mut part = [0; 255];
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (escaped, behind) = cut_at(text, separator);
            match unescape(escaped, &mut part) {
                Some(value) => self = self.option(number, value),
                None => {
                    self.fault.get_or_insert(Misuse::Target);
                }
            }
            rest = behind;
        }
        self
    }

    /// Puts an option behind all with a number up to its own, and rewrites the next one's delta.
    fn insert(&mut self, number: OptionNumber, value: &[u8]) {
        let Some(gap) = self.find_gap(number) else {
            self.fault.get_or_insert(Misuse::NoRoom);
            return;
        };
        let head = OptionHead::new(number.0.saturating_sub(gap.before), value.len() as u16);
        let next_head = gap.next.map(|(next, length)| OptionHead::new(next.saturating_sub(number.0), length));
        let next_head = next_head.as_ref().map_or(&[][..], OptionHead::as_slice);
        let tail_to =
            gap.at.saturating_add(head.as_slice().len()).saturating_add(value.len()).saturating_add(next_head.len());
        let tail_from = gap.at.saturating_add(gap.next_head_bytes);
        if !self.move_tail(tail_from, tail_to) {
            self.fault.get_or_insert(Misuse::NoRoom);
            return;
        }
        let written = [head.as_slice(), value, next_head];
        self.overwrite(gap.at, written);
    }

    /// Where an option of this number belongs.
    fn find_gap(&self, number: OptionNumber) -> Option<Gap> {
        let written = self.out.get(self.options_at..self.length)?;
        let mut options = Options::new(written);
        let mut gap = Gap { at: self.options_at, before: 0, next: None, next_head_bytes: 0 };
        let mut unread = written.len();
        while let Some(OptionView { number: next, value }) = options.next() {
            let left = options.rest().len();
            if next > number {
                gap.next = Some((next.0, value.len() as u16));
                gap.next_head_bytes = unread.saturating_sub(left).saturating_sub(value.len());
                break;
            }
            gap.before = next.0;
            gap.at = self.length.saturating_sub(left);
            unread = left;
        }
        Some(gap)
    }

    /// Moves the bytes from `from` to the end so that they start at `to`. A tail never moves to the
    /// left: an inserted option is longer than what its successor's head shrinks by.
    fn move_tail(&mut self, from: usize, to: usize) -> bool {
        let tail = self.length.saturating_sub(from);
        let length = to.saturating_add(tail);
        if length > self.out.len() || to < from {
            return false;
        }
        for offset in (0..tail).rev() {
            let Some(byte) = self.out.get(from.saturating_add(offset)).copied() else {
                return false;
            };
            let Some(place) = self.out.get_mut(to.saturating_add(offset)) else {
                return false;
            };
            *place = byte;
        }
        self.length = length;
        true
    }

    fn overwrite(&mut self, at: usize, parts: [&[u8]; 3]) {
        let bytes = parts.into_iter().flatten();
        let places = self.out.get_mut(at..).unwrap_or(&mut []);
        for (place, byte) in places.iter_mut().zip(bytes) {
            *place = *byte;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        let Some(places) = self.out.get_mut(self.length..end) else {
            self.fault.get_or_insert(Misuse::NoRoom);
            return;
        };
        for (place, byte) in places.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.length = end;
    }
}

/// What is before the first `separator`, and what is behind it. (The searchers of `str` can panic.)
fn cut_at(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let Some(at) = text.iter().position(|byte| *byte == separator) else {
        return (text, None);
    };
    (text.get(..at).unwrap_or(&[]), text.get(at.saturating_add(1)..))
}

/// A place among the written options.
struct Gap {
    at: usize,
    /// Number of the option before it, or 0.
    before: u16,
    /// Number and value length of the option behind it, and how many bytes its head has now.
    next: Option<(u16, u16)>,
    next_head_bytes: usize,
}
