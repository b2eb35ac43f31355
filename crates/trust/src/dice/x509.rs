//! DICE chains of X.509 certificates: the Open Profile's and TCG's, under the rules of RFC 5280 section 6.

use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::UnixMillis;

use super::open::{self, Inputs, Name};
use super::tcb::{self, TcbInfo};
use super::{Chain, distinct};
use crate::der::{self, Reader};
use crate::evidence::{Mode, Profile};
use crate::x509::extension::{self, Cmw};
use crate::x509::{Certificate, Constraints, Extension};
use crate::{Error, Layer, PublicKey, limits};

/// Verifies a chain of DER certificates, the root-most first, at the time `now`.
///
/// `root` is the device's own key, known beforehand: the first certificate must be signed with it. Without `root` the
/// first must be self-signed, which names a device and vouches for nothing. Never hand in a manufacturer's key, nor a
/// chain that begins with a manufacturer's certificate: that identity would be the same for all its devices.
///
/// Costs one signature for each certificate, after all else.
///
/// # Errors
/// `Misbehaved` if a certificate is missing, out of order, or for another use; `Untrusted` if a signature is another
/// key's or `now` is outside a certificate's days; otherwise by fault.
pub fn verify(
    provider: &Provider,
    certificates: &[&[u8]],
    root: Option<&PublicKey>,
    now: UnixMillis,
) -> Result<Chain, Error> {
    let bytes = certificates.iter().fold(0_usize, |sum, bytes| sum.saturating_add(bytes.len()));
    if certificates.len() > limits::CHAIN_MAX || bytes > limits::EVIDENCE_BYTES_MAX {
        return Err(Error::Unavailable("a chain that is longer than is taken"));
    }
    let links = certificates.iter().map(|bytes| Link::read(bytes)).collect::<Result<Vec<_>, _>>()?;
    let (root, layer_links) = split_root(&links, root)?;
    let leaf = layer_links.last().ok_or(Error::Misbehaved("a chain without a layer"))?;
    links.iter().try_for_each(|link| link.certificate.check_time(now))?;
    check_path(&links)?;
    distinct(core::iter::once(&root).chain(layer_links.iter().map(|link| &link.key)))?;
    let (profile, layers) = measurements(provider, &links, layer_links)?;

    let valid_until = links.iter().map(|link| link.certificate.valid_until()).min();
    let mut signer = root;
    for link in &links {
        link.certificate.verify(provider, &signer)?;
        signer = link.key;
    }
    Ok(Chain { profile, identity: root.thumbprint(provider), layers, leaf: leaf.key, valid_until })
}

/// The key that the chain hangs on, and the certificates behind its own.
fn split_root<'a, 'b>(links: &'b [Link<'a>], known: Option<&PublicKey>) -> Result<(PublicKey, &'b [Link<'a>]), Error> {
    let (first, rest) = links.split_first().ok_or(Error::Malformed("a chain without certificates"))?;
    let root = known.copied().unwrap_or(first.key);
    match (first.key == root, first.is_self_issued()) {
        (true, true) => Ok((root, rest)),
        (false, false) => Ok((root, links)),
        (true, false) => Err(Error::Untrusted("a chain that begins with nobody's certificate")),
        (false, true) => Err(Error::Untrusted("a chain that begins with another device's root")),
    }
}

/// Who may certify whom (RFC 5280 sections 6.1.3 and 6.1.4). Stricter than those: every certificate counts for path
/// lengths, and key identifiers must fit where both sides have them.
fn check_path(links: &[Link<'_>]) -> Result<(), Error> {
    let mut after = links.len();
    for pair in links.windows(2) {
        let [issuer, subject] = pair else { continue };
        after -= 1;
        if issuer.certificate.subject != subject.certificate.issuer || subject.is_self_issued() {
            return Err(Error::Misbehaved("an issuer that is not the subject before it"));
        }
        if !issuer.constraints.certifies() {
            return Err(Error::Misbehaved("a certificate whose issuer may not certify"));
        }
        let between = (after - 1) as u64;
        if issuer.constraints.path_length.is_some_and(|length| length < between) {
            return Err(Error::Misbehaved("a chain that goes on where it should have ended"));
        }
        match (issuer.constraints.subject_key, subject.constraints.authority_key) {
            (Some(is), Some(named)) if is != named => {
                return Err(Error::Misbehaved("a certificate that names another key as its issuer's"));
            }
            _ => {}
        }
    }
    match links.last() {
        Some(leaf) if !leaf.constraints.attests() => Err(Error::Misbehaved("a leaf whose key may not sign evidence")),
        _ => Ok(()),
    }
}

/// The layers of all certificates in their order, under one profile.
fn measurements(
    provider: &Provider,
    links: &[Link<'_>],
    layer_links: &[Link<'_>],
) -> Result<(Profile, Vec<Layer>), Error> {
    let mut ueids = links.iter().filter_map(|link| link.ueid);
    let first = ueids.next();
    if ueids.any(|ueid| Some(ueid) != first) {
        return Err(Error::Misbehaved("a chain that names two devices"));
    }
    let is_open = |link: &Link<'_>| matches!(link.measured, Measured::Open(_));
    if links.iter().any(is_open) {
        return Ok((Profile::OpenDiceX509, open_layers(provider, links, layer_links)?));
    }
    let layers = tcb_layers(links)?;
    if layers.is_empty() { Err(Error::Misbehaved("a chain without a layer")) } else { Ok((Profile::TcgDice, layers)) }
}

/// Every certificate but the root's own is one of a layer, and every key certifies and does nothing else.
fn open_layers(provider: &Provider, links: &[Link<'_>], layer_links: &[Link<'_>]) -> Result<Vec<Layer>, Error> {
    let mut layers = Vec::with_capacity(layer_links.len());
    let mut name = Name::Open;
    if !links.iter().all(|link| link.constraints.certifies()) {
        return Err(Error::Misbehaved("a key for another use than to certify"));
    }
    let roots = links.len() - layer_links.len();
    if links.iter().take(roots).any(|link| !matches!(link.measured, Measured::Nothing)) {
        return Err(Error::Misbehaved("a root that measures itself"));
    }
    for link in layer_links {
        let Measured::Open(inputs) = &link.measured else {
            return Err(Error::Misbehaved("a certificate that is not one of a layer"));
        };
        name.follow(inputs.name)?;
        layers.push(inputs.layer(provider)?);
    }
    Ok(layers)
}

/// Their numbers, where they have them, may not fall.
fn tcb_layers(links: &[Link<'_>]) -> Result<Vec<Layer>, Error> {
    let mut layers = Vec::new();
    let mut highest = 0;
    for link in links {
        let Measured::Tcb(several) = &link.measured else { continue };
        for info in several {
            if layers.len() == limits::LAYERS_MAX {
                return Err(Error::Unavailable("more layers than are taken"));
            }
            let number = info.number.unwrap_or(highest);
            if number < highest {
                return Err(Error::Misbehaved("layers that are out of order"));
            }
            highest = number;
            layers.push(info.layer.clone());
        }
    }
    Ok(layers)
}

/// A certificate with what its extensions say.
struct Link<'a> {
    certificate: Certificate<'a>,
    key: PublicKey,
    constraints: Constraints<'a>,
    measured: Measured<'a>,
    ueid: Option<&'a [u8]>,
}

enum Measured<'a> {
    Nothing,
    Open(Inputs<'a>),
    Tcb(Vec<TcbInfo>),
}

impl<'a> Link<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let certificate = Certificate::read(bytes)?;
        let key = certificate.key()?;
        let mut link =
            Self { certificate, key, constraints: Constraints::default(), measured: Measured::Nothing, ueid: None };
        for (index, extension) in certificate.extensions().enumerate() {
            let extension = extension?;
            if index == limits::EXTENSIONS_MAX {
                return Err(Error::Unavailable("more certificate extensions than are taken"));
            }
            let mut earlier = certificate.extensions().take(index).flatten();
            if earlier.any(|earlier| earlier.name == extension.name) {
                return Err(Error::Malformed("a certificate with the same extension twice"));
            }
            link.take(&extension)?;
        }
        Ok(link)
    }

    fn take(&mut self, extension: &Extension<'a>) -> Result<(), Error> {
        let value = extension.value;
        match extension.name {
            extension::OPEN_DICE => self.measure(Measured::Open(open_inputs(value)?))?,
            extension::TCB_INFO => self.measure(Measured::Tcb(alloc::vec![tcb::read(value)?]))?,
            extension::MULTI_TCB_INFO => self.measure(Measured::Tcb(tcb::read_several(value)?))?,
            extension::UEID => self.ueid = Some(extension::ueid(value)?),
            extension::CMW if !extension.critical => drop(Cmw::read(value)?),
            _ if self.constraints.take(extension)? => {}
            _ if extension.critical => return Err(Error::Unsupported("a critical extension that is not known")),
            _ => {}
        }
        Ok(())
    }

    fn measure(&mut self, measured: Measured<'a>) -> Result<(), Error> {
        if !matches!(self.measured, Measured::Nothing) {
            return Err(Error::Misbehaved("a certificate that measures in two ways"));
        }
        self.measured = measured;
        Ok(())
    }

    fn is_self_issued(&self) -> bool {
        self.certificate.issuer == self.certificate.subject
    }
}

/// The Open Profile's OpenDiceInput. Its reference writes the mode as ENUMERATED, its text as INTEGER.
fn open_inputs(extension: &[u8]) -> Result<Inputs<'_>, Error> {
    const MISSING: Error = Error::Malformed("an OpenDiceInput with a member missing");
    let mut reader = Reader::new(Reader::only(extension, der::SEQUENCE)?);
    let mut bytes = |number: u8| {
        let explicit = reader.optional(0xA0 | number)?;
        explicit.map(|element| Reader::only(element, der::OCTET_STRING)).transpose()
    };
    let (code, _) = (bytes(0)?.ok_or(MISSING)?, bytes(1)?);
    let (config_hash, config) = (bytes(2)?, bytes(3)?.ok_or(MISSING)?);
    let (authority, _) = (bytes(4)?.ok_or(MISSING)?, bytes(5)?);
    let mode = open_mode(reader.optional(0xA6)?.ok_or(MISSING)?)?;
    let name = reader.optional(0xA7)?.map(|element| der::text(Reader::only(element, der::UTF8_STRING)?)).transpose()?;
    reader.end()?;
    Ok(Inputs { name: Name::read(name)?, code, config, config_hash, authority, mode })
}

fn open_mode(element: &[u8]) -> Result<Mode, Error> {
    let mut reader = Reader::new(element);
    let mode = reader.element()?;
    reader.end()?;
    match mode.tag {
        der::ENUMERATED | der::INTEGER => der::unsigned(mode.value).map(open::mode),
        _ => Err(Error::Malformed("a mode that is no number")),
    }
}
