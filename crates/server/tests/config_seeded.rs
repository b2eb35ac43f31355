//! The configuration file, mutated by seed: read, or refused with lines that say something.

use bartizan_server::config::{commented_file, parse};

/// SplitMix64.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Lines left out, doubled, uncommented and moved; letters changed; numbers made odd.
    fn mutate(&mut self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for _ in 0..=self.below(8) {
            let at = self.below(lines.len());
            match self.below(6) {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[self.below(lines.len())].clone()),
                2 | 3 => lines[at] = lines[at].trim_start_matches('#').to_owned(),
                4 => {
                    let odd = ["-1", "18446744073709551616", "\"\"", "[]", "true", "1e999", "\"\u{0}\"", "127.0.0.1:0"];
                    let key = lines[at].split('=').next().unwrap_or_default().trim_start_matches('#').to_owned();
                    lines[at] = format!("{key}= {}", odd[self.below(odd.len())]);
                }
                _ => {
                    let mut letters: Vec<char> = lines[at].chars().collect();
                    if let Some(place) = letters.len().checked_sub(1).map(|last| self.below(last + 1)) {
                        letters[place] = char::from(self.next() as u8);
                    }
                    lines[at] = letters.into_iter().collect();
                }
            }
            if lines.is_empty() {
                return String::new();
            }
        }
        lines.join("\n")
    }
}

#[test]
fn any_configuration_is_read_or_refused_in_words() {
    let shipped = commented_file();
    assert!(parse(&shipped, "config.toml", []).is_ok());
    let mut rng = Seeded(5);
    let (mut read, mut refused) = (0, 0);
    for round in 0..2_000 {
        let text = rng.mutate(&shipped);
        match parse(&text, "config.toml", []) {
            Ok(_) => read += 1,
            Err(faults) => {
                refused += 1;
                assert!(!faults.0.is_empty(), "round {round}: {text}");
                assert!(faults.0.iter().all(|line| !line.trim().is_empty()), "round {round}: {:?}", faults.0);
            }
        }
    }
    assert!(read > 50 && refused > 500, "{read} read, {refused} refused");
}
