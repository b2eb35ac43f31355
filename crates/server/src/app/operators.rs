//! Operators, their audit and their kept replies.

use bartizan_crypto::AWS_LC;
use bartizan_wire::{TenantId, UnixMillis};

use super::error::{Error, Misuse};
use super::{Actor, App, KeptReply};
use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, KEPT_REPLY_MS};
use crate::store::{AuditLine, ReplyRow};

impl App {
    /// Records an operator by a hash of the token; a new token replaces the old one.
    pub async fn add_operator(&self, name: &str, token: &str) -> Result<(), Error> {
        super::registry::check_name("operator's name", name)?;
        Ok(self.store.operator.add_operator(name, &hash(token), self.clock.now()).await?)
    }

    /// The operator whose token this is. Tokens are random, so an unsalted hash tells nothing, and looking it up
    /// by the hash leaks no timing of the token.
    pub async fn operator_of(&self, token: &str) -> Result<Option<Actor>, Error> {
        Ok(self.store.operator.operator_of(&hash(token)).await?.map(Actor))
    }

    /// The reply kept under an Idempotency-Key; `Misuse::Conflict` if `fingerprint` (of method, path and body) differs.
    pub async fn kept_reply(
        &self,
        actor: &Actor,
        key: &str,
        fingerprint: &[u8; 32],
    ) -> Result<Option<KeptReply>, Error> {
        check_key(key)?;
        let Some(kept) = self.store.operator.kept_reply(&actor.0, key, self.oldest_reply()).await? else {
            return Ok(None);
        };
        if kept.fingerprint != fingerprint {
            return Err(Misuse::Conflict("this Idempotency-Key was used for another request".into()).into());
        }
        Ok(Some(KeptReply { status: kept.status, body: kept.body }))
    }

    /// Keeps a reply under an Idempotency-Key for a day.
    pub async fn keep_reply(
        &self,
        actor: &Actor,
        key: &str,
        fingerprint: &[u8; 32],
        reply: &KeptReply,
    ) -> Result<(), Error> {
        check_key(key)?;
        let row = ReplyRow { fingerprint: fingerprint.to_vec(), status: reply.status, body: reply.body.clone() };
        Ok(self.store.operator.keep_reply(&actor.0, key, &row, self.clock.now(), self.oldest_reply()).await?)
    }

    /// A line of the audit, durable when it returns.
    pub(super) async fn audit(
        &self,
        actor: &Actor,
        action: &str,
        tenant: Option<TenantId>,
        subject: &str,
        detail: &str,
    ) -> Result<(), Error> {
        let line = AuditLine { at: self.clock.now(), actor: &actor.0, action, tenant, subject, detail };
        Ok(self.store.operator.audit(line).await?)
    }

    fn oldest_reply(&self) -> UnixMillis {
        UnixMillis(self.clock.now().0.saturating_sub(KEPT_REPLY_MS))
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(Error::Malformed(format!("an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn hash(token: &str) -> [u8; 32] {
    (AWS_LC.sha256)(&[b"bartizan operator token", token.as_bytes()])
}
