//! Whom a plan has seen, and what it says would be done: pages in, pages out.
//!
//! People are found by either half, and become one where a plan finds out that they are: in the plan alone. Must not know
//! what a row means.

use std::collections::BTreeMap;

use super::dialect::{Arg, Rows, Tx, args};
use super::people::Half;
use super::record::flatten;
use super::{Store, StoreError};

/// Somebody whom a scan of a plan has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct PlanPerson {
    /// Of the member, or one that a new member would get.
    pub id: String,
    /// None for somebody who is not known yet.
    pub person_id: Option<String>,
    pub marketo_id: Option<i64>,
    pub salesforce_id: Option<String>,
    pub email: Option<String>,
    /// Status in the program, as scanned.
    pub marketo: Option<String>,
    /// Status in the campaign, as scanned.
    pub salesforce: Option<String>,
}

/// What would be done about one member.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PlanRow {
    pub id: String,
    pub person_id: Option<String>,
    pub marketo_id: Option<i64>,
    pub salesforce_id: Option<String>,
    pub email: Option<String>,
    /// Which is written to; of what is held the one that would have been, or differs.
    pub side: String,
    /// `add`, `change`, `remove`, `hold`.
    pub action: String,
    pub from_status: Option<String>,
    pub to_status: Option<String>,
    pub rule: String,
    /// Why it is held.
    pub reason: Option<String>,
    /// Under which key somebody is created for it.
    pub creates: Option<String>,
    /// Both sides have changed, or were never the same.
    pub conflict: bool,
    /// What it has become when the plan was applied.
    pub drifted: Option<String>,
}

const PERSON: &str = "q.id, q.person_id, q.marketo_id, q.salesforce_id, q.email, q.marketo, q.salesforce";
const ROW: &str = "id, person_id, marketo_id, salesforce_id, email, side, action, from_status, to_status, rule, reason, creates, \
                   conflict, drifted";

/// What one page of a plan brought.
#[derive(Clone, Debug, Default)]
pub struct PlanPage {
    /// New ones, and what was found out about those who are there.
    pub people: Vec<PlanPerson>,
    /// Ids of those who turned out to be others.
    pub absorbed: Vec<String>,
    pub rows: Vec<PlanRow>,
    /// Members of this campaign whom no scan has shown are to be looked at as well.
    pub unseen_of: Option<String>,
}

/// How many rows of a plan there are, by side and action.
pub type Tally = BTreeMap<(String, String), i64>;

/// What the rows of a plan come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanCounts {
    /// By side and action.
    pub by_action: Tally,
    pub conflicts: i64,
    pub people_to_create: i64,
    /// Of those the ones in Marketo.
    pub created_in_marketo: i64,
    /// Rows that set a status in Marketo, by status: calls take one each.
    pub marketo_statuses: BTreeMap<String, i64>,
}

impl PlanCounts {
    /// Rows of a side with this action.
    #[must_use]
    pub fn of(&self, side: &str, action: &str) -> i64 {
        self.by_action.get(&(side.to_owned(), action.to_owned())).copied().unwrap_or(0)
    }

    /// Rows that are held, of either side.
    #[must_use]
    pub fn held(&self) -> i64 {
        self.by_action.iter().filter(|((_, action), _)| action == "hold").map(|(_, n)| n).sum()
    }
}

impl Store {
    /// People of a plan by either id.
    pub async fn plan_people(&self, plan_id: &str, halves: &[Half]) -> Result<Vec<PlanPerson>, StoreError> {
        let (mut marketo, mut salesforce) = (Vec::new(), Vec::new());
        for half in halves {
            match half {
                Half::Marketo(id) => marketo.push((*id,)),
                Half::Salesforce(id) => salesforce.push((id.as_str(),)),
            }
        }
        let mut found: Vec<PlanPerson> = Vec::new();
        if !marketo.is_empty() {
            let sql = format!(
                "SELECT {PERSON} FROM {{rows}} CROSS JOIN plan_people q WHERE q.plan_id = $2 AND q.marketo_id = r.half AND q.marketo_id IS NOT NULL"
            );
            found.extend(
                self.db.fetch_rows::<PlanPerson>(&sql, &Rows::new("half int", &marketo)?, args![plan_id]).await?,
            );
        }
        if !salesforce.is_empty() {
            let sql = format!(
                "SELECT {PERSON} FROM {{rows}} CROSS JOIN plan_people q WHERE q.plan_id = $2 AND q.salesforce_id = r.half AND q.salesforce_id IS NOT NULL"
            );
            found.extend(
                self.db.fetch_rows::<PlanPerson>(&sql, &Rows::new("half text", &salesforce)?, args![plan_id]).await?,
            );
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }

    /// A page of the people of a plan in the order of a run.
    pub async fn plan_people_page(
        &self,
        plan_id: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<PlanPerson>, StoreError> {
        let sql =
            format!("SELECT {PERSON} FROM plan_people q WHERE q.plan_id = $1 AND q.id > $2 ORDER BY q.id LIMIT $3");
        self.db.fetch(&sql, args![plan_id, after, limit]).await
    }

    /// A page of the rows of a plan, after the id `after`; of those that have drifted when so asked.
    pub async fn plan_rows(
        &self,
        plan_id: &str,
        drifted: bool,
        after: &str,
        limit: i64,
    ) -> Result<Vec<PlanRow>, StoreError> {
        let which = if drifted { "AND drifted IS NOT NULL" } else { "" };
        let sql = format!("SELECT {ROW} FROM plan_rows WHERE plan_id = $1 AND id > $2 {which} ORDER BY id LIMIT $3");
        self.db.fetch(&sql, args![plan_id, after, limit]).await
    }

    /// Which of these keys somebody is created under in a plan already, and for which member.
    pub async fn planned_creations(&self, plan_id: &str, keys: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        let rows: Vec<_> = keys.iter().map(|key| (key,)).collect();
        let sql = "SELECT DISTINCT p.creates, p.id FROM {rows} CROSS JOIN plan_rows p WHERE p.plan_id = $2 AND p.creates = r.key AND p.creates IS NOT NULL";
        self.db.fetch_rows(sql, &Rows::new("key text", &rows)?, args![plan_id]).await
    }

    /// What the rows of a plan come to: counted from the rows, so that both agree.
    pub async fn plan_counts(&self, plan_id: &str) -> Result<PlanCounts, StoreError> {
        let mut counts = PlanCounts::default();
        let sql = "SELECT side, action, conflict, CASE WHEN creates IS NULL THEN 0 ELSE 1 END,
                     CASE WHEN side = 'marketo' AND action IN ('add', 'change') THEN to_status END, COUNT(*)
                   FROM plan_rows WHERE plan_id = $1 GROUP BY 1, 2, 3, 4, 5";
        let rows: Vec<(String, String, bool, i32, Option<String>, i64)> = self.db.fetch(sql, args![plan_id]).await?;
        for (side, action, conflict, creates, status, n) in rows {
            counts.conflicts += if conflict { n } else { 0 };
            let created = if creates > 0 { n } else { 0 };
            counts.people_to_create += created;
            counts.created_in_marketo += if side == "marketo" { created } else { 0 };
            if let Some(status) = status {
                *counts.marketo_statuses.entry(status).or_default() += n;
            }
            *counts.by_action.entry((side, action)).or_default() += n;
        }
        Ok(counts)
    }

    /// Notes what rows of a plan have become since.
    pub async fn note_drift(&self, plan_id: &str, drifted: &[(String, String)]) -> Result<(), StoreError> {
        if drifted.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        // The plan is in each row: beside a constant one SQLite would go through the plan, and through the rows for each of its own.
        let rows: Vec<_> = drifted.iter().map(|(id, now)| (plan_id, id, now)).collect();
        let sql = "UPDATE plan_rows SET drifted = r.now FROM {rows}
                   WHERE plan_rows.plan_id = r.plan_id AND plan_rows.id = r.id";
        tx.execute_rows(sql, &Rows::new("plan_id text, id text, now text", &rows)?, vec![]).await?;
        tx.commit().await
    }

    /// How many removals a mapping has seen lately, and how many members there are.
    pub async fn removals_and_members(
        &self,
        mapping_id: Option<&str>,
        campaign_id: &str,
        since: i64,
    ) -> Result<(i64, i64), StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM removals WHERE mapping_id = $1 AND removed_at > $2),
                     (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM member_tallies WHERE campaign_id = $3 AND sync_state <> 'closed')";
        let found: Vec<(i64, i64)> =
            self.db.fetch(sql, args![mapping_id.unwrap_or_default(), since, campaign_id]).await?;
        Ok(found.first().copied().unwrap_or_default())
    }
}

/// Stores what a page brought, in the transaction that moves the plan on.
pub(super) async fn store_page(tx: &mut Tx, plan_id: &str, page: PlanPage) -> Result<(), StoreError> {
    let id: Arg = plan_id.into();
    if !page.absorbed.is_empty() {
        let rows: Vec<_> = page.absorbed.iter().map(|id| (id,)).collect();
        let rows = Rows::new("id text", &rows)?;
        for table in ["plan_people", "plan_rows"] {
            let sql = format!("DELETE FROM {table} WHERE plan_id = $2 AND id IN (SELECT r.id FROM {{rows}})");
            tx.execute_rows(&sql, &rows, vec![id.clone()]).await?;
        }
    }
    if !page.people.is_empty() {
        let rows: Vec<_> = page
            .people
            .iter()
            .map(|p| (&p.id, &p.person_id, p.marketo_id, &p.salesforce_id, &p.email, &p.marketo, &p.salesforce))
            .collect();
        let columns =
            "id text, person_id text, marketo_id int, salesforce_id text, email text, marketo text, salesforce text";
        let sql = "INSERT INTO plan_people (plan_id, id, person_id, marketo_id, salesforce_id, email, marketo, salesforce)
             SELECT $2, id, person_id, marketo_id, salesforce_id, email, marketo, salesforce FROM {rows} WHERE true
             ON CONFLICT (plan_id, id) DO UPDATE SET person_id = COALESCE(excluded.person_id, plan_people.person_id),
               marketo_id = COALESCE(excluded.marketo_id, plan_people.marketo_id),
               salesforce_id = COALESCE(excluded.salesforce_id, plan_people.salesforce_id),
               email = COALESCE(excluded.email, plan_people.email), marketo = COALESCE(excluded.marketo, plan_people.marketo),
               salesforce = COALESCE(excluded.salesforce, plan_people.salesforce)";
        tx.execute_rows(sql, &Rows::new(columns, &rows)?, vec![id.clone()]).await?;
    }
    if let Some(campaign) = page.unseen_of {
        let sql = "INSERT INTO plan_people (plan_id, id, person_id, marketo_id, salesforce_id, email)
             SELECT $1, m.id, m.person_id, p.marketo_id, p.salesforce_id, p.email FROM members m JOIN people p ON p.id = m.person_id
             WHERE m.campaign_id = $2 AND m.sync_state <> 'closed' ON CONFLICT (plan_id, id) DO NOTHING";
        tx.execute(sql, args![plan_id, campaign]).await?;
    }
    if page.rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = page
        .rows
        .iter()
        .map(|r| {
            flatten(&(
                (&r.id, &r.person_id, r.marketo_id, &r.salesforce_id, &r.email, &r.side, &r.action),
                (&r.from_status, &r.to_status, &r.rule, &r.reason, &r.creates, r.conflict),
            ))
        })
        .collect::<Result<_, _>>()?;
    let columns = "id text, person_id text, marketo_id int, salesforce_id text, email text, side text, action text, \
         from_status text, to_status text, rule text, reason text, creates text, conflict bool";
    let sql = "INSERT INTO plan_rows (plan_id, id, person_id, marketo_id, salesforce_id, email, side, action, from_status, to_status,
           rule, reason, creates, conflict)
         SELECT $2, id, person_id, marketo_id, salesforce_id, email, side, action, from_status, to_status, rule, reason, creates,
           conflict FROM {rows} WHERE true ON CONFLICT (plan_id, id) DO NOTHING";
    tx.execute_rows(sql, &Rows::new(columns, &rows)?, vec![id]).await.map(drop)
}
