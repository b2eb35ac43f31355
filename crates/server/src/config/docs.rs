//! The table of keys in two more forms: the file that `init` writes, and `docs/configuration.md`.

use std::fmt::Write;

use super::keys::{KEYS, Key, Reload, SECTIONS, Section};

/// A configuration file in which every key stands with its default, commented out.
#[must_use]
pub fn commented_file() -> String {
    let mut text = String::from(
        "# Configuration of Bartizan. Every key is optional; what is commented out is the default.\n\
         # `bartizan config check` reads this file without starting anything, `bartizan config show` prints\n\
         # what is in force. An environment variable BARTIZAN_SECTION__KEY wins over this file.\n",
    );
    for section in SECTIONS {
        let _ = write!(text, "\n{}[{}]\n", comment(section.doc), section.name);
        for key in keys_of(section) {
            let _ = write!(text, "{}", comment(key.doc));
            let _ = writeln!(text, "#{} = {}", key.leaf(), key.default);
        }
    }
    text
}

/// The reference for people: `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         Bartizan reads one TOML file, `config.toml` in its data directory (or `--config FILE`). Every key is\n\
         optional. A variable `BARTIZAN_SECTION__KEY` in the environment wins over the file. An unknown key, in\n\
         either place, is an error that names the nearest known one.\n\n\
         `bartizan config check` says whether a file is good; `bartizan config show` prints what is in force and\n\
         where each value came from. On SIGHUP the server reads the file again: a bad file is refused and the old\n\
         values stay; keys marked *live* change at once, the others at the next start.\n\n\
         This page is made from the table of keys in `crates/server/src/config/keys.rs`; a test keeps it current\n\
         (`BARTIZAN_BLESS=1 cargo test -p bartizan-server --lib config` writes it again).\n",
    );
    for section in SECTIONS {
        let _ = write!(text, "\n## `[{}]`\n\n{}\n\n", section.name, sentence(section.doc));
        text.push_str("| key | default | accepts | what it does | changes |\n|---|---|---|---|---|\n");
        for key in keys_of(section) {
            let _ = writeln!(text, "{}", row(key));
        }
    }
    text
}

fn row(key: &Key) -> String {
    let changes = match key.reload {
        Reload::Live => "live",
        Reload::Restart => "at start",
    };
    format!("| `{}` | `{}` | {} | {} | {changes} |", key.leaf(), key.default, (key.shape)(), sentence(key.doc))
}

fn keys_of(section: &'static Section) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| key.section == section.name)
}

fn sentence(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

fn comment(doc: &str) -> String {
    doc.lines().map(|line| format!("# {}\n", line.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_file_is_good_and_changes_nothing_also_when_uncommented() {
        let text = commented_file();
        let loaded = super::super::parse(&text, "config.toml", []).unwrap();
        assert!(loaded.values.iter().all(|shown| shown.origin == super::super::Origin::Default));
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let loaded = super::super::parse(&uncommented, "config.toml", []).unwrap();
        assert!(loaded.values.iter().all(|shown| shown.origin != super::super::Origin::Default));
    }

    #[test]
    fn the_reference_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("BARTIZAN_BLESS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference(),
            "docs/configuration.md is not current: BARTIZAN_BLESS=1 cargo test -p bartizan-server --lib config"
        );
    }
}
