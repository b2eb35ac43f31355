//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::transport::Loss;
use crate::vocabulary::{Auth, Group, Role, Suite, Version};

pub(crate) const USAGE: &str = "\
usage: peer client|server ADDR [options]

  --version 1.2|1.3               (1.2)
  --auth psk|ecdhe-psk|ecdsa|rpk  how both sides know each other (psk)
  --identity TEXT --psk HEX       for psk and ecdhe-psk
  --cert FILE --key FILE --peer FILE
                                  DER. ecdsa: own certificate, PKCS #8 key, the authority that signs the other side's
                                  certificate; rpk: own public key, PKCS #8 key, the other side's public key
  --suite ccm8|ccm|gcm|gcm256|chacha
                                  what protects records (ccm8)
  --group x25519|p256|x25519mlkem768
                                  the only group of the ephemeral exchange (x25519)
  --cid N                         use Connection ID and ask for one of N bytes (0: send me none); default: no CID
  --mtu N                         the largest datagram (1400)
  --bind ADDR                     a client's own address (127.0.0.1:0)
  --wait-ms N                     how long to wait for a message (3000)
  --loss PERCENT --seed N         drop datagrams in both directions
  --facts                         after `connected SUITE cid=on|off` also print `version`, `group`, `cid` and `exporter`,
                                  as far as they are known, and `ready`
client:
  --send HEX                      send and print the answer; repeatable, in order with --rebind and --update
  --rebind                        go on from a new source port
  --update                        new keys for what is sent (1.3); a server's, after its first answer
  --interactive                   then read `send HEX`, `receive`, `rebind`, `update`, `quit` from standard input
server:
  --echo N                        answer N messages, then close (1)
";

/// What a client does, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Receive,
    Rebind,
    Update,
    Quit,
}

impl Step {
    pub(crate) fn parse(line: &str) -> Result<Self> {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["send", hex] => Ok(Self::Send(from_hex(hex)?)),
            ["receive"] => Ok(Self::Receive),
            ["rebind"] => Ok(Self::Rebind),
            ["update"] => Ok(Self::Update),
            ["quit"] => Ok(Self::Quit),
            _ => bail!("no step {line:?}"),
        }
    }
}

/// What a peer is told to be and to do.
pub struct Arguments {
    pub role: Role,
    pub address: SocketAddr,
    pub version: Version,
    pub auth: Auth,
    pub identity: Vec<u8>,
    pub psk: Vec<u8>,
    /// Own certificate or public key, DER.
    pub certificate: Vec<u8>,
    /// Own private key, PKCS #8 DER.
    pub key: Vec<u8>,
    /// The authority of the other side's certificate, or its public key, DER.
    pub trusted: Vec<u8>,
    pub suite: Suite,
    pub group: Group,
    /// The Connection ID that the other side shall use; `None` turns the extension off.
    pub own_cid: Option<Vec<u8>>,
    pub mtu: u16,
    pub wait: Duration,
    pub(crate) bind: String,
    pub(crate) loss_percent: u8,
    pub(crate) seed: u64,
    pub(crate) facts: bool,
    pub(crate) steps: Vec<Step>,
    pub(crate) interactive: bool,
    pub(crate) echo: usize,
}

impl Arguments {
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let [role, address, options @ ..] = words else { bail!("{USAGE}") };
        let mut parsed = Self::new(role, address)?;
        let mut words = options.iter();
        while let Some(option) = words.next() {
            parsed.take(option, &mut words)?;
        }
        if parsed.auth.has_psk() && parsed.psk.is_empty() {
            bail!("--psk is missing");
        }
        if !parsed.auth.has_psk()
            && [&parsed.certificate, &parsed.key, &parsed.trusted].iter().any(|der| der.is_empty())
        {
            bail!("--cert, --key or --peer is missing");
        }
        Ok(parsed)
    }

    pub(crate) fn loss(&self) -> Loss {
        Loss::new(self.loss_percent, self.seed)
    }

    fn new(role: &str, address: &str) -> Result<Self> {
        Ok(Self {
            role: Role::parse(role)?,
            address: address.parse().context("ADDR is IP:PORT")?,
            version: Version::Dtls12,
            auth: Auth::Psk,
            identity: b"Client_identity".to_vec(),
            psk: Vec::new(),
            certificate: Vec::new(),
            key: Vec::new(),
            trusted: Vec::new(),
            suite: Suite::Ccm8,
            group: Group::X25519,
            own_cid: None,
            mtu: 1400,
            wait: Duration::from_secs(3),
            bind: "127.0.0.1:0".to_owned(),
            loss_percent: 0,
            seed: 1,
            facts: false,
            steps: Vec::new(),
            interactive: false,
            echo: 1,
        })
    }

    fn take<'a>(&mut self, option: &str, words: &mut impl Iterator<Item = &'a String>) -> Result<()> {
        match option {
            "--rebind" => self.steps.push(Step::Rebind),
            "--update" => self.steps.push(Step::Update),
            "--interactive" => self.interactive = true,
            "--facts" => self.facts = true,
            _ => {
                let value = words.next().with_context(|| format!("{option} needs a value"))?;
                self.take_value(option, value)?;
            }
        }
        Ok(())
    }

    fn take_value(&mut self, option: &str, value: &str) -> Result<()> {
        match option {
            "--version" => self.version = Version::parse(value)?,
            "--auth" => self.auth = Auth::parse(value)?,
            "--identity" => self.identity = value.as_bytes().to_vec(),
            "--psk" => self.psk = from_hex(value)?,
            "--cert" => self.certificate = read(value)?,
            "--key" => self.key = read(value)?,
            "--peer" => self.trusted = read(value)?,
            "--suite" => self.suite = Suite::parse(value)?,
            "--group" => self.group = Group::parse(value)?,
            "--cid" => self.own_cid = Some((0..value.parse()?).map(|at: u8| 0xc0 ^ at).collect()),
            "--mtu" => self.mtu = value.parse()?,
            "--bind" => self.bind = value.to_owned(),
            "--wait-ms" => self.wait = Duration::from_millis(value.parse()?),
            "--loss" => self.loss_percent = value.parse()?,
            "--seed" => self.seed = value.parse()?,
            "--send" => self.steps.push(Step::Send(from_hex(value)?)),
            "--echo" => self.echo = value.parse()?,
            other => bail!("no option {other:?}\n{USAGE}"),
        }
        Ok(())
    }
}

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {path}"))
}

/// # Errors
/// If `text` is not pairs of hexadecimal digits.
pub fn from_hex(text: &str) -> Result<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        bail!("{text:?} is not hexadecimal");
    }
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}

#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
