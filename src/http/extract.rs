//! How requests are read: bodies, ids in paths, parameters, and pages of lists.
//!
//! Owns every way in which reading can fail, so that each of them is a problem with the field to blame. Must not know what
//! is done with what was read.

use std::str::FromStr;

use axum::Json as AxumJson;
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::refusal::{Answer, Refusal};
use crate::domain::ids::SalesforceId;
use crate::domain::redaction::without_addresses;

const PAGE: i64 = 50;
const LONGEST_PAGE: i64 = 500;

/// A JSON body, in or out.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        AxumJson(self.0).into_response()
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let read = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(read, state).await.map_err(|rejection| refused_bytes(rejection.status()))?;
        refuse_nul(&bytes)?;
        let request = Request::from_parts(parts, Body::from(bytes));
        AxumJson::from_request(request, state).await.map(|AxumJson(body)| Self(body)).map_err(refused_body)
    }
}

/// JSON can write U+0000, which not every database keeps: no name or status of a vendor has it.
pub(super) fn refuse_nul(json: &[u8]) -> Answer<()> {
    let escaped = json.windows(6).enumerate().any(|(at, part)| {
        // A backslash that is escaped itself makes plain text of what follows.
        part == b"\\u0000" && json[..at].iter().rev().take_while(|byte| **byte == b'\\').count().is_multiple_of(2)
    });
    if escaped { Err(Refusal::field("", "invalid", "a text has the character U+0000")) } else { Ok(()) }
}

/// A JSON body that may be left out.
pub(super) struct Optional<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Optional<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| refused_bytes(rejection.status()))?;
        if matches!(body.trim_ascii(), b"" | b"null") {
            return Ok(Self(T::default()));
        }
        refuse_nul(&body)?;
        AxumJson::from_bytes(&body).map(|AxumJson(body)| Self(body)).map_err(refused_body)
    }
}

pub(super) fn refused_bytes(status: StatusCode) -> Refusal {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::new(413, "body-too-large", "Body too large", "the body is longer than limits.max_body_bytes")
        }
        _ => Refusal::new(400, "malformed-body", "Malformed body", "the body ended too early"),
    }
}

pub(super) fn refused_body(rejection: JsonRejection) -> Refusal {
    match rejection {
        JsonRejection::JsonDataError(error) => {
            let text = error.body_text();
            let text = text.split_once("target type: ").map_or(text.as_str(), |(_, rest)| rest);
            let (field, message) = field_to_blame(text);
            // Serde repeats the value; what a person is called has no place in an answer that is logged by whoever gets it.
            Refusal::field(field, "invalid", without_addresses(&message))
        }
        JsonRejection::JsonSyntaxError(error) => {
            let text = error.body_text();
            let text = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest);
            Refusal::new(400, "malformed-body", "Malformed body", format!("the body is not JSON: {text}"))
        }
        JsonRejection::MissingJsonContentType(_) => Refusal::new(
            415,
            "unsupported-media-type",
            "Unsupported media type",
            "the body has to be sent as Content-Type: application/json",
        ),
        other => refused_bytes(other.status()),
    }
}

/// Serde's text begins with the path to the field, but for the root, where it quotes an unknown or missing one.
fn field_to_blame(text: &str) -> (String, String) {
    let quoted = || text.split('`').nth(1).unwrap_or_default().to_owned();
    match text.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => {
            let names = message.starts_with("missing field") || message.starts_with("unknown field");
            let named = message.split('`').nth(1).unwrap_or_default();
            let path = path.trim_start_matches('.');
            let field = match () {
                () if names && path.is_empty() => named.to_owned(),
                () if names && path != named && !path.ends_with(&format!(".{named}")) => format!("{path}.{named}"),
                () => path.to_owned(),
            };
            (field, message.to_owned())
        }
        _ if text.starts_with("missing field") || text.starts_with("unknown field") => (quoted(), text.to_owned()),
        _ => (String::new(), text.to_owned()),
    }
}

/// A field in which null is as good as missing.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(field: D) -> Result<T, D::Error> {
    Option::deserialize(field).map(Option::unwrap_or_default)
}

/// An id of ours in the path. What is not even a UUID names nothing that exists.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let missing = || Refusal::not_found("id");
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| missing())?;
        let id = Uuid::parse_str(&id).map_err(|_| missing())?;
        Ok(Self(id.to_string()))
    }
}

/// The parameters behind the question mark. Each is taken by its name; `end` refuses what nobody took.
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let given: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match given.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
            Some((name, _)) => Err(Refusal::field(name.replace('\0', ""), "invalid", "has the character U+0000")),
            None => Ok(Self(given)),
        }
    }
}

impl Parameters {
    /// All values of a parameter.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one(&mut self, name: &'static str) -> Answer<Option<String>> {
        let mut values = self.all(name);
        let last = values.pop();
        if values.is_empty() { Ok(last) } else { Err(Refusal::field(name, "repeated", "may be given once")) }
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &'static str, what: &str) -> Answer<Option<T>> {
        let invalid = |_| Refusal::field(name, "invalid", format!("has to be {what}"));
        self.one(name)?.map(|value| value.parse().map_err(invalid)).transpose()
    }

    /// Values that are each one of a closed list.
    pub(super) fn all_of(&mut self, name: &'static str, known: &[&str]) -> Answer<Vec<String>> {
        let values = self.all(name);
        match values.iter().find(|value| !known.contains(&value.as_str())) {
            Some(_) => Err(Refusal::field(name, "unknown", format!("has to be one of {}", known.join(", ")))),
            None => Ok(values),
        }
    }

    pub(super) fn one_of(&mut self, name: &'static str, known: &[&str]) -> Answer<Option<String>> {
        let mut values = self.all_of(name, known)?;
        let last = values.pop();
        if values.is_empty() { Ok(last) } else { Err(Refusal::field(name, "repeated", "may be given once")) }
    }

    /// A Salesforce id, in its 18 character form.
    pub(super) fn salesforce_ids(&mut self, name: &'static str) -> Answer<Vec<String>> {
        let id = |value: String| value.parse::<SalesforceId>().map(|id| id.to_string());
        let ids: Result<Vec<_>, _> = self.all(name).into_iter().map(id).collect();
        ids.map_err(|error| Refusal::field(name, "invalid", error.to_string()))
    }

    pub(super) fn salesforce_id(&mut self, name: &'static str) -> Answer<Option<String>> {
        let mut ids = self.salesforce_ids(name)?;
        let last = ids.pop();
        if ids.is_empty() { Ok(last) } else { Err(Refusal::field(name, "repeated", "may be given once")) }
    }

    pub(super) fn uuid(&mut self, name: &'static str) -> Answer<Option<String>> {
        Ok(self.parsed::<Uuid>(name, "a UUID")?.map(|id| id.to_string()))
    }

    /// Ids of ours, as many as a page has at the most.
    pub(super) fn uuids(&mut self, name: &'static str) -> Answer<Vec<String>> {
        let ids: Result<Vec<_>, _> = self.all(name).iter().map(|id| Uuid::parse_str(id)).collect();
        let ids = ids.map_err(|_| Refusal::field(name, "invalid", "has to be a UUID"))?;
        match i64::try_from(ids.len()).is_ok_and(|count| count <= LONGEST_PAGE) {
            true => Ok(ids.into_iter().map(|id| id.to_string()).collect()),
            false => Err(Refusal::field(name, "too-many", "may be given 500 times")),
        }
    }

    /// A time in RFC 3339, or a position.
    pub(super) fn since(&mut self) -> Answer<Option<Since>> {
        let Some(text) = self.one("since")? else { return Ok(None) };
        let position = text.parse().ok().filter(|position| *position >= 0).map(Since::Position);
        let since = position.or_else(|| text.parse().ok().map(Since::Time));
        let invalid = || Refusal::field("since", "invalid", "has to be a time in RFC 3339, or a position");
        since.map(Some).ok_or_else(invalid)
    }

    /// All but the cursor, as they are written before that of the next page.
    pub(super) fn without_cursor(&self) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(self.0.iter().filter(|(name, _)| name != "cursor"));
        let text = text.finish();
        if text.is_empty() { text } else { text + "&" }
    }

    /// `limit` and `cursor`.
    pub(super) fn page(&mut self) -> Answer<Page> {
        self.page_of(PAGE)
    }

    /// The same with another length unless one is given.
    pub(super) fn page_of(&mut self, limit: i64) -> Answer<Page> {
        let limit = self.parsed::<i64>("limit", "a number from 1 to 500")?.unwrap_or(limit);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(Refusal::field("limit", "invalid", "has to be a number from 1 to 500"));
        }
        let invalid = || Refusal::field("cursor", "invalid", "is not a cursor that was handed out here");
        let decode = |text: String| {
            let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
            String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(invalid)
        };
        let after = self.one("cursor")?.map(decode).transpose()?;
        Ok(Page { limit, after })
    }

    /// Refuses a parameter that nobody asked for: a filter with a typing error would list everything.
    pub(super) fn end(self) -> Answer<()> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(Refusal::field(name, "unknown", "is not a parameter of this operation")),
            None => Ok(()),
        }
    }
}

/// What a page that begins after this is asked for with.
pub(super) fn cursor(after: &str) -> String {
    URL_SAFE_NO_PAD.encode(after)
}

/// Which part of a list is asked for.
#[derive(Clone, Debug)]
pub(super) struct Page {
    limit: i64,
    after: Option<String>,
}

impl Page {
    /// The id after which the page begins; none at the beginning.
    pub(super) fn after_id(&self) -> Answer<Option<String>> {
        match &self.after {
            Some(id) if Uuid::parse_str(id).is_err() => {
                Err(Refusal::field("cursor", "invalid", "is a cursor of another list"))
            }
            after => Ok(after.clone()),
        }
    }

    /// The position after which the page begins.
    pub(super) fn after_position(&self) -> Answer<Option<i64>> {
        let invalid = |_| Refusal::field("cursor", "invalid", "is a cursor of another list");
        self.after.as_ref().map(|after| after.parse().map_err(invalid)).transpose()
    }

    /// What the page begins after, as it was given out.
    pub(super) fn after_text(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// How many rows are shown at the most.
    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// How many rows to fetch: one more than are shown tells whether there are more.
    pub(super) fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// The page out of the rows that were fetched; `key` is what the next page begins after.
    pub(super) fn list<R, T>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> String,
        show: impl FnMut(R) -> T,
    ) -> Json<List<T>> {
        let more = rows.len() > self.limit();
        rows.truncate(self.limit());
        let next_cursor = rows.last().filter(|_| more).map(|row| cursor(&key(row)));
        Json(List { data: rows.into_iter().map(show).collect(), next_cursor })
    }
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    /// For the next page; null at the end.
    pub(super) next_cursor: Option<String>,
}

/// From where a list of events begins, exclusive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Since {
    Time(Timestamp),
    Position(i64),
}
