//! `multipart/form-data` (RFC 7578), as a browser's `FormData` sends it: text fields only.
//!
//! The body is here already and bounded, so that nothing is awaited. A part with a file name is a file, and no surface takes one.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyDataStream, Full};

use super::BodyError;

/// The fields of a body, in their order.
pub(super) fn fields(content_type: &str, bytes: &Bytes) -> Result<Vec<(String, String)>, BodyError> {
    let boundary = multer::parse_boundary(content_type).ok().filter(|boundary| !boundary.is_empty());
    let boundary = boundary.ok_or(BodyError::ContentType)?;
    let body = BodyDataStream::new(Full::new(bytes.clone()));
    let mut parts = multer::Multipart::new(body, boundary);
    let reading = pin!(async {
        let mut fields = Vec::new();
        while let Some(part) = parts.next_field().await.map_err(|error| refusal(&error))? {
            let name = part.name().filter(|_| part.file_name().is_none()).map(str::to_owned);
            let name = name.ok_or(BodyError::WrongType { position: None })?;
            let value = part.bytes().await.map_err(|error| refusal(&error))?;
            fields.push((name, String::from_utf8(value.into()).map_err(|_| BodyError::Encoding)?));
        }
        Ok(fields)
    });
    match reading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(fields) => fields,
        // Everything has arrived, so there is nothing to wait for: the last part has no end.
        Poll::Pending => Err(BodyError::Interrupted),
    }
}

/// What is wrong, without the names that the library quotes.
fn refusal(error: &multer::Error) -> BodyError {
    match error {
        multer::Error::IncompleteStream
        | multer::Error::IncompleteHeaders
        | multer::Error::IncompleteFieldData { .. } => BodyError::Interrupted,
        _ => BodyError::WrongType { position: None },
    }
}
