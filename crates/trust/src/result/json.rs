//! JSON (RFC 8259), as much as a token needs, read in one way: no key twice, nothing behind the end, bounded nesting.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::{Error, limits};

const BROKEN: Error = Error::Malformed("no JSON");

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `null`, and numbers that are no integers: nothing here asks for any.
    Other,
    Bool(bool),
    Int(i64),
    Text(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub fn under(&self, name: &str) -> Option<&Self> {
        self.object()?.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    pub fn array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub fn object(&self) -> Option<&[(String, Self)]> {
        if let Self::Object(pairs) = self { Some(pairs) } else { None }
    }
}

pub(crate) fn read(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader(core::str::from_utf8(bytes).map_err(|_| BROKEN)?);
    let value = reader.value(limits::NESTING_MAX)?;
    reader.space();
    if reader.0.is_empty() { Ok(value) } else { Err(BROKEN) }
}

struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Whether this comes next, and then behind it.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn want(&mut self, token: &str) -> Result<(), Error> {
        if self.take(token) { Ok(()) } else { Err(BROKEN) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        let depth = depth.checked_sub(1).ok_or(Error::Unavailable("JSON that nests deeper than is taken"))?;
        if self.take("{") {
            return self.object(depth).map(Value::Object);
        }
        if self.take("[") {
            return self.array(depth).map(Value::Array);
        }
        if self.take("\"") {
            return self.text().map(Value::Text);
        }
        if self.take("true") {
            return Ok(Value::Bool(true));
        }
        if self.take("false") {
            return Ok(Value::Bool(false));
        }
        if self.take("null") {
            return Ok(Value::Other);
        }
        self.number()
    }

    fn object(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Error> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        if self.take("}") {
            return Ok(pairs);
        }
        loop {
            self.want("\"")?;
            let key = self.text()?;
            if pairs.iter().any(|(earlier, _)| *earlier == key) {
                return Err(Error::Malformed("JSON with the same key twice"));
            }
            if pairs.len() >= limits::MAP_ENTRIES_MAX {
                return Err(Error::Unavailable("a JSON object with more entries than are taken"));
            }
            self.want(":")?;
            pairs.push((key, self.value(depth)?));
            if self.take("}") {
                return Ok(pairs);
            }
            self.want(",")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        if self.take("]") {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth)?);
            if self.take("]") {
                return Ok(items);
            }
            self.want(",")?;
        }
    }

    /// Behind its opening quote.
    fn text(&mut self) -> Result<String, Error> {
        let mut out = String::new();
        loop {
            match self.character()? {
                '"' => return Ok(out),
                '\\' => out.push(self.escaped()?),
                plain if plain < ' ' => return Err(BROKEN),
                plain => out.push(plain),
            }
        }
    }

    fn character(&mut self) -> Result<char, Error> {
        let mut rest = self.0.chars();
        let character = rest.next().ok_or(BROKEN)?;
        self.0 = rest.as_str();
        Ok(character)
    }

    fn escaped(&mut self) -> Result<char, Error> {
        Ok(match self.character()? {
            plain @ ('"' | '\\' | '/') => plain,
            'b' => '\u{8}',
            'f' => '\u{C}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.code_point(),
            _ => return Err(BROKEN),
        })
    }

    fn code_point(&mut self) -> Result<char, Error> {
        let first = self.unit()?;
        let code = match first {
            0xD800..=0xDBFF => {
                let escape = self.character()? == '\\' && self.character()? == 'u';
                let second = self.unit()?;
                match second {
                    0xDC00..=0xDFFF if escape => 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                    _ => return Err(BROKEN),
                }
            }
            _ => first,
        };
        char::from_u32(code).ok_or(BROKEN)
    }

    fn unit(&mut self) -> Result<u32, Error> {
        (0..4).try_fold(0, |code, _| Ok(code << 4 | self.character()?.to_digit(16).ok_or(BROKEN)?))
    }

    fn number(&mut self) -> Result<Value, Error> {
        let end = self.0.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(self.0.len());
        let (number, rest) = self.0.split_at_checked(end).ok_or(BROKEN)?;
        self.0 = rest;
        let digits = number.strip_prefix('-').unwrap_or(number);
        let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let digits_only = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
        let leading = whole.len() > 1 && whole.starts_with('0');
        if leading || ![whole, fraction, exponent].into_iter().all(digits_only) {
            return Err(BROKEN);
        }
        match whole.len() == digits.len() {
            true => number.parse().map(Value::Int).map_err(|_| BROKEN),
            false => Ok(Value::Other),
        }
    }
}

/// Writes a string with its quotes.
pub(crate) fn put_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            // Control characters must be escaped; `<` and the two separators are for who embeds it in a page.
            '\0'..=' ' if character != ' ' => put_escape(out, character),
            '<' | '\u{7F}' | '\u{2028}' | '\u{2029}' => put_escape(out, character),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

fn put_escape(out: &mut String, character: char) {
    let _ = write!(out, "\\u{:04x}", u32::from(character));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_their_escapes() {
        for text in ["", "plain", "\"\\/\u{8}\u{C}\n\r\t\0\u{1f}", "Wasserzähler 水 😀", "</script>\u{2028}"] {
            let mut out = String::new();
            put_text(&mut out, text);
            assert!(!out.contains(['<', '\n', '\u{2028}']));
            assert_eq!(read(out.as_bytes()), Ok(Value::Text(text.into())));
        }
        assert_eq!(read(br#""\ud83d\ude00\u00e4\/""#), Ok(Value::Text("😀ä/".into())));
    }

    #[test]
    fn one_value_in_one_reading() {
        let value = read(br#" { "a" : [ 1 , -2, 1.5e3, null, true ] , "b" : { } } "#).unwrap();
        let items = [Value::Int(1), Value::Int(-2), Value::Other, Value::Other, Value::Bool(true)];
        assert_eq!(value.under("a").unwrap().array(), Some(&items[..]));
        assert_eq!(value.under("b").unwrap().object(), Some(&[][..]));
        for bad in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "01",
            "-",
            "+1",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1.5.5",
            "--1",
            "nul",
            "\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "1 2",
            "{1:2}",
            "[1 2]",
            "99999999999999999999",
            "'a'",
            "NaN",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(b"\"\xFF\"").is_err());
    }

    #[test]
    fn nesting_and_objects_end_at_their_limits() {
        let nested = |depth: usize| [("[").repeat(depth), "]".repeat(depth)].concat();
        assert!(read(nested(limits::NESTING_MAX).as_bytes()).is_ok());
        assert!(matches!(read(nested(limits::NESTING_MAX + 1).as_bytes()), Err(Error::Unavailable(_))));
        let wide = |count: usize| {
            let pairs: Vec<_> = (0..count).map(|number| alloc::format!("\"{number}\":0")).collect();
            alloc::format!("{{{}}}", pairs.join(","))
        };
        assert!(read(wide(limits::MAP_ENTRIES_MAX).as_bytes()).is_ok());
        assert!(matches!(read(wide(limits::MAP_ENTRIES_MAX + 1).as_bytes()), Err(Error::Unavailable(_))));
    }
}
