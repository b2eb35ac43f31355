//! Keys and certificates of both sides, made anew for each run, in the forms that the outside programs read.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bartizan_peer_common::{Auth, Role};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData, date_time_ymd};
use tempfile::TempDir;

pub const IDENTITY: &str = "Client_identity";
pub const PSK: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
pub const PSK_HEX: &str = "000102030405060708090a0b0c0d0e0f";
/// In the server's certificate.
pub const SERVER_NAME: &str = "server.example";

/// Files `authority.{der,pem}` and, for `client` and `server`, `ROLE.{der,pem}` (certificate), `ROLE.key.{der,pem}`
/// (PKCS #8) and `ROLE.public.{der,pem}` (SubjectPublicKeyInfo); `psk` as GnuTLS wants it. Gone when dropped.
pub struct Credentials {
    folder: TempDir,
}

impl Credentials {
    /// # Errors
    /// If the files cannot be written.
    pub fn new() -> Result<Self> {
        let credentials = Self { folder: tempfile::tempdir()? };
        let key = KeyPair::generate()?;
        let mut params = params("Bartizan's interop authority", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?;
        credentials.write("authority.der", certificate.der())?;
        credentials.write("authority.pem", certificate.pem().as_bytes())?;
        let issuer = Issuer::new(params, key);
        for role in Role::ALL {
            credentials.issue(*role, &issuer)?;
        }
        credentials.write("psk", format!("{IDENTITY}:{PSK_HEX}\n").as_bytes())?;
        Ok(credentials)
    }

    /// A file's path.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.file(name).to_string_lossy().into_owned()
    }

    /// What `role` shows of itself, its private key, and what it trusts: paths of DER files, as peers of ours read them.
    #[must_use]
    pub fn of(&self, role: Role, auth: Auth) -> [String; 3] {
        let (own, other) = (role.name(), opposite(role).name());
        match auth {
            Auth::Rpk => [format!("{own}.public.der"), format!("{own}.key.der"), format!("{other}.public.der")],
            _ => [format!("{own}.der"), format!("{own}.key.der"), "authority.der".to_owned()],
        }
        .map(|name| self.path(&name))
    }

    fn issue(&self, role: Role, issuer: &Issuer<'_, KeyPair>) -> Result<()> {
        let (name, key) = (role.name(), KeyPair::generate()?);
        let certificate = params(name, &[SERVER_NAME])?.signed_by(&key, issuer)?;
        self.write(&format!("{name}.der"), certificate.der())?;
        self.write(&format!("{name}.pem"), certificate.pem().as_bytes())?;
        self.write(&format!("{name}.key.der"), key.serialized_der())?;
        self.write(&format!("{name}.key.pem"), key.serialize_pem().as_bytes())?;
        self.write(&format!("{name}.public.der"), &key.subject_public_key_info())?;
        self.write(&format!("{name}.public.pem"), key.public_key_pem().as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(std::fs::write(self.file(name), bytes)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

#[must_use]
pub const fn opposite(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

fn params(name: &str, names: &[&str]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    Ok(params)
}
