//! Debian's software TPM, and its own tools to speak to it: nothing here is ours.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bartizan_trust::tpm::{Carried, Credential};
use tempfile::TempDir;

/// A TPM of one test, with an endorsement key and an attestation key under it.
pub struct SoftwareTpm {
    folder: TempDir,
    process: Child,
    pub endorsement: Vec<u8>,
    pub key: Vec<u8>,
}

/// A restricted signing key, and one that signs whatever it is given.
pub const RESTRICTED: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign";
pub const UNRESTRICTED: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign";

/// What registers hold, each by its number.
type Held = Vec<(u8, Vec<u8>)>;

impl SoftwareTpm {
    /// `None`, and a word about it, where the packages are not installed.
    pub fn start() -> Option<Self> {
        for (program, package) in [("swtpm", "swtpm"), ("tpm2_quote", "tpm2-tools")] {
            if !Path::new("/usr/bin").join(program).exists() {
                eprintln!("skipped: {program} is missing (apt-get install {package})");
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let process = run(folder.path());
        let mut tpm = Self { folder, process, endorsement: Vec::new(), key: Vec::new() };
        tpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "ecc", "-u", "ek.pub"]);
        tpm.tool("tpm2_flushcontext", &["-t"]);
        tpm.endorsement = tpm.read("ek.pub")[2..].to_vec();
        tpm.make_key(RESTRICTED);
        Some(tpm)
    }

    /// What `--tcti` and TPM2TOOLS_TCTI take.
    pub fn tcti(&self) -> String {
        format!("swtpm:path={}", self.path("tpm").display())
    }

    /// Another key under the endorsement key, with these attributes.
    pub fn make_key(&mut self, attributes: &str) {
        self.as_endorsement(|session| {
            let create = ["-C", "ek.ctx", "-G", "ecc256:ecdsa-sha256:null", "-a", attributes, "-P", session];
            self.tool("tpm2_create", &[&create[..], &["-u", "ak.pub", "-r", "ak.priv", "-Q"]].concat());
        });
        self.load_key();
        self.key = self.read("ak.pub")[2..].to_vec();
    }

    fn load_key(&self) {
        self.as_endorsement(|session| {
            let load = ["-C", "ek.ctx", "-u", "ak.pub", "-r", "ak.priv", "-c", "ak.ctx", "-P", session, "-Q"];
            self.tool("tpm2_load", &load);
        });
    }

    /// Under the policy of the TCG's endorsement keys.
    fn as_endorsement<T>(&self, work: impl FnOnce(&str) -> T) -> T {
        self.tool("tpm2_startauthsession", &["--policy-session", "-S", "policy.ctx"]);
        self.tool("tpm2_policysecret", &["-S", "policy.ctx", "-c", "e", "-Q"]);
        let done = work("session:policy.ctx");
        self.tool("tpm2_flushcontext", &["policy.ctx"]);
        self.tool("tpm2_flushcontext", &["-t"]);
        done
    }

    /// What is in a credential, if this TPM can open it for its key.
    pub fn activate(&self, credential: &Credential) -> Option<Vec<u8>> {
        let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let file = [&[0xBA, 0xDC, 0xC0, 0xDE, 0, 0, 0, 1][..], &sized(&credential.object), &sized(&credential.secret)];
        std::fs::write(self.path("credential"), file.concat()).unwrap();
        let opened = self.as_endorsement(|session| {
            let files = ["-i", "credential", "-o", "opened", "-P", session];
            self.try_tool("tpm2_activatecredential", &[&["-c", "ak.ctx", "-C", "ek.ctx"][..], &files].concat())
        });
        opened.then(|| self.read("opened"))
    }

    /// Extends a register by the SHA-256 of `code`, as its firmware would.
    pub fn measure(&self, register: u8, digest: &[u8; 32]) {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.tool("tpm2_pcrextend", &[&format!("{register}:sha256={hex}")]);
    }

    /// A quote of these registers, its signature, and what they hold.
    pub fn quote(&self, extra: &[u8], registers: &[u8]) -> ([Vec<u8>; 2], Held) {
        let hex: String = extra.iter().map(|byte| format!("{byte:02x}")).collect();
        let numbers: Vec<String> = registers.iter().map(u8::to_string).collect();
        let list = format!("sha256:{}", numbers.join(","));
        let files = ["-m", "quote", "-s", "signature", "-o", "registers", "-F", "values", "-Q"];
        self.tool("tpm2_quote", &[&["-c", "ak.ctx", "-l", &list, "-q", &hex][..], &files].concat());
        self.tool("tpm2_flushcontext", &["-t"]);
        let values = self.read("registers");
        let values = registers.iter().copied().zip(values.chunks(32).map(<[u8]>::to_vec)).collect();
        ([self.read("quote"), self.read("signature")], values)
    }

    /// Evidence over registers 0, 4 and 7.
    pub fn evidence(&self, challenge: &[u8], binding: &[u8; 32], log: &[u8]) -> Vec<u8> {
        let ([quote, signature], registers) = self.quote(binding, &[0, 4, 7]);
        Carried::write([challenge, &self.endorsement, &self.key], [&quote, &signature], &registers, log)
    }

    /// Power off and on: registers begin at zero, and the start is counted.
    pub fn restart(&mut self) {
        self.stop();
        self.process = run(self.folder.path());
        self.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "ecc", "-Q"]);
        self.tool("tpm2_flushcontext", &["-t"]);
        self.load_key();
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        assert!(self.try_tool(name, arguments), "{name} {arguments:?} failed");
    }

    fn try_tool(&self, name: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(name);
        let command = command.args(arguments).current_dir(self.folder.path()).env("TPM2TOOLS_TCTI", self.tcti());
        let output = command.output().unwrap();
        if !output.status.success() {
            eprintln!("{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    }
}

impl Drop for SoftwareTpm {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The state's path has to be absolute. Every part of it goes through two sockets that lie beside it.
fn run(folder: &Path) -> Child {
    let (data, control) = (folder.join("tpm"), folder.join("tpm.ctrl"));
    for socket in [&data, &control] {
        let _ = std::fs::remove_file(socket);
    }
    let mut child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .args(["--tpmstate", &format!("dir={}", folder.display())])
        .args(["--server", &format!("type=unixio,path={}", data.display())])
        .args(["--ctrl", &format!("type=unixio,path={}", control.display())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..1_000 {
        if control.exists() && data.exists() {
            return child;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("swtpm did not start: {:?}", child.wait());
}
