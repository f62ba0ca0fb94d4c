//! Second records: who is held since another record of the same human was there first.
//!
//! Owns the moment at which they are decided again: when that other record is found deleted in Salesforce, not only at the next
//! comparison. Must not decide who they are; the pass that follows asks both sides.

use super::Pass;
use crate::domain::merge::{Reading, Reason};
use crate::store::outbox::NewWork;
use crate::worker::{PassError, Worker};

impl Worker {
    /// Another look at the members whom a deletion that this pass has found may set free.
    pub(in crate::worker) async fn set_free(&self, pass: &Pass) -> Result<Vec<NewWork>, PassError> {
        let known = Some(Reason::PersonDeleted.as_str());
        let found = pass.items.iter().filter(|item| item.salesforce == Reading::Gone);
        let fresh = found.filter(|item| item.member.reason.as_deref() != known);
        let deleted: Vec<_> =
            fresh.map(|item| (item.member.campaign_id.clone(), item.member.person.id.clone())).collect();
        if deleted.is_empty() {
            return Ok(Vec::new());
        }
        let seconds = self.store.held_beside(&deleted).await?;
        Ok(seconds.into_iter().map(|(lane, person)| self.look_again(&lane, person)).collect())
    }
}
