//! Statements that follow each other without looking at each other's rows.
//!
//! SQLite runs them as one text, in one turn of its thread: with a busy server beside it a turn costs more than a statement
//! (a group of fifty deliveries spent two thirds of its time waiting for turns). Postgres runs them one after the other.
//! Must not know any table.

use super::StoreError;
use super::dialect::{Arg, Record, Rows, Tx, with_rows};

/// Statements of one transaction, in order.
#[derive(Default)]
pub(super) struct Script(Vec<(String, Vec<Arg>)>);

impl Script {
    /// Adds a statement over `{rows}`.
    pub(super) fn over(mut self, tx: &Tx, sql: &str, rows: &Rows, args: Vec<Arg>) -> Self {
        self.0.push(with_rows(tx.backend(), sql, rows, args));
        self
    }

    /// Runs them; the rows of the one that returns any.
    pub(super) async fn fetch<T: Record>(self, tx: &mut Tx) -> Result<Vec<T>, StoreError> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        match tx {
            Tx::Sqlite(_) => {
                let (sql, args) = self.joined("");
                tx.fetch(&sql, args).await
            }
            Tx::Postgres(_) => {
                let mut found = Vec::new();
                for (sql, args) in self.0 {
                    found.extend(tx.fetch(&sql, args).await?);
                }
                Ok(found)
            }
        }
    }

    /// Runs them, where none returns any.
    pub(super) async fn run(self, tx: &mut Tx) -> Result<(), StoreError> {
        self.fetch::<(i64,)>(tx).await.map(drop)
    }

    /// Runs them, and commits.
    pub(super) async fn commit(self, mut tx: Tx) -> Result<(), StoreError> {
        match tx {
            Tx::Sqlite(_) => {
                let (sql, args) = self.joined("COMMIT");
                tx.execute(&sql, args).await?;
                tx.committed()
            }
            Tx::Postgres(_) => {
                for (sql, args) in self.0 {
                    tx.execute(&sql, args).await?;
                }
                tx.commit().await
            }
        }
    }

    /// One text; the parameters of each statement follow those of the ones before.
    fn joined(self, end: &str) -> (String, Vec<Arg>) {
        let (mut text, mut all) = (String::new(), Vec::new());
        for (sql, args) in self.0 {
            text += &renumbered(&sql, all.len());
            text += "; ";
            all.extend(args);
        }
        (text + end, all)
    }
}

/// The statement with `$1` as `$4`, where three parameters go before.
fn renumbered(sql: &str, before: usize) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        text.push('$');
        match part[..digits].parse::<usize>() {
            Ok(n) => text += &(n + before).to_string(),
            // A path in JSON.
            Err(_) => text += &part[..digits],
        }
        text += &part[digits..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::renumbered;

    #[test]
    fn parameters_are_counted_on_and_json_paths_are_left_alone() {
        let sql = "SELECT json_extract(value, '$[0]') FROM jsonb_each($1) WHERE a = $2 AND b = $12";
        assert_eq!(renumbered(sql, 0), sql);
        let moved = "SELECT json_extract(value, '$[0]') FROM jsonb_each($4) WHERE a = $5 AND b = $15";
        assert_eq!(renumbered(sql, 3), moved);
    }
}
