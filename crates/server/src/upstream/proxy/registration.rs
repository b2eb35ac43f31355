//! Who may register under which name at an LwM2M server or resource directory (LwM2M Core section 6.2,
//! RFC 9176), and who may use which registration.
//!
//! Behind a proxy the server cannot see who is who, so the gateway vouches for the endpoint name: it must be
//! bound to the authenticated device. The location that a registration made belongs to the device that made it.

use std::collections::HashMap;
use std::sync::Mutex;

use bartizan_wire::DeviceKey;
use bartizan_wire::coap::{Code, MessageView, OptionNumber};

use super::super::UpstreamDevice;
use crate::app::path::UpstreamError;
use crate::limits;

/// Resources that take registrations: LwM2M registration and bootstrap.
const REGISTRARS: [&[u8]; 2] = [b"rd", b"bs"];

/// Which device made which registration, as far as seen since the start.
#[derive(Default)]
pub(super) struct Registrations(Mutex<Owners>);

#[derive(Default)]
struct Owners {
    by_location: HashMap<Vec<u8>, DeviceKey>,
    by_device: HashMap<DeviceKey, Vec<u8>>,
}

impl Registrations {
    /// Whether `device` may send `request`.
    ///
    /// # Errors
    /// `Refused` with the name or location that is not the device's.
    pub(super) fn check(&self, device: &UpstreamDevice, request: &MessageView<'_>) -> Result<(), UpstreamError> {
        if !names_registrar(request) {
            return Ok(());
        }
        for name in request.uri_query().filter_map(|part| part.strip_prefix(b"ep=")) {
            if !device.endpoint_names.iter().any(|bound| bound.as_bytes() == name) {
                return Err(UpstreamError::Refused(printable(name)));
            }
        }
        let location = location_of(request.uri_path());
        let owners = self.0.lock().expect("invariant: no panic while the owners are held");
        match owners.by_location.get(&location) {
            Some(owner) if *owner != device.key => Err(UpstreamError::Refused(printable(&location))),
            _ => Ok(()),
        }
    }

    /// Learns from the origin's answer: a made registration belongs to its maker, an ended one to nobody. A
    /// location from before our start belongs to the first device that uses it with success.
    pub(super) fn learn(&self, device: DeviceKey, request: &MessageView<'_>, response: &MessageView<'_>) {
        if !names_registrar(request) || !response.code().is_success() {
            return;
        }
        let mut owners = self.0.lock().expect("invariant: no panic while the owners are held");
        let used = location_of(request.uri_path());
        match (request.code(), response.code()) {
            (_, Code::CREATED) => owners.claim(location_of(response.values(OptionNumber::LOCATION_PATH)), device),
            (Code::DELETE, _) => owners.release(&used),
            (Code::POST | Code::PUT, _) => owners.claim(used, device),
            _ => {}
        }
    }
}

impl Owners {
    /// One location a device: a new registration replaces its old one.
    fn claim(&mut self, location: Vec<u8>, device: DeviceKey) {
        let is_location = location.iter().filter(|byte| **byte == b'/').count() > 1;
        if !is_location || self.by_location.len() >= limits::PROXY_REGISTRATIONS_MAX {
            return;
        }
        if let Some(old) = self.by_device.insert(device, location.clone()) {
            self.by_location.remove(&old);
        }
        self.by_location.insert(location, device);
    }

    fn release(&mut self, location: &[u8]) {
        if let Some(device) = self.by_location.remove(location) {
            self.by_device.remove(&device);
        }
    }
}

/// A server may overlook empty segments, so we do.
fn names_registrar(request: &MessageView<'_>) -> bool {
    request.uri_path().any(|segment| REGISTRARS.contains(&segment))
}

fn location_of<'a>(segments: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut location = Vec::new();
    for segment in segments.filter(|segment| !segment.is_empty()) {
        location.push(b'/');
        location.extend_from_slice(segment);
    }
    location
}

fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).take(limits::NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_wire::coap::{Builder, Type};

    fn device(id: u64, names: &[&str]) -> UpstreamDevice {
        UpstreamDevice {
            key: DeviceKey::new(1, id),
            name: format!("device-{id}"),
            type_name: "meter".into(),
            endpoint_names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn request(code: Code, target: &str) -> Vec<u8> {
        let mut buffer = [0; 256];
        Builder::new(&mut buffer, Type::Confirmable, code, 1, b"t").target(target).finish().unwrap().to_vec()
    }

    fn created(segments: &[&str]) -> Vec<u8> {
        let mut buffer = [0; 256];
        let mut builder = Builder::new(&mut buffer, Type::Acknowledgement, Code::CREATED, 1, b"t");
        for segment in segments {
            builder = builder.option(OptionNumber::LOCATION_PATH, segment.as_bytes());
        }
        builder.finish().unwrap().to_vec()
    }

    fn check(
        registrations: &Registrations,
        device: &UpstreamDevice,
        code: Code,
        target: &str,
    ) -> Result<(), UpstreamError> {
        registrations.check(device, &MessageView::parse(&request(code, target)).unwrap())
    }

    fn learn(registrations: &Registrations, device: &UpstreamDevice, code: Code, target: &str, response: &[u8]) {
        let request = request(code, target);
        let request = MessageView::parse(&request).unwrap();
        registrations.learn(device.key, &request, &MessageView::parse(response).unwrap());
    }

    #[test]
    fn only_a_bound_name_is_registered() {
        let registrations = Registrations::default();
        let meter = device(1, &["urn:meter:1", "second"]);
        for good in ["/rd?ep=urn:meter:1&lt=60", "/bs?ep=second", "/rd?lt=60", "/readings?ep=other"] {
            assert_eq!(check(&registrations, &meter, Code::POST, good), Ok(()), "{good}");
        }
        for bad in
            ["/rd?ep=other", "/rd?ep=urn:meter:1&ep=other", "/bs?ep=", "/.well-known/rd?ep=other", "//rd?ep=other"]
        {
            assert!(matches!(check(&registrations, &meter, Code::POST, bad), Err(UpstreamError::Refused(_))), "{bad}");
        }
    }

    #[test]
    fn a_registration_belongs_to_the_device_that_made_it() {
        let registrations = Registrations::default();
        let (meter, thief) = (device(1, &["a"]), device(2, &["b"]));
        learn(&registrations, &meter, Code::POST, "/rd?ep=a", &created(&["rd", "x7"]));
        assert_eq!(check(&registrations, &meter, Code::POST, "/rd/x7"), Ok(()));
        for code in [Code::POST, Code::DELETE, Code::PUT] {
            assert_eq!(check(&registrations, &thief, code, "/rd/x7"), Err(UpstreamError::Refused("/rd/x7".into())));
        }
        learn(&registrations, &meter, Code::DELETE, "/rd/x7", &[0x61, 0x42, 0, 1, b't']);
        assert_eq!(check(&registrations, &thief, Code::POST, "/rd/x7"), Ok(()));
    }

    #[test]
    fn a_location_from_before_the_start_belongs_to_whoever_uses_it_with_success() {
        let registrations = Registrations::default();
        let (meter, thief) = (device(1, &["a"]), device(2, &["b"]));
        learn(&registrations, &thief, Code::POST, "/rd/x7", &[0x61, 0x84, 0, 1, b't']);
        learn(&registrations, &meter, Code::POST, "/rd/x7", &[0x61, 0x44, 0, 1, b't']);
        assert!(check(&registrations, &thief, Code::POST, "/rd/x7").is_err());
        assert!(check(&registrations, &meter, Code::POST, "/rd/x7").is_ok());
    }

    #[test]
    fn a_new_registration_replaces_the_old() {
        let registrations = Registrations::default();
        let (meter, other) = (device(1, &["a"]), device(2, &["b"]));
        learn(&registrations, &meter, Code::POST, "/rd?ep=a", &created(&["rd", "1"]));
        learn(&registrations, &meter, Code::POST, "/rd?ep=a", &created(&["rd", "2"]));
        assert_eq!(check(&registrations, &other, Code::POST, "/rd/1"), Ok(()));
        assert!(check(&registrations, &other, Code::POST, "/rd/2").is_err());
    }
}
