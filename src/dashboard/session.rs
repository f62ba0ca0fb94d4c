//! Who is logged in: sessions sealed into a cookie, forms that can be traced to a page of ours.
//!
//! Owns the cookies. A session is the API key and an end, encrypted and authenticated (AES-256-GCM) under a secret that the
//! processes share, so that any replica opens it and none stores it. A key that is revoked ends its sessions, since every page
//! asks the API with it.

use askama::Template;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::view::encoded;
use super::visitor::{Fields, Submitted};
use super::{Dashboard, Page, Trouble};
use crate::domain::clock::Clock;
use crate::door::Client;

/// Of the secret under which sessions are sealed.
pub const SECRET_BYTES: usize = 32;
/// How long a session lasts, in milliseconds: a working day.
const LASTS: i64 = 12 * 3_600_000;
const PURPOSE: &[u8] = b"campaign-sync session 1";
const FORM_NONCE: usize = 16;

/// The secret has the wrong length.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the secret of the sessions has to be {SECRET_BYTES} bytes")]
pub struct NoSeal;

/// Closes and opens sessions.
pub(super) struct Seal {
    key: RandomizedNonceKey,
    forms: hmac::Key,
    secure: bool,
    clock: Clock,
}

impl Seal {
    pub(super) fn new(secret: &[u8], secure: bool, clock: Clock) -> Result<Self, NoSeal> {
        if secret.len() != SECRET_BYTES {
            return Err(NoSeal);
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, secret).map_err(|_| NoSeal)?;
        // Another key for another purpose, out of the one secret.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"campaign-sync forms 1");
        Ok(Self { key, forms: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), secure, clock })
    }

    fn close(&self, key: &SecretString) -> Option<String> {
        let until = self.clock.now().as_millisecond() + LASTS;
        let mut text = format!("{until} {}", key.expose_secret()).into_bytes();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(PURPOSE), &mut text).ok()?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend(text);
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    pub(super) fn open(&self, sealed: &str) -> Option<SecretString> {
        let mut sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.key.open_in_place(nonce, Aad::from(PURPOSE), text).ok()?;
        let (until, key) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        let lasts = until.parse::<i64>().ok()? > self.clock.now().as_millisecond();
        lasts.then(|| SecretString::from(key.to_owned()))
    }

    /// A token for the forms of whoever holds a cookie. Another one each time, so that a compressed page gives nothing away.
    pub(super) fn form_token(&self, cookie: &str) -> String {
        let mut nonce = [0; FORM_NONCE];
        if rand::fill(&mut nonce).is_err() {
            return String::new();
        }
        let mut token = nonce.to_vec();
        token.extend(hmac::sign(&self.forms, &[&nonce[..], cookie.as_bytes()].concat()).as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    pub(super) fn is_form_of(&self, token: &str, cookie: &str) -> bool {
        let Ok(token) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((nonce, tag)) = token.split_at_checked(FORM_NONCE) else { return false };
        hmac::verify(&self.forms, &[nonce, cookie.as_bytes()].concat(), tag).is_ok()
    }

    /// A browser takes a cookie with this prefix only over TLS and from this host alone.
    fn name(&self, name: &str) -> String {
        format!("{}campaign_sync_{name}", if self.secure { "__Host-" } else { "" })
    }

    pub(super) fn cookie(&self, name: &str, value: &str, seconds: i64) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.name(name);
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    pub(super) fn read(&self, headers: &HeaderMap, name: &str) -> Option<String> {
        let name = self.name(name);
        let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }
}

pub(super) fn theme(seal: &Seal, headers: &HeaderMap) -> &'static str {
    match seal.read(headers, "theme").as_deref() {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "auto",
    }
}

/// What the browser says of the page that sent a form; older ones say nothing, and the token decides.
pub(super) fn came_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

/// A path of ours: never another host, whatever was asked for.
pub(super) fn own_path(path: &str) -> &str {
    let own = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n']);
    if own { path } else { "/" }
}

pub(super) fn login_path(next: &str) -> String {
    match own_path(next) {
        "/" => "/login".to_owned(),
        next => format!("/login?next={}", encoded(next)),
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    csrf: String,
    theme: &'static str,
    next: String,
    error: Option<&'static str>,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// The form for the key. Its token is bound to a cookie of its own, so that nobody can log somebody else in.
pub(super) async fn form(
    State(dashboard): State<Dashboard>,
    headers: HeaderMap,
    Query(Next { next }): Query<Next>,
) -> Page {
    login_page(&dashboard, &headers, own_path(&next), None)
}

fn login_page(dashboard: &Dashboard, headers: &HeaderMap, next: &str, error: Option<&'static str>) -> Page {
    let seal = &dashboard.seal;
    let visit = seal.read(headers, "visit").filter(|visit| visit.len() > 20).unwrap_or_else(|| seal.form_token(""));
    let page = LoginPage { csrf: seal.form_token(&visit), theme: theme(seal, headers), next: next.to_owned(), error };
    let mut response = super::rendered(&page)?;
    response.headers_mut().append(header::SET_COOKIE, seal.cookie("visit", &visit, 3600));
    if error.is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    Ok(response)
}

pub(super) async fn log_in(
    State(dashboard): State<Dashboard>,
    client: Option<Extension<Client>>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Page {
    let (seal, fields) = (&dashboard.seal, Fields(fields));
    let next = own_path(fields.get("next"));
    let visit = seal.read(&headers, "visit").unwrap_or_default();
    if came_from_elsewhere(&headers) || visit.is_empty() || !seal.is_form_of(fields.get("csrf"), &visit) {
        return login_page(&dashboard, &headers, next, Some("The page was open for too long. Try again."));
    }
    let key = SecretString::from(fields.get("key").to_owned());
    // Asked on behalf of whoever it is, so that keys cannot be guessed faster here than there.
    let answer = dashboard.api.knock(&key, client.map(|Extension(client)| client)).await;
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return login_page(
            &dashboard,
            &headers,
            next,
            Some("Too many attempts from your address. Try again in a minute."),
        );
    }
    if answer.status == StatusCode::UNAUTHORIZED || fields.get("key").is_empty() {
        let error = "This key is not known. Keys begin with cs_ and are made with: campaign-sync keys create";
        return login_page(&dashboard, &headers, next, Some(error));
    }
    if !answer.status.is_success() {
        return login_page(&dashboard, &headers, next, Some("The service does not answer at the moment. Try again."));
    }
    let sealed = seal.close(&key).ok_or(Trouble::Broken)?;
    let mut response = Redirect::to(next).into_response();
    response.headers_mut().append(header::SET_COOKIE, seal.cookie("session", &sealed, LASTS / 1000));
    response.headers_mut().append(header::SET_COOKIE, seal.cookie("visit", "", 0));
    Ok(response)
}

pub(super) async fn log_out(Submitted { visitor, .. }: Submitted) -> Page {
    let seal = &visitor.dashboard.seal;
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().append(header::SET_COOKIE, seal.cookie("session", "", 0));
    response.headers_mut().append("clear-site-data", HeaderValue::from_static("\"cache\""));
    Ok(response)
}

pub(super) async fn set_theme(Submitted { visitor, fields }: Submitted) -> Page {
    let chosen = match fields.get("theme") {
        theme @ ("light" | "dark") => theme,
        _ => "auto",
    };
    let mut response = Redirect::to(own_path(fields.get("back"))).into_response();
    response.headers_mut().append(header::SET_COOKIE, visitor.dashboard.seal.cookie("theme", chosen, 31_536_000));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seal(secure: bool) -> (Seal, Clock) {
        let clock = Clock::manual("2026-11-23T20:05:01Z".parse().unwrap());
        (Seal::new(&[7; SECRET_BYTES], secure, clock.clone()).unwrap(), clock)
    }

    #[test]
    fn a_session_opens_until_its_end_and_shows_nothing_of_the_key() {
        let (seal, clock) = seal(false);
        let sealed = seal.close(&SecretString::from("cs_secret")).unwrap();
        assert!(!URL_SAFE_NO_PAD.decode(&sealed).unwrap().windows(9).any(|part| part == b"cs_secret"));
        assert_eq!(seal.open(&sealed).unwrap().expose_secret(), "cs_secret");
        let mut bent = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        bent[NONCE_LEN + 2] ^= 1;
        assert!(seal.open(&URL_SAFE_NO_PAD.encode(bent)).is_none() && seal.open("").is_none());
        let other = Seal::new(&[8; SECRET_BYTES], false, clock.clone()).unwrap();
        assert!(other.open(&sealed).is_none());
        clock.advance(Duration::from_secs(12 * 3600));
        assert!(seal.open(&sealed).is_none());
    }

    #[test]
    fn a_form_belongs_to_one_cookie_and_no_two_tokens_are_the_same() {
        let (seal, _) = seal(false);
        let (one, two) = (seal.form_token("a"), seal.form_token("a"));
        assert!(one != two && seal.is_form_of(&one, "a") && seal.is_form_of(&two, "a"));
        assert!(!seal.is_form_of(&one, "b") && !seal.is_form_of("", "a") && !seal.is_form_of("AAAA", "a"));
    }

    #[test]
    fn cookies_are_for_us_alone() {
        let (plain, secure) = (seal(false).0, seal(true).0);
        let plain = plain.cookie("session", "x", 5);
        assert_eq!(plain, "campaign_sync_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=5");
        let secure = secure.cookie("session", "x", 5);
        assert!(
            secure.to_str().unwrap().starts_with("__Host-campaign_sync_session=x")
                && secure.to_str().unwrap().ends_with("; Secure")
        );
    }

    #[test]
    fn nobody_is_led_to_another_host() {
        for bad in
            ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "", "javascript:x", "/a\r\nb"]
        {
            assert_eq!(own_path(bad), "/", "{bad}");
        }
        assert_eq!(own_path("/mappings?q=a"), "/mappings?q=a");
        assert_eq!(login_path("/mappings?q=a"), "/login?next=%2Fmappings%3Fq%3Da");
    }
}
