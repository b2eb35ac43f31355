//! The command line that the runner writes for each connection it wants.
//!
//! A flag that is not known here asks for something that cannot be done: the case is then not implemented. What a
//! flag needs of the stack is checked where the connection is made ([`crate::peer`]).

use std::fmt;
use std::slice::Iter;

/// DTLS 1.2 and 1.3 as they stand on the wire; versions count downwards.
pub const DTLS_1_2: u16 = 0xFEFD;
pub const DTLS_1_3: u16 = 0xFEFC;

/// Why a command line cannot be followed.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something that the stack or this shim does not have.
    Unimplemented(String),
    /// Not a command line of the runner's.
    Usage(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unimplemented(what) => write!(f, "not implemented: {what}"),
            Self::Usage(what) => write!(f, "usage: {what}"),
        }
    }
}

/// The whole command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub port: u16,
    pub ipv6: bool,
    pub shim_id: u64,
    pub is_handshaker_supported: bool,
    /// Connections after the first.
    pub resume_count: u32,
    pub first: Settings,
    pub resumed: Settings,
}

/// What one connection is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub server: bool,
    pub dtls: bool,
    pub min_version: Option<u16>,
    pub max_version: Option<u16>,
    /// Versions taken out of the range one by one.
    pub without_1_2: bool,
    pub without_1_3: bool,
    pub mtu: Option<usize>,
    pub first_timeout_ms: Option<u64>,
    // Credentials.
    pub psk: Option<String>,
    pub psk_identity: String,
    pub key_file: Option<String>,
    pub cert_file: Option<String>,
    pub trust_cert: Option<String>,
    pub verify_peer: bool,
    pub verify_fail: bool,
    pub custom_verify: bool,
    pub require_any_client_certificate: bool,
    /// IANA numbers, in the order of preference; empty: what the stack prefers.
    pub curves: Vec<u16>,
    pub verify_prefs: Vec<u16>,
    pub signing_prefs: Vec<u16>,
    // What must come out.
    pub expect_version: Option<u16>,
    pub expect_cipher: Option<u16>,
    pub expect_curve: Option<u16>,
    pub expect_peer_signature_algorithm: Option<u16>,
    pub expect_peer_cert_file: Option<String>,
    pub expect_hrr: bool,
    pub expect_no_hrr: bool,
    pub expect_session_miss: bool,
    pub no_ticket: bool,
    pub expect_no_session: bool,
    // What to do once connected.
    pub shim_shuts_down: bool,
    pub shim_writes_first: bool,
    pub initial_write: Option<String>,
    pub initial_write_count: Option<u32>,
    pub check_close_notify: bool,
    pub key_update: bool,
    pub key_update_before_read: bool,
    pub send_alert: bool,
    pub export: Option<Export>,
}

/// Keying material to export and send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    pub length: usize,
    pub label: String,
    pub context: String,
    pub use_context: bool,
}

/// To which connections a flag belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    First,
    Resumed,
}

impl Flags {
    pub fn parse(words: &[String]) -> Result<Self, Refusal> {
        let mut flags = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (scope, name) = scope(word);
            if scope == Scope::All && flags.set(name, &mut words)? {
                continue;
            }
            // The value is read twice when it goes to both connections.
            let mut again = words.clone();
            if scope != Scope::Resumed {
                flags.first.set(name, &mut words)?;
            }
            if scope != Scope::First {
                flags.resumed.set(name, &mut again)?;
                words = again;
            }
        }
        Ok(flags)
    }

    /// The flags about all connections together.
    fn set(&mut self, name: &str, words: &mut Iter<'_, String>) -> Result<bool, Refusal> {
        match name {
            "-port" => self.port = number(name, words)?,
            "-ipv6" => self.ipv6 = true,
            "-shim-id" => self.shim_id = number(name, words)?,
            "-is-handshaker-supported" => self.is_handshaker_supported = true,
            "-resume-count" => self.resume_count = number(name, words)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Settings {
    fn set(&mut self, name: &str, words: &mut Iter<'_, String>) -> Result<(), Refusal> {
        let known = self.set_switch(name) || self.set_value(name, words)? || self.set_expectation(name, words)?;
        if known { Ok(()) } else { Err(Refusal::Unimplemented(name.to_owned())) }
    }

    fn set_switch(&mut self, name: &str) -> bool {
        match name {
            "-server" => self.server = true,
            "-dtls" => self.dtls = true,
            "-no-tls12" => self.without_1_2 = true,
            "-no-tls13" => self.without_1_3 = true,
            "-verify-peer" => self.verify_peer = true,
            "-verify-fail" => self.verify_fail = true,
            "-require-any-client-certificate" => self.require_any_client_certificate = true,
            "-expect-hrr" => self.expect_hrr = true,
            "-expect-no-hrr" => self.expect_no_hrr = true,
            "-expect-session-miss" => self.expect_session_miss = true,
            "-expect-no-session" => self.expect_no_session = true,
            "-no-ticket" => self.no_ticket = true,
            "-shim-shuts-down" => self.shim_shuts_down = true,
            "-shim-writes-first" => self.shim_writes_first = true,
            "-check-close-notify" => self.check_close_notify = true,
            "-key-update" => self.key_update = true,
            "-key-update-before-read" => self.key_update_before_read = true,
            "-send-alert" => self.send_alert = true,
            "-use-export-context" => self.export().use_context = true,
            "-use-custom-verify-callback" => self.custom_verify = true,
            // A sans-IO stack is always asynchronous, its handshake always implicit; there is no DTLS 1.0, extended
            // master secret is a must, a verdict on a certificate is nothing to ask for (it decides), and whoever
            // wants to renegotiate is refused.
            "-async"
            | "-implicit-handshake"
            | "-no-tls1"
            | "-no-tls11"
            | "-expect-verify-result"
            | "-renegotiate-freely"
            | "-expect-extended-master-secret" => {}
            _ => return false,
        }
        true
    }

    fn set_value(&mut self, name: &str, words: &mut Iter<'_, String>) -> Result<bool, Refusal> {
        match name {
            "-min-version" => self.min_version = Some(number(name, words)?),
            "-max-version" => self.max_version = Some(number(name, words)?),
            "-mtu" => self.mtu = Some(number(name, words)?),
            "-initial-timeout-duration-ms" => self.first_timeout_ms = Some(number(name, words)?),
            "-psk" => self.psk = Some(text(name, words)?),
            "-psk-identity" => self.psk_identity = text(name, words)?,
            "-key-file" => self.key_file = Some(text(name, words)?),
            "-cert-file" => self.cert_file = Some(text(name, words)?),
            "-trust-cert" => self.trust_cert = Some(text(name, words)?),
            "-curves" => self.curves.push(number(name, words)?),
            "-verify-prefs" => self.verify_prefs.push(number(name, words)?),
            "-signing-prefs" => self.signing_prefs.push(number(name, words)?),
            "-shim-initial-write" => self.initial_write = Some(text(name, words)?),
            "-repeat-shim-initial-write" => self.initial_write_count = Some(number(name, words)?),
            "-export-keying-material" => self.export().length = number(name, words)?,
            "-export-label" => self.export().label = text(name, words)?,
            "-export-context" => self.export().context = text(name, words)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_expectation(&mut self, name: &str, words: &mut Iter<'_, String>) -> Result<bool, Refusal> {
        match name {
            "-expect-version" => self.expect_version = Some(number(name, words)?),
            "-expect-cipher" => self.expect_cipher = Some(number(name, words)?),
            "-expect-curve-id" => self.expect_curve = Some(number(name, words)?),
            "-expect-peer-signature-algorithm" => self.expect_peer_signature_algorithm = Some(number(name, words)?),
            "-expect-peer-cert-file" => self.expect_peer_cert_file = Some(text(name, words)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether a server is to ask its client who it is.
    pub fn asks_for_certificate(&self) -> bool {
        self.verify_peer || self.require_any_client_certificate
    }

    /// What an endpoint is made of: the same for connections that differ in what comes out, or in the verdict that only
    /// a full handshake asks for.
    pub fn without_expectations(&self) -> Self {
        Self {
            verify_fail: false,
            expect_version: None,
            expect_cipher: None,
            expect_curve: None,
            expect_peer_signature_algorithm: None,
            expect_peer_cert_file: None,
            expect_hrr: false,
            expect_no_hrr: false,
            expect_session_miss: false,
            expect_no_session: false,
            ..self.clone()
        }
    }

    fn export(&mut self) -> &mut Export {
        self.export.get_or_insert_default()
    }

    /// Whether `version` is in the range; later versions have smaller numbers.
    pub fn allows(&self, version: u16) -> bool {
        let removed = match version {
            DTLS_1_2 => self.without_1_2,
            DTLS_1_3 => self.without_1_3,
            _ => true,
        };
        !removed
            && self.min_version.is_none_or(|min| version <= min)
            && self.max_version.is_none_or(|max| version >= max)
    }
}

/// Splits off the prefix that says to which connections a flag belongs. What is for the handshaker, another program
/// of BoringSSL's, or for a retry after refused early data never comes up in DTLS, so those stay unknown flags.
fn scope(word: &str) -> (Scope, &str) {
    for (prefix, scope) in [("-on-shim", Scope::All), ("-on-initial", Scope::First), ("-on-resume", Scope::Resumed)] {
        if let Some(name) = word.strip_prefix(prefix) {
            return (scope, name);
        }
    }
    (Scope::All, word)
}

fn text(name: &str, words: &mut Iter<'_, String>) -> Result<String, Refusal> {
    words.next().cloned().ok_or_else(|| Refusal::Usage(format!("{name} without a value")))
}

fn number<T: std::str::FromStr>(name: &str, words: &mut Iter<'_, String>) -> Result<T, Refusal> {
    let value = text(name, words)?;
    value.parse().map_err(|_| Refusal::Usage(format!("{name} with {value:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, Refusal> {
        Flags::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_flag_goes_to_the_connections_that_its_prefix_names() {
        let flags =
            parse("-port 5 -psk abc -on-initial-mtu 256 -on-resume-psk def -on-shim-key-file k -async").unwrap();
        assert_eq!((flags.port, flags.first.mtu, flags.resumed.mtu), (5, Some(256), None));
        assert_eq!((flags.first.psk.as_deref(), flags.resumed.psk.as_deref()), (Some("abc"), Some("def")));
        assert_eq!(flags.resumed.key_file.as_deref(), Some("k"));
    }

    #[test]
    fn an_unknown_flag_is_not_implemented_and_a_missing_value_a_mistake() {
        assert_eq!(parse("-dtls -enable-ech-grease").unwrap_err(), Refusal::Unimplemented("-enable-ech-grease".into()));
        assert_eq!(parse("-mtu").unwrap_err(), Refusal::Usage("-mtu without a value".into()));
        assert_eq!(parse("-mtu x").unwrap_err(), Refusal::Usage("-mtu with \"x\"".into()));
    }

    #[test]
    fn versions_count_downwards() {
        let only_1_2 = parse("-max-version 65277").unwrap().first;
        assert!(only_1_2.allows(DTLS_1_2) && !only_1_2.allows(DTLS_1_3));
        let only_1_3 = parse("-min-version 65276").unwrap().first;
        assert!(!only_1_3.allows(DTLS_1_2) && only_1_3.allows(DTLS_1_3));
        assert!(!parse("-max-version 65279").unwrap().first.allows(DTLS_1_2));
        assert!(!parse("-no-tls12").unwrap().first.allows(DTLS_1_2));
    }
}
