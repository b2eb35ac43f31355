//! Line ends of every operating system as one, so that line numbers are those that the operator's editor shows.

use std::io::{self, Read};

/// Passes bytes through with CR LF and CR as LF, and ends the last line.
pub struct Lines<R> {
    read: R,
    after_cr: bool,
    last: u8,
}

impl<R: Read> Lines<R> {
    pub fn new(read: R) -> Self {
        Self { read, after_cr: false, last: b'\n' }
    }

    /// Normalises `buffer` in place and answers how much of it is left.
    fn normalise(&mut self, buffer: &mut [u8]) -> usize {
        let mut kept = 0;
        for index in 0..buffer.len() {
            let byte = buffer[index];
            if !(self.after_cr && byte == b'\n') {
                buffer[kept] = if byte == b'\r' { b'\n' } else { byte };
                self.last = buffer[kept];
                kept += 1;
            }
            self.after_cr = byte == b'\r';
        }
        kept
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let length = self.read.read(buffer)?;
            if length == 0 {
                return Ok(self.end(buffer));
            }
            // A chunk may be the second half of a CR LF and nothing else; zero would mean the end.
            let kept = self.normalise(&mut buffer[..length]);
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

impl<R> Lines<R> {
    fn end(&mut self, buffer: &mut [u8]) -> usize {
        let open = self.last != b'\n';
        if open {
            (buffer[0], self.last) = (b'\n', b'\n');
        }
        usize::from(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a call, so that every border between chunks is met.
    struct OneByOne<'a>(&'a [u8]);

    impl Read for OneByOne<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    #[test]
    fn all_line_ends_become_one_whatever_the_chunks() {
        for (text, clean) in [
            ("a\r\nb", "a\nb\n"),
            ("a\rb\r", "a\nb\n"),
            ("a\n\r\n\n", "a\n\n\n"),
            ("", ""),
            ("\r\n", "\n"),
            ("\r\r\n", "\n\n"),
        ] {
            let (mut whole, mut single) = (String::new(), String::new());
            Lines::new(text.as_bytes()).read_to_string(&mut whole).unwrap();
            Lines::new(OneByOne(text.as_bytes())).read_to_string(&mut single).unwrap();
            assert_eq!((whole.as_str(), single.as_str()), (clean, clean));
        }
    }
}
