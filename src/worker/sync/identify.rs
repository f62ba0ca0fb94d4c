//! Who is who, for members of whom only one half is known: look the other up, link it, join rows that turn out to be one.
//!
//! The order of evidence is `domain::person`'s. Creates nobody: that comes after the decision, and only if it needs to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::unfinished::perhaps_made_people;
use super::{Fate, Item, Missing, Pass};
use crate::connector::{ConnectorError, MarketoPerson};
use crate::domain::ids::{MarketoId, SalesforceId};
use crate::domain::mapping::AmbiguousPerson;
use crate::domain::merge::{Reading, Side};
use crate::domain::person::{Choice, Followed, SalesforceEvidence, follow};
use crate::store::people::{Half, Person};
use crate::worker::{PassError, Worker};

impl Worker {
    /// Links the halves that can be linked.
    pub(super) async fn identify(&self, pass: &mut Pass) -> Result<(), PassError> {
        self.identify_in_salesforce(pass).await?;
        self.identify_in_marketo(pass).await?;
        if pass.dry.is_some() {
            return Ok(());
        }
        self.keep_emails(pass).await?;
        self.reload(pass).await
    }

    /// What the people who were read here are called by: the others were read before.
    async fn keep_emails(&self, pass: &Pass) -> Result<(), PassError> {
        let read = pass.items.iter().filter(|item| item.marketo_person.is_some() || item.salesforce_person.is_some());
        let emails: Vec<(String, String)> =
            read.filter_map(|item| Some((item.member.person.id.clone(), item.member.person.email.clone()?))).collect();
        if !emails.is_empty() {
            self.store.keep_emails(&emails).await?;
        }
        Ok(())
    }

    /// For those known to Marketo only.
    async fn identify_in_salesforce(&self, pass: &mut Pass) -> Result<(), PassError> {
        // A flow action may name an address that neither side knows: nothing is to be found then.
        let unknown = unlinked(pass, |item| {
            let person = &item.member.person;
            person.salesforce_id.is_none() && (person.marketo_id.is_some() || item.order.is_none())
        });
        let ids: Vec<MarketoId> = unknown.iter().filter_map(|n| pass.items[*n].member.person.marketo_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let people = match self.marketo.people(&ids).await {
            Ok(people) => people.into_iter().map(|p| (p.id, p)).collect::<HashMap<_, _>>(),
            Err(error) => {
                fail(pass, &unknown, &error);
                return Ok(());
            }
        };
        for n in &unknown {
            let item = &mut pass.items[*n];
            item.marketo_person = item.member.person.marketo_id.and_then(|id| people.get(&id).cloned());
            if item.marketo_person.is_none() {
                // Unknown to Salesforce, and not in Marketo: the read will say whether merged or gone.
                item.missing = Some(Missing::Salesforce(Choice::CreateRefused));
            } else if let Some(email) = item.marketo_person.as_ref().and_then(|p| p.email.clone()) {
                item.member.person.email = Some(email);
            }
        }
        let people: Vec<MarketoPerson> = people.into_values().collect();
        let evidence = match self.salesforce_evidence(pass, &people).await? {
            Ok(evidence) => evidence,
            Err(error) => {
                fail(pass, &unknown, &error);
                return Ok(());
            }
        };
        let mut links = Vec::new();
        for n in unknown {
            let policies = pass.mappings.get(&pass.items[n].member.campaign_id).map(|m| m.policies.clone());
            let Some(marketo_id) = pass.items[n].member.person.marketo_id else { continue };
            let Some(evidence) = evidence.get(&marketo_id).cloned() else { continue };
            let policy = policies.as_ref().map_or(AmbiguousPerson::Park, |p| p.ambiguous_person);
            let may_create = policies.as_ref().is_none_or(|p| p.create_leads);
            match evidence.choose(policy, may_create) {
                Choice::Link(id) => links.push((n, marketo_id, id)),
                other => pass.items[n].missing = Some(Missing::Salesforce(other)),
            }
        }
        self.link_found(pass, links).await
    }

    /// What speaks for whom of Salesforce's records, for each of these Marketo people.
    async fn salesforce_evidence(
        &self,
        pass: &mut Pass,
        people: &[MarketoPerson],
    ) -> Result<Result<BTreeMap<MarketoId, SalesforceEvidence>, ConnectorError>, PassError> {
        let found = match self.salesforce_candidates(people.iter()).await {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let claims = match self.claims(&found).await {
            Ok(claims) => claims,
            Err(error) => return Ok(Err(error)),
        };
        self.give_what_was_made(pass, Side::Salesforce, self.perhaps_made_leads(&found)).await?;
        let halves: Vec<_> = found.records.keys().cloned().map(Half::Salesforce).collect();
        let holders = self.holders(pass, &halves).await?;
        let of = |person: &MarketoPerson| {
            let taken = |id: &SalesforceId| {
                let holder = holders.iter().find(|p| p.salesforce_id.as_ref() == Some(id)).and_then(|p| p.marketo_id);
                holder.is_some_and(|other| other != person.id)
            };
            let claimed = |id: &SalesforceId| claims.iter().any(|(record, by)| record == id && *by != person.id);
            (person.id, found.evidence(person, taken, claimed))
        };
        Ok(Ok(people.iter().map(of).collect()))
    }

    /// For those known to Salesforce only.
    async fn identify_in_marketo(&self, pass: &mut Pass) -> Result<(), PassError> {
        let unknown = unlinked(pass, |item| {
            let person = &item.member.person;
            person.marketo_id.is_none() && !person.is_account() && item.order.is_none()
        });
        let ids: Vec<SalesforceId> =
            unknown.iter().filter_map(|n| pass.items[*n].member.person.salesforce_id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let people = match self.read_salesforce_people(ids).await {
            Ok(people) => people,
            Err(error) => {
                fail(pass, &unknown, &error);
                return Ok(());
            }
        };
        let mut living = Vec::new();
        for n in unknown {
            let Some(id) = pass.items[n].member.person.salesforce_id.clone() else { continue };
            let Followed::Living(now) = follow(&id, |id| people.get(id).map(|p| &p.1)) else {
                pass.items[n].missing = Some(Missing::Marketo(Choice::CreateRefused));
                continue;
            };
            if now != id {
                if !self.move_to(pass, n, Half::Salesforce(now.clone())).await? {
                    continue;
                }
                if pass.items[n].member.person.marketo_id.is_some() {
                    continue;
                }
            }
            let person = people[&now].0.clone();
            if person.email.is_some() {
                pass.items[n].member.person.email.clone_from(&person.email);
            }
            pass.items[n].salesforce_person = Some(person.clone());
            living.push((n, person));
        }
        let found = match self.marketo_candidates(living.iter().map(|(_, person)| person)).await {
            Ok(found) => found,
            Err(error) => {
                fail(pass, &living.iter().map(|(n, _)| *n).collect::<Vec<_>>(), &error);
                return Ok(());
            }
        };
        self.give_what_was_made(pass, Side::Marketo, perhaps_made_people(&found)).await?;
        // Each candidate is asked in turn, as if it had come first: whoever of two comes first must not make a difference.
        let (mut theirs, others) = found.sure(living.iter().map(|(_, person)| &person.id));
        if !others.is_empty() {
            match self.salesforce_evidence(pass, &others).await? {
                Ok(evidence) => {
                    theirs.extend(evidence.into_iter().map(|(id, e)| (id, e.choose(AmbiguousPerson::Park, true))));
                }
                Err(error) => {
                    fail(pass, &living.iter().map(|(n, _)| *n).collect::<Vec<_>>(), &error);
                    return Ok(());
                }
            }
        }
        let halves: Vec<_> = found.ids().into_iter().map(Half::Marketo).collect();
        let mut holders = self.holders(pass, &halves).await?;
        let known = living.iter().map(|(_, person)| person.id.clone()).collect();
        if let Err(error) = self.let_go(pass, &mut holders, &known).await {
            fail(pass, &living.iter().map(|(n, _)| *n).collect::<Vec<_>>(), &error);
            return Ok(());
        }
        let holder =
            |id: MarketoId| holders.iter().find(|p| p.marketo_id == Some(id)).and_then(|p| p.salesforce_id.clone());
        let mut links = Vec::new();
        for (n, person) in living {
            let policy = pass
                .mappings
                .get(&pass.items[n].member.campaign_id)
                .map_or(AmbiguousPerson::Park, |m| m.policies.ambiguous_person);
            let taken = |id: MarketoId| {
                holder(id).is_some_and(|other| other != person.id)
                    || theirs.get(&id).is_some_and(|choice| choice.excludes(&person.id))
            };
            match found.evidence(&person, taken).choose(policy, true) {
                Choice::Link(id) => links.push((n, id, person.id)),
                other => pass.items[n].missing = Some(Missing::Marketo(other)),
            }
        }
        self.link_found(pass, links).await
    }

    /// Whose record was deleted in Salesforce holds nobody any more: of two records of one human the second may stay alone.
    async fn let_go(
        &self,
        pass: &mut Pass,
        holders: &mut [Person],
        living: &BTreeSet<SalesforceId>,
    ) -> Result<(), ConnectorError> {
        let others: Vec<SalesforceId> =
            holders.iter().filter_map(|p| p.salesforce_id.clone()).filter(|id| !living.contains(id)).collect();
        if others.is_empty() {
            return Ok(());
        }
        let people = self.read_salesforce_people(others).await?;
        for holder in holders.iter_mut() {
            let Some((marketo, id)) = holder.marketo_id.zip(holder.salesforce_id.clone()) else { continue };
            let gone = match follow(&id, |id| people.get(id).map(|p| &p.1)) {
                Followed::Gone => true,
                Followed::Unread(purged) => purged == id,
                Followed::Living(_) => false,
            };
            if gone && !living.contains(&id) {
                holder.salesforce_id = None;
                pass.departed.insert(marketo, id);
            }
        }
        Ok(())
    }

    /// Linking may have joined rows: takes the members as they are now, one item each.
    pub(super) async fn reload(&self, pass: &mut Pass) -> Result<(), PassError> {
        let pairs: Vec<_> =
            pass.items.iter().map(|item| (item.member.campaign_id.clone(), item.member.person.id.clone())).collect();
        let mut stored: HashMap<_, _> = self
            .store
            .members_of(&pairs)
            .await?
            .into_iter()
            .map(|member| ((member.campaign_id.clone(), member.person.id.clone()), member))
            .collect();
        let living = self.store.living_people(&pairs.iter().map(|pair| pair.1.clone()).collect::<Vec<_>>()).await?;
        let mut at: HashMap<(String, String), usize> = HashMap::new();
        let mut items: Vec<Item> = Vec::with_capacity(pass.items.len());
        for (mut item, pair) in std::mem::take(&mut pass.items).into_iter().zip(pairs) {
            if let Some(first) = at.get(&pair) {
                let first = &mut items[*first];
                if item.order.is_none() {
                    first.causes.append(&mut item.causes);
                    first.edit = first.edit.take().or(item.edit);
                    continue;
                }
                // Two flow actions named one person by two names: the older one goes first, the other comes again.
                if item.causes < first.causes {
                    std::mem::swap(&mut item.causes, &mut first.causes);
                    std::mem::swap(&mut item.order, &mut first.order);
                }
                item.fate = Fate::Joined { into: None };
                items.push(item);
                continue;
            }
            if let Some(mut member) = stored.remove(&pair) {
                let baseline = pass.leases.iter().any(|l| l.lane == member.campaign_id && l.baseline);
                if item.member.person.email.is_some() {
                    member.person.email = item.member.person.email.take();
                }
                let fresh = Item::new(member, baseline);
                (item.member, item.seen) = (fresh.member, fresh.seen);
            }
            if !living.contains(&pair.1) && !matches!(item.fate, Fate::Joined { .. }) {
                item.fate = Fate::Joined { into: None };
            }
            at.insert(pair, items.len());
            items.push(item);
        }
        pass.items = items;
        Ok(())
    }
}

fn unlinked(pass: &Pass, missing: impl Fn(&Item) -> bool) -> Vec<usize> {
    let mapped = |item: &Item| item.order.is_some() || pass.mappings.contains_key(&item.member.campaign_id);
    pass.open().into_iter().filter(|n| missing(&pass.items[*n]) && mapped(&pass.items[*n])).collect()
}

fn fail(pass: &mut Pass, items: &[usize], error: &ConnectorError) {
    for n in items {
        pass.items[*n].marketo = Reading::Unreadable;
    }
    pass.not_read(items, error);
}
