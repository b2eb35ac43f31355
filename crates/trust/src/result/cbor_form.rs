//! A result as the claims of a CWT.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use minicbor::encode::{Encoder, Error as EncodeError, Write};

use super::{Appraisal, Ear, PROFILE, SHAPE, VerifierId, from_ueid, profile, tier_named, tier_numbered, to_ueid};
use crate::Error;
use crate::appraisal::{Trust, Vector};
use crate::cbor::Strict;

const EXP: i64 = 4;
const IAT: i64 = 6;
const NONCE: i64 = 10;
const UEID: i64 = 256;
const EAT_PROFILE: i64 = 265;
const SUBMODS: i64 = 266;
const STATUS: i64 = 1000;
const VECTOR: i64 = 1001;
const POLICIES: i64 = 1003;
const VERIFIER: i64 = 1004;
const ATTESTER_CLAIMS: i64 = 1005;
const VERIFIER_CLAIMS: i64 = 1006;
/// Our own claim, in the map that the draft has for a verifier's.
const REASONS: &str = "bartizan.reasons";

pub(super) fn write(ear: &Ear) -> Vec<u8> {
    let mut out = Vec::new();
    // A vector takes everything.
    let _ = put(&mut Encoder::new(&mut out), ear);
    out
}

fn put<W: Write>(to: &mut Encoder<W>, ear: &Ear) -> Result<(), EncodeError<W::Error>> {
    let count = 4 + u64::from(ear.expires.is_some()) + u64::from(ear.nonce.is_some());
    to.map(count)?;
    if let Some(end) = ear.expires {
        to.i64(EXP)?.u64(end)?;
    }
    to.i64(IAT)?.u64(ear.issued)?;
    if let Some(nonce) = &ear.nonce {
        to.i64(NONCE)?.bytes(nonce)?;
    }
    to.i64(EAT_PROFILE)?.str(PROFILE)?.i64(SUBMODS)?.map(ear.appraisals.len() as u64)?;
    for (name, appraisal) in &ear.appraisals {
        to.str(name)?;
        put_appraisal(to, appraisal)?;
    }
    to.i64(VERIFIER)?.map(2)?.u8(0)?.str(&ear.verifier.developer)?.u8(1)?.str(&ear.verifier.build)?;
    Ok(())
}

fn put_appraisal<W: Write>(to: &mut Encoder<W>, appraisal: &Appraisal) -> Result<(), EncodeError<W::Error>> {
    let claims = || appraisal.vector.claims().into_iter().enumerate().filter(|(_, claim)| *claim != Trust::NONE);
    let (policies, reasons) = (&appraisal.policies, &appraisal.reasons);
    let rest = [!policies.is_empty(), appraisal.identity.is_some(), !reasons.is_empty()];
    to.map(2 + rest.into_iter().map(u64::from).sum::<u64>())?;
    to.i64(STATUS)?.i8(Trust::of(appraisal.status).0)?.i64(VECTOR)?.map(claims().count() as u64)?;
    for (place, claim) in claims() {
        to.u64(place as u64)?.i8(claim.0)?;
    }
    if !policies.is_empty() {
        put_list(to.i64(POLICIES)?, policies)?;
    }
    if let Some(identity) = appraisal.identity {
        to.i64(ATTESTER_CLAIMS)?.map(1)?.i64(UEID)?.bytes(&to_ueid(identity))?;
    }
    if !reasons.is_empty() {
        put_list(to.i64(VERIFIER_CLAIMS)?.map(1)?.str(REASONS)?, reasons)?;
    }
    Ok(())
}

fn put_list<W: Write>(to: &mut Encoder<W>, texts: &[String]) -> Result<(), EncodeError<W::Error>> {
    to.array(texts.len() as u64)?;
    texts.iter().try_for_each(|text| to.str(text).map(|_| ()))
}

pub(super) fn read(claims: Strict<'_>) -> Result<Ear, Error> {
    profile(claims.under(EAT_PROFILE).and_then(Strict::text).ok_or(SHAPE)?)?;
    let time = |label| match claims.under(label) {
        None => Ok(None),
        Some(value) => value.uint().map(Some).ok_or(SHAPE),
    };
    let verifier = claims.under(VERIFIER).ok_or(SHAPE)?;
    let word = |label| verifier.under(label).and_then(Strict::text).map(ToString::to_string).ok_or(SHAPE);
    let nonce = match claims.under(NONCE) {
        None => None,
        Some(value) => Some(value.byte_string().ok_or(SHAPE)?.to_vec()),
    };
    let submods = claims.under(SUBMODS).and_then(Strict::map).ok_or(SHAPE)?;
    let appraisals: Vec<_> = submods
        .map(|(name, value)| Ok((name.text().ok_or(SHAPE)?.to_string(), appraisal(value)?)))
        .collect::<Result<_, Error>>()?;
    if appraisals.is_empty() {
        return Err(SHAPE);
    }
    Ok(Ear {
        issued: time(IAT)?.ok_or(SHAPE)?,
        expires: time(EXP)?,
        verifier: VerifierId { developer: word(0)?, build: word(1)? },
        nonce,
        appraisals,
    })
}

fn appraisal(value: Strict<'_>) -> Result<Appraisal, Error> {
    let status = value.under(STATUS).ok_or(SHAPE)?;
    let status = status.int().and_then(tier_numbered).or_else(|| status.text().and_then(tier_named));
    let policies = match value.under(POLICIES) {
        None => Vec::new(),
        Some(policies) => policies.text().map_or_else(|| texts(policies), |policy| Vec::from([policy.to_string()])),
    };
    let ueid = value.under(ATTESTER_CLAIMS).and_then(|claims| claims.under(UEID));
    let reasons = value.under(VERIFIER_CLAIMS).and_then(|claims| claims.under_text(REASONS));
    Ok(Appraisal {
        status: status.ok_or(SHAPE)?,
        vector: value.under(VECTOR).map_or(Ok(Vector::default()), vector)?,
        policies,
        identity: ueid.and_then(Strict::byte_string).and_then(from_ueid),
        reasons: reasons.map(texts).unwrap_or_default(),
    })
}

fn texts(value: Strict<'_>) -> Vec<String> {
    value.array().into_iter().flatten().filter_map(Strict::text).map(ToString::to_string).collect()
}

/// A claim that is not of AR4SI could say something bad; it is not skipped.
fn vector(claims: Strict<'_>) -> Result<Vector, Error> {
    let mut vector = [Trust::NONE; 8];
    for (label, value) in claims.map().ok_or(SHAPE)? {
        let place = label.uint().and_then(|label| usize::try_from(label).ok()).ok_or(SHAPE)?;
        let claim = value.int().and_then(|claim| i8::try_from(claim).ok()).ok_or(SHAPE)?;
        *vector.get_mut(place).ok_or(SHAPE)? = Trust(claim);
    }
    Ok(Vector::from_claims(vector))
}
