//! How values are written: durations, optional values, secrets.
//!
//! Owns parsing and printing of single values. Must not know which key has which.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serializer};
use url::Url;

/// Milliseconds of each unit, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Ten years: nothing here is meant to be longer, and times computed from it stay in range.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not a number and a unit, zero, or above ten years.
    #[error("a duration is a whole number above 0 with ms, s, m, h or d, at most 3650d")]
    Duration,
    /// Not a Standard Webhooks secret.
    #[error("a signing secret is whsec_ followed by base64 of 24 to 64 bytes")]
    SigningKey,
}

/// Reads `500ms`, `2s`, `15m`, `24h`, `7d`.
///
/// # Errors
/// For anything else, zero, and more than ten years.
pub fn parse_duration(text: &str) -> Result<Duration, Invalid> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| Invalid::Duration)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(Invalid::Duration)?;
    let duration = Duration::from_millis(number.checked_mul(*millis).ok_or(Invalid::Duration)?);
    if duration.is_zero() || duration > LONGEST { Err(Invalid::Duration) } else { Ok(duration) }
}

/// In the longest unit that loses nothing.
fn print_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit)).unwrap_or(&("ms", 1));
    format!("{}{}", millis / unit.1, unit.0)
}

/// Decodes a `whsec_` secret; the padding may be missing, as some tools leave it out.
///
/// # Errors
/// When it is not base64 of 24 to 64 bytes, the length that the Standard Webhooks specification asks for.
pub fn signing_key(secret: &str) -> Result<Vec<u8>, Invalid> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    let encoded = secret.strip_prefix("whsec_").ok_or(Invalid::SigningKey)?;
    let key = BASE64.decode(encoded).map_err(|_| Invalid::SigningKey)?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(Invalid::SigningKey) }
}

/// Durations as text.
pub mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::print_duration(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// Empty text for none.
pub mod optional {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    pub fn serialize<S: Serializer, T: Display>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_str(""),
        }
    }

    pub fn deserialize<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

fn mask(secret: &SecretString) -> &'static str {
    if secret.expose_secret().is_empty() { "" } else { "***" }
}

/// A secret, hidden.
pub fn hidden<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(mask(secret))
}

/// A list of secrets, each hidden.
pub fn all_hidden<S: Serializer>(secrets: &[SecretString], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(secrets.iter().map(mask))
}

/// A URL with its password hidden, also one that was given as a parameter (`?password=`); all of it when it cannot be read.
pub fn without_password<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    let Ok(mut url) = Url::parse(secret.expose_secret()) else { return hidden(secret, to) };
    if url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password")) {
        return hidden(secret, to);
    }
    if url.password().is_none() {
        return to.serialize_str(secret.expose_secret());
    }
    match url.set_password(Some("***")) {
        Ok(()) => to.serialize_str(url.as_str()),
        Err(()) => hidden(secret, to),
    }
}
