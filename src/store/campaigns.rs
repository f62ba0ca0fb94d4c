//! Intents to create a campaign for a program, and when program and campaign are read again.
//!
//! An intent is committed before the call that creates, and stands until the campaign is mapped: whoever repeats a request
//! that was cut off finds the campaign by what the intent says, and makes no second one. Must not know vendors.

use std::time::Duration;

use super::dialect::{Tx, args};
use super::mappings::{Mapping, audit};
use super::outbox::{Kind, NewWork, Subject, enqueue};
use super::{Store, StoreError};
use crate::domain::ids::{ProgramId, SalesforceId};

/// Mappings that one sweep hands to the workers.
const SWEEP: i64 = 100;

/// Our right to create a campaign for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignIntent {
    pub program_id: ProgramId,
    /// Unlike any other; known from the description of the campaign.
    pub marker: String,
    /// The campaign, once it is known to exist.
    pub campaign_id: Option<SalesforceId>,
    /// Epoch milliseconds.
    pub started_at: i64,
    /// Whether an earlier attempt may have created it.
    pub again: bool,
    owner: String,
    /// In milliseconds.
    attempt: i64,
}

impl Store {
    /// Takes up the creation of a campaign for a program; none while somebody else is at it.
    ///
    /// An attempt of which nothing is heard for as long as `attempt` may be gone on with: longer than the one call that creates.
    pub async fn begin_campaign(
        &self,
        program_id: ProgramId,
        attempt: Duration,
    ) -> Result<Option<CampaignIntent>, StoreError> {
        let (now, owner) = (self.now(), self.new_id());
        let attempt = i64::try_from(attempt.as_millis()).unwrap_or(i64::MAX / 2);
        let mut tx = self.db.begin().await?;
        let sql =
            "INSERT INTO campaign_intents (program_id, marker, owner, until, started_at) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (program_id) DO NOTHING";
        let fresh = tx.execute(sql, args![program_id, self.new_id(), &owner, now + attempt, now]).await? > 0;
        let sql =
            "UPDATE campaign_intents SET owner = $2, until = $3 WHERE program_id = $1 AND (until <= $4 OR owner = $2)
                   RETURNING marker, campaign_id, started_at";
        let taken: Vec<(String, Option<String>, i64)> =
            tx.fetch(sql, args![program_id, &owner, now + attempt, now]).await?;
        tx.commit().await?;
        let Some((marker, campaign_id, started_at)) = taken.into_iter().next() else { return Ok(None) };
        let corrupt = |_| StoreError::Corrupt(format!("campaign_intents.campaign_id of {program_id}"));
        let campaign_id = campaign_id.map(|id| id.parse()).transpose().map_err(corrupt)?;
        Ok(Some(CampaignIntent { program_id, marker, campaign_id, started_at, again: !fresh, owner, attempt }))
    }

    /// To be called before the campaign is created, and once it is known; false when the intent is somebody else's by now.
    pub async fn keep_campaign(
        &self,
        intent: &CampaignIntent,
        campaign_id: Option<&SalesforceId>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE campaign_intents SET campaign_id = $3, until = $4 WHERE program_id = $1 AND owner = $2";
        let campaign_id = campaign_id.map(|id| id.as_str().to_owned());
        let mut tx = self.db.begin().await?;
        let kept =
            tx.execute(sql, args![intent.program_id, &intent.owner, campaign_id, self.now() + intent.attempt]).await?;
        tx.commit().await?;
        Ok(kept > 0)
    }

    /// Lets another attempt go on at once. What was created stays known.
    pub async fn leave_campaign(&self, intent: &CampaignIntent) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let sql = "UPDATE campaign_intents SET until = 0 WHERE program_id = $1 AND owner = $2";
        tx.execute(sql, args![intent.program_id, &intent.owner]).await?;
        tx.commit().await
    }

    /// Hands active mappings whose program and campaign are due to be read to their lanes, and sets when they are due next.
    pub async fn sweep_mappings(&self, interval: Duration) -> Result<(), StoreError> {
        let now = self.now();
        let due = "SELECT id FROM mappings WHERE refresh_at <= $1 AND state = 'active' AND deleted_at IS NULL
                   ORDER BY refresh_at LIMIT $2";
        let found: Option<(String,)> = self.db.fetch_optional(due, args![now, 1]).await?;
        if found.is_none() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "UPDATE mappings SET refresh_at = $3 WHERE id IN ({due}) AND refresh_at <= $1 RETURNING id, campaign_id"
        );
        let next = now + i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 2);
        let found: Vec<(String, String)> = tx.fetch(&sql, args![now, SWEEP, next]).await?;
        let work: Vec<NewWork> = found.into_iter().map(|(_, lane)| self.read_again(lane)).collect();
        enqueue(self, &mut tx, &work).await?;
        tx.commit().await
    }

    /// Program and campaign of a mapping were read; they are due again after `interval`.
    pub async fn mapping_read(&self, mapping: &Mapping, interval: Duration) -> Result<(), StoreError> {
        let next = self.now() + i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 2);
        let mut tx = self.db.begin().await?;
        tx.execute("UPDATE mappings SET refresh_at = $2 WHERE id = $1", args![&mapping.id, next]).await?;
        tx.commit().await
    }

    /// Notes what was written for a mapping, and not to its members.
    pub async fn note(&self, mapping_id: &str, action: &str, detail: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        audit(self, &mut tx, "worker", action, mapping_id, detail).await?;
        tx.commit().await
    }

    /// The work of reading the program and the campaign of a lane's mapping again. Nobody sent it, so no ledger counts it.
    #[must_use]
    pub fn read_again(&self, lane: String) -> NewWork {
        NewWork {
            lane,
            mapping_id: None,
            kind: Kind::Hint,
            subject: Subject::Mapping,
            source: "policy",
            payload: None,
            due_at: self.now(),
        }
    }
}

/// A program that is about to get a campaign of its own cannot be mapped to another meanwhile: that one would be left over.
pub(super) async fn refuse_while_created(store: &Store, tx: &mut Tx, mapping: &Mapping) -> Result<(), StoreError> {
    let sql = "SELECT program_id FROM campaign_intents WHERE program_id = $1 AND until > $2
               AND (campaign_id IS NULL OR campaign_id <> $3)";
    let campaign = mapping.campaign_id.as_str();
    let busy: Vec<(i64,)> = tx.fetch(sql, args![mapping.program_id, store.now(), campaign]).await?;
    match busy.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Conflict("a campaign is being created for the program at this moment".to_owned())),
    }
}
