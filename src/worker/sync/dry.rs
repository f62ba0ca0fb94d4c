//! A pass that changes nothing, for plans: it identifies, reads and decides as any other, and what it finds out of people it
//! keeps to itself.
//!
//! Owns who is who within a plan: what is stored, what its scans have shown, and whom it has found to be one. Must not write
//! anything but what it is asked to remember.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::create::keyed;
use super::decide::refusal;
use super::{Fate, Missing, Pass};
use crate::connector::CampaignMemberStatus;
use crate::domain::ids::{MarketoId, SalesforceId};
use crate::domain::merge::{Reason, Side};
use crate::domain::person::{Choice, choose_second};
use crate::domain::trigger::Seen;
use crate::store::links::{InHand, Link};
use crate::store::people::{Half, Person};
use crate::worker::{PassError, Worker};

/// What a pass that changes nothing knows beyond what is stored.
#[derive(Debug, Default)]
pub(in crate::worker) struct Dry {
    pub plan_id: String,
    /// Members of the mapping are stored: it is not a mapping yet to be made.
    pub stored: bool,
    /// Statuses that the campaign would be given.
    pub new_statuses: Vec<String>,
    /// A campaign that is still to be made, in place of one that could be read.
    pub new_campaign: Option<crate::connector::Campaign>,
    /// Who was found to have which halves, by the id of the member.
    pub found: BTreeMap<String, Person>,
    /// Members who turned out to be one with others.
    pub absorbed: BTreeSet<String>,
    /// The keys under which people would be created, by the id of the member.
    pub creates: BTreeMap<String, String>,
}

impl Dry {
    /// A campaign with the statuses that it would be given.
    pub(super) fn complete(&self, campaigns: &mut BTreeMap<String, crate::connector::Campaign>) {
        if let Some(campaign) = &self.new_campaign {
            campaigns.insert(campaign.id.to_string(), campaign.clone());
        }
        for campaign in campaigns.values_mut() {
            let lacks = |label: &&String| !campaign.statuses.iter().any(|status| status.label == **label);
            let new: Vec<_> = self.new_statuses.iter().filter(lacks).map(|label| made(&campaign.id, label)).collect();
            campaign.statuses.extend(new);
        }
    }
}

/// A status that would be made; only its label is looked at.
pub(in crate::worker) fn made(campaign: &SalesforceId, label: &str) -> CampaignMemberStatus {
    let label = label.to_owned();
    CampaignMemberStatus { id: campaign.clone(), label, has_responded: false, is_default: false, sort_order: 0 }
}

fn has(person: &Person, half: &Half) -> bool {
    match half {
        Half::Marketo(id) => person.marketo_id == Some(*id),
        Half::Salesforce(id) => person.salesforce_id.as_ref() == Some(id),
    }
}

impl Worker {
    /// Who has these halves. In a plan it is called by the id of its member.
    pub(super) async fn holders(&self, pass: &Pass, halves: &[Half]) -> Result<Vec<Person>, PassError> {
        let stored = self.store.people(halves).await?;
        let Some(dry) = &pass.dry else { return Ok(stored) };
        let planned = self.store.plan_people(&dry.plan_id, halves).await?;
        let known: HashSet<String> = planned.iter().filter_map(|p| p.person_id.clone()).collect();
        let wanted: HashSet<&Half> = halves.iter().collect();
        let mut holders: Vec<Person> =
            dry.found.values().filter(|person| wanted.iter().any(|half| has(person, half))).cloned().collect();
        for p in planned.into_iter().filter(|p| !dry.absorbed.contains(&p.id) && !dry.found.contains_key(&p.id)) {
            let salesforce_id = p.salesforce_id.and_then(|id| id.parse().ok());
            holders.push(Person { id: p.id, marketo_id: p.marketo_id, salesforce_id, email: p.email });
        }
        let shares = |a: &Person, b: &Person| {
            (a.marketo_id.is_some() && a.marketo_id == b.marketo_id)
                || (a.salesforce_id.is_some() && a.salesforce_id == b.salesforce_id)
        };
        let others: Vec<_> = stored
            .into_iter()
            .filter(|p| !known.contains(&p.id) && !holders.iter().any(|holder| shares(holder, p)))
            .collect();
        holders.extend(others);
        Ok(holders)
    }

    /// Links people with the other halves that were found for them.
    pub(super) async fn link_found(
        &self,
        pass: &mut Pass,
        found: Vec<(usize, MarketoId, SalesforceId)>,
    ) -> Result<(), PassError> {
        if found.is_empty() {
            return Ok(());
        }
        if pass.dry.is_some() {
            return self.link_in_plan(pass, found).await;
        }
        let links: Vec<Link> = found
            .iter()
            .map(|(n, marketo, salesforce)| Link {
                person_id: pass.items[*n].member.person.id.clone(),
                marketo: *marketo,
                salesforce: salesforce.clone(),
                instead_of: pass.departed.get(marketo).cloned(),
            })
            .collect();
        let in_hand: InHand =
            pass.items.iter().map(|i| (i.member.campaign_id.clone(), i.member.person.id.clone())).collect();
        pass.moved = true;
        for ((n, ..), linked) in found.iter().zip(self.store.link_all(&links, &in_hand).await?) {
            match linked {
                Some(person) => {
                    // What it is called was read on its way here, and is not stored yet.
                    let read = pass.items[*n].member.person.email.take();
                    let email = read.or_else(|| person.email.clone());
                    pass.items[*n].member.person = Person { email, ..person };
                }
                // Another lane was faster, with another answer or the same: the next attempt sees which.
                None => pass.items[*n].retry(Reason::Waiting, None),
            }
        }
        Ok(())
    }

    async fn link_in_plan(
        &self,
        pass: &mut Pass,
        found: Vec<(usize, MarketoId, SalesforceId)>,
    ) -> Result<(), PassError> {
        let halves: Vec<Half> =
            found.iter().flat_map(|(_, m, s)| [Half::Marketo(*m), Half::Salesforce(s.clone())]).collect();
        let holders = self.holders(pass, &halves).await?;
        for (n, marketo, salesforce) in found {
            let own = pass.items[n].member.id.clone();
            if !pass.items[n].is_open() {
                continue;
            }
            let departed = pass.departed.get(&marketo).cloned();
            let Some(dry) = &mut pass.dry else { continue };
            let now = |p: &Person| dry.found.get(&p.id).unwrap_or(p).clone();
            let others: Vec<Person> = holders
                .iter()
                .filter(|p| p.id != own && !dry.absorbed.contains(&p.id))
                .map(now)
                .chain(dry.found.values().filter(|p| p.id != own).cloned())
                .filter(|p| p.marketo_id == Some(marketo) || p.salesforce_id.as_ref() == Some(&salesforce))
                .collect();
            let fits = |p: &Person| {
                p.marketo_id.is_none_or(|id| id == marketo)
                    && p.salesforce_id.as_ref().is_none_or(|id| *id == salesforce || departed.as_ref() == Some(id))
            };
            if !others.iter().all(fits) {
                // A run would find it taken when it looks again.
                pass.items[n].missing = Some(match pass.items[n].member.person.marketo_id {
                    Some(_) => Missing::Salesforce(Choice::Ambiguous(vec![salesforce])),
                    None => Missing::Marketo(Choice::Ambiguous(vec![marketo])),
                });
                continue;
            }
            let email = pass.items[n].member.person.email.clone();
            let email = email.or_else(|| others.iter().find_map(|p| p.email.clone()));
            let person = Person { id: own.clone(), marketo_id: Some(marketo), salesforce_id: Some(salesforce), email };
            dry.absorbed.extend(others.iter().map(|p| p.id.clone()));
            dry.found.insert(own, person.clone());
            let stored = dry.stored;
            let item = &mut pass.items[n];
            (item.member.person.marketo_id, item.member.person.salesforce_id) =
                (person.marketo_id, person.salesforce_id);
            item.member.person.email = person.email;
            for other in others {
                self.take_over(pass, n, &other.id, stored).await?;
            }
        }
        Ok(())
    }

    /// What was recorded of a member that turned out to be one with another, as joining them would leave it.
    async fn take_over(&self, pass: &mut Pass, n: usize, other: &str, stored: bool) -> Result<(), PassError> {
        for item in pass.items.iter_mut().filter(|item| item.member.id == other) {
            item.fate = Fate::Joined { into: None };
        }
        if !stored {
            return Ok(());
        }
        let Some(other) = self.store.member(other).await? else { return Ok(()) };
        let member = &mut pass.items[n].member;
        if !matches!(member.marketo, Seen::Status(_)) {
            member.marketo = other.marketo;
        }
        if !matches!(member.salesforce, Seen::Status(_)) {
            member.salesforce = other.salesforce;
        }
        member.base = match (member.base.take(), other.base) {
            (Some(base), None) | (None, Some(base)) => Some(base),
            _ => None,
        };
        member.sent = member.sent.take().or(other.sent);
        member.after_merge |= other.after_merge;
        Ok(())
    }

    /// The person of a plan is known by another id from now on; false when it is somebody else's member.
    pub(super) async fn move_in_plan(
        &self,
        pass: &mut Pass,
        n: usize,
        to: Half,
        holder: Option<Person>,
    ) -> Result<bool, PassError> {
        let own = pass.items[n].member.id.clone();
        let Some(dry) = &mut pass.dry else { return Ok(false) };
        let item = &mut pass.items[n];
        if let Some(holder) = &holder {
            let planned = self.store.plan_people(&dry.plan_id, std::slice::from_ref(&to)).await?;
            if planned.iter().any(|p| p.id == holder.id) || dry.found.contains_key(&holder.id) {
                dry.absorbed.insert(own);
                item.fate = Fate::Joined { into: None };
                return Ok(false);
            }
        }
        let person = &mut item.member.person;
        match to {
            Half::Marketo(id) => person.marketo_id = Some(id),
            Half::Salesforce(id) => person.salesforce_id = Some(id),
        }
        if let Some(holder) = holder {
            person.marketo_id = person.marketo_id.or(holder.marketo_id);
            person.salesforce_id = person.salesforce_id.take().or(holder.salesforce_id);
        }
        dry.found.insert(own.clone(), Person { id: own, ..person.clone() });
        Ok(true)
    }

    /// Who would be created. The second of two who share an address comes when the first has been.
    pub(super) async fn plan_creations(&self, pass: &mut Pass) -> Result<(), PassError> {
        let Some(plan_id) = pass.dry.as_ref().map(|dry| dry.plan_id.clone()) else { return Ok(()) };
        for (side, missing) in
            [(Side::Salesforce, Missing::Salesforce(Choice::Create)), (Side::Marketo, Missing::Marketo(Choice::Create))]
        {
            let wanted = keyed(pass, side, &missing);
            if wanted.is_empty() {
                continue;
            }
            let keys: Vec<String> = wanted.iter().map(|(_, key)| format!("{side}:{key}")).collect();
            let mut taken: BTreeMap<String, String> =
                self.store.planned_creations(&plan_id, &keys).await?.into_iter().collect();
            let mut seconds = Vec::new();
            for ((n, _), key) in wanted.into_iter().zip(keys) {
                let id = pass.items[n].member.id.clone();
                let by = taken.entry(key.clone()).or_insert_with(|| id.clone());
                if *by != id {
                    seconds.push((n, key));
                } else if let Some(dry) = &mut pass.dry {
                    dry.creates.insert(id, key);
                }
            }
            self.plan_seconds(pass, side, seconds).await?;
        }
        Ok(())
    }

    /// Those whose address somebody else has by the time they would be created.
    async fn plan_seconds(&self, pass: &mut Pass, side: Side, seconds: Vec<(usize, String)>) -> Result<(), PassError> {
        if seconds.is_empty() {
            return Ok(());
        }
        let guarded = match side {
            Side::Marketo => false,
            Side::Salesforce => match self.salesforce.guards_leads().await {
                Ok(guarded) => guarded,
                Err(error) => {
                    pass.not_read(&seconds.into_iter().map(|(n, _)| n).collect::<Vec<_>>(), &error);
                    return Ok(());
                }
            },
        };
        for (n, key) in seconds {
            match refusal(&choose_second(side, guarded)) {
                Some(reason) => pass.items[n].park(reason),
                None => {
                    let id = pass.items[n].member.id.clone();
                    pass.dry.iter_mut().for_each(|dry| drop(dry.creates.insert(id.clone(), key.clone())));
                }
            }
        }
        Ok(())
    }
}
