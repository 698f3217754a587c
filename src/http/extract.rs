//! The extractors of axum with [Problem] as their rejection.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::problem::Problem;
use crate::domain;

/// A JSON body in UTF-8 without compression.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let unsupported = |detail: String| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        if let Some(coding) = content_coding(request.headers()) {
            let problem = unsupported(format!(
                "Content-Encoding: {coding} is not supported; remove the header, and send the body without compression"
            ));
            return Err(([(ACCEPT_ENCODING, "identity")], problem).into_response());
        }
        if !is_utf_8(request.headers()) {
            let problem =
                unsupported("the body must be UTF-8; remove charset from Content-Type".to_owned());
            return Err(problem.into_response());
        }
        let request = without_byte_order_mark(request, state)
            .await
            .map_err(|rejection| Problem::from(rejection).into_response())?;
        axum::Json::from_request(request, state)
            .await
            .map(|axum::Json(Object(value))| Self(value))
            .map_err(|rejection| Problem::from(rejection).into_response())
    }
}

/// A JSON object. The fields of a struct could also be read from a list of their values.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// RFC 8259 lets a parser ignore a byte order mark (section 8.1), which the parser of serde does not.
async fn without_byte_order_mark<S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<Request, JsonRejection> {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    let mut body = Bytes::from_request(request, state).await?;
    if body.starts_with(BYTE_ORDER_MARK) {
        body = body.slice(BYTE_ORDER_MARK.len()..);
    }
    Ok(Request::from_parts(parts, body.into()))
}

/// The first content coding that changes the body. RFC 9110 lets a list have empty elements (section 5.6.1), and `identity`
/// means no coding.
fn content_coding(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .map(String::from_utf8_lossy)
}

/// The names of UTF-8 and of ASCII, which is a part of it.
const UTF_8: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];

/// Whether the media type names no other character set than UTF-8.
fn is_utf_8(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    media_type
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .filter(|(name, _)| name.eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim_matches('"'))
        .all(|value| UTF_8.iter().any(|name| value.eq_ignore_ascii_case(name)))
}

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// The optional `Idempotency-Key` header.
pub(super) struct IdempotencyKey(pub(super) Option<domain::IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        if values.next().is_some() {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "Idempotency-Key: sent twice; send one",
            ));
        }
        // Invalid UTF-8 becomes U+FFFD, which isn't valid in a key.
        let key = String::from_utf8_lossy(value.as_bytes())
            .into_owned()
            .try_into();
        key.map(|key| Self(Some(key))).map_err(|reason| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!("Idempotency-Key: {reason}"),
            )
        })
    }
}
