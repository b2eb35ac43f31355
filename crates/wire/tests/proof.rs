//! The link-time proof covers every public function of this crate: whoever adds one adds it there, too.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_public_function_is_in_the_proof() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proof: String = sources(&root.join("../../proof/src")).iter().map(|file| read(file)).collect();
    let mut missing = Vec::new();
    for file in sources(&root.join("src")) {
        for name in public_functions(&read(&file)) {
            if !proof.contains(&format!("{name}(")) {
                missing.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

fn public_functions(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let heads = code.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("pub const fn ").or_else(|| line.strip_prefix("pub fn "))
    });
    heads.map(|head| head.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("sources are text")
}
