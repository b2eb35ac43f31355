//! A root's folder: `root.pem` for everybody, `root.key` for its owner.
//!
//! With a passphrase the key is encrypted PKCS#8 (PBES2: scrypt and AES-256-CBC), which `openssl pkey` reads. Without one
//! it is plain PKCS#8 that only the mode of the file protects: whoever can read the disk has it.

use std::path::{Path, PathBuf};

use bartizan_wire::UnixMillis;
use clap::Args;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::attest::read;
use super::error::Failure;
use crate::ca::{Authority, Key, Serial, Validity, hierarchy, pem};
use crate::data_dir::{read_secret, write_new};
use crate::limits::AUTHORITIES_PEM_BYTES_MAX;
use crate::store::fill_random;

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const DAY_MS: u64 = 86_400_000;
/// Shortest passphrase in bytes: who has the file can try as many as he likes.
const PASSPHRASE_BYTES_MIN: usize = 12;

/// How the root's key is protected.
#[derive(Debug, Args)]
pub struct Passphrase {
    /// File whose first line is the passphrase of the root's key
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    passphrase_file: Option<PathBuf>,
    /// The root's key is not encrypted: only the mode of its file protects it
    #[arg(long)]
    no_passphrase: bool,
}

impl Passphrase {
    /// `None` if there is to be none.
    fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(file) = &self.passphrase_file else {
            let hint = "give --passphrase-file FILE, or --no-passphrase";
            let missing = || Failure::usage("the root's key needs a passphrase").hint(hint);
            return if self.no_passphrase { Ok(None) } else { Err(missing()) };
        };
        let bytes = read_secret(file)?;
        let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.lines().next()).unwrap_or_default();
        if text.len() < PASSPHRASE_BYTES_MIN {
            let line =
                format!("a passphrase has at least {PASSPHRASE_BYTES_MIN} bytes: whoever has the file can guess");
            return Err(Failure::new(line));
        }
        Ok(Some(Zeroizing::new(text.to_owned())))
    }
}

/// What to do with the root now.
pub const fn advice(passphrase: &Passphrase) -> &'static str {
    if passphrase.no_passphrase {
        "root.key is not encrypted: move it off this machine, to where only you can read it.\n"
    } else {
        "Keep root.key off this machine, and its passphrase elsewhere.\n"
    }
}

/// Makes the folder.
///
/// # Errors
/// It exists, or the disk does not take it.
pub fn make(folder: &Path, name: &str, years: u32, passphrase: &Passphrase) -> Result<(), Failure> {
    let passphrase = passphrase.read()?;
    let (key, private) = Key::generate().map_err(told)?;
    let root = hierarchy::root(name, &key, &serial(), days(years * 365 + years / 4)).map_err(told)?;
    let private = match passphrase {
        None => Zeroizing::new(pem("PRIVATE KEY", &private)),
        Some(passphrase) => encrypt(&private, &passphrase)?,
    };
    make_private(folder)?;
    write_new(&folder.join("root.key"), private.as_bytes(), 0o600)?;
    write_new(&folder.join("root.pem"), pem("CERTIFICATE", &root).as_bytes(), 0o644)?;
    Ok(())
}

/// Opens the root of a folder.
///
/// # Errors
/// A file is missing, open to others, or not what it should be; the passphrase is wrong.
pub fn open(folder: &Path, passphrase: &Passphrase) -> Result<Authority, Failure> {
    let file = folder.join("root.key");
    let bytes = read_secret(&file)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let private = if text.contains(ENCRYPTED) {
        let passphrase = passphrase.read()?.ok_or_else(|| Failure::usage("the root's key has a passphrase"))?;
        decrypt(text, &passphrase)?
    } else {
        let key = PrivatePkcs8KeyDer::from_pem_slice(&bytes);
        let key = key.map_err(|_| Failure::new(format!("{} holds no private key", file.display())))?;
        Zeroizing::new(key.secret_pkcs8_der().to_vec())
    };
    let key = Key::from_pkcs8(&private).map_err(told)?;
    Authority::new(certificate(&folder.join("root.pem"))?, key).map_err(told)
}

/// The certificate of a PEM file, in DER.
///
/// # Errors
/// It holds none.
pub fn certificate(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read(file, AUTHORITIES_PEM_BYTES_MAX as u64)?;
    let certificate = CertificateDer::from_pem_slice(&bytes);
    let certificate = certificate.map_err(|_| Failure::new(format!("{} holds no certificate", file.display())))?;
    Ok(certificate.to_vec())
}

/// The request of a PEM text, in DER.
///
/// # Errors
/// It holds none.
pub fn request(pem: &str) -> Result<Vec<u8>, Failure> {
    let request = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
    Ok(request.map_err(|_| Failure::new("the file holds no certificate request"))?.to_vec())
}

/// A fresh serial number.
#[must_use]
pub fn serial() -> Serial {
    let mut random = [0; 16];
    fill_random(&mut random);
    Serial::new(random)
}

/// So many days from now, and dated back by one, for clocks that are behind.
#[must_use]
pub fn days(days: u32) -> Validity {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    let not_after = UnixMillis(now.saturating_add(u64::from(days) * DAY_MS));
    Validity { not_before: UnixMillis(now.saturating_sub(DAY_MS)), not_after }
}

fn encrypt(private: &[u8], passphrase: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = || Failure::new("the root's key cannot be encrypted");
    let info = PrivateKeyInfoRef::try_from(private).map_err(|_| failed())?;
    let sealed = info.encrypt(passphrase).map_err(|_| failed())?;
    sealed.to_pem(ENCRYPTED, LineEnding::LF).map_err(|_| failed())
}

fn decrypt(text: &str, passphrase: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let wrong = || Failure::new("the root's key does not open: another passphrase, or a damaged file");
    let (_, document) = SecretDocument::from_pem(text).map_err(|_| wrong())?;
    let sealed = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| wrong())?;
    let opened = sealed.decrypt(passphrase).map_err(|_| wrong())?;
    Ok(Zeroizing::new(opened.as_bytes().to_vec()))
}

fn make_private(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
    made.map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))
}

fn told(error: crate::ca::Error) -> Failure {
    Failure::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(folder: &Path, text: &str) -> Passphrase {
        let file = folder.join(format!("passphrase-{}", text.len()));
        write_new(&file, format!("{text}\n").as_bytes(), 0o600).unwrap();
        Passphrase { passphrase_file: Some(file), no_passphrase: false }
    }

    #[test]
    fn a_root_opens_with_its_passphrase_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (right, wrong) = (passphrase(folder.path(), "correct horse"), passphrase(folder.path(), "correct mule"));
        let root = folder.path().join("root");
        assert!(make(&root, "root", 20, &passphrase(folder.path(), "short")).is_err());
        make(&root, "root", 20, &right).unwrap();
        assert!(std::fs::read_to_string(root.join("root.key")).unwrap().contains(ENCRYPTED));
        assert!(open(&root, &right).is_ok());
        assert!(open(&root, &wrong).is_err());
        assert!(open(&root, &Passphrase { passphrase_file: None, no_passphrase: true }).is_err());
        assert!(make(&root, "root", 20, &right).is_err(), "it is there already");
    }

    #[test]
    fn without_a_passphrase_only_the_file_s_mode_protects_it() {
        let folder = tempfile::tempdir().unwrap();
        let none = Passphrase { passphrase_file: None, no_passphrase: true };
        let root = folder.path().join("root");
        assert!(make(&root, "root", 20, &Passphrase { passphrase_file: None, no_passphrase: false }).is_err());
        make(&root, "root", 20, &none).unwrap();
        assert!(open(&root, &none).is_ok());
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(root.join("root.key"), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(open(&root, &none).is_err());
    }
}
