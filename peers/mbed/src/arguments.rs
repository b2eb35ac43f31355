//! The command line.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};

use crate::transport::Loss;

pub const USAGE: &str = "\
usage: peer-mbed client|server ADDR --identity TEXT --psk HEX [options]
       peer-mbed bench SESSIONS     what a server's sessions, handshakes and records cost

  --suite ccm8|gcm|ecdhe-chacha   cipher suite (ccm8)
  --cid N                         use Connection ID and ask for one of N bytes (0: send me none); default: no CID
  --bind ADDR                     a client's own address (127.0.0.1:0)
  --wait-ms N                     how long to wait for a message (3000)
  --loss PERCENT --seed N         drop datagrams in both directions
client:
  --send HEX                      send and print the answer; repeatable, in order with --rebind
  --rebind                        go on from a new source port
  --interactive                   then read `send HEX`, `receive`, `rebind`, `quit` from standard input
server:
  --echo N                        answer N messages, then close (1)
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// What a client does, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    Receive,
    Rebind,
    Quit,
}

impl Step {
    pub fn parse(line: &str) -> Result<Self> {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["send", hex] => Ok(Self::Send(from_hex(hex)?)),
            ["receive"] => Ok(Self::Receive),
            ["rebind"] => Ok(Self::Rebind),
            ["quit"] => Ok(Self::Quit),
            _ => bail!("no step {line:?}"),
        }
    }
}

pub struct Arguments {
    pub role: Role,
    pub address: SocketAddr,
    pub identity: Vec<u8>,
    pub psk: Vec<u8>,
    /// IANA number.
    pub suite: u16,
    /// Bytes of the Connection ID that the other side shall use; `None` turns the extension off.
    pub cid: Option<u8>,
    pub bind: String,
    pub wait_ms: u64,
    pub loss_percent: u8,
    pub seed: u64,
    pub steps: Vec<Step>,
    pub interactive: bool,
    pub echo: usize,
}

impl Arguments {
    pub fn parse(words: &[String]) -> Result<Self> {
        let [role, address, options @ ..] = words else { bail!("{USAGE}") };
        let mut parsed = Self::new(role, address)?;
        let mut words = options.iter();
        while let Some(option) = words.next() {
            parsed.take(option, &mut words)?;
        }
        if parsed.psk.is_empty() {
            bail!("--psk is missing");
        }
        Ok(parsed)
    }

    pub fn loss(&self) -> Loss {
        Loss::new(self.loss_percent, self.seed)
    }

    fn new(role: &str, address: &str) -> Result<Self> {
        let role = match role {
            "client" => Role::Client,
            "server" => Role::Server,
            other => bail!("no role {other:?}"),
        };
        Ok(Self {
            role,
            address: address.parse().context("ADDR is IP:PORT")?,
            identity: b"Client_identity".to_vec(),
            psk: Vec::new(),
            suite: 0xC0A8,
            cid: None,
            bind: "127.0.0.1:0".to_owned(),
            wait_ms: 3000,
            loss_percent: 0,
            seed: 1,
            steps: Vec::new(),
            interactive: false,
            echo: 1,
        })
    }

    fn take<'a>(&mut self, option: &str, words: &mut impl Iterator<Item = &'a String>) -> Result<()> {
        match option {
            "--rebind" => self.steps.push(Step::Rebind),
            "--interactive" => self.interactive = true,
            _ => {
                let value = words.next().with_context(|| format!("{option} needs a value"))?;
                self.take_value(option, value)?;
            }
        }
        Ok(())
    }

    fn take_value(&mut self, option: &str, value: &str) -> Result<()> {
        match option {
            "--identity" => self.identity = value.as_bytes().to_vec(),
            "--psk" => self.psk = from_hex(value)?,
            "--suite" => self.suite = suite(value)?,
            "--cid" => self.cid = Some(value.parse()?),
            "--bind" => self.bind = value.to_owned(),
            "--wait-ms" => self.wait_ms = value.parse()?,
            "--loss" => self.loss_percent = value.parse()?,
            "--seed" => self.seed = value.parse()?,
            "--send" => self.steps.push(Step::Send(from_hex(value)?)),
            "--echo" => self.echo = value.parse()?,
            other => bail!("no option {other:?}\n{USAGE}"),
        }
        Ok(())
    }
}

fn suite(name: &str) -> Result<u16> {
    Ok(match name {
        "ccm8" => 0xC0A8,
        "gcm" => 0x00A8,
        "ecdhe-chacha" => 0xCCAC,
        other => bail!("no suite {other:?}"),
    })
}

pub fn from_hex(text: &str) -> Result<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        bail!("{text:?} is not hexadecimal");
    }
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
