//! Between the transport-neutral message and CoAP.

use bartizan_wire::coap::{Builder, Code, MessageView, OptionNumber, Type};
use bytes::Bytes;

use crate::app::path::{Message, Reply, UpstreamError};

/// The request to forward: the device's own CoAP message, or one composed for a device that spoke something
/// else. What is checked is what is sent.
pub(super) fn request(message: &Message) -> Result<Bytes, UpstreamError> {
    match &message.coap {
        Some(coap) => Ok(coap.clone()),
        None => compose(message),
    }
}

fn compose(message: &Message) -> Result<Bytes, UpstreamError> {
    let mut token = [0; 4];
    getrandom::fill(&mut token).map_err(|error| UpstreamError::Unavailable(format!("no randomness: {error}")))?;
    let mut buffer = vec![0; message.path.len() * 2 + message.payload.len() + 64];
    let mut builder = Builder::new(&mut buffer, Type::Confirmable, Code(message.code), 0, &token).target(&message.path);
    if let Some(format) = message.content_format {
        builder = builder.content_format(format);
    }
    builder
        .payload(&message.payload)
        .finish()
        .map(Bytes::copy_from_slice)
        .map_err(|error| UpstreamError::Unavailable(format!("the message has no CoAP form: {error}")))
}

/// The origin's response. It was parsed by the message layer before.
pub(super) fn reply(coap: Bytes) -> Result<Reply, UpstreamError> {
    let view = MessageView::parse(&coap)
        .map_err(|error| UpstreamError::Unavailable(format!("the origin's response: {error}")))?;
    Ok(Reply {
        code: view.code().0,
        content_format: view.content_format(),
        payload: Bytes::copy_from_slice(view.payload()),
        coap: Some(coap.clone()),
    })
}

/// 5.05 for a request that would have the origin forward it elsewhere, past every check here.
pub(super) fn forward_elsewhere(request: &MessageView<'_>) -> Option<Reply> {
    let asks = [OptionNumber::PROXY_URI, OptionNumber::PROXY_SCHEME];
    let asks = asks.iter().any(|number| request.option(*number).is_some());
    asks.then(|| Reply {
        code: Code::PROXYING_NOT_SUPPORTED.0,
        content_format: None,
        payload: Bytes::new(),
        coap: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &str) -> Message {
        Message {
            code: 2,
            path: path.into(),
            content_format: Some(50),
            payload: Bytes::from_static(b"{}"),
            coap: None,
            trusted: None,
        }
    }

    #[test]
    fn a_message_without_coap_is_composed() {
        let bytes = request(&message("/rd?ep=a%26b")).unwrap();
        let view = MessageView::parse(&bytes).unwrap();
        assert_eq!(view.target().to_string(), "/rd?ep=a%26b");
        assert_eq!((view.content_format(), view.payload()), (Some(50), &b"{}"[..]));
        assert_eq!(view.uri_query().next(), Some(&b"ep=a&b"[..]));
    }

    #[test]
    fn proxying_is_not_supported() {
        let mut buffer = [0; 64];
        let bytes = Builder::new(&mut buffer, Type::Confirmable, Code::POST, 1, b"")
            .option(OptionNumber::PROXY_URI, b"coap://elsewhere/rd?ep=x")
            .finish()
            .unwrap();
        let reply = forward_elsewhere(&MessageView::parse(bytes).unwrap());
        assert_eq!(reply.unwrap().code, 0xa5);
    }
}
