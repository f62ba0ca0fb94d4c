//! `/services/oauth2/token`, and which tokens are good.
//!
//! Owns the two flows a server-side client uses, client credentials and JWT bearer, their error bodies, and the life of a
//! token. There is no `expires_in`: only a 401 tells that a token has died.

use std::collections::HashMap;

use aws_lc_rs::{hmac, rand, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::options::Options;
use super::world::World;

/// Longest life of an assertion, with some grace for clocks.
const ASSERTION_SECONDS: i64 = 300 + 60;

/// Tokens given out and when they die.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<String, Timestamp>);

/// The error and its description.
type Refusal = (&'static str, &'static str);

impl Tokens {
    /// Answers a token request: status and body.
    pub fn grant(
        &mut self,
        world: &mut World,
        base_url: &str,
        form: &[(String, String)],
        basic: Option<&str>,
    ) -> (u16, Value) {
        let parameter = |name: &str| form.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        let now = world.now();
        let checked = match parameter("grant_type") {
            Some("client_credentials") => {
                let basic = basic.and_then(|b| String::from_utf8(STANDARD.decode(b).ok()?).ok());
                let (id, secret) = match basic.as_deref().and_then(|b| b.split_once(':')) {
                    Some((id, secret)) => (Some(id), Some(secret)),
                    None => (parameter("client_id"), parameter("client_secret")),
                };
                check_client(&world.options, id, secret)
            }
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                check_assertion(&world.options, base_url, parameter("assertion").unwrap_or_default(), now)
            }
            _ => Err(("unsupported_grant_type", "grant type not supported")),
        };
        if let Err((error, description)) = checked {
            return (400, json!({"error": error, "error_description": description}));
        }
        world.counters.tokens += 1;
        (200, self.issue(world, base_url, now))
    }

    fn issue(&mut self, world: &World, base_url: &str, now: Timestamp) -> Value {
        let mut noise = [0; 48];
        // Without noise the token is only guessable, which an emulator can bear.
        _ = rand::fill(&mut noise);
        let token = format!("{}!AR.{}", world.organization.short(), URL_SAFE_NO_PAD.encode(noise));
        let life = i64::try_from(world.options.token_seconds).unwrap_or(i64::MAX / 2);
        let dies = Timestamp::from_second(now.as_second().saturating_add(life)).unwrap_or(Timestamp::MAX);
        self.0.retain(|_, dies| *dies > now);
        self.0.insert(token.clone(), dies);
        let id = format!("https://login.salesforce.com/id/{}/{}", world.organization, world.api_user);
        let issued_at = now.as_millisecond().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, world.options.client_secret.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()));
        json!({
            "access_token": token, "signature": signature, "scope": "api", "instance_url": base_url, "id": id,
            "token_type": "Bearer", "issued_at": issued_at, "api_instance_url": "https://api.salesforce.com",
        })
    }

    /// Whether a token is good now.
    pub fn check(&mut self, token: &str, options: &Options, now: Timestamp) -> bool {
        let Some(dies) = self.0.get_mut(token).filter(|dies| **dies > now) else { return false };
        if options.token_slides {
            let life = i64::try_from(options.token_seconds).unwrap_or(i64::MAX / 2);
            *dies = Timestamp::from_second(now.as_second().saturating_add(life)).unwrap_or(Timestamp::MAX);
        }
        true
    }

    /// Ends all of them.
    pub fn expire(&mut self) {
        self.0.clear();
    }
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
            let (_, body) = Tokens::default().grant(&mut world, "https://acme.example", &form, None);
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
