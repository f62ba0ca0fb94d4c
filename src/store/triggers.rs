//! The log of trigger events, in the order of their commits.
//!
//! Rows are inserted by `record` alone. A reader with a position never misses one: positions become visible in order.

use super::deliveries::shown;
use super::dialect::{Arg, args};
use super::{Store, StoreError};

/// A stored event.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct StoredEvent {
    pub position: i64,
    #[sqlx(rename = "type")]
    pub kind: String,
    body: String,
    /// It was found long after it happened, among many.
    pub replayed: bool,
}

impl StoredEvent {
    /// The CloudEvents body, as it is delivered.
    #[must_use]
    pub fn body(&self) -> String {
        shown(self.body.clone(), self.replayed)
    }
}

/// Which events are listed; several values mean any of them.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub types: Vec<String>,
    pub campaign_ids: Vec<String>,
    pub program_ids: Vec<i64>,
    pub statuses: Vec<String>,
    pub old_statuses: Vec<String>,
    pub new_statuses: Vec<String>,
    /// Epoch milliseconds, exclusive.
    pub since: Option<i64>,
}

impl Store {
    /// Events after a position, oldest first.
    pub async fn events(&self, filter: &EventFilter, after: i64, limit: i64) -> Result<Vec<StoredEvent>, StoreError> {
        let mut args = args![after, limit];
        let mut sql = "SELECT e.position, e.type, e.body, c.id IS NOT NULL AS replayed FROM trigger_events e
                       LEFT JOIN catch_ups c ON c.id = e.run_id WHERE e.position > $1"
            .to_owned();
        let texts = |values: &[String]| values.iter().map(Arg::from).collect::<Vec<_>>();
        let lists = [
            ("type", texts(&filter.types)),
            ("campaign_id", texts(&filter.campaign_ids)),
            ("program_id", filter.program_ids.iter().copied().map(Arg::from).collect()),
            ("status", texts(&filter.statuses)),
            ("old_status", texts(&filter.old_statuses)),
            ("new_status", texts(&filter.new_statuses)),
        ];
        for (column, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            let first = args.len() + 1;
            args.extend(values);
            let marks: Vec<_> = (first..=args.len()).map(|n| format!("${n}")).collect();
            sql += &format!(" AND e.{column} IN ({})", marks.join(", "));
        }
        if let Some(since) = filter.since {
            args.push(since.into());
            sql += &format!(" AND e.created_at > ${}", args.len());
        }
        sql += " ORDER BY e.position LIMIT $2";
        self.db.fetch(&sql, args).await
    }

    /// Position of the newest event.
    pub async fn last_position(&self) -> Result<i64, StoreError> {
        let rows: Vec<(i64,)> = self.db.fetch("SELECT last_position FROM event_log WHERE id = 1", vec![]).await?;
        Ok(rows.first().map_or(0, |row| row.0))
    }
}
