//! People of whom nothing is known but an address: a flow action has named it, and neither side knows anybody who has it.
//!
//! They become ordinary people by the first id that they get (`people::follow`). Must not look for anybody at a vendor.

use super::dialect::{Rows, args};
use super::people::Person;
use super::{Store, StoreError};

impl Store {
    /// Those of the addresses, in lower case, whose people have no id yet.
    pub async fn addressed(&self, emails: &[String]) -> Result<Vec<Person>, StoreError> {
        let emails: Vec<_> = emails.iter().map(|email| (email,)).collect();
        let sql = "SELECT p.id, p.email FROM {rows} JOIN people p ON p.email = r.email
                   AND p.marketo_id IS NULL AND p.salesforce_id IS NULL";
        let found: Vec<(String, String)> = self.db.fetch_rows(sql, &Rows::new("email text", &emails)?, vec![]).await?;
        let person =
            |(id, email): (String, String)| Person { id, marketo_id: None, salesforce_id: None, email: Some(email) };
        Ok(found.into_iter().map(person).collect())
    }

    /// The same, made known where they are not.
    pub async fn ensure_addressed(&self, emails: &[String]) -> Result<Vec<Person>, StoreError> {
        let mut fresh: Vec<_> = emails.iter().map(|email| (self.new_id(), email)).collect();
        // In one order, so that two who add the same do not wait for each other.
        fresh.sort_by(|a, b| a.1.cmp(b.1));
        fresh.dedup_by(|a, b| a.1 == b.1);
        let mut tx = self.db.begin().await?;
        tx.execute_rows(
            "INSERT INTO people (id, email, created_at, updated_at) SELECT id, email, $2, $2 FROM {rows} WHERE true
             ON CONFLICT (email) WHERE marketo_id IS NULL AND salesforce_id IS NULL DO NOTHING",
            &Rows::new("id text, email text", &fresh)?,
            args![self.now()],
        )
        .await?;
        tx.commit().await?;
        self.addressed(emails).await
    }
}
