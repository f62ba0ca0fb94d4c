//! Links people who were just created with those for whom they were, and ends the intents.
//!
//! A transaction each for a call's worth of them. Must not create anybody.

use super::Pass;
use crate::domain::ids::{MarketoId, SalesforceId};
use crate::domain::merge::{Reason, Side};
use crate::store::StoreError;
use crate::store::intents::Intent;
use crate::store::links::{InHand, Link};
use crate::store::people::{Half, Person};
use crate::worker::{PassError, Worker};

/// An item, its intent, and who was created for it.
pub(super) type Created<'a> = (usize, &'a Intent, Half);

/// Both halves of a person of whom the other half was created.
pub(super) fn pair(person: &Person, half: &Half) -> Option<(MarketoId, SalesforceId)> {
    match (half, person.marketo_id, &person.salesforce_id) {
        (Half::Salesforce(id), Some(marketo), _) => Some((marketo, id.clone())),
        (Half::Marketo(id), _, Some(salesforce)) => Some((*id, salesforce.clone())),
        _ => None,
    }
}

impl Worker {
    /// Links a call's worth of people who were created, and ends their intents: a transaction each for all of them.
    pub(super) async fn link_all_created(
        &self,
        pass: &mut Pass,
        side: Side,
        created: Vec<Created<'_>>,
    ) -> Result<(), PassError> {
        let mut links = Vec::new();
        let mut linked = Vec::new();
        let mut halves = Vec::new();
        for (n, intent, half) in created {
            let person = &pass.items[n].member.person;
            match pair(person, &half) {
                Some((marketo, salesforce)) => {
                    links.push(Link { person_id: person.id.clone(), marketo, salesforce, instead_of: None });
                    linked.push((n, intent.clone()));
                    halves.push(half);
                }
                None => self.link_created(pass, n, side, intent, half).await?,
            }
        }
        // Known already, by a hint of its own: what is recorded of it is not what this pass has read.
        let known = self.store.people(&halves).await?;
        let mut ended = Vec::new();
        for ((n, intent), person) in linked.into_iter().zip(self.store.link_all(&links, &InHand::new()).await?) {
            match person {
                Some(person) => {
                    let same =
                        |p: &&Person| p.marketo_id == person.marketo_id || p.salesforce_id == person.salesforce_id;
                    if known.iter().filter(same).any(|p| p.id != person.id) {
                        pass.joined.insert(person.id.clone());
                    }
                    pass.items[n].member.person = person;
                    pass.moved = true;
                    ended.push(intent);
                }
                // The intent stands: whoever takes it over finds who was created, instead of creating another.
                None => pass.items[n].park(Reason::AmbiguousPerson),
            }
        }
        if !ended.is_empty() {
            self.store.conclude(&self.owner, side, &ended).await?;
        }
        Ok(())
    }

    pub(super) async fn link_created(
        &self,
        pass: &mut Pass,
        n: usize,
        side: Side,
        intent: &Intent,
        half: Half,
    ) -> Result<(), PassError> {
        let person = &pass.items[n].member.person;
        let person_id = person.id.clone();
        let both = pair(person, &half);
        let joins = self.holder(&half, &person_id).await?.is_some();
        let linked = match both {
            Some((marketo, salesforce)) => self.store.link(&person_id, marketo, &salesforce).await,
            // Known by an address alone until now.
            None => self.store.follow(&person_id, &half).await,
        };
        match linked {
            Ok(person) => {
                pass.joined.extend(joins.then(|| person.id.clone()));
                pass.items[n].member.person = person;
                pass.moved = true;
            }
            Err(StoreError::Conflict(_)) => pass.items[n].park(Reason::AmbiguousPerson),
            Err(error) => return Err(error.into()),
        }
        self.conclude(side, intent).await
    }
}
