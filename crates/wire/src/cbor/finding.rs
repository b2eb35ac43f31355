//! The CBOR of findings.

use super::{VERSION, comparable, read, read_subject, write, write_subject};
use crate::error::Error;
use crate::finding::{Basis, Engine, Expected, Feature, Finding, Severity, Technique, Unit};
use crate::time::UnixMillis;

impl Finding {
    /// Writes the finding into `out`; [`FINDING_BYTES_MAX`](crate::limits::FINDING_BYTES_MAX) is always enough.
    ///
    /// # Errors
    /// [`Misuse::NoRoom`](crate::Misuse::NoRoom) if `out` is too short, [`Misuse::Range`](crate::Misuse::Range)
    /// if a number is none.
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], Error> {
        comparable(f64::from(self.score))?;
        write(out, |to| {
            to.array(11)?.u8(VERSION)?.u64(self.at.0)?;
            write_subject(to, &self.subject)?;
            to.u8(self.engine.code())?.u8(self.feature.code())?.f64(comparable(self.observed)?)?;
            to.array(3)?.f64(comparable(self.expected.low)?)?.f64(comparable(self.expected.high)?)?;
            to.u8(self.expected.basis.code())?;
            to.u8(self.unit.code())?.f32(self.score)?.u8(self.severity.code())?;
            match self.technique {
                Some(technique) => to.u16(technique.0)?,
                None => to.null()?,
            };
            Ok(())
        })
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are not of its shape, [`Error::Unsupported`] if they are of another
    /// version or hold a number that this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        read(bytes, |from| {
            from.array(11)?;
            from.version()?;
            Ok(Self {
                at: UnixMillis(from.u64()?),
                subject: read_subject(from)?,
                engine: from.code(Engine::from_code)?,
                feature: from.code(Feature::from_code)?,
                observed: from.f64()?,
                expected: {
                    from.array(3)?;
                    Expected { low: from.f64()?, high: from.f64()?, basis: from.code(Basis::from_code)? }
                },
                unit: from.code(Unit::from_code)?,
                score: from.f32()?,
                severity: from.code(Severity::from_code)?,
                technique: from.optional(|from| from.u16().map(Technique))?,
            })
        })
    }
}
