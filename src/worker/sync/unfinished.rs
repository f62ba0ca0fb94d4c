//! Attempts to create somebody that have ended nobody knows how: what they made is theirs for whom it was made.
//!
//! Several people may have one address, and after a lost answer the new record is nobody's yet. Without this, whoever of them came
//! next would take it by the address, so that who is who would depend on which call had failed. Creates nobody.

use std::collections::HashSet;

use jiff::Timestamp;

use super::Pass;
use super::candidates::{MarketoCandidates, SalesforceCandidates};
use super::create::SKEW_MILLIS;
use super::created::pair;
use crate::domain::ids::SalesforceId;
use crate::domain::merge::Side;
use crate::store::StoreError;
use crate::store::intents::{Intent, Unfinished};
use crate::store::people::Half;
use crate::worker::{PassError, Worker};

/// A record that was found by an address, and may be what an attempt has made.
pub(super) struct Found {
    email: String,
    half: Half,
    /// Where the side says so.
    created_at: Option<Timestamp>,
    /// The record of the other side that it names, where it does.
    names: Option<SalesforceId>,
}

impl Found {
    fn may_be_made_for(&self, attempt: &Unfinished) -> bool {
        let person = &attempt.person;
        let same_address = person.email.as_ref().is_some_and(|email| email.to_lowercase() == self.email);
        let names_another = self.names.is_some() && self.names != person.salesforce_id;
        let since = |at: Timestamp| at.as_millisecond() >= attempt.started_at - SKEW_MILLIS;
        same_address && !names_another && self.created_at.is_none_or(since)
    }
}

impl Worker {
    /// Leads that were found by an address and that an attempt may have made.
    pub(super) fn perhaps_made_leads(&self, found: &SalesforceCandidates) -> Vec<Found> {
        let us = self.user_id();
        let ours = found.by_address().filter(|(_, person)| match (&person.created_by, &us) {
            (Some(by), Some(us)) => by == us,
            _ => true,
        });
        ours.map(|(email, person)| Found {
            email: email.clone(),
            half: Half::Salesforce(person.id.clone()),
            created_at: person.created_at,
            names: None,
        })
        .collect()
    }

    /// Gives records to those for whom they were made, before anybody is looked for among them.
    pub(super) async fn give_what_was_made(
        &self,
        pass: &mut Pass,
        side: Side,
        found: Vec<Found>,
    ) -> Result<(), PassError> {
        if pass.dry.is_some() || found.is_empty() {
            return Ok(());
        }
        let emails: HashSet<String> = found.iter().map(|found| found.email.clone()).collect();
        for attempt in self.store.unfinished(side, &Vec::from_iter(emails)).await? {
            for record in found.iter().filter(|found| found.may_be_made_for(&attempt)) {
                // Known by an address alone: whoever has it is the one.
                let Some((marketo, salesforce)) = pair(&attempt.person, &record.half) else { continue };
                match self.store.link(&attempt.person.id, marketo, &salesforce).await {
                    Ok(_) => {
                        pass.moved = true;
                        break;
                    }
                    // It is linked to somebody by now.
                    Err(StoreError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Ends attempts for others with the address of somebody who is about to be created: nothing that they made was found when it was
    /// looked for. What is made from now on is not theirs.
    pub(super) async fn forget_what_made_nothing(&self, side: Side, held: &[Intent]) -> Result<(), PassError> {
        // The one before was for somebody else: where it was for this person, it was known to have been the only one.
        let after_another = held.iter().filter(|intent| intent.follows && !intent.taken_over);
        let emails: Vec<String> = after_another.filter_map(|intent| intent.address().map(str::to_owned)).collect();
        if emails.is_empty() {
            return Ok(());
        }
        let ours: HashSet<&str> = held.iter().map(|intent| intent.person_id.as_str()).collect();
        let others = self.store.unfinished(side, &emails).await?.into_iter().map(|attempt| attempt.person.id);
        let others: Vec<String> = others.filter(|id| !ours.contains(id.as_str())).collect();
        if !others.is_empty() {
            self.store.made_nothing(&self.owner, side, &others).await?;
        }
        Ok(())
    }
}

/// People that were found by an address and that an attempt may have made.
pub(super) fn perhaps_made_people(found: &MarketoCandidates) -> Vec<Found> {
    found
        .by_address()
        .map(|(email, person)| Found {
            email: email.clone(),
            half: Half::Marketo(person.id),
            created_at: None,
            names: person.salesforce_contact_id.clone().or_else(|| person.salesforce_lead_id.clone()),
        })
        .collect()
}
