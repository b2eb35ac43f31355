//! A result as the claims of a JWT.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::json::{Value, put_text};
use super::{
    Appraisal, Ear, PROFILE, SHAPE, VerifierId, base64, from_ueid, profile, tier_named, tier_numbered, to_ueid,
};
use crate::Error;
use crate::appraisal::{Trust, Vector};

/// Our own claim, in the map that the draft has for a verifier's.
const REASONS: &str = "bartizan.reasons";

pub(super) fn write(ear: &Ear) -> String {
    let mut out = String::from("{\"eat_profile\":");
    put_text(&mut out, PROFILE);
    let _ = write!(out, ",\"iat\":{}", ear.issued);
    if let Some(end) = ear.expires {
        let _ = write!(out, ",\"exp\":{end}");
    }
    if let Some(nonce) = &ear.nonce {
        let _ = write!(out, ",\"eat_nonce\":\"{}\"", base64::encode(nonce));
    }
    out.push_str(",\"ear_verifier_id\":{\"developer\":");
    put_text(&mut out, &ear.verifier.developer);
    out.push_str(",\"build\":");
    put_text(&mut out, &ear.verifier.build);
    out.push_str("},\"submods\":{");
    for (place, (name, appraisal)) in ear.appraisals.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        put_text(&mut out, name);
        put_appraisal(&mut out, appraisal);
    }
    out.push_str("}}");
    out
}

fn put_appraisal(out: &mut String, appraisal: &Appraisal) {
    let _ = write!(out, ":{{\"ear_status\":\"{}\",\"ear_trustworthiness_vector\":{{", appraisal.status);
    let claims = Vector::NAMES.into_iter().zip(appraisal.vector.claims()).filter(|(_, claim)| *claim != Trust::NONE);
    for (place, (name, claim)) in claims.enumerate() {
        let _ = write!(out, "{}\"{name}\":{}", if place > 0 { "," } else { "" }, claim.0);
    }
    out.push('}');
    put_list(out, ",\"ear_appraisal_policy_ids\":", &appraisal.policies);
    if let Some(identity) = appraisal.identity {
        let _ = write!(out, ",\"ear_attester_claims\":{{\"ueid\":\"{}\"}}", base64::encode(&to_ueid(identity)));
    }
    if !appraisal.reasons.is_empty() {
        out.push_str(",\"ear_verifier_claims\":{\"");
        out.push_str(REASONS);
        put_list(out, "\":", &appraisal.reasons);
        out.push('}');
    }
    out.push('}');
}

/// Nothing if there is nothing in it.
fn put_list(out: &mut String, before: &str, texts: &[String]) {
    for (place, text) in texts.iter().enumerate() {
        out.push_str(if place == 0 { before } else { "," });
        out.push_str(if place == 0 { "[" } else { "" });
        put_text(out, text);
    }
    if !texts.is_empty() {
        out.push(']');
    }
}

pub(super) fn read(claims: &Value) -> Result<Ear, Error> {
    let names = Names { new: profile(claims.under("eat_profile").and_then(Value::text).ok_or(SHAPE)?)? };
    let time = |name| match claims.under(name) {
        None => Ok(None),
        Some(value) => value.int().and_then(|time| u64::try_from(time).ok()).map(Some).ok_or(SHAPE),
    };
    let verifier = names.find(claims, "ear_verifier_id", "ear.verifier-id").ok_or(SHAPE)?;
    let word = |name| verifier.under(name).and_then(Value::text).map(ToString::to_string).ok_or(SHAPE);
    let nonce = match claims.under("eat_nonce") {
        None => None,
        Some(value) => Some(value.text().and_then(base64::decode).ok_or(SHAPE)?),
    };
    let submods = claims.under("submods").and_then(Value::object).filter(|submods| !submods.is_empty());
    let appraisals = submods.ok_or(SHAPE)?.iter().map(|(name, value)| Ok((name.clone(), names.appraisal(value)?)));
    Ok(Ear {
        issued: time("iat")?.ok_or(SHAPE)?,
        expires: time("exp")?,
        verifier: VerifierId { developer: word("developer")?, build: word("build")? },
        nonce,
        appraisals: appraisals.collect::<Result<_, Error>>()?,
    })
}

/// Drafts before the working group's wrote the names in another way.
struct Names {
    new: bool,
}

impl Names {
    fn find<'v>(&self, value: &'v Value, new: &str, old: &str) -> Option<&'v Value> {
        value.under(if self.new { new } else { old })
    }

    fn appraisal(&self, value: &Value) -> Result<Appraisal, Error> {
        let status = self.find(value, "ear_status", "ear.status").ok_or(SHAPE)?;
        let status = status.text().and_then(tier_named).or_else(|| status.int().and_then(tier_numbered));
        let vector = match self.find(value, "ear_trustworthiness_vector", "ear.trustworthiness-vector") {
            None => Vector::default(),
            Some(claims) => vector(claims)?,
        };
        let policies = match self.find(value, "ear_appraisal_policy_ids", "ear.appraisal-policy-id") {
            Some(Value::Text(policy)) => Vec::from([policy.clone()]),
            policies => policies.map(texts).unwrap_or_default(),
        };
        let ueid = value.under("ear_attester_claims").and_then(|claims| claims.under("ueid"));
        let identity = ueid.and_then(Value::text).and_then(base64::decode).and_then(|ueid| from_ueid(&ueid));
        let reasons = value.under("ear_verifier_claims").and_then(|claims| claims.under(REASONS));
        let reasons = reasons.map(texts).unwrap_or_default();
        Ok(Appraisal { status: status.ok_or(SHAPE)?, vector, policies, identity, reasons })
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.array().into_iter().flatten().filter_map(Value::text).map(ToString::to_string).collect()
}

/// A claim that is not of AR4SI could say something bad; it is not skipped.
fn vector(claims: &Value) -> Result<Vector, Error> {
    let mut vector = [Trust::NONE; 8];
    for (name, value) in claims.object().ok_or(SHAPE)? {
        let place = Vector::NAMES.iter().position(|known| known == name).ok_or(SHAPE)?;
        let claim = value.int().and_then(|claim| i8::try_from(claim).ok()).ok_or(SHAPE)?;
        *vector.get_mut(place).ok_or(SHAPE)? = Trust(claim);
    }
    Ok(Vector::from_claims(vector))
}
