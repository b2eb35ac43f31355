//! The `?name=value&…` tail of an upstream's address.

use std::ops::RangeInclusive;

/// Options still to be taken; every name was checked against the known ones.
pub(super) struct Options(Vec<(String, String)>);

impl Options {
    /// Splits `address?name=value&…` and refuses names that are not `known`, or that stand twice.
    pub(super) fn split(text: &str, known: &[&str]) -> Result<(String, Self), String> {
        let (address, tail) = text.split_once('?').unwrap_or((text, ""));
        let mut options: Vec<(String, String)> = Vec::new();
        for pair in tail.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| format!("option {pair:?} has no value: write {pair}=…"))?;
            if !known.contains(&name) {
                return Err(unknown(name, known));
            }
            if options.iter().any(|(taken, _)| taken == name) {
                return Err(format!("option {name} stands twice"));
            }
            options.push((name.to_owned(), unescape(value)?));
        }
        Ok((address.to_owned(), Self(options)))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(taken, _)| taken == name)?;
        Some(self.0.swap_remove(index).1)
    }

    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, String> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        match text.parse::<u64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(format!("{name}={text} is not a number from {} to {}", range.start(), range.end())),
        }
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().max_by(|a, b| {
        let (a, b) = (strsim::jaro_winkler(name, a), strsim::jaro_winkler(name, b));
        a.total_cmp(&b)
    });
    match nearest {
        Some(nearest) => format!("unknown option {name:?}: did you mean {nearest:?}?"),
        None => format!("unknown option {name:?}"),
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(|d| char::from(d).to_digit(16)));
        let [Some(high), Some(low)] = digits else {
            return Err(format!("{text:?} has a % that no two hexadecimal digits follow"));
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unescaped() {
        let (address, mut options) = Options::split("x?a=1%202&b=%25", &["a", "b"]).unwrap();
        assert_eq!(address, "x");
        assert_eq!(options.take("a").unwrap(), "1 2");
        assert_eq!(options.take("b").unwrap(), "%");
        assert_eq!(options.take("b"), None);
    }

    #[test]
    fn broken_options_are_refused() {
        for broken in ["?a", "?a=1&a=2", "?c=1", "?a=%4", "?a=%zz", "?a=%ff"] {
            assert!(Options::split(broken, &["a", "b"]).is_err(), "{broken}");
        }
    }

    #[test]
    fn numbers_are_bounded_on_both_sides() {
        for (text, good) in [("?n=1", true), ("?n=9", true), ("?n=0", false), ("?n=10", false), ("?n=x", false)] {
            let (_, mut options) = Options::split(text, &["n"]).unwrap();
            assert_eq!(options.number("n", 1..=9).is_ok(), good, "{text}");
        }
    }
}
