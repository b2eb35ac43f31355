//! ServerKeyExchange and ClientKeyExchange (RFC 4279 section 2, RFC 5489 section 2, RFC 8422 sections 5.4 and 5.7).

use alloc::vec::Vec;

use super::certificate::Signed;
use crate::codec::{Reader, put_u16, put_vec8, put_vec16, u16s};
use crate::limits::IDENTITY_BYTES_MAX;
use crate::schedule::Randoms;
use crate::{CipherSuite, Error, Group, KeyExchange};

/// RFC 8422 section 5.4: the only ECCurveType there is.
const NAMED_CURVE: u8 = 3;

/// The first group of ours that the client has. RFC 8422 section 4: without the extension any group may be taken;
/// P-256 is the one that such clients have.
pub(crate) fn choose_group(own: &[Group], offered: Option<&[u8]>) -> Option<Group> {
    let classical = |group: &Group| Group::CLASSICAL.contains(group);
    let has = |group: &Group| match offered {
        Some(offered) => u16s(offered).any(|code| code == group.code()),
        None => *group == Group::Secp256r1,
    };
    own.iter().copied().filter(classical).find(has)
}

/// The server's ephemeral share. Plain PSK suites send none, or only an identity hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerShare<'a> {
    pub group: Group,
    pub share: &'a [u8],
}

/// The parameters of a signed ServerKeyExchange as they stand, and the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedParameters<'a> {
    pub parameters: &'a [u8],
    pub signed: Signed<'a>,
}

/// A ServerKeyExchange, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerExchange<'a> {
    pub share: Option<ServerShare<'a>>,
    /// For suites with certificates.
    pub signed: Option<SignedParameters<'a>>,
}

/// Reads a ServerKeyExchange. The identity hint is ignored: our identity is configured.
pub(crate) fn decode_server(suite: CipherSuite, body: &[u8]) -> Result<ServerExchange<'_>, Error> {
    let mut reader = Reader::new(body);
    let mut exchange = ServerExchange::default();
    if suite.is_psk() {
        let _hint = reader.vec16()?;
    }
    if suite.is_ecdhe() {
        exchange.share = Some(read_share(&mut reader)?);
    }
    if suite.key_exchange() == KeyExchange::EcdheEcdsa {
        let parameters = body.get(..body.len() - reader.rest().len()).unwrap_or_default();
        exchange.signed = Some(SignedParameters { parameters, signed: Signed::read(&mut reader)? });
    }
    reader.finish()?;
    Ok(exchange)
}

fn read_share<'a>(reader: &mut Reader<'a>) -> Result<ServerShare<'a>, Error> {
    let curve_type = reader.u8()?;
    let group = Group::from_code(reader.u16()?).filter(|group| Group::CLASSICAL.contains(group));
    let share = reader.vec8()?;
    match (curve_type, group) {
        (NAMED_CURVE, Some(group)) => Ok(ServerShare { group, share }),
        _ => Err(Error::Misbehaved("a group that was not offered")),
    }
}

/// What the server signs (RFC 8422 section 5.4): both randoms vouch that it was made for this handshake.
pub(crate) fn signed_content(randoms: &Randoms, parameters: &[u8]) -> Vec<u8> {
    [&randoms.client[..], &randoms.server, parameters].concat()
}

/// The parameters of an ECDHE suite, without identity hint. A suite with certificates wants a signature behind them.
pub(crate) fn encode_server(exchange: KeyExchange, group: Group, share: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if exchange == KeyExchange::EcdhePsk {
        put_vec16(&mut out, &[]);
    }
    out.push(NAMED_CURVE);
    put_u16(&mut out, group.code());
    put_vec8(&mut out, share);
    out
}

/// Who the client says it is, and its ephemeral share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientShare<'a> {
    /// Empty for suites without pre-shared keys.
    pub identity: &'a [u8],
    pub share: Option<&'a [u8]>,
}

pub(crate) fn decode_client(suite: CipherSuite, body: &[u8]) -> Result<ClientShare<'_>, Error> {
    let mut reader = Reader::new(body);
    let identity = match suite.is_psk() {
        true => reader.vec16()?,
        false => &[],
    };
    if identity.len() > IDENTITY_BYTES_MAX {
        return Err(Error::Unsupported("the PSK identity is too long"));
    }
    let share = match suite.is_ecdhe() {
        true => Some(reader.vec8()?),
        false => None,
    };
    reader.finish()?;
    Ok(ClientShare { identity, share })
}

pub(crate) fn encode_client(identity: Option<&[u8]>, share: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(identity) = identity {
        put_vec16(&mut out, identity);
    }
    if let Some(share) = share {
        put_vec8(&mut out, share);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECDHE: CipherSuite = CipherSuite::EcdhePskAes128Ccm8Sha256;
    const PLAIN: CipherSuite = CipherSuite::PskAes128Ccm8;

    #[test]
    fn key_exchanges_read_what_they_write() {
        let bytes = encode_server(KeyExchange::EcdhePsk, Group::X25519, &[9; 32]);
        let share = decode_server(ECDHE, &bytes).unwrap().share.unwrap();
        assert_eq!((share.group, share.share), (Group::X25519, &[9; 32][..]));
        assert!(decode_server(PLAIN, &bytes).is_err());
        assert_eq!(decode_server(PLAIN, &[0, 2, b'h', b'i']), Ok(ServerExchange::default()));

        let bytes = encode_client(Some(b"id"), Some(&[4; 65]));
        let share = decode_client(ECDHE, &bytes).unwrap();
        assert_eq!((share.identity, share.share), (&b"id"[..], Some(&[4; 65][..])));
        assert!(decode_client(PLAIN, &bytes).is_err());
    }

    #[test]
    fn the_signature_stands_behind_what_it_signs() {
        let suite = CipherSuite::EcdheEcdsaAes128Ccm8;
        let parameters = encode_server(KeyExchange::EcdheEcdsa, Group::Secp256r1, &[4; 65]);
        let mut bytes = parameters.clone();
        Signed::put(&mut bytes, crate::SignatureScheme::Ed25519, &[7; 64]);
        let exchange = decode_server(suite, &bytes).unwrap();
        assert_eq!(exchange.share.unwrap().group, Group::Secp256r1);
        assert_eq!(exchange.signed.unwrap().parameters, parameters);
        for length in 0..bytes.len() {
            assert!(decode_server(suite, &bytes[..length]).is_err());
        }
        let bytes = encode_client(None, Some(&[4; 65]));
        let share = decode_client(suite, &bytes).unwrap();
        assert_eq!((share.identity, share.share), (&b""[..], Some(&[4; 65][..])));
        let content = signed_content(&Randoms { client: [1; 32], server: [2; 32] }, &[3]);
        assert_eq!(content, [&[1; 32][..], &[2; 32], &[3]].concat());
    }

    #[test]
    fn identities_stop_at_their_limit() {
        let fits = encode_client(Some(&[b'i'; IDENTITY_BYTES_MAX]), None);
        assert!(decode_client(PLAIN, &fits).is_ok());
        let longer = encode_client(Some(&[b'i'; IDENTITY_BYTES_MAX + 1]), None);
        assert!(decode_client(PLAIN, &longer).is_err());
    }

    #[test]
    fn the_first_of_ours_that_the_client_has_is_chosen() {
        let choose = |offered| choose_group(&Group::ALL, offered);
        assert_eq!(choose(Some(&[0, 23, 0, 29])), Some(Group::X25519));
        assert_eq!(choose(Some(&[0, 24, 0, 23])), Some(Group::Secp256r1));
        assert_eq!(choose(Some(&[0, 24, 0x11, 0xEC])), None, "the hybrid is for DTLS 1.3");
        assert_eq!(choose(None), Some(Group::Secp256r1));
        assert_eq!(choose_group(&[Group::X25519], None), None);
    }
}
