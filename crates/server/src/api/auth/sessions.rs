//! Console sessions: in memory, so that a restart ends them all.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bartizan_crypto::constant_time_eq;

use crate::app::Actor;
use crate::limits::SESSIONS_OF_CONSOLE_MAX;

/// The prefix makes browsers insist on Secure, Path=/ and no Domain.
pub const COOKIE: &str = "__Host-bartizan";

/// Open sessions. A cookie is a public handle and a secret, each 128 bits in hex: the handle finds the
/// session, the secret is compared in constant time.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, Session>>);

struct Session {
    secret: String,
    actor: Actor,
    ends: Instant,
}

impl Sessions {
    /// Opens a session and answers its cookie. When too many are open, the one that ends first makes room.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn open(&self, actor: Actor, lifetime: Duration) -> Result<String, getrandom::Error> {
        let (handle, secret) = (random_hex()?, random_hex()?);
        let cookie = format!("{handle}{secret}");
        let now = Instant::now();
        let session = Session { secret, actor, ends: now + lifetime };
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.ends > now);
        if sessions.len() >= SESSIONS_OF_CONSOLE_MAX {
            let first = sessions.iter().min_by_key(|(_, session)| session.ends).map(|(handle, _)| handle.clone());
            first.map(|handle| sessions.remove(&handle));
        }
        sessions.insert(handle, session);
        Ok(cookie)
    }

    /// Whose session it is; `None` if there is none or it has ended.
    #[must_use]
    pub fn actor_of(&self, cookie: &str) -> Option<Actor> {
        let (handle, secret) = cookie.split_at_checked(HALF)?;
        let sessions = self.lock();
        let session = sessions.get(handle)?;
        let right = constant_time_eq(session.secret.as_bytes(), secret.as_bytes());
        (right && session.ends > Instant::now()).then(|| session.actor.clone())
    }

    /// Ends a session that `actor_of` knows.
    pub fn close(&self, cookie: &str) {
        if self.actor_of(cookie).is_some() {
            self.lock().remove(&cookie[..HALF]);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().expect("invariant: no panic under this lock")
    }
}

/// Hex digits of the handle, and of the secret.
const HALF: usize = 32;

fn random_hex() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; HALF / 2];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor() -> Actor {
        Actor("ada".into())
    }

    #[test]
    fn a_session_lasts_until_it_ends_or_is_closed() {
        let sessions = Sessions::default();
        let cookie = sessions.open(actor(), Duration::from_secs(60)).unwrap();
        assert_eq!(sessions.actor_of(&cookie), Some(actor()));
        sessions.close(&cookie);
        assert_eq!(sessions.actor_of(&cookie), None);
        let over = sessions.open(actor(), Duration::ZERO).unwrap();
        assert_eq!(sessions.actor_of(&over), None);
    }

    #[test]
    fn the_handle_alone_opens_nothing_and_closes_nothing() {
        let sessions = Sessions::default();
        let cookie = sessions.open(actor(), Duration::from_secs(60)).unwrap();
        let forged = format!("{}{}", &cookie[..HALF], "0".repeat(HALF));
        for wrong in [&cookie[..HALF], forged.as_str(), "", "é"] {
            assert_eq!(sessions.actor_of(wrong), None);
            sessions.close(wrong);
        }
        assert!(sessions.actor_of(&cookie).is_some());
    }

    #[test]
    fn the_table_is_bounded_on_both_sides() {
        let sessions = Sessions::default();
        let first = sessions.open(actor(), Duration::from_secs(60)).unwrap();
        for _ in 1..SESSIONS_OF_CONSOLE_MAX {
            sessions.open(actor(), Duration::from_secs(90)).unwrap();
        }
        assert!(sessions.actor_of(&first).is_some(), "exactly full");
        sessions.open(actor(), Duration::from_secs(90)).unwrap();
        assert!(sessions.actor_of(&first).is_none(), "made room");
        assert_eq!(sessions.lock().len(), SESSIONS_OF_CONSOLE_MAX);
    }
}
