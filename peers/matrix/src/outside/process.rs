//! A program at the other end of pipes: its lines as they come, standard output and error alike.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Ended when dropped.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Process {
    pub fn start(program: &Path, words: &[String]) -> Result<Self> {
        let mut child = Command::new(program)
            .args(words)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let (sender, lines) = channel();
        forward(child.stdout.take().context("piped")?, sender.clone());
        forward(child.stderr.take().context("piped")?, sender);
        let input = child.stdin.take();
        Ok(Self { child, input, lines, heard: Vec::new() })
    }

    pub fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("its standard input is closed")?;
        writeln!(input, "{line}").and_then(|()| input.flush()).with_context(|| self.transcript())
    }

    /// No more is said.
    pub fn hush(&mut self) {
        self.input = None;
    }

    /// The next line for which `wanted` answers something, if it comes within `wait`.
    pub fn hear<T>(&mut self, wait: Duration, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + wait;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
            let found = wanted(&line);
            self.heard.push(line);
            if found.is_some() {
                return found;
            }
        }
    }

    /// Every line so far.
    pub fn heard(&mut self) -> &[String] {
        self.heard.extend(self.lines.try_iter());
        &self.heard
    }

    pub fn transcript(&mut self) -> String {
        self.heard().join("\n")
    }

    /// Answers every line that starts with `mark` with itself, for servers that do not echo by themselves.
    pub fn echo(mut self, mark: &'static str) -> Result<Self> {
        let mut input = self.input.take().context("its standard input is closed")?;
        let (sender, lines) = channel();
        let came = std::mem::replace(&mut self.lines, lines);
        std::thread::spawn(move || {
            for line in came {
                let answered = !line.starts_with(mark) || writeln!(input, "{line}").is_ok();
                if !answered || sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(self)
    }

    /// Waits for the end of a program that has nothing more to do.
    pub fn finish(&mut self, wait: Duration) -> Result<()> {
        self.hush();
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
                    self.heard.push(line);
                }
                if !status.success() {
                    bail!("ended with {status}:\n{}", self.transcript());
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("did not end:\n{}", self.transcript())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stream: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// A free port for a server that cannot be asked which it took: below the range from which the system gives ports to
/// others, and never twice.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 100) as u16 * 80;
    for _ in 0..8000 {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 8000;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}
