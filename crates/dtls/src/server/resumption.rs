//! Sessions that clients may resume: remembered by id, or sealed into tickets (RFC 5246 section F.1.4, RFC 5077).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bartizan_crypto::{Aead, Provider, Random, Secret};
use zeroize::Zeroizing;

use crate::codec::Reader;
use crate::handshake::extension::kind;
use crate::handshake::hello::ClientHello;
use crate::{Authentication, CipherSuite, Instant, Resumption};

/// Length of the session ids that we give.
pub(super) const SESSION_ID_BYTES: usize = 32;
pub(super) type SessionKey = [u8; SESSION_ID_BYTES];

/// Length of the name of a ticket's key.
const NAME_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;
/// The first byte of a ticket's content.
const VERSION: u8 = 1;
/// Version, suite, master secret, principal, authentication, age.
const CONTENT_BYTES: usize = 1 + 2 + 48 + 8 + 1 + 8;
/// The same with its tag.
const SEALED_BYTES: usize = CONTENT_BYTES + 16;

/// A session that may go on.
#[derive(Clone)]
pub(super) struct PastSession {
    pub suite: CipherSuite,
    pub master: Secret<48>,
    pub principal: u64,
    pub authentication: Authentication,
    pub since: Instant,
}

/// All of them.
pub(super) struct PastSessions {
    provider: &'static Provider,
    policy: Resumption,
    by_id: BTreeMap<SessionKey, PastSession>,
    /// Oldest first. May name sessions that are forgotten already.
    order: VecDeque<SessionKey>,
    keys: TicketKeys,
}

/// The key in use and the one before it.
#[derive(Default)]
struct TicketKeys {
    current: Option<TicketKey>,
    previous: Option<TicketKey>,
}

struct TicketKey {
    name: [u8; NAME_BYTES],
    key: Secret<32>,
    since: Instant,
}

impl PastSessions {
    pub fn new(provider: &'static Provider, policy: Resumption) -> Self {
        Self { provider, policy, by_id: BTreeMap::new(), order: VecDeque::new(), keys: TicketKeys::default() }
    }

    /// The session that the client offers, if it is one of ours, not too old, and of a suite that the client has
    /// offered again (RFC 5246 section 7.4.1.2).
    pub fn find(&self, now: Instant, hello: &ClientHello<'_>) -> Option<PastSession> {
        let (session, lifetime_ms) = match self.policy {
            Resumption::Off => return None,
            Resumption::SessionIds { lifetime_ms, .. } => (self.by_id(hello.session_id)?, lifetime_ms),
            Resumption::Tickets { lifetime_ms } => {
                (self.open(hello.extensions.body(kind::SESSION_TICKET)?)?, lifetime_ms)
            }
        };
        let fresh = now.since(session.since) < lifetime_ms && now >= session.since;
        (fresh && hello.offers(session.suite.code())).then_some(session)
    }

    /// Remembers a session under its id; the oldest makes room.
    pub fn remember(&mut self, id: SessionKey, session: PastSession) {
        let Resumption::SessionIds { sessions_max, .. } = self.policy else {
            return;
        };
        if self.order.try_reserve(1).is_err() {
            return;
        }
        while self.order.len() >= sessions_max as usize {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.by_id.remove(&oldest);
        }
        self.by_id.insert(id, session);
        self.order.push_back(id);
    }

    /// RFC 5246 section 7.2.2: a session that ended in a fatal alert is not resumed.
    pub fn forget(&mut self, id: &SessionKey) {
        if self.by_id.remove(id).is_some() {
            self.order.retain(|each| each != id);
        }
    }

    /// Seals a session for its client; `None` without tickets.
    pub fn ticket(&mut self, now: Instant, rng: &mut dyn Random, session: &PastSession) -> Option<(Vec<u8>, u64)> {
        let Resumption::Tickets { lifetime_ms } = self.policy else {
            return None;
        };
        let aead = self.aead();
        let key = self.keys.current(now, rng, lifetime_ms)?;
        let mut nonce = [0; NONCE_BYTES];
        rng.fill(&mut nonce);
        let mut body = encode(session);
        (aead.seal)(key.key.expose(), &nonce, &key.name, &mut *body)?;
        Some(([&key.name[..], &nonce, &body[..]].concat(), lifetime_ms))
    }

    fn by_id(&self, id: &[u8]) -> Option<PastSession> {
        self.by_id.get(&SessionKey::try_from(id).ok()?).cloned()
    }

    fn open(&self, ticket: &[u8]) -> Option<PastSession> {
        let mut reader = Reader::new(ticket);
        let name = reader.array().ok()?;
        let nonce = reader.array().ok()?;
        let mut body: Zeroizing<[u8; SEALED_BYTES]> = Zeroizing::new(reader.array().ok()?);
        reader.finish().ok()?;
        let key = self.keys.named(name)?;
        let aead = self.aead();
        (aead.open)(key.key.expose(), &nonce, &key.name, &mut *body).ok()?;
        decode(body.first_chunk()?)
    }

    const fn aead(&self) -> &'static Aead {
        &self.provider.aes_256_gcm
    }
}

impl TicketKeys {
    /// A key makes tickets for as long as one lives, and opens them for as long again.
    fn current(&mut self, now: Instant, rng: &mut dyn Random, lifetime_ms: u64) -> Option<&TicketKey> {
        if self.current.as_ref().is_none_or(|key| now.since(key.since) >= lifetime_ms) {
            let mut key = TicketKey { name: [0; NAME_BYTES], key: Secret::new([0; 32]), since: now };
            rng.fill(&mut key.name);
            rng.fill(key.key.expose_mut());
            self.previous = self.current.replace(key);
        }
        self.current.as_ref()
    }

    fn named(&self, name: [u8; NAME_BYTES]) -> Option<&TicketKey> {
        [&self.current, &self.previous].into_iter().flatten().find(|key| key.name == name)
    }
}

/// With room for the tag.
fn encode(session: &PastSession) -> Zeroizing<[u8; SEALED_BYTES]> {
    let mut out = Zeroizing::new([0; SEALED_BYTES]);
    let parts: [&[u8]; 6] = [
        &[VERSION],
        &session.suite.code().to_be_bytes(),
        session.master.expose(),
        &session.principal.to_be_bytes(),
        &[session.authentication as u8],
        &session.since.as_millis().to_be_bytes(),
    ];
    let bytes = parts.iter().flat_map(|part| part.iter());
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

fn decode(content: &[u8; CONTENT_BYTES]) -> Option<PastSession> {
    let mut reader = Reader::new(content);
    if reader.u8().ok()? != VERSION {
        return None;
    }
    let session = PastSession {
        suite: CipherSuite::from_code(reader.u16().ok()?)?,
        master: Secret::new(reader.array().ok()?),
        principal: reader.u64().ok()?,
        authentication: Authentication::from_code(reader.u8().ok()?)?,
        since: Instant::from_millis(reader.u64().ok()?),
    };
    reader.finish().ok()?;
    Some(session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::hello::Offer;
    use bartizan_crypto::RUSTCRYPTO;

    const LIFETIME_MS: u64 = 1_000;

    fn session(principal: u64, since: u64) -> PastSession {
        PastSession {
            suite: CipherSuite::PskAes128Ccm8,
            master: Secret::new([principal as u8; 48]),
            principal,
            authentication: Authentication::PreSharedKey,
            since: Instant::from_millis(since),
        }
    }

    fn found(sessions: &PastSessions, at: u64, id: &[u8], ticket: &[u8]) -> Option<u64> {
        let suites = [CipherSuite::PskAes128Ccm8];
        let hello = Offer { session_id: id, ticket: Some(ticket), ..Offer::new(&[0; 32], &suites) }.encode();
        let hello = ClientHello::decode(&hello).unwrap();
        sessions.find(Instant::from_millis(at), &hello).map(|session| session.principal)
    }

    fn counter() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u8;
        move |out: &mut [u8]| {
            next += 1;
            out.fill(next);
        }
    }

    #[test]
    fn the_newest_sessions_are_remembered_for_their_time() {
        let policy = Resumption::SessionIds { sessions_max: 2, lifetime_ms: LIFETIME_MS };
        let mut sessions = PastSessions::new(&RUSTCRYPTO, policy);
        for number in 1..=3 {
            sessions.remember([number; 32], session(u64::from(number), 10));
        }
        let find = |at, number: u8| found(&sessions, at, &[number; 32], &[]);
        assert_eq!([1, 2, 3].map(|number| find(10, number)), [None, Some(2), Some(3)]);
        assert_eq!(find(10 + LIFETIME_MS - 1, 2), Some(2));
        assert_eq!(find(10 + LIFETIME_MS, 2), None);
        assert_eq!(found(&sessions, 10, &[2; 31], &[]), None);
        sessions.forget(&[2; 32]);
        assert_eq!(found(&sessions, 10, &[2; 32], &[]), None);
        assert_eq!((sessions.by_id.len(), sessions.order.len()), (1, 1));
    }

    #[test]
    fn tickets_open_for_their_time_and_not_with_a_bit_changed() {
        let mut rng = counter();
        let mut sessions = PastSessions::new(&RUSTCRYPTO, Resumption::Tickets { lifetime_ms: LIFETIME_MS });
        let at = Instant::from_millis;
        let (ticket, _) = sessions.ticket(at(0), &mut rng, &session(5, 0)).unwrap();
        assert!(ticket.len() <= 104, "{}", ticket.len());
        assert_eq!(found(&sessions, 0, &[], &ticket), Some(5));
        assert_eq!(found(&sessions, LIFETIME_MS, &[], &ticket), None, "too old");
        for bit in 0..ticket.len() * 8 {
            let mut changed = ticket.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(found(&sessions, 0, &[], &changed), None, "{bit}");
        }
        for length in 0..ticket.len() {
            assert_eq!(found(&sessions, 0, &[], &ticket[..length]), None);
        }
        // One made at the end of its key's time opens after the next key has come, and not after the one after that.
        let (late, _) = sessions.ticket(at(LIFETIME_MS - 1), &mut rng, &session(6, LIFETIME_MS - 1)).unwrap();
        sessions.ticket(at(LIFETIME_MS), &mut rng, &session(7, LIFETIME_MS)).unwrap();
        assert_eq!(found(&sessions, LIFETIME_MS, &[], &late), Some(6));
        sessions.ticket(at(2 * LIFETIME_MS), &mut rng, &session(7, LIFETIME_MS)).unwrap();
        assert_eq!(found(&sessions, LIFETIME_MS, &[], &late), None);
    }

    #[test]
    fn nothing_is_found_where_nothing_may_be_resumed() {
        let mut sessions = PastSessions::new(&RUSTCRYPTO, Resumption::Off);
        sessions.remember([1; 32], session(1, 0));
        assert!(sessions.ticket(Instant::default(), &mut counter(), &session(1, 0)).is_none());
        assert_eq!(found(&sessions, 0, &[1; 32], &[]), None);
    }
}
