//! What one layer is, as far as its secrets depend on it.

use bartizan_crypto::{Provider, Secret};
use minicbor::encode::Encoder;
use minicbor::encode::write::Cursor;

use super::{Error, NO_ROOM};
use crate::limits;

/// The input values of one layer (Open Profile for DICE, "Input Values").
pub struct Inputs<'a> {
    /// SHA-512 of the code: the hash that secure boot has verified, no other.
    pub code: [u8; 64],
    /// More about the code for the certificate; whatever it says must also be in [`Self::code`].
    pub code_descriptor: &'a [u8],
    pub config: Config<'a>,
    /// Of the key or authority that may sign the code; zeros if it is implied.
    pub authority: [u8; 64],
    /// As [`Self::code_descriptor`], of the authority.
    pub authority_descriptor: &'a [u8],
    pub mode: Mode,
    /// Goes into the secrets and appears nowhere; zeros if there is none.
    pub hidden: Option<&'a Secret<64>>,
}

impl Default for Inputs<'_> {
    /// All zero: the known answer's first case.
    fn default() -> Self {
        Self {
            code: [0; 64],
            code_descriptor: &[],
            config: Config::Inline([0; 64]),
            authority: [0; 64],
            authority_descriptor: &[],
            mode: Mode::NotConfigured,
            hidden: None,
        }
    }
}

/// The configuration, whole or by its hash.
#[derive(Clone, Copy, Debug)]
pub enum Config<'a> {
    Inline([u8; 64]),
    /// Measured by its SHA-512, and shown in the certificate; see [`Component::descriptor`].
    Descriptor(&'a [u8]),
}

impl Config<'_> {
    pub(super) fn measured(&self, provider: &Provider) -> [u8; 64] {
        match self {
            Self::Inline(bytes) => *bytes,
            Self::Descriptor(bytes) => (provider.sha512)(&[bytes]),
        }
    }
}

/// The mode of a layer (Open Profile for DICE, "Mode Value Details").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// At least one of the device's security mechanisms is not set up.
    NotConfigured = 0,
    Normal = 1,
    Debug = 2,
    /// Started to be repaired.
    Recovery = 3,
}

/// What a layer calls itself. All of it is measured with the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Component<'a> {
    /// Such as `bootloader` or `firmware`; the Open Profile's component name, TCG's type.
    pub name: &'a str,
    pub version: &'a str,
    pub security_version: Option<u64>,
    /// Only TCG's form shows vendor and model.
    pub vendor: &'a str,
    pub model: &'a str,
    /// SHA-256 of settings that change what the code does.
    pub settings: Option<[u8; 32]>,
}

const COMPONENT_NAME: i32 = -70_002;
const COMPONENT_VERSION: i32 = -70_003;
const SECURITY_VERSION: i32 = -70_005;
/// Outside of the range that the profile keeps for itself (−70000 … −70999).
const SETTINGS: i32 = -71_000;
const VENDOR: i32 = -71_001;
const MODEL: i32 = -71_002;

impl Component<'_> {
    /// The configuration descriptor (Open Profile for DICE, "Configuration Descriptor"): a CBOR map.
    ///
    /// # Errors
    /// `Misuse` if a text is longer than verifiers take, `Unavailable` if all of it is longer than
    /// [`limits::DESCRIPTOR_BYTES_MAX`].
    pub fn descriptor(&self) -> Result<Descriptor, Error> {
        let texts = [self.name, self.version, self.vendor, self.model];
        if texts.iter().any(|text| text.len() > bartizan_trust::limits::NAME_BYTES_MAX) {
            return Err(Error::Misuse("a component's name or version that no verifier takes"));
        }
        let mut descriptor = Descriptor { bytes: [0; limits::DESCRIPTOR_BYTES_MAX], length: 0 };
        let mut to = Encoder::new(Cursor::new(descriptor.bytes.as_mut_slice()));
        self.put(&mut to).map_err(|_| NO_ROOM)?;
        descriptor.length = to.writer().position();
        Ok(descriptor)
    }

    fn put(
        &self,
        to: &mut Encoder<Cursor<&mut [u8]>>,
    ) -> Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>> {
        let texts = [
            (COMPONENT_NAME, self.name),
            (COMPONENT_VERSION, self.version),
            (VENDOR, self.vendor),
            (MODEL, self.model),
        ];
        let texts = texts.iter().filter(|(_, text)| !text.is_empty());
        let others = u64::from(self.security_version.is_some()) + u64::from(self.settings.is_some());
        to.map(texts.clone().count() as u64 + others)?;
        for (label, text) in texts {
            to.i32(*label)?.str(text)?;
        }
        if let Some(version) = self.security_version {
            to.i32(SECURITY_VERSION)?.u64(version)?;
        }
        if let Some(settings) = &self.settings {
            to.i32(SETTINGS)?.bytes(settings)?;
        }
        Ok(())
    }
}

/// See [`Component::descriptor`].
pub struct Descriptor {
    bytes: [u8; limits::DESCRIPTOR_BYTES_MAX],
    length: usize,
}

impl Descriptor {
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
