//! The installation's own certificate authority: it signs the one certificate that the API shows, so that TLS
//! is on from the first start and clients have one file to trust. It has nothing to do with devices.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// Days that the authority is valid.
const CA_DAYS: i64 = 3650;
/// Days that the server's certificate is valid: under the 825 that strict clients accept.
const SERVER_DAYS: i64 = 820;
/// Days by which a certificate is dated back, for clients whose clock is behind.
const SKEW_DAYS: i64 = 1;
const SECONDS_PER_DAY: i64 = 86_400;

/// What `init` writes, all of it PEM.
///
/// The authority's key is not part of it: once the server's certificate is signed nothing else may be, so the
/// key is forgotten, and a certificate that ends is replaced together with its authority.
pub struct Issued {
    pub ca_certificate: String,
    pub server_certificate: String,
    pub server_key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("\"{0}\" is neither a DNS name nor an IP address")]
    Host(String),
    #[error("cannot make a certificate: {0}")]
    Generation(#[from] rcgen::Error),
}

/// The names that a server certificate always holds.
pub const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Makes an authority and a server certificate for the loopback names and `hosts` (DNS names or addresses).
///
/// # Errors
/// A host that is neither a DNS name nor an address.
pub fn issue(hosts: &[String], now_unix_s: i64) -> Result<Issued, Error> {
    let authority = CertifiedIssuer::self_signed(authority(now_unix_s), KeyPair::generate()?)?;
    let server_key = KeyPair::generate()?;
    let certificate = server(hosts, now_unix_s)?.signed_by(&server_key, &authority)?;
    Ok(Issued {
        ca_certificate: authority.pem(),
        server_certificate: certificate.pem(),
        server_key: server_key.serialize_pem(),
    })
}

fn authority(now_unix_s: i64) -> CertificateParams {
    let mut params = named("Bartizan installation CA", now_unix_s, CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server(hosts: &[String], now_unix_s: i64) -> Result<CertificateParams, Error> {
    let mut params = named("Bartizan server", now_unix_s, SERVER_DAYS);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let own = LOOPBACK_NAMES.into_iter();
    for host in own.chain(hosts.iter().map(String::as_str)) {
        let name = alternative_name(host)?;
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    Ok(params)
}

fn named(common_name: &str, now_unix_s: i64, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // rcgen's own constructor of its date type, so that the crate behind it need not be a dependency.
    let epoch = date_time_ymd(1970, 1, 1);
    let at = |day: i64| {
        let seconds = now_unix_s.saturating_add(day * SECONDS_PER_DAY);
        epoch + std::time::Duration::from_secs(seconds.max(0).unsigned_abs())
    };
    params.not_before = at(-SKEW_DAYS);
    params.not_after = at(days);
    params
}

fn alternative_name(host: &str) -> Result<SanType, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '*');
    if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
        return Err(Error::Host(host.into()));
    }
    Ok(SanType::DnsName(host.try_into().map_err(|_| Error::Host(host.into()))?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    const NOW_S: i64 = 1_795_000_000;

    fn verifies(issued: &Issued, name: &str, at_s: i64) -> bool {
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der(&issued.ca_certificate)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at_s as u64));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&der(&issued.server_certificate), &[], &name, &[], at).is_ok()
    }

    #[test]
    fn a_client_that_trusts_the_authority_accepts_every_name_and_no_other() {
        let hosts = ["gate.example".to_owned(), "192.0.2.7".to_owned()];
        let issued = issue(&hosts, NOW_S).unwrap();
        for name in ["localhost", "127.0.0.1", "::1", "gate.example", "192.0.2.7"] {
            assert!(verifies(&issued, name, NOW_S), "{name}");
        }
        for name in ["example", "192.0.2.8"] {
            assert!(!verifies(&issued, name, NOW_S), "{name}");
        }
    }

    #[test]
    fn it_is_valid_from_a_day_ago_until_its_end() {
        let issued = issue(&[], NOW_S).unwrap();
        let day = SECONDS_PER_DAY;
        for (at, good) in [
            (NOW_S - 2 * day, false),
            (NOW_S - day + 60, true),
            (NOW_S + SERVER_DAYS * day - 60, true),
            (NOW_S + SERVER_DAYS * day + 60, false),
        ] {
            assert_eq!(verifies(&issued, "localhost", at), good, "{at}");
        }
    }

    #[test]
    fn another_installation_is_not_trusted() {
        let (ours, theirs) = (issue(&[], NOW_S).unwrap(), issue(&[], NOW_S).unwrap());
        let mixed = Issued { ca_certificate: theirs.ca_certificate, ..ours };
        assert!(!verifies(&mixed, "localhost", NOW_S));
    }

    #[test]
    fn a_host_that_is_no_name_is_refused() {
        for host in ["", "a b", "a/b", "ä.example"] {
            assert!(issue(&[host.to_owned()], NOW_S).is_err(), "{host:?}");
        }
    }
}
