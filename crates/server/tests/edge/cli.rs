//! The binary, as it is typed: without a server, and with one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A data directory and the binary to use it with.
pub struct Bench {
    pub folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With an installation that listens on free ports.
    pub fn with_installation() -> Self {
        let bench = Self::new();
        bench.good(&["init"]);
        std::fs::write(
            bench.dir().join("config.toml"),
            "[api]\nlisten = \"127.0.0.1:0\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n",
        )
        .unwrap();
        bench
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("data dir")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
        command.args(args).env("BARTIZAN_DATA_DIR", self.dir()).current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a verb that works.
    pub fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[args, &["-o", "json"]].concat())).unwrap()
    }

    /// Standard error of a verb that fails with this status.
    pub fn bad(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", err(&output));
        err(&output)
    }

    /// A tenant, a type and the device `m1`.
    pub fn populate(&self) {
        self.good(&["tenant", "add", "water", "--upstream", "log:water.ndjson"]);
        self.good(&["type", "add", "meter"]);
        self.good(&["device", "add", "m1", "--type", "meter"]);
    }

    fn serve(&self) -> Server {
        let mut child = self.command(&["serve"]).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut server = Server { child, log: BufReader::new(stderr), seen: String::new() };
        server.wait_for("\"serving\"");
        server
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server process; killed when dropped.
struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl Server {
    fn wait_for(&mut self, part: &str) {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 {
            self.seen.push_str(&line);
            if line.contains(part) {
                return;
            }
            line.clear();
        }
        panic!("no {part} in {}", self.seen);
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its exit status, and everything it logged.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        self.log.read_to_string(&mut self.seen).unwrap();
        (status.code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn init_makes_private_files_and_never_overwrites() {
    let bench = Bench::new();
    let text = bench.good(&["init", "--host", "gate.example"]);
    assert!(text.contains("master.key") && text.contains("tenant add"), "{text}");
    for (name, mode) in [("master.key", 0o600), ("operator.token", 0o600), ("server.key", 0o600), ("ca.pem", 0o644)] {
        let facts = std::fs::metadata(bench.dir().join(name)).unwrap();
        assert_eq!(facts.permissions().mode() & 0o777, mode, "{name}");
    }
    assert_eq!(std::fs::metadata(bench.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read(bench.dir().join("master.key")).unwrap().len(), 32);
    let token = std::fs::read_to_string(bench.dir().join("operator.token")).unwrap();
    assert!(token.trim().len() >= 64 && !text.contains(token.trim()));
    let line = bench.bad(1, &["init"]);
    assert!(line.starts_with("bartizan: ") && line.contains("is an installation already"), "{line}");
    assert_eq!(std::fs::read_to_string(bench.dir().join("operator.token")).unwrap(), token);
    assert!(bench.good(&["config", "check"]).contains("good"));
}

#[test]
fn init_refuses_a_folder_with_other_things_and_a_bad_host() {
    let bench = Bench::new();
    assert!(bench.bad(2, &["init", "--host", "a b"]).contains("\"a b\""));
    assert!(!bench.dir().exists(), "nothing is left behind");
    std::fs::create_dir(bench.dir()).unwrap();
    std::fs::write(bench.dir().join("letter.txt"), "dear").unwrap();
    assert!(bench.bad(1, &["init"]).contains("is not empty"));
}

#[test]
fn verbs_work_without_a_server() {
    let bench = Bench::with_installation();
    assert!(bench.bad(1, &["device", "list"]).contains("there is no tenant yet"));
    bench.populate();
    assert!(bench.good(&["tenant", "list"]).contains("water"));
    assert!(bench.good(&["type", "list"]).contains("meter"));
    let listed = bench.good(&["device", "list"]);
    assert!(listed.lines().next().unwrap().starts_with("NO") && listed.contains("m1"), "{listed}");
    let isolated = bench.good(&["device", "isolate", "m1", "--reason", "it leaks"]);
    assert!(isolated.contains("quarantined"), "{isolated}");
    let shown = bench.good(&["device", "show", "m1"]);
    for part in
        ["m1 · meter", "quarantined: it can only read why", "it leaks", "Only a person ends it", "device release m1"]
    {
        assert!(shown.split_whitespace().collect::<Vec<_>>().join(" ").contains(part), "{part} in\n{shown}");
    }
    bench.good(&["device", "release", "m1", "--reason", "mended"]);
    assert_eq!(bench.json(&["device", "show", "m1"])["device"]["access"], "full");
    let sent = bench.json(&["command", "send", "m1", "POST", "/3/0/4", "--expires", "10m"]);
    assert_eq!(sent["state"], "queued");
    assert!(bench.good(&["command", "list", "m1"]).contains("/3/0/4"));
    let key = bench.json(&["device", "rotate-key", "m1"]);
    assert!(key["psk"].as_str().unwrap().len() >= 32);
    bench.good(&["device", "retire", "m1", "--reason", "scrapped"]);
    assert!(bench.bad(1, &["device", "show", "m9"]).contains("m9"));
    assert!(bench.good(&["tenant", "show", "water"]).contains("Behaviour"));
    bench.good(&["tenant", "set", "water", "--upstream", "log:other.ndjson"]);
    let upstream = bench.json(&["tenant", "list"])[0]["upstream"].as_str().unwrap().to_owned();
    assert!(upstream.starts_with("log:/"), "the server runs elsewhere: {upstream}");
}

#[test]
fn several_tenants_have_to_be_told_apart() {
    let bench = Bench::with_installation();
    for name in ["gas", "water"] {
        bench.good(&["tenant", "add", name, "--upstream", &format!("log:{name}.ndjson")]);
    }
    let line = bench.bad(2, &["device", "list"]);
    assert!(line.contains("gas, water") && line.contains("--tenant"), "{line}");
    bench.good(&["--tenant", "gas", "device", "list"]);
    let output = bench.command(&["device", "list"]).env("BARTIZAN_TENANT", "water").output().unwrap();
    assert!(output.status.success());
}

#[test]
fn an_import_names_its_wrong_lines_and_takes_a_stream() {
    let bench = Bench::with_installation();
    bench.populate();
    let file = bench.folder.path().join("keys.csv");
    let head = "name,type,identity,psk\n";
    std::fs::write(&file, format!("{head}a,meter,ia,00112233445566778899aabbccddeeff\nb,meter,ib,short\n")).unwrap();
    let text = bench.bad(3, &["device", "import", file.to_str().unwrap()]);
    assert!(text.starts_with("bartizan: line 3: "), "{text}");
    let mut rows = String::from(head);
    for n in 1..=2000 {
        rows.push_str(&format!("d{n},meter,id{n},{n:032x}\n"));
    }
    let mut child = bench
        .command(&["device", "import", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let imported: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(imported["imported"], 2000);
    assert_eq!(bench.json(&["device", "list", "--limit", "450"]).as_array().unwrap().len(), 450);
    assert!(bench.bad(1, &["device", "import", "absent.csv"]).contains("cannot read absent.csv"));
}

#[test]
fn a_server_serves_the_same_verbs_and_stops_cleanly() {
    let bench = Bench::with_installation();
    bench.populate();
    let server = bench.serve();
    let endpoint = bench.dir().join("run/endpoint.json");
    assert!(endpoint.exists());
    bench.good(&["device", "isolate", "m1", "--reason", "it leaks", "--block"]);
    assert_eq!(bench.json(&["device", "show", "m1"])["device"]["access"], "blocked");
    let second = bench.bad(1, &["serve"]);
    assert!(second.contains("another process has") && second.lines().count() <= 2, "{second}");
    let (status, log) = server.stop();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("off a terminal the log is JSON");
        assert!(line["timestamp"].is_string() && line["level"].is_string());
    }
    assert!(!endpoint.exists());
    assert_eq!(bench.json(&["device", "show", "m1"])["device"]["access"], "blocked", "it lasts");
}

#[test]
fn a_killed_server_leaves_nothing_in_the_way() {
    let bench = Bench::with_installation();
    bench.populate();
    let server = bench.serve();
    bench.good(&["device", "isolate", "m1", "--reason", "it leaks"]);
    server.signal("KILL");
    drop(server);
    assert!(bench.dir().join("run/endpoint.json").exists(), "nobody was left to remove it");
    assert_eq!(bench.json(&["device", "show", "m1"])["device"]["access"], "quarantined");
    assert_eq!(bench.serve().stop().0, Some(0));
}

#[test]
fn a_reload_takes_good_files_and_refuses_bad_ones() {
    let bench = Bench::with_installation();
    let mut server = bench.serve();
    let config = bench.dir().join("config.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{good}[log]\nlevle = \"debug\"\n")).unwrap();
    server.signal("HUP");
    server.wait_for("did you mean");
    assert!(server.seen.contains("the old one stays"));
    std::fs::write(&config, format!("{good}[log]\nlevel = \"debug\"\n")).unwrap();
    server.signal("HUP");
    server.wait_for("log.level");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn the_service_manager_is_told_what_goes_on() {
    let bench = Bench::with_installation();
    let path = bench.folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let heard = |what: &str| {
        let mut buffer = [0; 512];
        loop {
            let length = socket.recv(&mut buffer).expect(what);
            if String::from_utf8_lossy(&buffer[..length]).contains(what) {
                return;
            }
        }
    };
    let mut child = bench
        .command(&["serve"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    heard("READY=1");
    heard("WATCHDOG=1");
    let signal = |name| Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    signal("HUP");
    heard("RELOADING=1");
    heard("READY=1");
    signal("TERM");
    heard("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_backup_of_a_running_server_is_restored_with_the_key() {
    let bench = Bench::with_installation();
    bench.populate();
    let server = bench.serve();
    let backup = bench.folder.path().join("backup");
    let path = backup.to_str().unwrap();
    bench.good(&["backup", path]);
    assert!(bench.bad(1, &["backup", path]).contains("not an absent or empty folder"));
    assert!(no_secrets(&backup, &bench.dir()));
    server.stop();
    let other = Bench::new();
    let key = bench.dir().join("master.key");
    other.good(&["restore", path, "--key", key.to_str().unwrap()]);
    assert_eq!(other.json(&["device", "show", "m1"])["device"]["name"], "m1");
    assert!(other.bad(1, &["restore", path, "--key", key.to_str().unwrap()]).contains("installation already"));
    let third = Bench::new();
    let wrong = third.folder.path().join("wrong.key");
    std::fs::write(&wrong, [9; 32]).unwrap();
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o600)).unwrap();
    let line = third.bad(1, &["restore", path, "--key", wrong.to_str().unwrap()]);
    assert!(line.contains("key"), "{line}");
}

/// Whether neither the key nor the token of `dir` stands in a file of `backup`.
fn no_secrets(backup: &Path, dir: &Path) -> bool {
    let key = std::fs::read(dir.join("master.key")).unwrap();
    let token = std::fs::read_to_string(dir.join("operator.token")).unwrap();
    let holds = |content: &[u8], secret: &[u8]| content.windows(secret.len()).any(|it| it == secret);
    let mut folders = vec![backup.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let content = std::fs::read(entry.path()).unwrap();
            if holds(&content, &key) || holds(&content, token.trim().as_bytes()) {
                return false;
            }
        }
    }
    true
}

#[test]
fn what_cannot_start_says_why_in_one_line() {
    let bench = Bench::with_installation();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = bench
        .command(&["serve"])
        .env("BARTIZAN_API__LISTEN", taken.local_addr().unwrap().to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("the port is in use"), "{}", err(&output));
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let output = bench
        .command(&["serve"])
        .env("BARTIZAN_GATEWAY__LISTEN", taken.local_addr().unwrap().to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("in use"), "{}", err(&output));
    let key = bench.dir().join("master.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    for verb in [["serve"].as_slice(), &["device", "list"]] {
        let line = bench.bad(1, verb);
        assert!(line.contains("can be read by others") && line.contains("chmod 600"), "{line}");
    }
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, [9; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let line = bench.bad(1, &["serve"]);
    assert!(line.starts_with("bartizan: ") && line.contains("key"), "{line}");
    std::fs::remove_file(&key).unwrap();
    assert!(bench.bad(1, &["serve"]).contains("no such file"));
    std::fs::write(bench.dir().join("config.toml"), "[api]\nlisen = 1\n").unwrap();
    assert!(bench.bad(1, &["serve"]).contains("did you mean \"api.listen\""));
    assert!(bench.bad(3, &["config", "check"]).contains("config.toml:2"));
}

#[test]
fn wrong_usage_exits_with_two_and_help_with_zero() {
    let bench = Bench::new();
    assert!(bench.bad(2, &["device", "explode"]).starts_with("bartizan: unrecognized subcommand"));
    bench.bad(2, &["device", "isolate", "m1"]);
    bench.bad(2, &["command", "send", "m1", "GET", "/", "--expires", "soon"]);
    for verb in [
        "init",
        "serve",
        "config",
        "tenant",
        "type",
        "device",
        "attest",
        "reference",
        "command",
        "backup",
        "restore",
        "energy",
    ] {
        let help = bench.good(&[verb, "--help"]);
        assert!(help.contains("Usage:"), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.good(&["completions", shell]).contains("isolate"));
    }
    assert!(bench.good(&["man"]).contains(".TH"));
    bench.good(&["man", "pages"]);
    assert!(bench.folder.path().join("pages/bartizan-device-isolate.1").exists());
    assert!(bench.good(&["openapi"]).contains("\"openapi\""));
}

#[test]
fn energy_needs_no_installation_and_answers_in_three_forms() {
    let bench = Bench::new();
    let table = bench.good(&["energy"]);
    let hourly = bench.json(&["energy"]);
    let saving = format!("{:.1} %", hourly["cid_saving_percent"].as_f64().unwrap());
    assert!(table.contains("DTLS 1.2, Connection ID") && table.contains(&saving), "{table}");
    let daily = bench.json(&["energy", "--interval", "1d", "--sleep-ua", "14", "--payload", "64"]);
    assert!(hourly["cid_saving_percent"].as_f64() > daily["cid_saving_percent"].as_f64());
    assert_eq!(daily["question"]["payload_bytes"], 64);
    let page = bench.good(&["energy", "--markdown", "--plot", "plot.svg"]);
    assert!(page.starts_with("# Energy"), "{page}");
    assert!(std::fs::read_to_string(bench.folder.path().join("plot.svg")).unwrap().starts_with("<svg"));
    assert!(bench.bad(1, &["energy", "--plot", "absent/plot.svg"]).contains("cannot write absent/plot.svg"));
    for wrong in [
        ["--sleep-ua", "0"],
        ["--payload", "1025"],
        ["--supply-v", "-1"],
        ["--battery-mah", "NaN"],
        ["--interval", "soon"],
    ] {
        bench.bad(2, &[&["energy"], wrong.as_slice()].concat());
    }
    bench.good(&["energy", "--payload", "1024"]);
    assert!(!bench.dir().exists(), "nothing is made");
}

#[test]
fn a_client_without_trust_is_refused_by_tls_and_plain_text_gets_nothing() {
    let bench = Bench::with_installation();
    let server = bench.serve();
    let endpoint: Value =
        serde_json::from_slice(&std::fs::read(bench.dir().join("run/endpoint.json")).unwrap()).unwrap();
    let address = endpoint["api"].as_str().unwrap();
    let mut plain = std::net::TcpStream::connect(address).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1"), "no answer in plain text");
    let other = Bench::new();
    other.good(&["init"]);
    std::fs::copy(other.dir().join("ca.pem"), bench.dir().join("ca.pem")).unwrap();
    let begun = Instant::now();
    let line = bench.bad(1, &["tenant", "list"]);
    assert!(line.contains("is not trusted"), "{line}");
    assert!(begun.elapsed() < Duration::from_secs(60));
    drop(server);
}
