//! Who is calling: shared tokens and Standard Webhooks signatures.
//!
//! Owns the comparison with our secrets, always in constant time and against all of them, so that two are valid while one
//! replaces the other. An empty list lets nobody in. Must not know what a body means.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::config::signing_key;

/// Signatures looked at in one header; a sender that rotates keys has two.
const MOST_SIGNATURES: usize = 16;

/// Tokens that a caller may present as they are.
#[derive(Clone)]
pub struct Tokens(Vec<digest::Digest>);

impl Tokens {
    /// Of the configured tokens; an empty one lets nobody in.
    #[must_use]
    pub fn new(tokens: &[SecretString]) -> Self {
        let tokens = tokens.iter().map(ExposeSecret::expose_secret).filter(|token| !token.is_empty());
        Self(tokens.map(|token| hashed(token.as_bytes())).collect())
    }

    /// Whether `token` is one of ours. Hashes are compared, so that the time taken tells neither content nor length.
    #[must_use]
    pub fn admit(&self, token: &[u8]) -> bool {
        let token = hashed(token);
        self.0
            .iter()
            .fold(false, |found, known| found | verify_slices_are_equal(known.as_ref(), token.as_ref()).is_ok())
    }
}

fn hashed(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

/// The token of an `Authorization: Bearer` header; the scheme is compared without case (RFC 9110, 11.1).
#[must_use]
pub fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

/// The three headers of a signed delivery.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`, seconds since the epoch.
    pub timestamp: &'a str,
    /// `webhook-signature`: values such as `v1,<base64>`, apart by spaces.
    pub signature: &'a str,
}

/// Keys of Standard Webhooks signatures.
#[derive(Clone)]
pub struct Keys {
    keys: Vec<hmac::Key>,
    tolerance: Duration,
}

impl Keys {
    /// Of the configured `whsec_` secrets; what is none lets nobody in.
    #[must_use]
    pub fn new(secrets: &[SecretString], tolerance: Duration) -> Self {
        let keys = secrets.iter().filter_map(|secret| signing_key(secret.expose_secret()).ok());
        Self { keys: keys.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key)).collect(), tolerance }
    }

    /// Whether any of the signatures is of any of our keys, over these very bytes, and not from too far away in time,
    /// past or future: a delivery that was recorded cannot be played again later.
    #[must_use]
    pub fn admit(&self, signed: Signed, body: &[u8], now: Timestamp) -> bool {
        let Some(sent) = seconds(signed.timestamp) else { return false };
        let fit = (1..=256).contains(&signed.id.len()) && signed.id.bytes().all(|c| c.is_ascii_graphic());
        if !fit || now.duration_since(sent).unsigned_abs() > self.tolerance {
            return false;
        }
        let given = signed.signature.split(' ').filter_map(|value| value.strip_prefix("v1,")).take(MOST_SIGNATURES);
        let given: Vec<Vec<u8>> = given.filter_map(|value| STANDARD.decode(value).ok()).collect();
        self.keys.iter().fold(false, |found, key| {
            let expected = tag(key, signed, body);
            given.iter().fold(found, |found, given| found | verify_slices_are_equal(expected.as_ref(), given).is_ok())
        })
    }
}

fn seconds(text: &str) -> Option<Timestamp> {
    // Digits alone: a sign or a fraction is no epoch second of the specification.
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    if digits { Timestamp::from_second(text.parse().ok()?).ok() } else { None }
}

fn tag(key: &hmac::Key, signed: Signed, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in [signed.id.as_bytes(), b".", signed.timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    context.sign()
}

/// Signs as a sender would.
#[cfg(test)]
pub(super) fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &signing_key(secret).unwrap());
    format!("v1,{}", STANDARD.encode(tag(&key, Signed { id, timestamp, signature: "" }, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries (`standard-webhooks/libraries`, test vectors).
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: &str = "1614265330";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| (*text).into()).collect()
    }

    fn check(keys: &[&str], signed: Signed, body: &[u8], now: i64, admitted: bool) {
        let keys = Keys::new(&secrets(keys), Duration::from_secs(300));
        let now = Timestamp::from_second(now).unwrap();
        assert_eq!(keys.admit(signed, body, now), admitted, "{signed:?} at {now}");
    }

    #[test]
    fn signatures() {
        let now = 1_614_265_330;
        let good = Signed { id: ID, timestamp: AT, signature: SIGNATURE };
        check(&[SECRET], good, BODY, now, true);
        check(&[OTHER, SECRET], good, BODY, now, true);
        for signature in [
            format!("v1,{} {SIGNATURE}", "A".repeat(43) + "="),
            format!("{SIGNATURE} v1a,abc"),
            format!("v2,x v1,!! {SIGNATURE}"),
            sign(SECRET, ID, AT, BODY),
        ] {
            check(&[SECRET], Signed { signature: &signature, ..good }, BODY, now, true);
        }
        check(&[], good, BODY, now, false);
        check(&["whsec_short"], good, BODY, now, false);
        check(&[OTHER], good, BODY, now, false);
        check(&[SECRET], good, br#"{"test": 2432232315}"#, now, false);
        check(&[SECRET], Signed { id: "msg_other", ..good }, BODY, now, false);
        for signature in ["", "v1,", "v1", &SIGNATURE[3..], "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="] {
            check(&[SECRET], Signed { signature, ..good }, BODY, now, false);
        }
        // Bounds of the tolerance, both ways.
        for (now, admitted) in [(now + 300, true), (now + 301, false), (now - 300, true), (now - 301, false)] {
            check(&[SECRET], good, BODY, now, admitted);
        }
        for (id, timestamp) in [(ID, ""), (ID, "+1614265330"), (ID, "1614265330.0"), (ID, "now"), ("", AT), ("a b", AT)]
        {
            let signature = sign(SECRET, id, timestamp, BODY);
            check(&[SECRET], Signed { id, timestamp, signature: &signature }, BODY, now, false);
        }
        for timestamp in ["999999999999", "99999999999999999999"] {
            check(&[SECRET], Signed { timestamp, ..good }, BODY, now, false);
        }
    }

    #[test]
    fn tokens() {
        let tokens = Tokens::new(&secrets(&["one", "two", ""]));
        for (token, admitted) in
            [("one", true), ("two", true), ("", false), ("on", false), ("one ", false), ("ONE", false)]
        {
            assert_eq!(tokens.admit(token.as_bytes()), admitted, "{token}");
        }
        assert!(!Tokens::new(&[]).admit(b""));
        for (header, token) in [
            ("Bearer one", Some("one")),
            ("bearer  one ", Some("one")),
            ("Basic one", None),
            ("Bearer", None),
            ("one", None),
            ("", None),
        ] {
            assert_eq!(bearer(header.as_bytes()), token.map(str::as_bytes), "{header}");
        }
    }
}
