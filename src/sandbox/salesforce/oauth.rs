//! `/services/oauth2/token` and `/revoke`, and which tokens are good.
//!
//! Owns the flows that need no browser (client credentials, JWT bearer, password, refresh), their error bodies, and the life of a
//! token. There is no `expires_in`: only a 401 tells that a token has died. Refresh tokens come from a browser in Salesforce; here the
//! control API gives them.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::{hmac, rand, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::options::Options;
use super::world::World;

/// Longest life of an assertion, with some grace for clocks.
const ASSERTION_SECONDS: i64 = 300 + 60;

/// Tokens given out and when they die; refresh tokens live until they are revoked.
#[derive(Debug, Default)]
pub struct Tokens {
    sessions: HashMap<String, Timestamp>,
    refresh: HashSet<String>,
}

/// The error and its description.
type Refusal = (&'static str, &'static str);

impl Tokens {
    /// Answers a token request: status and body.
    pub fn grant(&mut self, world: &mut World, form: &[(String, String)], basic: Option<&str>) -> (u16, Value) {
        let parameter = |name: &str| form.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        let now = world.now();
        let options = &world.options;
        let checked = match parameter("grant_type") {
            Some("client_credentials") => {
                let basic = basic.and_then(|b| String::from_utf8(STANDARD.decode(b).ok()?).ok());
                let (id, secret) = match basic.as_deref().and_then(|b| b.split_once(':')) {
                    Some((id, secret)) => (Some(id), Some(secret)),
                    None => (parameter("client_id"), parameter("client_secret")),
                };
                check_client(options, id, secret)
            }
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                check_assertion(options, &world.base_url, parameter("assertion").unwrap_or_default(), now)
            }
            Some("password") => {
                check_client(options, parameter("client_id"), parameter("client_secret")).and_then(|()| {
                    let given = [parameter("username"), parameter("password")].map(Option::unwrap_or_default);
                    check_password(options, given[0], given[1])
                        .then_some(())
                        .ok_or(("invalid_grant", "authentication failure"))
                })
            }
            // The secret may be left out, but not be wrong.
            Some("refresh_token") => {
                let secret = parameter("client_secret").or(Some(&options.client_secret));
                let known = parameter("refresh_token").is_some_and(|token| self.refresh.contains(token));
                let dead = Err(("invalid_grant", "expired access/refresh token"));
                check_client(options, parameter("client_id"), secret).and(if known { Ok(()) } else { dead })
            }
            _ => Err(("unsupported_grant_type", "grant type not supported")),
        };
        if let Err((error, description)) = checked {
            return (400, json!({"error": error, "error_description": description}));
        }
        world.counters.tokens += 1;
        (200, self.issue(world, now))
    }

    /// A new session of the API user, as OAuth and SOAP hand it out.
    pub fn session(&mut self, world: &World, now: Timestamp) -> String {
        let token = format!("{}!AR.{}", world.organization.short(), noise());
        self.sessions.retain(|_, dies| *dies > now);
        self.sessions.insert(token.clone(), end_of_life(&world.options, now));
        token
    }

    fn issue(&mut self, world: &World, now: Timestamp) -> Value {
        let token = self.session(world, now);
        let id = world.identity_url();
        let issued_at = now.as_millisecond().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, world.options.client_secret.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()));
        json!({
            "access_token": token, "signature": signature, "scope": "api", "instance_url": world.base_url, "id": id,
            "token_type": "Bearer", "issued_at": issued_at, "api_instance_url": "https://api.salesforce.com",
        })
    }

    /// A refresh token, as the approval of a user in a browser would give it.
    pub fn approve(&mut self) -> String {
        let token = format!("5Aep861.{}", noise());
        self.refresh.insert(token.clone());
        token
    }

    /// Ends a session or a refresh token; false when there is no such token.
    pub fn revoke(&mut self, token: &str) -> bool {
        self.sessions.remove(token).is_some() | self.refresh.remove(token)
    }

    /// Whether a token is good now.
    pub fn check(&mut self, token: &str, options: &Options, now: Timestamp) -> bool {
        let Some(dies) = self.sessions.get_mut(token).filter(|dies| **dies > now) else { return false };
        if options.token_slides {
            *dies = end_of_life(options, now);
        }
        true
    }

    /// Ends all sessions.
    pub fn expire(&mut self) {
        self.sessions.clear();
    }
}

fn noise() -> String {
    let mut noise = [0; 48];
    // Without noise the token is only guessable, which an emulator can bear.
    _ = rand::fill(&mut noise);
    URL_SAFE_NO_PAD.encode(noise)
}

fn end_of_life(options: &Options, now: Timestamp) -> Timestamp {
    let life = i64::try_from(options.token_seconds).unwrap_or(i64::MAX / 2);
    Timestamp::from_second(now.as_second().saturating_add(life)).unwrap_or(Timestamp::MAX)
}

/// Whether this is the API user, and the password with the security token behind it.
#[must_use]
pub fn check_password(options: &Options, username: &str, password: &str) -> bool {
    let (own, token) = (&options.api_user_password, &options.security_token);
    let trusted = options.trusted_network && password == own;
    username == options.api_user_name && (trusted || password == format!("{own}{token}"))
}

fn check_client(options: &Options, id: Option<&str>, secret: Option<&str>) -> Result<(), Refusal> {
    if id != Some(&options.client_id) {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    if secret != Some(&options.client_secret) {
        return Err(("invalid_client", "invalid client credentials"));
    }
    Ok(())
}

fn check_assertion(options: &Options, base_url: &str, assertion: &str, now: Timestamp) -> Result<(), Refusal> {
    const INVALID: Refusal = ("invalid_grant", "invalid assertion");
    let (signed, given) = assertion.rsplit_once('.').ok_or(INVALID)?;
    let (header, claims) = signed.split_once('.').ok_or(INVALID)?;
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().and_then(|b| serde_json::from_slice::<Value>(&b).ok());
    let (header, claims) = (read(header).ok_or(INVALID)?, read(claims).ok_or(INVALID)?);
    let claim = |name: &str| claims[name].as_str().unwrap_or_default();
    if claim("iss") != options.client_id {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    let key = options.jwt_public_key_pem.as_deref().and_then(der).ok_or(INVALID)?;
    let given = URL_SAFE_NO_PAD.decode(given).map_err(|_| INVALID)?;
    let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key);
    if header["alg"] != "RS256" || key.verify(signed.as_bytes(), &given).is_err() {
        return Err(INVALID);
    }
    let audience = claim("aud").trim_end_matches('/');
    if audience != base_url.trim_end_matches('/') && !options.jwt_audiences.iter().any(|a| a == audience) {
        return Err(("invalid_grant", "audience is invalid"));
    }
    // simple-salesforce sends `exp` as a string.
    let expires = claims["exp"].as_i64().or_else(|| claim("exp").parse().ok()).ok_or(INVALID)?;
    if expires <= now.as_second() || expires > now.as_second() + ASSERTION_SECONDS {
        return Err(("invalid_grant", "expired authorization code"));
    }
    if claim("sub") != options.api_user_name {
        return Err(("invalid_grant", "user hasn't approved this consumer"));
    }
    Ok(())
}

fn der(pem: &str) -> Option<Vec<u8>> {
    let body: String = pem.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("-----")).collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};

    use super::*;

    fn assertion(key: &RsaKeyPair, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "RS256"})), part(claims));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn assertions_must_be_ours_and_fresh() {
        let (key, other) =
            (RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(public.as_ref()));
        let options = Options { jwt_public_key_pem: Some(pem), ..Options::default() };
        let now: Timestamp = "2026-11-23T20:05:00Z".parse().unwrap();
        let mut world = World::new(options, Arc::new(move || now));
        world.base_url = "https://acme.example".into();
        let good = json!({"iss": "3MVG9campaignsync", "sub": "campaign-sync@acme.example",
                          "aud": "https://login.salesforce.com", "exp": now.as_second() + 180});
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        let mut ask = |key: &RsaKeyPair, claims: &Value| {
            let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned();
            let form = [("grant_type".to_owned(), grant), ("assertion".to_owned(), assertion(key, claims))];
            let (_, body) = Tokens::default().grant(&mut world, &form, None);
            body["error_description"].as_str().unwrap_or("granted").to_owned()
        };
        for (claims, answer) in [
            (good.clone(), "granted"),
            (with("exp", json!((now.as_second() + 180).to_string())), "granted"),
            (with("aud", json!("https://acme.example/")), "granted"),
            (with("aud", json!("https://evil.example")), "audience is invalid"),
            (with("iss", json!("x")), "client identifier invalid"),
            (with("sub", json!("x")), "user hasn't approved this consumer"),
            (with("exp", json!(now.as_second())), "expired authorization code"),
            (with("exp", json!(now.as_second() + 3600)), "expired authorization code"),
        ] {
            assert_eq!(ask(&key, &claims), answer, "{claims}");
        }
        assert_eq!(ask(&other, &good), "invalid assertion");
    }
}
