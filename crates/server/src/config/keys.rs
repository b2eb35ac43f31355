//! Every key, declared once: the typed [`Config`], the documentation, `config show` and the comments of the
//! file that `init` writes all come from the table in this file.

use std::net::SocketAddr;

use bartizan_wire::Access;

use super::load::Reader;
use super::setting::{
    AddressCheck, DtlsVersions, FilePath, Listen, LogFormat, LogLevel, MetricsReader, Raw, Setting, Url, Within,
};

/// One key as people see it.
pub struct Key {
    pub section: &'static str,
    /// `section.key`, as errors and `config show` call it.
    pub name: &'static str,
    pub doc: &'static str,
    /// The default as it would stand in the file.
    pub default: &'static str,
    pub reload: Reload,
    pub shape: fn() -> String,
}

impl Key {
    /// The name within its section.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        &self.name[self.section.len() + 1..]
    }

    /// The environment variable that overrides this key.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("BARTIZAN_{}__{}", self.section.to_uppercase(), self.leaf().to_uppercase())
    }
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// On SIGHUP.
    Live,
    /// When the server is started again.
    Restart,
}

/// One section as people see it.
pub struct Section {
    pub name: &'static str,
    pub doc: &'static str,
}

macro_rules! sections {
    ($($(#[doc = $sdoc:literal])* $section:ident: $Section:ident {
        $($(#[doc = $doc:literal])* $key:ident: $ty:ty = $default:literal, $reload:ident;)+
    })+) => {
        $(
            $(#[doc = $sdoc])*
            #[derive(Clone, Debug)]
            pub struct $Section { $($(#[doc = $doc])* pub $key: $ty,)+ }
        )+

        /// All that can be configured, checked.
        #[derive(Clone, Debug)]
        pub struct Config { $($(#[doc = $sdoc])* pub $section: $Section,)+ }

        pub const SECTIONS: &[Section] = &[$(Section {
            name: stringify!($section),
            doc: concat!($($sdoc, "\n",)*),
        },)+];

        pub const KEYS: &[Key] = &[$($(Key {
            section: stringify!($section),
            name: concat!(stringify!($section), ".", stringify!($key)),
            doc: concat!($($doc, "\n",)*),
            default: $default,
            reload: Reload::$reload,
            shape: <$ty as Setting>::shape,
        },)+)+];

        impl Config {
            /// Takes every key from `reader`, which notes what is wrong and answers with the default.
            pub(super) fn read(reader: &mut Reader) -> Self {
                Self { $($section: $Section { $(
                    $key: reader.take(concat!(stringify!($section), ".", stringify!($key))),
                )+ },)+ }
            }
        }
    };
}

sections! {
    /// The HTTP API and the console, always over TLS.
    api: Api {
        /// Address and port to listen on. Anything but a loopback address lets other machines in.
        listen: SocketAddr = "\"127.0.0.1:8443\"", Restart;
        /// Certificate chain (PEM) that the server shows.
        certificate: FilePath = "\"server.pem\"", Restart;
        /// Private key (PEM) of the certificate. Nobody but the server's user may read it.
        private_key: FilePath = "\"server.key\"", Restart;
        /// Seconds until an unfinished request is answered with 503.
        request_timeout_s: Within<1, 600> = "30", Restart;
        /// Largest request body in KiB, imports excepted.
        body_kib_max: Within<16, 16384> = "256", Restart;
        /// Largest import of devices in MiB. A million lines of a spreadsheet are about 100 MiB.
        import_mib_max: Within<1, 4096> = "512", Restart;
        /// Most connections at a time; further ones wait in the system's queue.
        connections_max: Within<8, 65536> = "512", Restart;
        /// Most requests that are worked on at a time; further ones are answered with 503.
        requests_max: Within<4, 65536> = "256", Restart;
        /// Most open event streams (one per open console).
        event_streams_max: Within<1, 4096> = "64", Restart;
        /// Failed authentications of one address in a minute before it is answered with 429.
        auth_failures_per_minute: Within<1, 1000> = "10", Live;
        /// Hours until a console session ends.
        session_hours: Within<1, 720> = "12", Live;
        /// Who may read /metrics.
        metrics: MetricsReader = "\"loopback\"", Live;
    }
    /// The gateway that devices talk to: CoAP over DTLS on UDP.
    gateway: Gateway {
        /// Address and port to listen on. Anything but a loopback address lets devices on other machines in.
        listen: SocketAddr = "\"127.0.0.1:5684\"", Restart;
        /// Most associations kept. The longest silent one makes room for a new one.
        sessions_max: Within<16, 10000000> = "1000000", Restart;
        /// Most unfinished handshakes at a time.
        handshakes_max: Within<16, 1000000> = "4096", Restart;
        /// Versions of DTLS that devices may use.
        dtls: DtlsVersions = "\"both\"", Restart;
        /// Refuse devices that do not offer a Connection ID: each of their naps costs a handshake.
        require_cid: bool = "false", Restart;
        /// When a device is asked whether it is at its new address (RFC 9853). "basic": before more than three times what came
        /// from there goes there, so that a wake-up costs nothing more. "enhanced": at every new address, the old one first,
        /// which finds out who passes on records from an address of his own, for two datagrams or more a wake-up.
        address_check: AddressCheck = "\"basic\"", Restart;
        /// Send sequence numbers leased at a time: how many are skipped after a crash, and how seldom the disk is asked.
        lease: Within<16, 1048576> = "1024", Restart;
    }
    /// Certificates of devices.
    certificates: CertificateKeys {
        /// Days that a device's certificate is valid. It is to be renewed in the last third of them.
        days: Within<1, 825> = "90", Restart;
        /// Where others reach /pki of this server, if certificates are to say where their revocation list and OCSP are.
        url: Url = "\"\"", Restart;
    }
    /// Enrolment over secure transport (RFC 7030), where devices get certificates and renew them.
    est: EstKeys {
        /// Address and port to listen on, with the certificate of the API; "" for not at all.
        listen: Listen = "\"\"", Restart;
    }
    /// The door of strong devices: MQTT over TLS, with a certificate of this installation (see certificates).
    mqtt: MqttKeys {
        /// Address and port to listen on, with the certificate of the API; "" for not at all.
        listen: Listen = "\"\"", Restart;
        /// Most connections at a time; further ones wait in the system's queue.
        connections_max: Within<8, 1000000> = "10000", Restart;
    }
    /// What a grade does to a device, and how it gets back.
    policy: PolicyKeys {
        /// Access of a device whose behaviour is suspicious.
        suspicious: Access = "\"full\"", Restart;
        /// Access of a device whose behaviour is abnormal.
        abnormal: Access = "\"quarantined\"", Restart;
        /// Minutes that an isolated device must behave normally before its probation begins.
        dwell_minutes: Within<1, 10080> = "60", Restart;
        /// Minutes of probation, at limited access, before it is free again.
        probation_minutes: Within<1, 43200> = "60", Restart;
        /// Messages a minute that pass from a device whose access is limited.
        limited_messages_per_minute: Within<1, 6000> = "6", Restart;
    }
    /// How much of a fleet machines may isolate, so that a bad judgement cannot cut off a city.
    brake: BrakeKeys {
        /// Share of a tenant's devices that may be isolated in an hour, for one cause, in percent.
        share_percent: Within<1, 100> = "5", Restart;
        /// Devices that may always be isolated in an hour, however small the fleet is.
        floor: Within<1, 100000> = "10", Restart;
    }
    /// What the server tells about itself on standard error.
    log: Log {
        /// Least severe level that is logged.
        level: LogLevel = "\"info\"", Live;
        /// How a line looks. "auto" is for people on a terminal and JSON elsewhere.
        format: LogFormat = "\"auto\"", Restart;
    }
    /// The process.
    server: Server {
        /// Seconds that requests and messages under way get when the server stops.
        drain_s: Within<0, 600> = "20", Live;
    }
}

/// The key called `name`.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The default of a key, read from how it stands in the table.
pub(super) fn default_of(key: &Key) -> Raw {
    let line = format!("value = {}", key.default);
    let table: toml::Table = line.parse().expect("invariant: every default is TOML");
    match &table["value"] {
        toml::Value::String(text) => Raw::Text(text.clone()),
        toml::Value::Integer(number) => Raw::Integer(*number),
        toml::Value::Boolean(value) => Raw::Boolean(*value),
        _ => unreachable!("invariant: every default is a string, an integer or a boolean"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_most_sixty_keys_and_each_is_unique() {
        assert!(KEYS.len() <= 60, "{} keys", KEYS.len());
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }

    #[test]
    fn every_key_has_a_sentence_and_a_unit_last() {
        for key in KEYS {
            assert!(key.doc.trim().ends_with('.'), "{}", key.name);
            assert!(!(key.shape)().is_empty(), "{}", key.name);
        }
    }

    #[test]
    fn a_variable_is_named_after_its_key() {
        let key = key("api.listen").unwrap();
        assert_eq!((key.leaf(), key.variable().as_str()), ("listen", "BARTIZAN_API__LISTEN"));
    }
}
