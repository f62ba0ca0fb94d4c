//! One delivery over HTTP: signed, bounded in every way, and only to where it may go.
//!
//! Owns what an answer is: a status within the time allowed, and the beginning of a body. Redirects are not followed, since they
//! would lead past what was checked; proxies of the environment are not used, since they would resolve names in our place.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response};
use url::{Host, Url};

use super::sign::signature;
use crate::domain::address::is_public;
use crate::domain::clock::Clock;
use crate::domain::delivery::{asked_pause, clipped};

/// Bytes that are read of an answer; what follows is left unread.
const READ: usize = 4096;
/// An answer has been given with its status; its body is waited for only this long.
const BODY: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(10);

/// What came of a request.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// None where nothing was answered.
    pub code: Option<u16>,
    /// `timeout`, `no_connection`, `cut_off`, `address_refused`, `bad_url`, `redirect`, and more where there is more to say.
    pub error: Option<String>,
    pub body: Option<String>,
    pub latency_ms: i64,
    pub retry_after: Option<Duration>,
}

/// A name resolved to addresses of which none may be called.
#[derive(Debug, thiserror::Error)]
#[error("it resolves to a private address, and limits.allow_private_targets is not set")]
struct AddressRefused;

/// Resolves names to public addresses. What it hands out is what is connected to: a name that changes its mind in between
/// gains nothing.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(public(found)?.into_iter()) as Addrs)
        })
    }
}

/// Those of a name's addresses that may be called; a name that has others beside them is called there and nowhere else.
fn public(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, AddressRefused> {
    let any = !found.is_empty();
    let public: Vec<_> = found.into_iter().filter(|address| is_public(address.ip())).collect();
    if any && public.is_empty() { Err(AddressRefused) } else { Ok(public) }
}

/// Posts deliveries. Copies share their connections.
#[derive(Clone)]
pub(super) struct Post {
    client: Client,
    clock: Clock,
    timeout: Duration,
    allow_private: bool,
}

impl Post {
    pub(super) fn new(
        clock: Clock,
        timeout: Duration,
        concurrency: usize,
        allow_private: bool,
    ) -> Result<Self, reqwest::Error> {
        let mut client = Client::builder()
            .user_agent(concat!("campaign-sync/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .connect_timeout(CONNECT.min(timeout))
            .pool_max_idle_per_host(concurrency);
        if !allow_private {
            client = client.https_only(true).dns_resolver(Arc::new(PublicOnly));
        }
        Ok(Self { client: client.build()?, clock, timeout, allow_private })
    }

    /// Sends one event. `id` is the same at each attempt, the time and so the signature are of this one.
    pub(super) async fn send(&self, url: &str, secrets: &[String], id: &str, body: String) -> Reply {
        let started = self.clock.monotonic();
        let mut reply = match self.checked(url) {
            Ok(url) => self.exchange(url, secrets, id, body).await,
            Err(error) => Reply { error: Some(error), ..Reply::default() },
        };
        let took = self.clock.monotonic().saturating_sub(started);
        reply.latency_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        reply
    }

    /// A URL whose host, where it is an address, may be called; names are looked at when they are resolved.
    fn checked(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|error| format!("bad_url: {error}"))?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        if !self.allow_private && address.is_some_and(|address| !is_public(address)) {
            return Err(format!("address_refused: {AddressRefused}"));
        }
        Ok(url)
    }

    async fn exchange(&self, url: Url, secrets: &[String], id: &str, body: String) -> Reply {
        let timestamp = self.clock.now().as_second();
        let request = self
            .client
            .post(url)
            .header("content-type", "application/cloudevents+json; charset=utf-8")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature(secrets, id, timestamp, body.as_bytes()))
            .body(body);
        let answered = match tokio::time::timeout(self.timeout, request.send()).await {
            Err(_) => return Reply { error: Some("timeout".to_owned()), ..Reply::default() },
            Ok(Err(error)) => return Reply { error: Some(fault(&error.without_url())), ..Reply::default() },
            Ok(Ok(response)) => response,
        };
        let status = answered.status();
        let asked = answered.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Reply {
            code: Some(status.as_u16()),
            error: status
                .is_redirection()
                .then(|| "redirect: it is not followed; subscribe the new address".to_owned()),
            retry_after: asked.and_then(|asked| asked_pause(asked, self.clock.now())),
            body: Some(beginning(answered).await),
            latency_ms: 0,
        }
    }
}

/// The beginning of a body, as far as it comes in time.
async fn beginning(mut response: Response) -> String {
    let mut read = Vec::new();
    let reading = async {
        while read.len() < READ
            && let Ok(Some(piece)) = response.chunk().await
        {
            read.extend_from_slice(&piece[..piece.len().min(READ - read.len())]);
        }
    };
    let _ = tokio::time::timeout(BODY, reading).await;
    clipped(&read)
}

/// What failed below HTTP, with its innermost cause.
fn fault(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    loop {
        if cause.is::<AddressRefused>() {
            return format!("address_refused: {cause}");
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    let what = match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "no_connection",
        error if error.is_builder() => "bad_url",
        _ => "cut_off",
    };
    format!("{what}: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(allow_private: bool) -> Post {
        Post::new(Clock::system(), Duration::from_secs(5), 2, allow_private).unwrap()
    }

    #[tokio::test]
    async fn a_private_address_is_refused_however_it_is_written() {
        let post = post(false);
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.1.1/",
            "https://0.0.0.0/",
            // A name, which is refused only when it is resolved.
            "https://localhost/",
        ] {
            let reply = post.send(url, &[], "id", String::new()).await;
            assert_eq!(reply.code, None);
            assert!(reply.error.as_ref().is_some_and(|error| error.starts_with("address_refused")), "{url}: {reply:?}");
        }
        let plain = post.send("http://example.com/", &[], "id", String::new()).await;
        assert!(plain.error.as_ref().is_some_and(|error| error.starts_with("bad_url")), "{plain:?}");
    }

    #[test]
    fn of_the_addresses_of_a_name_only_public_ones_are_called() {
        let of = |all: &[&str]| {
            let found = all.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
            public(found).map(|left| left.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(
            of(&["10.0.0.1", "93.184.216.34", "::1", "2606:4700::1"]).unwrap(),
            ["93.184.216.34", "2606:4700::1"]
        );
        assert!(of(&["127.0.0.1", "::ffff:10.0.0.1", "fe80::1"]).is_err());
        assert_eq!(of(&[]).unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn where_it_is_allowed_it_is_called() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let reply = post(true).send(&format!("http://{closed}/"), &[], "id", String::new()).await;
        assert!(reply.error.as_ref().is_some_and(|error| error.starts_with("no_connection")), "{reply:?}");
    }
}
