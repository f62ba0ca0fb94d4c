//! Flow actions: what was asked, about whom, and what became of it.
//!
//! Owns the rows of `flow_actions` and of the people named in each. The work is a row of the outbox for each person, in the order
//! in which they were named, and the result is what that row says: there is no second record of it. Naming a campaign here pins
//! its lane: from then on it is tracked, mapped or not.

use serde::Serialize;

use super::dialect::{Rows, Tx, args};
use super::lanes::{Lease, hold, lock_lanes};
use super::mappings::audit;
use super::outbox::{Kind, NewWork, Subject, enqueue};
use super::runs::start_first_read;
use super::{Store, StoreError, write_json};
use crate::domain::flow_action::{Command, FlowAction};
use crate::domain::ids::{ProgramId, SalesforceId};

/// A request to be stored.
#[derive(Clone, Debug)]
pub struct NewFlowAction {
    pub action: FlowAction,
    pub campaign_id: SalesforceId,
    pub campaign_name: String,
    /// None for a removal.
    pub status: Option<String>,
    /// The program that the request comes from, where it says so.
    pub program_id: Option<ProgramId>,
    pub people: Vec<Named>,
    pub actor: String,
}

/// One of the people of a request.
#[derive(Clone, Debug)]
pub struct Named {
    /// As it was named: a JSON object with one id or address.
    pub person: String,
    /// By what it is found, or why it is not even looked for.
    pub subject: Result<Subject, &'static str>,
}

/// A request as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredFlowAction {
    pub id: String,
    pub action: String,
    pub campaign_id: String,
    pub status: Option<String>,
    pub program_id: Option<ProgramId>,
    pub created_at: i64,
}

/// How one person of a request stands.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct FlowActionResult {
    pub position: i64,
    pub person: String,
    /// None for one who was rejected.
    pub change_id: Option<String>,
    /// State, outcome and reason of the change.
    pub state: Option<String>,
    pub outcome: Option<String>,
    pub reason: Option<String>,
}

/// A command about to be worked off: its lane, the name of a person that others may have been given under, its own id and fence.
pub type InTurn = (String, String, String, i64);

/// Of what `states` counts and `is_open` looks at.
const OPEN: &str = "'available', 'retryable', 'running'";

impl Store {
    /// Stores a request and its work in one transaction; its id.
    ///
    /// # Errors
    /// When the database fails; nothing is stored then.
    pub async fn create_flow_action(&self, new: &NewFlowAction) -> Result<String, StoreError> {
        let (id, lane, now) = (self.new_id(), new.campaign_id.as_str(), self.now());
        let mut tx = self.db.begin().await?;
        let mapping_id = self.pin(&mut tx, lane, &new.campaign_name).await?;
        let sql = "SELECT id FROM mappings WHERE program_id = $1 AND deleted_at IS NULL";
        let inside = !tx.fetch::<(String,)>(sql, args![new.program_id]).await?.is_empty();
        let command = Command { action: new.action, status: new.status.clone(), implied: !inside };
        let payload = write_json("command", &command)?;
        let work = |subject: &Subject| NewWork {
            lane: lane.to_owned(),
            mapping_id: mapping_id.clone(),
            kind: Kind::FlowAction,
            subject: subject.clone(),
            source: "flow_action",
            payload: Some(payload.clone()),
            due_at: now,
        };
        let work: Vec<_> = new.people.iter().filter_map(|named| named.subject.as_ref().ok()).map(work).collect();
        let mut changes = enqueue(self, &mut tx, &work).await?.into_iter();
        tx.execute(
            "INSERT INTO flow_actions (id, action, campaign_id, status, program_id, actor, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            args![&id, new.action.as_str(), lane, new.status.clone(), new.program_id, &new.actor, now],
        )
        .await?;
        let people: Vec<_> = (0_i64..)
            .zip(&new.people)
            .map(|(position, named)| {
                let change = named.subject.as_ref().ok().and_then(|_| changes.next());
                (position, &named.person, change, named.subject.as_ref().err())
            })
            .collect();
        tx.execute_rows(
            "INSERT INTO flow_action_people (flow_action_id, position, person, change_id, reason)
             SELECT $2, position, person, change_id, reason FROM {rows}",
            &Rows::new("position int, person text, change_id text, reason text", &people)?,
            args![&id],
        )
        .await?;
        // Of the people only how many: the log is kept for longer than they may be.
        let detail = format!("{} {lane} {}", new.action.as_str(), new.people.len());
        audit(self, &mut tx, &new.actor, "flow_action.requested", &id, &detail).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(id)
    }

    /// Makes a campaign tracked for good; its mapping. One that was not tracked is read completely first of all, so that those who
    /// are in it are known and nobody is told "added" about them.
    async fn pin(&self, tx: &mut Tx, lane: &str, name: &str) -> Result<Option<String>, StoreError> {
        tx.execute("INSERT INTO lanes (id) VALUES ($1) ON CONFLICT (id) DO NOTHING", args![lane]).await?;
        lock_lanes(tx, [lane]).await?;
        let sql = "SELECT l.pinned, l.baseline, m.id, r.id FROM lanes l
                   LEFT JOIN mappings m ON m.campaign_id = l.id AND m.deleted_at IS NULL
                   LEFT JOIN runs r ON r.lane = l.id AND r.state = 'running' WHERE l.id = $1";
        let found: Vec<(bool, bool, Option<String>, Option<String>)> = tx.fetch(sql, args![lane]).await?;
        let Some((pinned, baseline, mapping_id, run)) = found.into_iter().next() else {
            return Err(StoreError::Corrupt(format!("lane {lane} is gone")));
        };
        if !pinned {
            tx.execute("UPDATE lanes SET pinned = TRUE, campaign_name = $2 WHERE id = $1", args![lane, name]).await?;
        }
        if !pinned && mapping_id.is_none() {
            // What was recorded while a mapping tracked the campaign is old.
            let sql =
                "UPDATE members SET marketo = NULL, salesforce = NULL, base_marketo = NULL, base_salesforce = NULL,
                         added_to_marketo = FALSE, added_to_salesforce = FALSE,
                         edited_in_marketo = FALSE, edited_in_salesforce = FALSE, frozen = FALSE, sent = NULL,
                         resolution = NULL, would = NULL, own_writes = NULL,
                         sync_state = 'closed', reason = NULL WHERE campaign_id = $1";
            tx.execute(sql, args![lane]).await?;
        }
        if mapping_id.is_none() && !baseline && run.is_none() {
            start_first_read(self, tx, lane).await?;
        }
        Ok(mapping_id)
    }

    /// One request.
    pub async fn flow_action(&self, id: &str) -> Result<Option<StoredFlowAction>, StoreError> {
        let sql = "SELECT id, action, campaign_id, status, program_id, created_at FROM flow_actions WHERE id = $1";
        self.db.fetch_optional(sql, args![id]).await
    }

    /// How its people stand, in the order in which they were named, after a position.
    pub async fn flow_action_results(
        &self,
        id: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<FlowActionResult>, StoreError> {
        let sql = "SELECT p.position, p.person, p.change_id, o.state, o.outcome, COALESCE(p.reason, o.reason) AS reason
                   FROM flow_action_people p LEFT JOIN outbox o ON o.id = p.change_id
                   WHERE p.flow_action_id = $1 AND p.position > $2 ORDER BY p.position LIMIT $3";
        self.db.fetch(sql, args![id, after, limit]).await
    }

    /// How many of its people stand how: state and outcome of their changes, and the number.
    pub async fn flow_action_counts(&self, id: &str) -> Result<Vec<(Option<String>, Option<String>, i64)>, StoreError> {
        let sql =
            "SELECT o.state, o.outcome, COUNT(*) FROM flow_action_people p LEFT JOIN outbox o ON o.id = p.change_id
                   WHERE p.flow_action_id = $1 GROUP BY o.state, o.outcome";
        self.db.fetch(sql, args![id]).await
    }

    /// Whether something is still to be done.
    pub async fn is_flow_action_open(&self, id: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT p.position FROM flow_action_people p JOIN outbox o ON o.id = p.change_id
             WHERE p.flow_action_id = $1 AND o.state IN ({OPEN}) LIMIT 1"
        );
        Ok(self.db.fetch_optional::<(i64,)>(&sql, args![id]).await?.is_some())
    }

    /// Those of the commands that have to wait for an older one about the same person, with the time at which that is due. Commands
    /// that are running under the same fence are in the same hands and do not count.
    pub async fn commands_in_front(&self, of: &[InTurn]) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = Rows::new("lane text, subject text, id text, fence int", of)?;
        let sql = format!(
            "SELECT r.id, MIN(o.due_at) FROM {{rows}} JOIN outbox o ON o.lane = r.lane AND o.subject = r.subject AND o.id < r.id
             AND o.kind = 'flow_action' AND o.state IN ({OPEN}) AND NOT (o.state = 'running' AND o.fence = r.fence) GROUP BY r.id"
        );
        self.db.fetch_rows(&sql, &rows, vec![]).await
    }

    /// Notes that commands are about to be sent, so that an answer that is lost can be understood; each with its lane. The leases
    /// that are still ours.
    pub async fn announce_commands(
        &self,
        leases: &[Lease],
        commands: &[(String, String)],
    ) -> Result<Vec<Lease>, StoreError> {
        let mut tx = self.db.begin().await?;
        let held = hold(&mut tx, leases).await?;
        let ours = commands.iter().filter(|(lane, _)| held.iter().any(|lease| lease.lane == *lane));
        let ours: Vec<_> = ours.map(|(_, id)| (id,)).collect();
        let sql = "UPDATE outbox SET announced_at = $2 FROM {rows} WHERE outbox.id = r.id";
        tx.execute_rows(sql, &Rows::new("id text", &ours)?, args![self.now()]).await?;
        tx.commit().await?;
        Ok(held)
    }
}
