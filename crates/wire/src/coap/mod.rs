//! CoAP messages (RFC 7252) as borrowed views and bounded writers.
//!
//! ```
//! use bartizan_wire::coap::{Builder, Code, MessageView, Type};
//!
//! let mut buffer = [0; 64];
//! let bytes = Builder::new(&mut buffer, Type::Confirmable, Code::POST, 7, b"tk")
//!     .target("/meter/volume?unit=l")
//!     .content_format(50)
//!     .payload(b"{\"litres\":3}")
//!     .finish()?;
//!
//! let message = MessageView::parse(bytes)?;
//! assert_eq!(message.code(), Code::POST);
//! assert_eq!(message.target().to_string(), "/meter/volume?unit=l");
//! assert_eq!(message.payload(), b"{\"litres\":3}");
//! # Ok::<(), bartizan_wire::Error>(())
//! ```
//!
//! [`MessageView::parse`] checks the whole message once; what it returns cannot fail later. The layer
//! above it decides about reliability, tokens and unknown critical options
//! ([`MessageView::unrecognized_critical`]).

mod block;
mod build;
mod code;
mod header;
mod message;
mod observe;
mod option;
mod target;

pub use block::Block;
pub use build::Builder;
pub use code::{Code, content_format};
pub use header::{Header, Type, empty, patch_header};
pub use message::MessageView;
pub use observe::{OBSERVE_DEREGISTER, OBSERVE_REGISTER, is_newer};
pub use option::{OptionNumber, OptionView, Options, Values, decode_uint};
pub use target::Target;

pub use crate::error::Error;
