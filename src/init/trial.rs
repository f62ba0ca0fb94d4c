//! A test webhook of each kind to the running service, as a vendor would send it: does it let the secrets of this configuration in?
//!
//! Who sends is looked at before what is sent, and what is refused leaves no trace. So the body is one that nobody takes: 422 says that
//! the secret was good, and the checklist goes on telling when a vendor, and not we, was heard. Sent to the address that it listens on, and to
//! the public one, since a proxy, a certificate or a name may be what is wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, RequestBuilder};
use secrecy::ExposeSecret;

use crate::config::{Config, signing_key};
use crate::domain::clock::Clock;

const PATIENCE: Duration = Duration::from_secs(10);
const FROM_MARKETO: &str = r#"{"v":1,"event":"campaign_sync.test"}"#;
const FROM_SALESFORCE: &str = r#"{"object":"CampaignSyncTest","operation":"update","records":[]}"#;
/// What somebody who was let in with such a body is answered.
const ADMITTED: u16 = 422;

/// Sends them, and prints what came of each; whether all of them would be let in.
#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
pub async fn deliver(config: &Config) -> bool {
    println!("\nTest webhooks\n");
    let Ok(client) = Client::builder().timeout(PATIENCE).build() else {
        println!("fail  no HTTP client can be made");
        return false;
    };
    let local = format!("http://{}", reachable(config.server.listen));
    if let Err(error) = client.get(format!("{local}/healthz")).send().await {
        let why = if error.is_connect() { "nothing listens there" } else { "it does not answer" };
        println!("skip  {local}: {why}; when the service runs: campaign-sync init --test-only");
        return false;
    }
    let public = config.server.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    let mut admitted = true;
    for address in [Some(local), public].into_iter().flatten() {
        for (name, request) in requests(&client, config, &address) {
            let outcome = match request.send().await {
                Ok(answer) if answer.status() == ADMITTED => Ok(()),
                Ok(answer) => Err(because(answer.status().as_u16())),
                Err(error) => Err(format!("not reached: {}", innermost(&error))),
            };
            admitted &= outcome.is_ok();
            match outcome {
                Ok(()) => println!("ok    {name} to {address} would be let in"),
                Err(problem) => println!("fail  {name} to {address}: {problem}"),
            }
        }
    }
    admitted
}

fn requests(client: &Client, config: &Config, address: &str) -> Vec<(&'static str, RequestBuilder)> {
    let webhooks = &config.webhooks;
    let marketo = webhooks.marketo_tokens.first().map(|token| {
        let request = client.post(format!("{address}/webhooks/marketo")).bearer_auth(token.expose_secret());
        ("Marketo's", request.body(FROM_MARKETO))
    });
    let salesforce = webhooks.salesforce_secrets.first().and_then(|secret| {
        let key = signing_key(secret.expose_secret()).ok()?;
        let (id, at) = (format!("msg_{}", uuid::Uuid::now_v7().simple()), Clock::system().now().as_second());
        let content = format!("{id}.{at}.{FROM_SALESFORCE}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content.as_bytes());
        let request = client
            .post(format!("{address}/webhooks/salesforce"))
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", format!("v1,{}", STANDARD.encode(tag)));
        Some(("Salesforce's", request.body(FROM_SALESFORCE)))
    });
    [marketo, salesforce].into_iter().flatten().collect()
}

/// An address that is listened on everywhere is reached at home.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

fn because(status: u16) -> String {
    match status {
        401 => {
            "401: the service runs with other secrets; restart it, or look for variables that override the file".into()
        }
        200 | 404 | 405 => format!("{status}: what answers there is not this service"),
        502..=504 => format!("{status}: the proxy does not reach the service, or the service not its database"),
        _ => format!("answered {status}"),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_listen_everywhere_are_reached_at_home() {
        for (listen, reached) in
            [("0.0.0.0:8080", "127.0.0.1:8080"), ("[::]:8080", "[::1]:8080"), ("192.0.2.7:80", "192.0.2.7:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
