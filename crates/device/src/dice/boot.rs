//! Measured boot: every layer's secrets and certificate, from the root to the attester.

use bartizan_crypto::{Provider, Random, Secret};

use super::{
    Algorithm, Board, Component, Config, Descriptor, Error, Inputs, KeyPair, Mode, NO_ROOM, cbor, move_down, x509,
};
use crate::attest::{Attester, Ueid};
use crate::limits;

/// How the device shows its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// CBOR certificates of the Open Profile: the smallest.
    Cbor,
    /// X.509 certificates of the Open Profile.
    X509,
    /// X.509 certificates of TCG's profile.
    Tcg,
}

/// A layer to be started.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    pub code: Code<'a>,
    pub component: Component<'a>,
    /// See [`Inputs::authority`].
    pub authority: [u8; 64],
    pub mode: Mode,
    /// See [`Inputs::hidden`].
    pub hidden: Option<&'a Secret<64>>,
}

/// What is measured of a layer's code.
#[derive(Clone, Copy)]
pub enum Code<'a> {
    /// The bytes as they will be run, in pieces.
    Parts(&'a [&'a [u8]]),
    /// Their SHA-512, as secure boot has just verified it.
    Verified([u8; 64]),
}

/// Measures `layers` in the order of boot, certifies each with the key of the one before it into `chain`, and leaves
/// the last one's attester. The board's secret and all secrets between are gone then.
///
/// # Errors
/// `Misuse` without layers, if the board gives no secret (it was taken before), or if the provider lacks SHA-512 or the
/// algorithm; `Unavailable` if the chain does not fit in its buffer or a limit is reached.
pub fn measured_boot<'c>(
    provider: &Provider,
    random: &mut dyn Random,
    board: &mut dyn Board,
    (form, algorithm): (Form, Algorithm),
    layers: &[Layer<'_>],
    chain: &'c mut [u8],
) -> Result<Attester<'c>, Error> {
    let last = layers.last().ok_or(Error::Misuse("no layer to start"))?;
    if layers.len() > limits::LAYERS_MAX {
        return Err(Error::Unavailable("more layers than a chain may have"));
    }
    let ueid = board.ueid().map(Ueid::new).transpose()?;
    let uds = board.take_uds().ok_or(Error::Misuse("the board's secret was taken before"))?;
    let mut key = uds.key_pair(provider, algorithm)?;
    let identity = key.public().thumbprint(provider);
    let mut certificates = Certificates::begin(provider, random, form, &key, chain)?;
    let mut cdi = uds.into_cdi();
    for (number, layer) in (1..).zip(layers) {
        let descriptor = layer.component.descriptor()?;
        let inputs = layer.inputs(provider, &descriptor);
        cdi = cdi.next(provider, &inputs)?;
        let next = cdi.key_pair(provider, algorithm)?;
        certificates.add(|form, out| match form {
            Form::Cbor => cbor::certificate(provider, random, &key, next.public(), &inputs, None, out),
            Form::X509 => {
                let content = x509::Content::Open { inputs: &inputs, profile_name: None };
                x509::certificate(provider, random, &key, next.public(), &content, out)
            }
            Form::Tcg => {
                let content = x509::Content::Tcg {
                    inputs: &inputs,
                    component: &layer.component,
                    ueid: ueid.as_ref().map(Ueid::as_slice),
                    layer: number,
                    leaf: usize::from(number) == layers.len(),
                };
                x509::certificate(provider, random, &key, next.public(), &content, out)
            }
        })?;
        key = next;
    }
    let mut boot_seed = [0; 16];
    random.fill(&mut boot_seed);
    let chain = certificates.finish()?;
    Ok(Attester {
        reference: (provider.sha256)(&[chain]),
        key,
        cdi,
        identity,
        form,
        chain,
        ueid,
        boot_count: board.next_boot_count(),
        boot_seed,
        security_version: last.component.security_version,
        security_floor: board.security_floor(),
    })
}

impl Layer<'_> {
    fn inputs<'a>(&'a self, provider: &Provider, descriptor: &'a Descriptor) -> Inputs<'a> {
        Inputs {
            code: match self.code {
                Code::Parts(parts) => (provider.sha512)(parts),
                Code::Verified(hash) => hash,
            },
            code_descriptor: &[],
            config: Config::Descriptor(descriptor.as_slice()),
            authority: self.authority,
            authority_descriptor: &[],
            mode: self.mode,
            hidden: self.hidden,
        }
    }
}

/// The chain as evidence carries it: an array that grows. CBOR: COSE_Key of the root, then certificates in the order of
/// boot. X.509: byte strings, the leaf first (RFC 9360 section 2), hence each new one before the others.
struct Certificates<'c> {
    bytes: &'c mut [u8],
    end: usize,
    count: u8,
    form: Form,
}

impl<'c> Certificates<'c> {
    fn begin(
        provider: &Provider,
        random: &mut dyn Random,
        form: Form,
        root: &KeyPair,
        bytes: &'c mut [u8],
    ) -> Result<Self, Error> {
        let mut chain = Self { bytes, end: 1, count: 0, form };
        chain.add(|form, out| match form {
            Form::Cbor => cbor::cose_key(root.public(), out),
            Form::X509 | Form::Tcg => {
                x509::certificate(provider, random, root, root.public(), &x509::Content::Root, out)
            }
        })?;
        Ok(chain)
    }

    fn add(&mut self, put: impl FnOnce(Form, &mut [u8]) -> Result<usize, Error>) -> Result<(), Error> {
        let free = self.bytes.get_mut(self.end..).ok_or(NO_ROOM)?;
        let length = match self.form {
            Form::Cbor => put(self.form, free)?,
            Form::X509 | Form::Tcg => put_byte_string(free, |out| put(self.form, out))?,
        };
        let end = self.end.checked_add(length).ok_or(NO_ROOM)?;
        if self.form != Form::Cbor {
            let elements = self.bytes.get_mut(1..end).ok_or(NO_ROOM)?;
            // Turned round three times: the last comes before the others.
            elements.reverse();
            let (last, others) = elements.split_at_mut_checked(length).ok_or(NO_ROOM)?;
            last.reverse();
            others.reverse();
        }
        self.end = end;
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn finish(self) -> Result<&'c [u8], Error> {
        let chain = self.bytes.get_mut(..self.end).ok_or(NO_ROOM)?;
        // Root and layers are fewer than 24, whose count is in the array's first byte.
        const { assert!(limits::LAYERS_MAX < 23) };
        *chain.first_mut().ok_or(NO_ROOM)? = 0x80 | self.count;
        Ok(chain)
    }
}

/// Writes what `put` writes behind the head of a byte string.
fn put_byte_string(out: &mut [u8], put: impl FnOnce(&mut [u8]) -> Result<usize, Error>) -> Result<usize, Error> {
    let room = out.get_mut(cbor::HEAD_MAX..).ok_or(NO_ROOM)?;
    let length = put(room)?;
    let head = cbor::Head::byte_string(length).ok_or(NO_ROOM)?;
    let head = head.as_slice();
    move_down(out, cbor::HEAD_MAX, length, head.len())?;
    out.get_mut(..head.len()).ok_or(NO_ROOM)?.copy_from_slice(head);
    Ok(head.len() + length)
}
