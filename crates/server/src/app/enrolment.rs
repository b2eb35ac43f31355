//! Enrolment over secure transport (EST) without its transport: RFC 7030 over HTTPS and RFC 9148 over CoAP ask the same.
//!
//! A device proves that it has the key it wants a certificate for by signing its request. That the signer is also the
//! client of the channel (RFC 7030 section 3.5) would need a value of the channel in the request, and its tls-unique does
//! not exist in TLS 1.3: who asks is therefore known by the channel alone, and a request that somebody else signed for
//! this device gets a certificate that only that somebody can use, in this device's name. That is what a one-time secret
//! or a certificate in the wrong hands amounts to anyway.

use std::sync::Arc;

use bartizan_crypto::{AWS_LC, constant_time_eq};
use bartizan_wire::{DeviceKey, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::certificates::{CertificateError, Enrolled, open_csr};
use super::device::Device;
use super::error::Error;
use super::views::rfc3339;
use super::{Actor, App};
use crate::ca::{Csr, Key, hierarchy};
use crate::limits::ENROLMENT_SECRET_HOURS_MAX;
use crate::store::fill_random;
use bartizan_platform::import::secret::to_hex;

/// With what a device asks for its first certificate over HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentSecret {
    /// The user name of HTTP Basic: the numbers of tenant and device.
    pub user: String,
    /// The password. It is shown this once, works once, and an older one of the device does not work any more.
    pub password: String,
    pub expires: String,
}

/// A key that was made for a device, and its certificate.
pub struct MadeKey {
    /// PKCS#8 in DER. It is kept nowhere.
    pub private: Zeroizing<Vec<u8>>,
    /// DER.
    pub certificate: Vec<u8>,
}

impl App {
    /// Renews or rekeys: the request must ask for the names that stand in `current` (DER), neither more nor less (RFC
    /// 7030 section 4.2.2). That `current` is believed and is `device`'s is for the caller to know.
    ///
    /// # Errors
    /// As [`App::issue_certificate`]; `Malformed` if it asks for other names.
    pub async fn renew_certificate(
        &self,
        device: &Arc<Device>,
        current: &[u8],
        csr: &[u8],
    ) -> Result<Vec<u8>, CertificateError> {
        let csr = open_csr(csr)?;
        if !csr.renews(current).map_err(|error| CertificateError::Malformed(error.to_string()))? {
            let why = "a renewal asks for the subject and the alternative names of the certificate that it renews";
            return Err(CertificateError::Malformed(why.into()));
        }
        self.certify(device, &csr, Enrolled::Renewal).await
    }

    /// Makes a key for a device that cannot (RFC 7030 section 4.4). The request's own key is used for nothing.
    ///
    /// # Errors
    /// As [`App::issue_certificate`].
    pub async fn make_key(&self, device: &Arc<Device>, csr: &[u8], how: Enrolled) -> Result<MadeKey, CertificateError> {
        self.make_key_as(device, &open_csr(csr)?, how).await
    }

    /// The same for a request that was opened.
    pub(super) async fn make_key_as(
        &self,
        device: &Arc<Device>,
        asked: &Csr<'_>,
        how: Enrolled,
    ) -> Result<MadeKey, CertificateError> {
        let failed = |error: crate::ca::Error| Error::Unavailable(format!("no key can be made: {error}"));
        let (key, private) = Key::generate().map_err(failed)?;
        let request = hierarchy::request(asked.subject(), &key).map_err(failed)?;
        let certificate = self.issue_certificate(device, &request, how).await?;
        Ok(MadeKey { private, certificate })
    }

    /// A secret with which the device asks for its first certificate. Only its hash is kept.
    pub async fn make_enrolment_secret(
        &self,
        actor: &Actor,
        device: DeviceKey,
        hours: u32,
    ) -> Result<EnrolmentSecret, Error> {
        if hours == 0 || hours > ENROLMENT_SECRET_HOURS_MAX {
            return Err(Error::Malformed(format!("a secret is good for 1 to {ENROLMENT_SECRET_HOURS_MAX} hours")));
        }
        let device = self.require_device(device).await?;
        let mut random = Zeroizing::new([0; 24]);
        fill_random(&mut *random);
        let password = to_hex(&*random);
        let expires = UnixMillis(self.clock.now().0.saturating_add(u64::from(hours) * 3_600_000));
        let store = &device.tenant().store;
        store.keep_enrolment_secret(device.key.device, &hash(&device, &password), expires).await?;
        self.note_by(&device, actor, "certificate", "It was given an enrolment secret.".into());
        self.audit(actor, "certificate.secret", Some(device.key.tenant), &device.name, "").await?;
        let user = format!("{}.{}", device.key.tenant.0, device.key.device.0);
        Ok(EnrolmentSecret { user, password, expires: rfc3339(expires) })
    }

    /// The device whose enrolment secret this is. An unknown device and a wrong secret are answered alike.
    pub async fn device_with_secret(&self, user: &str, password: &str) -> Result<Option<Arc<Device>>, Error> {
        let Some(key) = device_of(user) else { return Ok(None) };
        let Some(device) = self.load_device(key).await? else { return Ok(None) };
        let kept = device.tenant().store.enrolment_secret(key.device, self.clock.now()).await?;
        let good = kept.is_some_and(|kept| constant_time_eq(&kept, &hash(&device, password)));
        Ok(good.then_some(device))
    }

    /// Uses the device's secret up; it is gone from the disk when this returns. False if it was used meanwhile.
    pub async fn use_enrolment_secret(&self, device: &Arc<Device>, password: &str) -> Result<bool, Error> {
        Ok(device.tenant().store.use_enrolment_secret(device.key.device, &hash(device, password)).await?)
    }
}

/// CsrAttrs (RFC 7030 section 4.5.2) in DER: a key on P-256 that signs with ECDSA and SHA-256.
pub const CSR_ATTRIBUTES: &[u8] = b"\x30\x21\
    \x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02\
    \x30\x15\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x31\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";

/// Secrets are random, so that a plain hash tells nothing; it is bound to its device.
fn hash(device: &Device, password: &str) -> [u8; 32] {
    let (tenant, number) = (device.key.tenant.0.to_be_bytes(), device.key.device.0.to_be_bytes());
    (AWS_LC.sha256)(&[b"bartizan enrolment secret", &tenant, &number, password.as_bytes()])
}

/// `TENANT.DEVICE`, in decimal.
fn device_of(user: &str) -> Option<DeviceKey> {
    let (tenant, device) = user.split_once('.')?;
    Some(DeviceKey::new(tenant.parse().ok()?, device.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_trust::der::{self, Reader};

    #[test]
    fn the_attributes_are_der() {
        let mut list = Reader::new(Reader::only(CSR_ATTRIBUTES, der::SEQUENCE).unwrap());
        list.take(der::OBJECT).unwrap();
        let mut attribute = Reader::new(list.take(der::SEQUENCE).unwrap());
        list.end().unwrap();
        attribute.take(der::OBJECT).unwrap();
        Reader::only(attribute.take(der::SET).unwrap(), der::OBJECT).unwrap();
        attribute.end().unwrap();
    }
}
