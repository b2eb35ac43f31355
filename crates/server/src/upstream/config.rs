//! Where a tenant's messages go, as one string an operator can type:
//!
//! ```text
//! log:/var/lib/bartizan/city.ndjson?rotate_mib=256
//! mqtt://127.0.0.1:1883?topic=bartizan/{tenant}/{type}/{device}{path}
//! mqtts://broker.example:8883?ca=/etc/bartizan/broker-ca.pem&username=city&password_file=/etc/bartizan/broker.password
//! coap://127.0.0.1:5683?pool=127.0.1.0/24&ports=20000-29999
//! coaps://192.0.2.7:5684?pool=192.0.2.8&ports=20000-60000&identity={device}&psk_file=/etc/bartizan/origin.psk
//! ```
//!
//! Parsing is the check: a value of [`UpstreamConfig`] never sends plain text beyond this machine.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::options::Options;
use super::pool::Pool;
use crate::limits;

/// The topic of an MQTT upstream unless the operator names another.
pub const TOPIC_DEFAULT: &str = "bartizan/{tenant}/{type}/{device}{path}";

/// A checked upstream. In JSON and in the store it is the string it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum UpstreamConfig {
    Log(LogConfig),
    Mqtt(MqttConfig),
    Proxy(ProxyConfig),
}

/// Newline-delimited JSON on this machine's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub path: PathBuf,
    /// The file is set aside under a number once it would grow beyond this many bytes.
    pub rotate_bytes: u64,
}

/// An MQTT broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttConfig {
    pub host: String,
    pub port: u16,
    /// TLS to the broker; plain text is possible only on loopback.
    pub tls: bool,
    /// PEM file of the authority that signed the broker's certificate.
    pub ca: Option<PathBuf>,
    /// May hold `{tenant}`, `{type}`, `{device}` and `{path}` (which begins with a slash).
    pub topic: String,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
}

/// An operator's CoAP or LwM2M server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    pub target: SocketAddr,
    /// DTLS to the origin; `None` is plain CoAP, possible only on loopback.
    pub secure: Option<SecureConfig>,
    /// The addresses and ports that stand for devices.
    pub pool: Pool,
    /// Most sockets open towards the origin at once.
    pub sockets_max: usize,
}

/// How the gateway shows the origin who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecureConfig {
    /// PSK identity; with `{device}` in it every device has its own.
    pub identity: String,
    /// Lines of `identity,key in hex`.
    pub psk_file: PathBuf,
}

impl FromStr for UpstreamConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > limits::UPSTREAM_CONFIG_BYTES_MAX {
            return Err(format!("an upstream is at most {} characters long", limits::UPSTREAM_CONFIG_BYTES_MAX));
        }
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        match scheme {
            "log" => parse_log(rest).map(Self::Log),
            "mqtt" | "mqtts" => parse_mqtt(rest, scheme == "mqtts").map(Self::Mqtt),
            "coap" | "coaps" => parse_proxy(rest, scheme == "coaps").map(Self::Proxy),
            _ => Err(format!(
                "unknown upstream {scheme:?}: use log:PATH, mqtt://HOST, mqtts://HOST, coap://IP:PORT or coaps://IP:PORT"
            )),
        }
    }
}

fn parse_log(rest: &str) -> Result<LogConfig, String> {
    let (path, mut options) = Options::split(rest, &["rotate_mib"])?;
    if path.is_empty() || path.ends_with('/') {
        return Err("log: needs the path of a file, as in log:/var/lib/bartizan/city.ndjson".into());
    }
    let mib = options.number("rotate_mib", 1..=limits::LOG_ROTATE_MIB_MAX)?;
    Ok(LogConfig { path: PathBuf::from(path), rotate_bytes: mib.unwrap_or(limits::LOG_ROTATE_MIB_DEFAULT) << 20 })
}

fn parse_mqtt(rest: &str, tls: bool) -> Result<MqttConfig, String> {
    let known = ["topic", "username", "password_file", "ca"];
    let (authority, mut options) = Options::split(authority_of(rest)?, &known)?;
    let (host, port) = host_and_port(&authority, if tls { 8883 } else { 1883 })?;
    if !tls && !is_loopback(&host) {
        return Err(format!(
            "plain MQTT to {host} would cross a network in clear text: use mqtts://, or a broker on this machine"
        ));
    }
    let config = MqttConfig {
        host,
        port,
        tls,
        ca: options.take("ca").map(PathBuf::from),
        topic: options.take("topic").unwrap_or_else(|| TOPIC_DEFAULT.into()),
        username: options.take("username"),
        password_file: options.take("password_file").map(PathBuf::from),
    };
    check_mqtt(&config)?;
    Ok(config)
}

fn check_mqtt(config: &MqttConfig) -> Result<(), String> {
    if config.password_file.is_some() && config.username.is_none() {
        return Err("password_file needs a username beside it".into());
    }
    if config.tls && config.ca.is_none() {
        return Err("mqtts:// needs ca=FILE, the PEM of the authority that signed the broker's certificate".into());
    }
    if !config.tls && config.ca.is_some() {
        return Err("ca is only used by mqtts://".into());
    }
    super::mqtt::Topic::parse(&config.topic).map(drop)
}

fn parse_proxy(rest: &str, secure: bool) -> Result<ProxyConfig, String> {
    let known = ["pool", "ports", "sockets", "identity", "psk_file"];
    let (authority, mut options) = Options::split(authority_of(rest)?, &known)?;
    let target = target(&authority, if secure { 5684 } else { 5683 })?;
    if !secure && !target.ip().is_loopback() {
        return Err(format!(
            "plain CoAP to {target} would cross a network in clear text: use coaps://, or an origin on this machine"
        ));
    }
    let pool = pool(&mut options, target.ip())?;
    let sockets = options.number("sockets", 1..=limits::PROXY_SOCKETS_MAX as u64)?;
    let sockets_max = sockets.map_or(limits::PROXY_SOCKETS_DEFAULT, |n| n as usize);
    Ok(ProxyConfig { target, secure: secure_config(&mut options, secure)?, pool, sockets_max })
}

/// The pool of source addresses; on loopback it may be left out, since 127.0.0.0/8 is all ours.
fn pool(options: &mut Options, target: IpAddr) -> Result<Pool, String> {
    let default = if target.is_loopback() && target.is_ipv4() { Some("127.0.1.0/24".to_owned()) } else { None };
    let addresses = options.take("pool").or(default).ok_or(
        "pool=ADDRESSES is needed: the addresses of this machine that stand for devices, as in pool=192.0.2.8/29",
    )?;
    let ports = options.take("ports").unwrap_or_else(|| "20000-29999".into());
    Pool::parse(&addresses, port_range(&ports)?, target)
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.parse::<u16>(), high.parse::<u16>()) {
        (Ok(low), Ok(high)) if low > 0 && low <= high => Ok(low..=high),
        _ => Err(format!("ports={text} is not a range of ports, as in ports=20000-29999")),
    }
}

fn secure_config(options: &mut Options, secure: bool) -> Result<Option<SecureConfig>, String> {
    match (secure, options.take("identity"), options.take("psk_file")) {
        (true, Some(identity), Some(file)) => Ok(Some(SecureConfig { identity, psk_file: PathBuf::from(file) })),
        (true, _, _) => Err("coaps:// needs identity=NAME (or identity={device}) and psk_file=FILE".into()),
        (false, None, None) => Ok(None),
        (false, _, _) => Err("identity and psk_file are only used by coaps://".into()),
    }
}

fn authority_of(rest: &str) -> Result<&str, String> {
    let rest = rest.strip_prefix("//").ok_or("expected // after the colon, as in mqtt://127.0.0.1")?;
    if rest.split('?').next().unwrap_or("").contains('@') {
        return Err("no credentials in the address: use username=… and password_file=…".into());
    }
    Ok(rest)
}

fn target(authority: &str, port: u16) -> Result<SocketAddr, String> {
    let (host, port) = host_and_port(authority, port)?;
    let ip = if host == "localhost" { "127.0.0.1" } else { &host };
    let ip: IpAddr = ip.parse().map_err(|_| {
        format!("{host:?} is not an IP address: a CoAP upstream is named by address, as in coap://127.0.0.1:5683")
    })?;
    Ok(SocketAddr::new(ip, port))
}

/// Splits `host`, `host:port` and `[v6]:port`; a trailing slash is forgiven.
fn host_and_port(authority: &str, default: u16) -> Result<(String, u16), String> {
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, tail)) => (v6, tail.strip_prefix(':')),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(text) => text.parse::<u16>().ok().filter(|p| *p > 0),
        None => Some(default),
    };
    let port = port.ok_or_else(|| format!("{authority:?} does not end in a port number"))?;
    if host.is_empty() || host.contains(['/', ' ']) {
        return Err(format!("{authority:?} is not HOST or HOST:PORT"));
    }
    Ok((host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for UpstreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => write!(f, "log:{}?rotate_mib={}", log.path.display(), log.rotate_bytes >> 20),
            Self::Mqtt(mqtt) => mqtt.fmt(f),
            Self::Proxy(proxy) => proxy.fmt(f),
        }
    }
}

impl fmt::Display for MqttConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let host = Bracketed(&self.host);
        write!(f, "{scheme}://{host}:{}?topic={}", self.port, Escaped(&self.topic))?;
        if let Some(username) = &self.username {
            write!(f, "&username={}", Escaped(username))?;
        }
        if let Some(file) = &self.password_file {
            write!(f, "&password_file={}", Escaped(&file.to_string_lossy()))?;
        }
        match &self.ca {
            Some(ca) => write!(f, "&ca={}", Escaped(&ca.to_string_lossy())),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure.is_some() { "coaps" } else { "coap" };
        write!(f, "{scheme}://{}?{}&sockets={}", self.target, self.pool, self.sockets_max)?;
        match &self.secure {
            Some(secure) => {
                let file = secure.psk_file.to_string_lossy();
                write!(f, "&identity={}&psk_file={}", Escaped(&secure.identity), Escaped(&file))
            }
            None => Ok(()),
        }
    }
}

struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'&' | b'%' | b'?' | b'#' | b' ' => write!(f, "%{byte:02X}")?,
                byte if byte.is_ascii_graphic() => write!(f, "{}", char::from(byte))?,
                byte => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for UpstreamConfig {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<UpstreamConfig> for String {
    fn from(config: UpstreamConfig) -> Self {
        config.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> UpstreamConfig {
        text.parse().unwrap()
    }

    fn refusal(text: &str) -> String {
        text.parse::<UpstreamConfig>().unwrap_err()
    }

    #[test]
    fn every_kind_survives_being_written_and_read_again() {
        for text in [
            "log:/tmp/a b.ndjson",
            "log:city.ndjson?rotate_mib=7",
            "mqtt://localhost",
            "mqtt://[::1]:1884?topic=a/{device}{path}",
            "mqtts://broker.example?ca=/ca.pem&username=u%26v&password_file=/p%20w",
            "coap://127.0.0.1:5683?pool=127.0.1.0/24&ports=20000-29999",
            "coap://[::1]:5683?pool=::1",
            "coaps://192.0.2.7?pool=192.0.2.8,192.0.2.16/29&identity={device}&psk_file=/k&sockets=9",
        ] {
            let config = parse(text);
            assert_eq!(parse(&config.to_string()), config, "{text}");
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<UpstreamConfig>(&json).unwrap(), config);
        }
    }

    #[test]
    fn plain_text_never_leaves_the_machine() {
        assert!(refusal("mqtt://broker.example").contains("clear text"));
        assert!(refusal("mqtt://192.0.2.1").contains("clear text"));
        assert!(refusal("coap://192.0.2.1:5683?pool=192.0.2.8").contains("clear text"));
        parse("mqtt://127.0.0.9");
        parse("coap://127.0.0.1:5683");
    }

    #[test]
    fn a_wrong_option_names_the_nearest_right_one() {
        assert!(refusal("mqtt://127.0.0.1?topik=a").contains("did you mean \"topic\""));
        assert!(refusal("coap://127.0.0.1?prots=1-2").contains("did you mean \"ports\""));
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(refusal("http://x").contains("unknown upstream"));
        assert!(refusal("log:").contains("path"));
        assert!(refusal("log:/x?rotate_mib=0").contains("rotate_mib"));
        assert!(refusal("mqtt://u:p@127.0.0.1").contains("credentials"));
        assert!(refusal("mqtts://b.example").contains("ca=FILE"));
        assert!(refusal("mqtt://127.0.0.1?password_file=/p").contains("username"));
        assert!(refusal("mqtt://127.0.0.1?topic=a/+").contains('+'));
        assert!(refusal("coap://example.org").contains("not an IP address"));
        assert!(refusal("coap://127.0.0.1?ports=9-1").contains("range of ports"));
        assert!(refusal("coap://127.0.0.1:0").contains("port"));
        assert!(refusal("coaps://192.0.2.7?pool=192.0.2.8").contains("psk_file"));
        assert!(refusal("coap://127.0.0.1?psk_file=/x").contains("only used by coaps"));
    }

    #[test]
    fn the_length_is_bounded() {
        let longest = format!("log:{}", "a".repeat(limits::UPSTREAM_CONFIG_BYTES_MAX - 4));
        assert!(longest.parse::<UpstreamConfig>().is_ok());
        assert!(format!("{longest}a").parse::<UpstreamConfig>().is_err());
    }
}
