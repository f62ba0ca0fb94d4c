//! Who calls, and what they may do.
//!
//! Owns API keys in the clear: made here, compared by hash, never stored. Every path under the base passes here, so that no
//! operation can be left open by forgetting something. Must not know what an operation does.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, rand};
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};

use super::ApiState;
use super::refusal::{Answer, Refusal};
use crate::domain::closed_list::closed_list;
use crate::door::Client;
use crate::store::keys::ApiKey;
use crate::store::{Store, StoreError};

/// Characters of a key after its prefix: 238 random bits.
const KEY_CHARACTERS: usize = 40;
const PREFIX: &str = "cs_";
/// For callers that cannot write an `Authorization` header.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

closed_list! {
    /// What a key permits; each includes those before it.
    pub enum Scope {
        /// To look.
        Read = "read",
        /// To change mappings and decide about members.
        Write = "write",
        /// To hand out keys, and to switch everything off.
        Admin = "admin",
    }
}

/// Whoever was let in.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// As the audit log names it.
    pub(super) actor: String,
    scope: Scope,
}

impl Caller {
    fn of(key: &ApiKey) -> Option<Self> {
        let scope = key.scopes.iter().filter_map(|scope| scope.parse().ok()).max()?;
        Some(Self { actor: format!("key:{}", key.id), scope })
    }
}

/// The key that the configuration names, by its hash.
#[derive(Clone)]
pub(super) struct BootstrapKey(Option<digest::Digest>);

impl BootstrapKey {
    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn new(key: &SecretString) -> Self {
        let key = key.expose_secret();
        Self((!key.is_empty()).then(|| digest::digest(&digest::SHA256, key.as_bytes())))
    }

    fn is(&self, hash: &digest::Digest) -> bool {
        self.0.as_ref().is_some_and(|own| verify_slices_are_equal(own.as_ref(), hash.as_ref()).is_ok())
    }
}

/// Lets in whoever has a key of sufficient scope: to read for `GET`, to write for everything else. An address that keeps
/// failing is refused before its key is looked at; a key has so many requests a second.
pub(super) async fn authorize(State(api): State<ApiState>, mut request: Request, next: Next) -> Answer<Response> {
    let (now, client) = (api.store.clock().monotonic(), request.extensions().get::<Client>().copied());
    if let Some(Err(wait)) = client.map(|client| api.attempts.admit(client, now)) {
        return Err(Refusal::too_many("too many attempts from this address with keys that are not known", wait));
    }
    let key = match (request.headers().get(header::AUTHORIZATION), request.headers().get(API_KEY)) {
        (Some(value), _) => bearer(value.as_bytes()),
        (None, Some(value)) => Some(value.as_bytes().trim_ascii()).filter(|key| !key.is_empty()),
        (None, None) => return Err(Refusal::unauthorized(false)),
    };
    let hash = digest::digest(&digest::SHA256, key.ok_or_else(|| Refusal::unauthorized(true))?);
    let caller = if api.bootstrap_key.is(&hash) {
        Some(Caller { actor: "bootstrap".to_owned(), scope: Scope::Admin })
    } else {
        api.store.key_by_hash(&hex(hash.as_ref())).await?.as_ref().and_then(Caller::of)
    };
    let Some(caller) = caller else {
        if let Some(client) = client.filter(|client| api.attempts.failed(*client, now)) {
            tracing::warn!(address = %client.address(), "requests with keys that are not known keep coming from this address");
        }
        return Err(Refusal::unauthorized(true));
    };
    client.inspect(|client| api.attempts.succeeded(*client, now));
    let paced = api.paces.admit(&caller.actor, now);
    paced.map_err(|wait| Refusal::too_many("this key has more requests than limits.requests_per_second", wait))?;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    require(&caller, if reads { Scope::Read } else { Scope::Write })?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// For the paths that only an administrator may use.
pub(super) async fn administrators(request: Request, next: Next) -> Answer<Response> {
    let caller = request.extensions().get::<Caller>().ok_or_else(|| Refusal::unauthorized(false))?;
    require(caller, Scope::Admin)?;
    Ok(next.run(request).await)
}

fn require(caller: &Caller, scope: Scope) -> Answer<()> {
    if caller.scope >= scope {
        return Ok(());
    }
    let detail = format!("this needs a key with the scope {scope}, and the key has {}", caller.scope);
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    Err(Refusal::new(403, "insufficient-scope", "Insufficient scope", detail)
        .header(header::WWW_AUTHENTICATE, &challenge))
}

/// The token of an `Authorization: Bearer` header; the scheme is compared without case (RFC 9110, 11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(7)?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gives no randomness.
    #[error("there is no randomness to make a key from")]
    Randomness,
}

/// Makes a key and stores its hash. The key itself is known to whoever asked, and to nobody afterwards.
///
/// # Errors
/// When the database fails or there is no randomness.
pub async fn create_key(
    store: &Store,
    name: &str,
    scopes: &[Scope],
    expires_at: Option<i64>,
    actor: &str,
) -> Result<(ApiKey, SecretString), KeyError> {
    let key = random_key().ok_or(KeyError::Randomness)?;
    let hash = hex(digest::digest(&digest::SHA256, key.expose_secret().as_bytes()).as_ref());
    let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    Ok((store.create_key(name, &hash, &scopes, expires_at, actor).await?, key))
}

fn random_key() -> Option<SecretString> {
    let mut key = PREFIX.to_owned();
    while key.len() < PREFIX.len() + KEY_CHARACTERS {
        let mut bytes = [0; 64];
        rand::fill(&mut bytes).ok()?;
        // Six bits each; the two values beyond the alphabet are thrown away, so that no character is likelier.
        let characters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        key.extend(characters.take(PREFIX.len() + KEY_CHARACTERS - key.len()).map(|c| char::from(*c)));
    }
    Some(SecretString::from(key))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        for half in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(half), 16));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_forty_characters_of_the_alphabet_and_no_two_are_the_same() {
        let keys: Vec<String> = (0..200).map(|_| random_key().unwrap().expose_secret().to_owned()).collect();
        assert!(keys.iter().all(|key| key.len() == 43 && key.starts_with("cs_")));
        assert!(keys.iter().all(|key| key[3..].bytes().all(|c| ALPHABET.contains(&c))));
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn a_missing_bootstrap_key_lets_nobody_in() {
        let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
        let none = BootstrapKey::new(&SecretString::from(""));
        assert!(!none.is(&hash("")));
        let some = BootstrapKey::new(&SecretString::from("twenty characters or so"));
        assert!(some.is(&hash("twenty characters or so")) && !some.is(&hash("twenty characters or s")));
    }

    #[test]
    fn the_scheme_is_read_without_case_and_an_empty_token_is_none() {
        assert_eq!(bearer(b"bearer  k "), Some(&b"k"[..]));
        for bad in [&b"Bearer "[..], b"Basic k", b"k", b""] {
            assert_eq!(bearer(bad), None);
        }
    }
}
