//! Brings the member statuses of a campaign to what they should be.
//!
//! Owns the loop of reading, taking the next steps and reading back, which ends the same wherever an earlier attempt was
//! interrupted: nothing is done that the campaign does not lack. What the steps are is `domain/provision`'s.

use super::{Campaign, ConnectorError, Reaction, RecordResults, Salesforce, Vendor};
use crate::domain::ids::SalesforceId;
use crate::domain::provision::{Existing, Wanted, steps};

/// Rounds of reading and writing: a label that blocks another takes two.
const ROUNDS: usize = 4;

/// The campaign once it has the statuses. One that is `ours` also gets their flags, and loses what Salesforce gave it.
///
/// # Errors
/// When Salesforce cannot be asked or refuses a status; what was created until then stays, and is found by the next attempt.
pub async fn provision(
    salesforce: &dyn Salesforce,
    id: &SalesforceId,
    wanted: &[Wanted],
    ours: bool,
) -> Result<Campaign, ConnectorError> {
    let mut last = None;
    for _ in 0..ROUNDS {
        let found = salesforce.campaigns(std::slice::from_ref(id)).await?.pop();
        let campaign = found.ok_or_else(|| refused("NOT_FOUND", "the campaign is gone"))?;
        let existing: Vec<Existing> = campaign.statuses.iter().map(existing).collect();
        let next = steps(wanted, &existing, ours);
        if next.is_empty() {
            return Ok(campaign);
        }
        if !next.create.is_empty() {
            done(salesforce.create_statuses(id, &next.create).await?)?;
        }
        if !next.change.is_empty() {
            done(salesforce.update_statuses(&next.change).await?)?;
        }
        if !next.delete.is_empty() {
            done(salesforce.delete_statuses(&next.delete).await?)?;
        }
        last = Some(next);
    }
    Err(refused(
        "STATUSES_NOT_KEPT",
        &format!("Salesforce does not keep the statuses of {id} as they are written: {last:?}"),
    ))
}

/// A status as it was read.
#[must_use]
pub fn existing(status: &super::CampaignMemberStatus) -> Existing {
    Existing {
        id: status.id.clone(),
        label: status.label.clone(),
        has_responded: status.has_responded,
        is_default: status.is_default,
        sort_order: status.sort_order,
    }
}

/// What may be over by the next look is left to it.
fn done<T>(results: RecordResults<T>) -> Result<(), ConnectorError> {
    let rejected = results.into_iter().filter_map(Result::err).find(|error| error.reaction == Reaction::Reject);
    rejected.map_or(Ok(()), |error| Err(refused(&error.code, &error.message)))
}

fn refused(code: &str, message: &str) -> ConnectorError {
    ConnectorError::Refused { vendor: Vendor::Salesforce, code: code.to_owned(), message: message.to_owned() }
}
