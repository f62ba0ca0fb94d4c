//! Sources of which nothing is heard.
//!
//! Owns what silence is: no webhook of a vendor for so long, although a mapping has been active for as long. Said once when it begins,
//! whichever replica finds it, to those who are subscribed to it. Must not know who that is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::dialect::{Rows, args};
use super::fan_out::tell;
use super::{Store, StoreError, time};
use crate::domain::hint::Source;
use crate::domain::notice::Notice;

/// Longer silence is unusual where people work.
pub const SILENCE: Duration = Duration::from_secs(24 * 3600);

/// A source of which nothing is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    pub source: Source,
    /// When the last webhook came, epoch milliseconds; none where that is longer ago than records are kept, or never was.
    pub last_heard: Option<i64>,
}

impl Store {
    /// The sources of which no webhook came for this long, while there was somebody to hear of.
    pub async fn silent_sources(&self, after: Duration) -> Result<Vec<Silence>, StoreError> {
        let since = self.now() - i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2);
        let sql = "SELECT id FROM mappings WHERE state = 'active' AND deleted_at IS NULL AND created_at <= $1 LIMIT 1";
        if self.db.fetch_optional::<(String,)>(sql, args![since]).await?.is_none() {
            return Ok(Vec::new());
        }
        let heard = self.last_heard().await?;
        let silent = [Source::Marketo, Source::Salesforce].into_iter().filter_map(|source| {
            let last_heard = heard.get(source.as_str()).copied();
            last_heard.is_none_or(|at| at <= since).then_some(Silence { source, last_heard })
        });
        Ok(silent.collect())
    }

    /// Notes who is silent now; those of whom that was not known yet.
    pub async fn note_silence(&self, silent: &[Silence]) -> Result<Vec<Silence>, StoreError> {
        let known = self.silences().await?;
        if known.len() == silent.len() && silent.iter().all(|silence| known.contains_key(silence.source.as_str())) {
            return Ok(Vec::new());
        }
        let rows: Vec<_> = silent.iter().map(|silence| (silence.source.as_str(),)).collect();
        let rows = Rows::new("source text", &rows)?;
        let mut tx = self.db.begin().await?;
        let sql = "DELETE FROM silences WHERE source NOT IN (SELECT r.source FROM {rows})";
        tx.execute_rows(sql, &rows, vec![]).await?;
        let sql = "INSERT INTO silences (source, since) SELECT source, $2 FROM {rows} WHERE true ON CONFLICT (source) DO NOTHING
                   RETURNING source";
        let new: Vec<(String,)> = tx.fetch_rows(sql, &rows, args![self.now()]).await?;
        let is_new = |silence: &&Silence| new.iter().any(|(source,)| source == silence.source.as_str());
        let begun: Vec<Silence> = silent.iter().filter(is_new).cloned().collect();
        for silence in &begun {
            let (vendor, silent_since) = (silence.source.as_str().to_owned(), silence.last_heard.map(time));
            tell(self, &mut tx, Notice::SourceSilent { vendor, silent_since }).await?;
        }
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(begun)
    }

    /// The sources that are silent, and since when that is known; epoch milliseconds.
    pub async fn silences(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let rows: Vec<(String, i64)> = self.db.fetch("SELECT source, since FROM silences", vec![]).await?;
        Ok(rows.into_iter().collect())
    }
}
