//! API keys, and what a request with an idempotency key was answered.
//!
//! Owns the rows; a key is known by its hash alone. Must not know what a scope permits, nor read a header.

use super::dialect::args;
use super::mappings::audit;
use super::{Store, StoreError, read_json, write_json};

/// How long a request is remembered by its idempotency key, in milliseconds.
pub(super) const REMEMBERED: i64 = 24 * 3_600_000;
/// After this many milliseconds a request that was never answered is taken to be lost.
const LOST: i64 = 120_000;
/// The last use of a key is written down at most this often, in milliseconds: a request should not cost a commit.
const USE_NOTED: i64 = 60_000;

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: String,
    pub name: String,
    pub scopes: Vec<String>,
    pub created_at: i64,
    /// From when on it opens nothing; none for never.
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    name: String,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let scopes = read_json("api_keys.scopes", &row.scopes)?;
        let KeyRow { id, name, created_at, expires_at, last_used_at, .. } = row;
        Ok(Self { id, name, scopes, created_at, expires_at, last_used_at })
    }
}

/// An answer that can be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub status: i64,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What is known of a request with an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// Never seen; it is ours to answer.
    New,
    /// Answered before.
    Answered(Kept),
    /// Being answered at this moment.
    InHand,
    /// The key was used for something else.
    OtherRequest,
}

impl Store {
    /// Stores a key by its hash; its id.
    pub async fn create_key(
        &self,
        name: &str,
        hash: &str,
        scopes: &[String],
        expires_at: Option<i64>,
        actor: &str,
    ) -> Result<ApiKey, StoreError> {
        let id = self.new_id();
        let now = self.now();
        let mut tx = self.db.begin().await?;
        tx.execute(
            "INSERT INTO api_keys (id, name, hash, scopes, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
            args![&id, name, hash, write_json("scopes", &scopes)?, now, expires_at],
        )
        .await?;
        audit(self, &mut tx, actor, "key.created", &id, name).await?;
        tx.commit().await?;
        let (name, scopes) = (name.to_owned(), scopes.to_vec());
        Ok(ApiKey { id, name, scopes, created_at: now, expires_at, last_used_at: None })
    }

    /// Keys that were not revoked, in the order they were made, after the id `after`; also those that have expired.
    pub async fn keys(&self, after: &str, limit: i64) -> Result<Vec<ApiKey>, StoreError> {
        let sql = "SELECT id, name, scopes, created_at, expires_at, last_used_at FROM api_keys
                   WHERE revoked_at IS NULL AND id > $1 ORDER BY id LIMIT $2";
        self.db.fetch::<KeyRow>(sql, args![after, limit]).await?.into_iter().map(ApiKey::try_from).collect()
    }

    /// The key with this hash, unless it was revoked or has expired; its use is noted.
    pub async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let now = self.now();
        let sql = "SELECT id, name, scopes, created_at, expires_at, last_used_at FROM api_keys
                   WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
        let key = self.db.fetch_optional::<KeyRow>(sql, args![hash, now]).await?.map(ApiKey::try_from).transpose()?;
        if let Some(key) = key.as_ref().filter(|key| key.last_used_at.is_none_or(|at| at <= now - USE_NOTED)) {
            let mut tx = self.db.begin().await?;
            tx.execute("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", args![&key.id, now]).await?;
            tx.commit().await?;
        }
        Ok(key)
    }

    /// Makes a key worthless; false when there is none to revoke.
    pub async fn revoke_key(&self, id: &str, actor: &str) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        let sql = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        let revoked = tx.execute(sql, args![id, self.now()]).await? > 0;
        if revoked {
            audit(self, &mut tx, actor, "key.revoked", id, "").await?;
        }
        tx.commit().await?;
        Ok(revoked)
    }

    /// Takes a request in hand, unless it was before. The hash is of all that has to be the same when it is repeated.
    pub async fn begin_request(&self, key: &str, request_hash: &str) -> Result<Repeated, StoreError> {
        let now = self.now();
        let mut tx = self.db.begin().await?;
        let sql =
            "DELETE FROM idempotency_keys WHERE key = $1 AND (created_at <= $2 OR (status = 0 AND created_at <= $3))";
        tx.execute(sql, args![key, now - REMEMBERED, now - LOST]).await?;
        let inserted = tx
            .execute(
                "INSERT INTO idempotency_keys (key, body_hash, status, headers, body, created_at) VALUES ($1, $2, 0, '[]', '', $3)
                 ON CONFLICT (key) DO NOTHING",
                args![key, request_hash, now],
            )
            .await?;
        let sql = "SELECT body_hash, status, headers, body FROM idempotency_keys WHERE key = $1";
        let found: Vec<(String, i64, String, String)> = tx.fetch(sql, args![key]).await?;
        tx.commit().await?;
        Ok(match found.into_iter().next() {
            _ if inserted > 0 => Repeated::New,
            Some((hash, ..)) if hash != request_hash => Repeated::OtherRequest,
            Some((_, 0, ..)) | None => Repeated::InHand,
            Some((_, status, headers, body)) => {
                Repeated::Answered(Kept { status, headers: read_json("idempotency_keys.headers", &headers)?, body })
            }
        })
    }

    /// Keeps the answer of a request in hand; without one the request may be made again.
    pub async fn end_request(&self, key: &str, answer: Option<&Kept>) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        match answer {
            Some(kept) => {
                let headers = write_json("headers", &kept.headers)?;
                let sql = "UPDATE idempotency_keys SET status = $2, headers = $3, body = $4 WHERE key = $1";
                tx.execute(sql, args![key, kept.status, headers, &kept.body]).await?;
            }
            None => {
                tx.execute("DELETE FROM idempotency_keys WHERE key = $1 AND status = 0", args![key]).await?;
            }
        }
        tx.commit().await
    }
}
