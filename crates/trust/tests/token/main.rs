//! Tokens and wrappers: those that others made (`shared/vectors`, skipped with a word where it is absent), ours from the
//! device's hand to the normal form, and every one of them with something wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::disallowed_methods, reason = "tests read files")]

mod cmw;
#[path = "../common/mod.rs"]
mod common;
mod evidence;
mod heartbeat;
mod hostile;
mod maker;
mod notation;
mod psa;

/// Files of a folder of vectors with this ending, by name. Empty, and a word about it, where there are none.
fn vectors(folder: &str, ending: &str) -> Vec<(String, Vec<u8>)> {
    let Some(folder) = common::vectors(folder) else { return Vec::new() };
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .map(|name| (name.clone(), common::read(&folder, &name)))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "nothing in {}", folder.display());
    files
}
