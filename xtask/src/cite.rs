//! `cargo xtask cite`: which demands of the RFCs are met, by code and by tests that say so.
//!
//! `docs/requirements/rfcNNNN.toml` lists what an RFC demands. Code cites what it meets in a comment line above it,
//! `//= rfc9147#4.5.1-3`; a test cites what it shows above its `#[test]`, `//= test rfc9147#4.5.1-3`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::root;

/// Where citations are looked for.
const FOLDERS: &[&str] = &["crates", "peers", "fuzz"];
const LEVELS: &[&str] = &["MUST", "MUST NOT", "SHOULD", "SHOULD NOT"];
const ROLES: &[&str] = &["client", "server", "both"];
const MARK: &str = "//= ";

/// One thing that an RFC demands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Requirement {
    /// Whether it is a SHOULD.
    soft: bool,
    text: String,
    /// Why no code of ours is to meet it.
    exception: Option<String>,
    code: usize,
    tests: usize,
}

/// By RFC and id, in the order of the sections.
type Requirements = BTreeMap<(String, Id), Requirement>;

/// `4.5.1-3` or, for a SHOULD, `4.5.1-s3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    section: Vec<u32>,
    soft: bool,
    number: u32,
}

/// What a comment line claims.
#[derive(Debug, PartialEq, Eq)]
struct Citation {
    rfc: String,
    id: Id,
    test: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Covered,
    CodeOnly,
    Excepted,
    Open,
}

/// Prints the count; fails if a citation or an entry is wrong, or if a MUST is open and `--deny-open` is given.
pub fn cite(arguments: &[String]) -> Result<()> {
    let known = ["--open", "--excepted", "--deny-open"];
    if let Some(other) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        bail!("no option {other:?}: cite [--open] [--excepted] [--deny-open]");
    }
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let mut faults = Vec::new();
    let mut requirements = read_requirements(&mut faults)?;
    for file in sources()? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let place = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
        count(&mut requirements, &place, &text, &mut faults);
    }
    print_table(&requirements);
    if asked("--open") {
        print_list(&requirements, Standing::Open);
        print_list(&requirements, Standing::CodeOnly);
    }
    if asked("--excepted") {
        print_list(&requirements, Standing::Excepted);
    }
    if !faults.is_empty() {
        bail!("{} citations or entries are wrong:\n  {}", faults.len(), faults.join("\n  "));
    }
    let open = requirements.values().filter(|one| !one.soft && one.standing() == Standing::Open).count();
    if asked("--deny-open") && open > 0 {
        bail!("{open} MUSTs are open; `cargo xtask cite --open` lists them");
    }
    Ok(())
}

fn read_requirements(faults: &mut Vec<String>) -> Result<Requirements> {
    let folder = root().join("docs/requirements");
    let mut all = Requirements::new();
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let rfc = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "toml") {
            parse_requirements(&rfc, &fs::read_to_string(&path)?, &mut all, faults)?;
        }
    }
    Ok(all)
}

fn parse_requirements(rfc: &str, text: &str, all: &mut Requirements, faults: &mut Vec<String>) -> Result<()> {
    let table: toml::Table = text.parse().with_context(|| format!("{rfc}.toml"))?;
    let entries = table.get("requirement").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    for entry in &entries {
        let name = field(entry, "id").unwrap_or_default();
        match parse_requirement(entry) {
            Ok((id, requirement)) => {
                if all.insert((rfc.to_owned(), id), requirement).is_some() {
                    faults.push(format!("{rfc}#{name} stands twice"));
                }
            }
            Err(error) => faults.push(format!("{rfc}#{name}: {error}")),
        }
    }
    Ok(())
}

fn parse_requirement(entry: &toml::Value) -> Result<(Id, Requirement)> {
    let known = ["id", "level", "applies", "text", "exception"];
    let keys = entry.as_table().into_iter().flat_map(toml::Table::keys);
    if let Some(key) = keys.into_iter().find(|key| !known.contains(&key.as_str())) {
        bail!("no field is called {key:?}");
    }
    let id = Id::parse(field(entry, "id").unwrap_or_default()).context("an id is a section, a dash, a number")?;
    let level = field(entry, "level").unwrap_or_default();
    let role = field(entry, "applies").unwrap_or_default();
    let text = field(entry, "text").unwrap_or_default();
    let exception = entry.get("exception").map(|_| field(entry, "exception").unwrap_or_default());
    if !LEVELS.contains(&level) || !ROLES.contains(&role) {
        bail!("level {level:?} or role {role:?} is none of {LEVELS:?}, {ROLES:?}");
    }
    if level.starts_with("SHOULD") != id.soft {
        bail!("the numbers of SHOULDs, and of no others, begin with `s`");
    }
    if text.is_empty() {
        bail!("there is no text");
    }
    if exception.is_some_and(|reason| reason.split_whitespace().count() < 3) {
        bail!("an exception needs a reason");
    }
    let exception = exception.map(str::to_owned);
    Ok((id.clone(), Requirement { soft: id.soft, text: text.to_owned(), exception, code: 0, tests: 0 }))
}

fn field<'e>(entry: &'e toml::Value, key: &str) -> Option<&'e str> {
    entry.get(key)?.as_str()
}

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let (section, number) = text.rsplit_once('-')?;
        let section = section.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()?;
        let (soft, number) = number.strip_prefix('s').map_or((false, number), |number| (true, number));
        Some(Self { section, soft, number: number.parse().ok()? })
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let section: Vec<String> = self.section.iter().map(u32::to_string).collect();
        let soft = if self.soft { "s" } else { "" };
        write!(f, "{}-{soft}{}", section.join("."), self.number)
    }
}

impl Citation {
    /// `None` if the line is no citation at all.
    fn parse(line: &str) -> Option<Result<Self>> {
        let line = line.trim_start();
        if !line.starts_with(MARK.trim_end()) {
            return None;
        }
        let rest = line.strip_prefix(MARK).unwrap_or_default();
        let (test, target) = rest.strip_prefix("test ").map_or((false, rest), |target| (true, target));
        let parsed = target.split_once('#').and_then(|(rfc, id)| Some((rfc.to_owned(), Id::parse(id)?)));
        let form = "the form is `//= rfc9147#4.5.1-3`, or `//= test rfc9147#4.5.1-3` above a test";
        Some(parsed.map(|(rfc, id)| Self { rfc, id, test }).context(form))
    }
}

impl Requirement {
    const fn standing(&self) -> Standing {
        match (&self.exception, self.code, self.tests) {
            (Some(_), ..) => Standing::Excepted,
            (None, 0, _) => Standing::Open,
            (None, _, 0) => Standing::CodeOnly,
            (None, ..) => Standing::Covered,
        }
    }
}

/// Counts the citations of one file.
fn count(requirements: &mut Requirements, place: &str, text: &str, faults: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some(citation) = Citation::parse(line) else { continue };
        let here = format!("{place}:{}", at + 1);
        let outcome = citation.and_then(|citation| {
            let above_test = stands_above_test(lines.get(at..).unwrap_or_default());
            note(requirements, citation, above_test)
        });
        if let Err(error) = outcome {
            faults.push(format!("{here}: {error}"));
        }
    }
}

fn note(requirements: &mut Requirements, citation: Citation, above_test: bool) -> Result<()> {
    let Citation { rfc, id, test } = citation;
    if test != above_test {
        bail!("{rfc}#{id}: `test` stands above tests, and only there");
    }
    let key = (rfc, id);
    let Some(requirement) = requirements.get_mut(&key) else {
        bail!("{}#{} is in no file of docs/requirements", key.0, key.1);
    };
    if requirement.exception.is_some() {
        bail!("{}#{} is cited and excepted", key.0, key.1);
    }
    match test {
        true => requirement.tests += 1,
        false => requirement.code += 1,
    }
    Ok(())
}

/// Whether a `#[test]` follows before anything but comments and other attributes; in a macro it stands in `$(…)`.
fn stands_above_test(lines: &[&str]) -> bool {
    let lines = lines.iter().map(|line| line.trim_start());
    let mut rest = lines.skip_while(|line| line.starts_with("//") || is_other_attribute(line));
    rest.next().is_some_and(|line| line.contains("#[test]"))
}

fn is_other_attribute(line: &str) -> bool {
    line.starts_with("#[") && !line.starts_with("#[test]")
}

fn sources() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    FOLDERS.iter().try_for_each(|folder| collect(&root().join(folder), &mut found))?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let skipped = path.file_name().is_some_and(|name| name == "target" || name == "corpus");
        if path.is_dir() && !skipped {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn print_table(requirements: &Requirements) {
    println!("{:18} {:>7} {:>9} {:>8} {:>5}", "", "covered", "code only", "excepted", "open");
    let mut rows: BTreeMap<(&str, bool), [usize; 4]> = BTreeMap::new();
    for ((rfc, id), requirement) in requirements {
        let [covered, code, excepted, open] = rows.entry((rfc, id.soft)).or_default();
        match requirement.standing() {
            Standing::Covered => *covered += 1,
            Standing::CodeOnly => *code += 1,
            Standing::Excepted => *excepted += 1,
            Standing::Open => *open += 1,
        }
    }
    for ((rfc, soft), [covered, code, excepted, open]) in rows {
        let level = if soft { "should" } else { "must" };
        println!("{rfc:11} {level:6} {covered:>7} {code:>9} {excepted:>8} {open:>5}");
    }
}

fn print_list(requirements: &Requirements, standing: Standing) {
    let title = match standing {
        Standing::Open => "open",
        Standing::CodeOnly => "in code, not in a test",
        Standing::Excepted => "excepted",
        Standing::Covered => "covered",
    };
    println!("\n{title}:");
    for ((rfc, id), requirement) in requirements.iter().filter(|(_, one)| one.standing() == standing) {
        println!("  {rfc}#{id}  {}", requirement.text);
        if let Some(reason) = &requirement.exception {
            println!("      {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: &str = r#"
        [[requirement]]
        id = "4.1-1"
        level = "MUST"
        applies = "both"
        text = "One."
        [[requirement]]
        id = "4.1-s1"
        level = "SHOULD"
        applies = "client"
        text = "Two."
        [[requirement]]
        id = "10-1"
        level = "MUST NOT"
        applies = "server"
        text = "Three."
        exception = "It is not ours."
    "#;

    fn read(entries: &str) -> (Requirements, Vec<String>) {
        let (mut all, mut faults) = (Requirements::new(), Vec::new());
        parse_requirements("rfc1", entries, &mut all, &mut faults).unwrap();
        (all, faults)
    }

    fn counted(source: &str) -> (Requirements, Vec<String>) {
        let (mut all, mut faults) = read(ENTRIES);
        count(&mut all, "a.rs", source, &mut faults);
        (all, faults)
    }

    #[test]
    fn code_and_test_together_cover() {
        let (all, faults) = counted("//= rfc1#4.1-1\nfn f() {}\n//= test rfc1#4.1-1\n/// Why.\n#[test]\nfn g() {}\n");
        assert_eq!(faults, Vec::<String>::new());
        let standings: Vec<Standing> = all.values().map(Requirement::standing).collect();
        assert!(standings == [Standing::Covered, Standing::Open, Standing::Excepted]);
        let (all, faults) = counted("//= test rfc1#4.1-1\n$(#[test] fn $name() {})+\n");
        assert_eq!((all.values().next().unwrap().tests, faults.len()), (1, 0), "a test that a macro makes");
        let (all, _) = counted("    //= rfc1#4.1-s1\n");
        assert!(all.values().map(Requirement::standing).nth(1) == Some(Standing::CodeOnly));
        // A comment that only speaks of such lines is none.
        assert!(Citation::parse("// see `//= rfc1#9-9`").is_none());
    }

    #[test]
    fn wrong_citations_are_named() {
        let wrong = [
            "//= rfc1#4.1-2",                       // no such number
            "//= rfc2#4.1-1",                       // no such RFC
            "//= rfc1#10-1",                        // excepted
            "//= rfc1 4.1-1",                       // another form
            "//=rfc1#4.1-1",                        // another form
            "//= tests rfc1#4.1-1",                 // another form
            "//= test rfc1#4.1-1\nfn no_test() {}", // a test that is none
            "//= rfc1#4.1-1\n#[test]\nfn t() {}",   // code that is a test
        ];
        for source in wrong {
            assert_eq!(counted(source).1.len(), 1, "{source}");
        }
    }

    #[test]
    fn wrong_entries_are_named() {
        assert_eq!(read(ENTRIES).1, Vec::<String>::new());
        let changes = [
            ("id = \"4.1-s1\"", "id = \"4.1-2\""),
            ("id = \"10-1\"", "id = \"4.1-1\""),
            ("id = \"10-1\"", "id = \"ten\""),
            ("\"MUST NOT\"", "\"MAY\""),
            ("\"server\"", "\"nobody\""),
            ("\"Three.\"", "\"\""),
            ("\"It is not ours.\"", "\"\""),
            ("exception =", "excuse ="),
        ];
        for (from, to) in changes {
            assert_eq!(read(&ENTRIES.replace(from, to)).1.len(), 1, "{to}");
        }
    }

    #[test]
    fn ids_stand_in_the_order_of_their_sections() {
        let mut ids = ["10-1", "4.10-1", "4.2-10", "4.2-2", "4-1"].map(|id| Id::parse(id).unwrap());
        ids.sort();
        assert_eq!(ids.map(|id| id.to_string()), ["4-1", "4.2-2", "4.2-10", "4.10-1", "10-1"]);
    }
}
