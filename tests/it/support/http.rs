//! A small client of the REST API: a key, a base, and answers that can be shown when they are not as expected.
//!
//! Does not interpret what it gets. Paths that begin with `/` are taken as they are; others are below `/api/v1/`.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::eventually;

/// How long somebody asks again.
const PATIENCE: Duration = Duration::from_secs(30);

fn is_a_vendors_fault(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
}

/// The API of one service, with or without a key.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    base: String,
    headers: HeaderMap,
}

/// Status, headers and body of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    request: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Api {
    /// Without a key.
    pub fn new(base: &str) -> Self {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { client, base: base.to_owned(), headers: HeaderMap::new() }
    }

    /// The same with an API key.
    pub fn with_key(&self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// The same with one more header on every request, such as `If-Match`.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut api = self.clone();
        api.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        api
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some((body.to_string().into(), "application/json"))).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some((body.to_string().into(), "application/json"))).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some((body.to_string().into(), "application/json"))).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// The bytes as they are: for webhooks, whose signature is over them.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Vec<u8>>, content_type: &str) -> Answer {
        self.send(Method::POST, path, Some((body.into(), content_type))).await
    }

    /// Where vendors fail on purpose (`FAULTS`), an answer that blames one is asked for again for a while, as a person would.
    ///
    /// # Panics
    /// When there is no answer; a test that expects that asks with `try_get`.
    async fn send(&self, method: Method, path: &str, body: Option<(Vec<u8>, &str)>) -> Answer {
        let request = format!("{method} {path}");
        let send = async || {
            let sent = self.try_send(method.clone(), path, body.clone()).await;
            sent.unwrap_or_else(|error| panic!("{request}: {error}"))
        };
        let mut answer = send().await;
        // Webhooks are answered without asking a vendor.
        let asks = !path.starts_with("/webhooks");
        if asks && std::env::var_os("FAULTS").is_some() && is_a_vendors_fault(&answer) {
            let again = async || {
                answer = send().await;
                (!is_a_vendors_fault(&answer)).then_some(())
            };
            // What is a vendor's fault in the end, too, is the answer.
            let _ = tokio::time::timeout(PATIENCE, eventually("another answer", PATIENCE * 2, again)).await;
        }
        answer
    }

    /// For a service that may be away at the moment.
    pub async fn try_get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        self.try_send(Method::GET, path, None).await
    }

    /// The same with the bytes as they are.
    pub async fn try_post_bytes(
        &self,
        path: &str,
        body: impl Into<Vec<u8>>,
        content_type: &str,
    ) -> Result<Answer, reqwest::Error> {
        self.try_send(Method::POST, path, Some((body.into(), content_type))).await
    }

    async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<(Vec<u8>, &str)>,
    ) -> Result<Answer, reqwest::Error> {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/api/v1/{path}") };
        let request = format!("{method} {path}");
        let mut sending = self.client.request(method, format!("{}{path}", self.base)).headers(self.headers.clone());
        if let Some((bytes, content_type)) = body {
            sending = sending.header("content-type", content_type).body(bytes);
        }
        let answer = sending.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { request, status, headers, text: answer.text().await? })
    }
}

impl Answer {
    /// Itself, when the status is the expected one.
    ///
    /// # Panics
    /// When it is not; the message has the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{} answered {}", self.request, self.text);
        self
    }

    /// The body.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error} in {}", self.request, self.text))
    }

    /// A header, empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
