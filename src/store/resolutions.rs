//! What a person says about a member that waits for one: which side is right.
//!
//! Owns how that is kept until a pass has settled it, in one transaction with the note in its history and the work. Must not
//! decide what it leads to.

use super::dialect::args;
use super::mappings::audit;
use super::members::Member;
use super::outbox::{Kind, Ledger, NewWork, Subject, enqueue};
use super::settle::supersede;
use super::{Store, StoreError, write_json};
use crate::domain::merge::Side;

impl Store {
    /// Keeps which side is right, and has the member looked at. The same said twice is said once; of two who differ the last one
    /// counts.
    ///
    /// # Errors
    /// `Conflict` when the member does not wait for a person any more.
    pub async fn resolve_member(&self, member: &Member, winner: Side, actor: &str) -> Result<(), StoreError> {
        let now = self.now();
        let mut tx = self.db.begin().await?;
        let work = NewWork {
            lane: member.campaign_id.clone(),
            // Nobody sent it, so the ledger does not count it as received.
            mapping_id: None,
            kind: Kind::Hint,
            subject: Subject::Person(member.person.id.clone()),
            source: "policy",
            payload: None,
            due_at: now,
        };
        enqueue(self, &mut tx, std::slice::from_ref(&work)).await?;
        let sql = "SELECT sync_state, resolution FROM members WHERE id = $1";
        let found: Option<(String, Option<String>)> = tx.fetch(sql, args![&member.id]).await?.pop();
        match found {
            Some((_, Some(said))) if said == winner.as_str() => return tx.commit().await,
            Some((state, None)) if matches!(state.as_str(), "in_sync" | "closed") => {
                return Err(StoreError::Conflict("both sides have come to agree in between".to_owned()));
            }
            None => return Err(StoreError::Conflict("the member was joined with another in between".to_owned())),
            Some(_) => {}
        }
        let sql = "UPDATE members SET resolution = $2, sync_state = 'pending', reason = 'waiting', updated_at = $3 WHERE id = $1";
        tx.execute(sql, args![&member.id, winner.as_str(), now]).await?;
        let sql = "INSERT INTO history (member_id, at, kind, detail) VALUES ($1, $2, 'resolved', $3)";
        let detail =
            serde_json::json!({"winner": winner, "by": actor, "state": member.sync_state, "reason": member.reason});
        tx.execute(sql, args![&member.id, now, write_json("resolution", &detail)?]).await?;
        // Whatever was parked about the member, under any of its names, is settled with it.
        let person = &member.person;
        let names = [
            Some(work.subject),
            person.marketo_id.map(Subject::Marketo),
            person.salesforce_id.clone().map(Subject::Salesforce),
            member.campaign_member_id.clone().map(Subject::Member),
        ];
        let later = self.new_id();
        let names = names.iter().flatten().map(|subject| (&member.campaign_id, subject.to_string(), &later));
        let mut ledger = Ledger::default();
        supersede(&mut tx, &mut ledger, &names.collect::<Vec<_>>(), now).await?;
        ledger.store(&mut tx).await?;
        audit(self, &mut tx, actor, "member.resolved", &member.id, winner.as_str()).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(())
    }
}
