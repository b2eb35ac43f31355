//! The kinds of values that a key can have. Each knows its own sentence: what it accepts, and how it is written.

use std::net::SocketAddr;

use bartizan_wire::Access;

/// A value as it was written, before anybody knows what it means.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// An environment variable, which has no type of its own.
    Variable(String),
    /// A TOML value of a kind that no key has, named for the error.
    Other(&'static str),
}

/// A checked value of one key.
pub trait Setting: Sized {
    /// What is accepted, as it stands in an error or in the documentation: "a whole number from 1 to 600".
    fn shape() -> String;

    /// Reads a value.
    ///
    /// # Errors
    /// A clause that says what is wrong with it, when [`Setting::shape`] does not say it all.
    fn parse(raw: &Raw) -> Result<Self, Option<String>>;

    /// The value as it would be written in the file.
    fn to_toml(&self) -> String;
}

/// A whole number between two bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The value where memory is sized by it; saturates on a machine with a smaller word.
    #[must_use]
    pub fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Setting for Within<MIN, MAX> {
    fn shape() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn parse(raw: &Raw) -> Result<Self, Option<String>> {
        let number = match raw {
            Raw::Integer(number) => u64::try_from(*number).ok(),
            Raw::Variable(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| (MIN..=MAX).contains(number)).map(Self).ok_or(None)
    }

    fn to_toml(&self) -> String {
        self.0.to_string()
    }
}

impl Setting for bool {
    fn shape() -> String {
        "true or false".into()
    }

    fn parse(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Variable(text) => text.trim().parse().map_err(|_| None),
            _ => Err(None),
        }
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// An address to listen on. Port 0 asks the system for a free one.
impl Setting for SocketAddr {
    fn shape() -> String {
        "an IP address and port such as \"127.0.0.1:8443\" or \"[::1]:8443\"".into()
    }

    fn parse(raw: &Raw) -> Result<Self, Option<String>> {
        let text = text_of(raw)?;
        text.parse().map_err(|_| {
            let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
            let named = host.starts_with(|c: char| c.is_ascii_alphabetic());
            named.then(|| format!("\"{host}\" is a name, not an address"))
        })
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl Setting for Listen {
    fn shape() -> String {
        "an IP address and port such as \"0.0.0.0:8444\", or \"\" for none".into()
    }

    fn parse(raw: &Raw) -> Result<Self, Option<String>> {
        if text_of(raw)?.is_empty() { Ok(Self(None)) } else { SocketAddr::parse(raw).map(|at| Self(Some(at))) }
    }

    fn to_toml(&self) -> String {
        self.0.map_or_else(|| quoted(""), |at| at.to_toml())
    }
}

/// Where a service is found, or nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(pub Option<String>);

impl Setting for Url {
    fn shape() -> String {
        "an address such as \"http://pki.example:8080\", or \"\" for none".into()
    }

    fn parse(raw: &Raw) -> Result<Self, Option<String>> {
        let text = text_of(raw)?.trim_end_matches('/');
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let plain = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        match host {
            None if text.is_empty() => Ok(Self(None)),
            Some(host) if plain(host) && text.len() <= 200 => Ok(Self(Some(text.into()))),
            _ => Err(None),
        }
    }

    fn to_toml(&self) -> String {
        quoted(self.0.as_deref().unwrap_or_default())
    }
}

/// Where a file is. A relative path starts at the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(std::path::PathBuf);

impl FilePath {
    /// The path, seen from `data_dir`.
    #[must_use]
    pub fn within(&self, data_dir: &std::path::Path) -> std::path::PathBuf {
        data_dir.join(&self.0)
    }
}

impl Setting for FilePath {
    fn shape() -> String {
        "the path of a file, seen from the data directory".into()
    }

    fn parse(raw: &Raw) -> Result<Self, Option<String>> {
        match text_of(raw)? {
            "" => Err(Some("the path is empty".into())),
            path => Ok(Self(path.into())),
        }
    }

    fn to_toml(&self) -> String {
        quoted(&self.0.to_string_lossy())
    }
}

/// Declares an enum of words for the configuration.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl Setting for $name {
            fn shape() -> String {
                one_of(&[$($text,)+])
            }

            fn parse(raw: &Raw) -> Result<Self, Option<String>> {
                match text_of(raw)? { $($text => Ok(Self::$variant),)+ _ => Err(None) }
            }

            fn to_toml(&self) -> String {
                quoted(match self { $(Self::$variant => $text,)+ })
            }
        }
    };
}

words! {
    /// How much is logged.
    LogLevel {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

words! {
    /// How a log line looks.
    LogFormat {
        /// For people on a terminal, JSON elsewhere.
        Auto = "auto",
        Human = "human",
        Json = "json",
    }
}

words! {
    /// Who may read `/metrics`.
    MetricsReader {
        /// Anybody on this machine; from elsewhere an operator credential is needed.
        Loopback = "loopback",
        /// Whoever has an operator credential.
        Operator = "operator",
        /// Anybody who reaches the port.
        Anybody = "anybody",
    }
}

words! {
    /// Which versions of DTLS devices may use.
    DtlsVersions {
        Both = "both",
        Dtls12 = "1.2",
        Dtls13 = "1.3",
    }
}

words! {
    /// When the gateway asks a device at a new address whether it is there (RFC 9853).
    AddressCheck {
        /// When something longer has to go there.
        Basic = "basic",
        /// Always, and at the old address first.
        Enhanced = "enhanced",
    }
}

impl From<AddressCheck> for bartizan_dtls::PathCheck {
    fn from(check: AddressCheck) -> Self {
        match check {
            AddressCheck::Basic => Self::Basic,
            AddressCheck::Enhanced => Self::Enhanced,
        }
    }
}

impl From<DtlsVersions> for bartizan_dtls::Versions {
    fn from(versions: DtlsVersions) -> Self {
        match versions {
            DtlsVersions::Both => Self::BOTH,
            DtlsVersions::Dtls12 => Self::DTLS_1_2,
            DtlsVersions::Dtls13 => Self::DTLS_1_3,
        }
    }
}

impl Setting for Access {
    fn shape() -> String {
        let names: Vec<&str> = Self::ALL.iter().map(|access| access.name()).collect();
        one_of(&names)
    }

    fn parse(raw: &Raw) -> Result<Self, Option<String>> {
        Self::from_name(text_of(raw)?).ok_or(None)
    }

    fn to_toml(&self) -> String {
        quoted(self.name())
    }
}

fn text_of(raw: &Raw) -> Result<&str, Option<String>> {
    match raw {
        Raw::Text(text) | Raw::Variable(text) => Ok(text),
        _ => Err(None),
    }
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_both_sides_of_their_bounds() {
        type Few = Within<1, 3>;
        for (number, good) in [(0, false), (1, true), (3, true), (4, false), (-1, false)] {
            assert_eq!(Few::parse(&Raw::Integer(number)).is_ok(), good, "{number}");
        }
        assert_eq!(Few::parse(&Raw::Variable(" 2 ".into())), Ok(Within(2)));
        assert!(Few::parse(&Raw::Text("2".into())).is_err(), "the file has types");
    }

    #[test]
    fn a_host_name_is_named_as_the_fault() {
        let fault = SocketAddr::parse(&Raw::Text("localhost:1".into())).unwrap_err();
        assert_eq!(fault.as_deref(), Some("\"localhost\" is a name, not an address"));
    }

    #[test]
    fn what_is_empty_is_none() {
        let text = |text: &str| Raw::Text(text.into());
        assert_eq!(Listen::parse(&text("")), Ok(Listen(None)));
        assert_eq!(Listen::parse(&text("[::1]:1")).map(|listen| listen.to_toml()), Ok("\"[::1]:1\"".into()));
        assert_eq!(Url::parse(&text("")), Ok(Url(None)));
        assert_eq!(Url::parse(&text("http://h:1/")), Ok(Url(Some("http://h:1".into()))));
        for bad in ["h:1", "ftp://h", "http://", "http://a b", "https://ä"] {
            assert_eq!(Url::parse(&text(bad)), Err(None), "{bad}");
        }
    }

    #[test]
    fn words_are_listed_in_the_shape() {
        assert_eq!(LogFormat::shape(), "\"auto\", \"human\" or \"json\"");
        assert_eq!(LogFormat::parse(&Raw::Text("json".into())), Ok(LogFormat::Json));
        assert_eq!(LogFormat::parse(&Raw::Text("xml".into())), Err(None));
    }

    #[test]
    fn what_is_shown_can_be_written_back() {
        let path = FilePath("a \"b\".pem".into());
        let table: toml::Table = format!("p = {}", path.to_toml()).parse().unwrap();
        assert_eq!(table["p"].as_str(), Some("a \"b\".pem"));
    }
}
