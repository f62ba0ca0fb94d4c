//! Custom services and their access tokens.
//!
//! Owns who may call. One token per service, shared by all its processes: asking again before it lapses gives the same one with
//! the lifetime that remains (Marketo, "Authentication"). Must not know HTTP beyond the shape of the token answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::envelope::Refusal;

/// Permissions that exist, by the names of the API role.
pub const PERMISSIONS: [&str; 9] = [
    "Read-Only Assets",
    "Read-Write Assets",
    "Read-Only Lead",
    "Read-Write Lead",
    "Read-Only Activity",
    "Execute Campaign",
    "Activate Campaign",
    "Deactivate Campaign",
    "Read-Only Usage",
];

/// A LaunchPoint custom service with its API-only user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: String,
    /// The user, shown as `scope` and in the usage report.
    pub user: String,
    /// What the user's role allows; all of it when left out.
    #[serde(default = "all_permissions")]
    pub permissions: BTreeSet<String>,
}

fn all_permissions() -> BTreeSet<String> {
    PERMISSIONS.map(str::to_owned).into()
}

impl Service {
    /// A service that may do everything.
    #[must_use]
    pub fn new(client_id: &str, client_secret: &str, user: &str) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            user: user.into(),
            permissions: all_permissions(),
        }
    }
}

/// Services and the tokens issued to them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Identity {
    services: Vec<Service>,
    current: BTreeMap<String, (String, Timestamp)>,
    issued: BTreeMap<String, (String, Timestamp)>,
    serial: u64,
}

impl Identity {
    /// Adds a service, or replaces the one with the same client id.
    pub fn add(&mut self, service: Service) {
        self.services.retain(|known| known.client_id != service.client_id);
        self.services.push(service);
    }

    /// The answer of `/identity/oauth/token`: the token, or the body of an HTTP 401.
    pub fn token(
        &mut self,
        params: &[(String, String)],
        seed: u64,
        seconds: i64,
        now: Timestamp,
    ) -> Result<Value, Value> {
        let param = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let refuse = |text: &str| Err(json!({"error": "unauthorized", "error_description": text}));
        if param("grant_type") != Some("client_credentials") {
            return refuse("Unsupported grant type");
        }
        let (Some(id), Some(secret)) = (param("client_id"), param("client_secret")) else {
            return refuse("Bad client credentials");
        };
        let Some(service) = self.services.iter().find(|service| service.client_id == id) else {
            return refuse(&format!("No client with requested id: {id}"));
        };
        if service.client_secret != secret {
            return refuse("Bad client credentials");
        }
        let user = service.user.clone();
        let (token, lapses) = match self.current.get(id) {
            Some((token, lapses)) if *lapses > now => (token.clone(), *lapses),
            _ => self.issue(id, seed, seconds, now),
        };
        let remaining = (lapses.as_millisecond() - now.as_millisecond()) / 1000;
        Ok(json!({"access_token": token, "token_type": "bearer", "expires_in": remaining, "scope": user}))
    }

    fn issue(&mut self, client_id: &str, seed: u64, seconds: i64, now: Timestamp) -> (String, Timestamp) {
        self.serial += 1;
        let mut random = super::webhooks::Random::new(seed ^ self.serial.wrapping_mul(0x9e37_79b9));
        let (a, b) = (random.next(), random.next());
        let token = format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}:int",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 48 & 0xfff,
            b & 0xffff_ffff_ffff
        );
        let lapses = now + jiff::SignedDuration::from_secs(seconds);
        self.current.insert(client_id.into(), (token.clone(), lapses));
        self.issued.insert(token.clone(), (client_id.into(), lapses));
        (token, lapses)
    }

    /// The service that a token speaks for: 600 when there is none, 601 when nobody issued it, 602 when it lapsed.
    pub fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<&Service, Refusal> {
        let token = token.filter(|token| !token.is_empty()).ok_or_else(|| Refusal::new(600, "Empty access token"))?;
        let invalid = || Refusal::new(601, "Access token invalid");
        let (client_id, lapses) = self.issued.get(token).ok_or_else(invalid)?;
        if *lapses <= now {
            return Err(Refusal::new(602, "Access token expired"));
        }
        self.services.iter().find(|service| service.client_id == *client_id).ok_or_else(invalid)
    }

    /// Lets every token lapse now.
    pub fn expire_all(&mut self, now: Timestamp) {
        self.current.clear();
        for (_, lapses) in self.issued.values_mut() {
            *lapses = (*lapses).min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(identity: &mut Identity, id: &str, secret: &str, now: Timestamp) -> Result<Value, Value> {
        let params = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        identity.token(&params.map(|(k, v)| (k.to_owned(), v.to_owned())), 1, 3600, now)
    }

    #[test]
    fn one_token_until_it_lapses() {
        let mut identity = Identity::default();
        identity.add(Service::new("id", "secret", "apis@acmeinc.com"));
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let later = |seconds| start + jiff::SignedDuration::from_secs(seconds);
        let first = ask(&mut identity, "id", "secret", start).unwrap();
        assert_eq!((first["expires_in"].as_i64(), first["scope"].as_str()), (Some(3600), Some("apis@acmeinc.com")));
        let again = ask(&mut identity, "id", "secret", later(3598)).unwrap();
        assert_eq!((&again["access_token"], again["expires_in"].as_i64()), (&first["access_token"], Some(2)));
        let token = first["access_token"].as_str();
        assert!(identity.authenticate(token, later(3599)).is_ok());
        assert_eq!(identity.authenticate(token, later(3600)).unwrap_err().code, 602);
        let next = ask(&mut identity, "id", "secret", later(3600)).unwrap();
        assert_ne!(next["access_token"], first["access_token"]);
        assert_eq!(identity.authenticate(Some("made-up"), start).unwrap_err().code, 601);
        assert_eq!(identity.authenticate(None, start).unwrap_err().code, 600);
        assert_eq!(ask(&mut identity, "id", "wrong", start).unwrap_err()["error"], "unauthorized");
    }
}
