//! Logging in to Salesforce.
//!
//! Owns both OAuth flows (JWT bearer, client credentials), which hosts a token answer may send us to, and who we are there.
//! A session has no expiry: it is kept until Salesforce refuses it.
//!
//! Source: Salesforce Help, "OAuth 2.0 JWT Bearer Flow", "OAuth 2.0 Client Credentials Flow".

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::{Origin, Url};

use super::super::client::{Answer, Call, InvalidSettings};
use super::super::errors::{Fault, Verdict, of_token};
use super::super::{ConnectorError, SalesforceIdentity, Vendor};
use super::{SalesforceClient, broken, read_json};
use crate::domain::ids::SalesforceId;

/// Salesforce takes an assertion of at most 5 minutes; the rest is for clocks that differ.
const ASSERTION_SECONDS: i64 = 180;
/// Domains that are Salesforce's own.
const SALESFORCE_DOMAINS: [&str; 4] = ["salesforce.com", "force.com", "cloudforce.com", "database.com"];

/// What a token answer brought.
pub(super) struct Session {
    pub token: SecretString,
    pub instance: Url,
    pub identity: Option<SalesforceIdentity>,
}

impl Session {
    /// A path of the instance, or a full address there; nothing else is ever called with our token.
    pub fn address(&self, target: &str) -> Result<Url, ConnectorError> {
        let url = self.instance.join(target).ok().filter(|url| url.origin() == self.instance.origin());
        url.ok_or_else(|| broken(false, "an answer points away from the instance"))
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    instance_url: Option<String>,
    /// `https://login.salesforce.com/id/<organisation>/<user>`
    id: Option<String>,
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
struct UserInfo {
    user_id: SalesforceId,
    organization_id: SalesforceId,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
}

/// The key for the JWT bearer flow.
pub(super) fn signing_key(pem: &SecretString) -> Result<EncodingKey, InvalidSettings> {
    let bad = |_| InvalidSettings("salesforce.private_key is not an RSA private key in PEM".into());
    EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).map_err(bad)
}

impl SalesforceClient {
    /// Fetches a session and makes sure that it is one of the right organisation.
    pub(super) async fn log_in(&self) -> Result<(Session, Option<Duration>), ConnectorError> {
        let settings = &self.shared.settings;
        let url = join(&settings.login_url, "/services/oauth2/token")?;
        let form = self.grant()?;
        let request = self.shared.line.http().post(url).form(&form);
        let call = Call { counted: false, ..Call::read("token") };
        let answer = self.shared.line.exchange(call, self.priority, request, read_token).await.map_err(error)?;
        let instance = self.instance(answer.instance_url.as_deref())?;
        let identity = answer.id.as_deref().and_then(identity_of);
        let mut session = Session { token: answer.access_token, instance, identity };
        if let Some(expected) = &settings.organization_id {
            if session.identity.is_none() {
                session.identity = Some(self.user_info(&session).await.map_err(error)?);
            }
            let found = session.identity.as_ref().map(|identity| &identity.organization_id);
            if found != Some(expected) {
                let found = found.map(ToString::to_string).unwrap_or_default();
                let detail = format!("the credentials are of organisation {found}, and {expected} is configured");
                return Err(ConnectorError::Unauthorized { vendor: Vendor::Salesforce, detail });
            }
        }
        Ok((session, None))
    }

    fn grant(&self) -> Result<Vec<(&'static str, String)>, ConnectorError> {
        let settings = &self.shared.settings;
        let Some(key) = &self.shared.key else {
            let secret = settings.client_secret.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
            return Ok(vec![
                ("grant_type", "client_credentials".into()),
                ("client_id", settings.client_id.clone()),
                ("client_secret", secret.to_owned()),
            ]);
        };
        let claims = Claims {
            iss: &settings.client_id,
            sub: settings.username.as_deref().unwrap_or_default(),
            aud: &settings.login_url.origin().ascii_serialization(),
            exp: self.shared.clock.now().as_second() + ASSERTION_SECONDS,
        };
        let unsigned = |error: jsonwebtoken::errors::Error| ConnectorError::Unauthorized {
            vendor: Vendor::Salesforce,
            detail: format!("the assertion cannot be signed: {error}"),
        };
        let assertion = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, key).map_err(unsigned)?;
        Ok(vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".into()), ("assertion", assertion)])
    }

    /// Where the calls go. What an operator configured goes before what an answer says; an answer may name only the login
    /// host or a domain of Salesforce, since our token goes there.
    fn instance(&self, answered: Option<&str>) -> Result<Url, ConnectorError> {
        let settings = &self.shared.settings;
        if let Some(configured) = &settings.instance_url {
            return Ok(configured.clone());
        }
        let Some(answered) = answered else { return Ok(settings.login_url.clone()) };
        let refuse = || ConnectorError::Unauthorized {
            vendor: Vendor::Salesforce,
            detail: "the token answer names an instance that is neither the login host nor a domain of Salesforce"
                .into(),
        };
        let url: Url = answered.parse().map_err(|_| refuse())?;
        if url.origin() == settings.login_url.origin() || is_salesforce(&url) { Ok(url) } else { Err(refuse()) }
    }

    async fn user_info(&self, session: &Session) -> Result<SalesforceIdentity, Fault> {
        let url = join(&session.instance, "/services/oauth2/userinfo").map_err(|e| Fault::unreadable(e.to_string()))?;
        let request = self.shared.line.http().get(url).bearer_auth(session.token.expose_secret());
        let call = Call::read("userinfo");
        let info: UserInfo = self.shared.line.exchange(call, self.priority, request, read_json).await?;
        Ok(SalesforceIdentity { user_id: info.user_id, organization_id: info.organization_id })
    }

    /// Who we are, from the token answer, or asked for where that did not say.
    pub(super) async fn read_identity(&self) -> Result<SalesforceIdentity, ConnectorError> {
        if let Some(identity) = &self.session(None).await?.value.identity {
            return Ok(identity.clone());
        }
        let read = |answer: &Answer| read_json::<UserInfo>(answer);
        let path = "/services/oauth2/userinfo";
        let info = self
            .call(Call::read("userinfo"), |session| self.request(session, &reqwest::Method::GET, path, None), read)
            .await?;
        Ok(SalesforceIdentity { user_id: info.user_id, organization_id: info.organization_id })
    }
}

fn error(fault: Fault) -> ConnectorError {
    fault.into_error(Vendor::Salesforce, false)
}

fn join(base: &Url, path: &str) -> Result<Url, ConnectorError> {
    base.join(path).map_err(|error| broken(false, error.to_string()))
}

fn read_token(answer: &Answer) -> Result<TokenAnswer, Fault> {
    if answer.status == 200
        && let Ok(token) = serde_json::from_slice(&answer.body)
    {
        return Ok(token);
    }
    match serde_json::from_slice::<TokenRefusal>(&answer.body) {
        Ok(refusal) if answer.status >= 400 => {
            let verdict = of_token(answer.status, &refusal.error);
            Err(Fault::of(verdict, refusal.error, refusal.error_description))
        }
        _ => Err(Fault::of(Verdict::Unavailable, "", format!("the login host answered {}", answer.described()))),
    }
}

/// Organisation and user are the last two parts of the identity address.
fn identity_of(url: &str) -> Option<SalesforceIdentity> {
    let url: Url = url.parse().ok()?;
    let mut parts = url.path_segments()?.rev().filter(|part| !part.is_empty());
    let user_id = parts.next()?.parse().ok()?;
    Some(SalesforceIdentity { user_id, organization_id: parts.next()?.parse().ok()? })
}

fn is_salesforce(url: &Url) -> bool {
    let Origin::Tuple(scheme, host, port) = url.origin() else { return false };
    let host = host.to_string();
    let ours = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    scheme == "https" && port == 443 && SALESFORCE_DOMAINS.iter().any(|domain| ours(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_salesforce_over_https_is_salesforce() {
        let is = |text: &str| is_salesforce(&text.parse().unwrap());
        for good in ["https://acme.my.salesforce.com", "https://acme.my.salesforce.com/x", "https://acme.force.com"] {
            assert!(is(good), "{good}");
        }
        for bad in [
            "http://acme.my.salesforce.com",
            "https://salesforce.com.evil.test",
            "https://evilsalesforce.com",
            "https://acme.my.salesforce.com:8443",
            "https://acme.my.salesforce.com@evil.test",
            "https://127.0.0.1",
        ] {
            assert!(!is(bad), "{bad}");
        }
    }

    #[test]
    fn organisation_and_user_are_read_from_the_identity_address() {
        let identity = identity_of("https://login.salesforce.com/id/00D4S000000oz4eUAA/0054S000000JFmhQAG").unwrap();
        assert_eq!(identity.organization_id.as_str(), "00D4S000000oz4eUAA");
        assert_eq!(identity.user_id.as_str(), "0054S000000JFmhQAG");
        assert_eq!(identity_of("https://login.salesforce.com/id"), None);
    }
}
