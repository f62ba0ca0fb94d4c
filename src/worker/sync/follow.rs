//! People who turn out to be known by another id: merged, or converted from lead to contact.
//!
//! Owns when two rows of ours become one, when they stay two, and what has to be told before. Must not know why a member
//! was read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::dry::has;
use super::{Fate, Pass};
use crate::connector::{CampaignMember, ConnectorError, SalesforcePerson};
use crate::domain::ids::{MarketoId, SalesforceId};
use crate::domain::merge::{Reading, Reason};
use crate::domain::person::{self, Record};
use crate::domain::trigger::Seen;
use crate::store::StoreError;
use crate::store::people::{Half, Person};
use crate::worker::{PassError, Worker};

/// How far back merges are looked for: as long as Marketo keeps deletions.
const MERGES: Duration = Duration::from_secs(14 * 24 * 3600);
/// When somebody is looked at again whose other half has to be looked at first.
const AFTER_THE_OTHER: Duration = Duration::from_secs(1);

impl Worker {
    /// A row that is known as somebody else's has changed hands: its lead was converted, or its person merged. Who it was
    /// known for, or whose lead it names, is who it is of now, and what was recorded of it goes on. Those whom others were
    /// joined with.
    pub(in crate::worker) async fn follow_rows(
        &self,
        rows: impl Iterator<Item = &CampaignMember>,
    ) -> Result<BTreeSet<String>, PassError> {
        let mut owners = HashMap::new();
        let mut converted = HashMap::new();
        let mut lanes = HashMap::new();
        for row in rows {
            let Some(person) = row.person() else { continue };
            owners.insert(row.id.clone(), person.clone());
            lanes.insert(person.clone(), row.campaign_id.to_string());
            converted.extend(row.lead_id.iter().filter(|lead| *lead != person).map(|l| (l.clone(), person.clone())));
        }
        let mut moves: BTreeMap<String, (Person, SalesforceId)> = BTreeMap::new();
        if !converted.is_empty() {
            let leads: Vec<_> = converted.keys().cloned().map(Half::Salesforce).collect();
            for person in self.store.people(&leads).await? {
                let now = person.salesforce_id.as_ref().and_then(|id| converted.get(id)).cloned();
                moves.extend(now.map(|now| (person.id.clone(), (person, now))));
            }
        }
        if !owners.is_empty() {
            for member in self.store.members_by_campaign_member(&owners.keys().cloned().collect::<Vec<_>>()).await? {
                let now = member.campaign_member_id.as_ref().and_then(|id| owners.get(id));
                let now = now.filter(|now| member.person.salesforce_id.as_ref() != Some(*now)).cloned();
                moves.extend(now.map(|now| (member.person.id.clone(), (member.person, now))));
            }
        }
        let mut joined = BTreeSet::new();
        for (person, now) in moves.into_values() {
            let lane = lanes.get(&now).cloned().unwrap_or_default();
            let to = Half::Salesforce(now);
            let holder = self.holder(&to, &person.id).await?;
            if let Some(holder) = &holder
                && (are_two(holder, &person, &to) || self.is_recorded(&lane, holder).await?)
            {
                continue;
            }
            match self.store.follow(&person.id, &to).await {
                Ok(person) if holder.is_some() => drop(joined.insert(person.id)),
                Ok(_) => {}
                Err(StoreError::Conflict(_)) => drop(joined.insert(person.id)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(joined)
    }

    /// Whether something is on record of a person in a campaign: what is told of them goes on from there. An absence that
    /// was never told is no record: it may be nothing but the assumption of a pass that could not read.
    async fn is_recorded(&self, lane: &str, person: &Person) -> Result<bool, PassError> {
        let members = self.store.members_of(&[(lane.to_owned(), person.id.clone())]).await?;
        Ok(members.iter().any(|member| matches!(member.salesforce, Seen::Status(_)) || member.sequence > 0))
    }

    /// Who else has this id.
    pub(super) async fn holder(&self, half: &Half, than: &str) -> Result<Option<Person>, PassError> {
        Ok(self.store.people(std::slice::from_ref(half)).await?.into_iter().find(|p| p.id != than))
    }

    /// The person is known by another id from now on. False when that cannot be, and the member's fate is set.
    pub(super) async fn move_to(&self, pass: &mut Pass, n: usize, to: Half) -> Result<bool, PassError> {
        let person = pass.items[n].member.person.clone();
        let own = if pass.dry.is_some() { pass.items[n].member.id.clone() } else { person.id.clone() };
        let holder = self.holders(pass, std::slice::from_ref(&to)).await?.into_iter().find(|p| p.id != own);
        if let Some(two) = holder.as_ref().filter(|holder| are_two(holder, &person, &to)) {
            match self.merged_there_too(two, &person, &to).await {
                Ok(Some(_)) if pass.dry.is_some() => return self.move_in_plan(pass, n, to, holder).await,
                Ok(Some(far)) => return self.unite(pass, n, two, to, far).await,
                Ok(None) => second_record(pass, n, &to),
                Err(error) => pass.items[n].fail(&error),
            }
            return Ok(false);
        }
        if pass.dry.is_some() {
            return self.move_in_plan(pass, n, to, holder).await;
        }
        if let (Some(holder), Half::Salesforce(_), Seen::Status(_)) = (&holder, &to, &pass.items[n].seen)
            && self.is_recorded(&pass.items[n].member.campaign_id, holder).await?
        {
            // By its old id it left the campaign, by the new one it came: two things to tell, so the first is recorded first.
            pass.items[n].salesforce = Reading::Absent;
            pass.items[n].retry(Reason::Waiting, Some(Duration::ZERO));
            return Ok(false);
        }
        pass.moved = true;
        match self.store.follow(&person.id, &to).await {
            Ok(person) if holder.is_some() => {
                pass.joined.insert(person.id.clone());
                pass.items[n].fate = Fate::Joined { into: Some(person.id) };
                Ok(false)
            }
            Ok(person) => {
                pass.items[n].member.person = person;
                Ok(true)
            }
            Err(StoreError::Conflict(_)) => {
                pass.items[n].fate = Fate::Joined { into: None };
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The person's record is `now` by now, over those of `people`. Whoever is known by one on the way there is who it is
    /// of: what is on record of them goes on, and this person is led to them.
    pub(super) async fn move_along(
        &self,
        pass: &mut Pass,
        n: usize,
        now: SalesforceId,
        people: &HashMap<SalesforceId, (SalesforcePerson, Record)>,
    ) -> Result<bool, PassError> {
        let person = pass.items[n].member.person.clone();
        let read = |id: &SalesforceId| people.get(id).map(|p| &p.1);
        let way = person.salesforce_id.as_ref().map(|id| person::between(id, &now, read)).unwrap_or_default();
        let to = Half::Salesforce(now);
        let halves: Vec<Half> = way.into_iter().map(Half::Salesforce).collect();
        if halves.is_empty() || !self.holders(pass, std::slice::from_ref(&to)).await?.is_empty() {
            return self.move_to(pass, n, to).await;
        }
        let own = if pass.dry.is_some() { pass.items[n].member.id.clone() } else { person.id.clone() };
        let met = self.holders(pass, &halves).await?;
        let nearest = halves.iter().rev().find_map(|half| met.iter().find(|p| p.id != own && has(p, half)));
        match nearest {
            Some(other) if pass.dry.is_some() && are_two(other, &person, &to) => {
                second_record(pass, n, &to);
                return Ok(false);
            }
            Some(other) if pass.dry.is_none() => {
                pass.moved = true;
                match self.store.follow(&other.id, &to).await {
                    // Somebody was faster: the next look sees who it is.
                    Ok(_) | Err(StoreError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            _ => {}
        }
        self.move_to(pass, n, to).await
    }

    /// The id of the far side that both people have by now, when they were merged there as well.
    async fn merged_there_too(&self, a: &Person, b: &Person, by: &Half) -> Result<Option<Half>, ConnectorError> {
        match (by, a.marketo_id.zip(b.marketo_id), a.salesforce_id.clone().zip(b.salesforce_id.clone())) {
            (Half::Salesforce(_), Some((a, b)), _) => {
                let now = self.now_in_marketo(&[a, b]).await?;
                Ok(now.get(&a).filter(|id| now.get(&b) == Some(*id)).copied().map(Half::Marketo))
            }
            (Half::Marketo(_), _, Some((a, b))) => {
                let people = self.read_salesforce_people(vec![a.clone(), b.clone()]).await?;
                let now = |id| person::follow(id, |id| people.get(id).map(|p| &p.1));
                Ok(match (now(&a), now(&b)) {
                    (person::Followed::Living(a), person::Followed::Living(b)) if a == b => Some(Half::Salesforce(a)),
                    _ => None,
                })
            }
            _ => Ok(None),
        }
    }

    /// Who people are in Marketo by now: themselves, or whom they were merged with. Who is gone is left out.
    pub(super) async fn now_in_marketo(
        &self,
        ids: &[MarketoId],
    ) -> Result<BTreeMap<MarketoId, MarketoId>, ConnectorError> {
        let mut now: BTreeMap<_, _> = self.marketo.people(ids).await?.into_iter().map(|p| (p.id, p.id)).collect();
        let gone: Vec<MarketoId> = ids.iter().copied().filter(|id| !now.contains_key(id)).collect();
        if !gone.is_empty() {
            let since = self.store.clock().now() - jiff::SignedDuration::try_from(MERGES).unwrap_or_default();
            now.extend(self.marketo.merges(&gone, since).await?);
        }
        Ok(now)
    }

    /// Makes one person of two whom both sides knew, and have both merged. Whose record lives in Salesforce stays, since
    /// what is told of a campaign goes on from it; that the other one left is told first.
    async fn unite(&self, pass: &mut Pass, n: usize, holder: &Person, to: Half, far: Half) -> Result<bool, PassError> {
        let ((Half::Salesforce(salesforce), Half::Marketo(marketo))
        | (Half::Marketo(marketo), Half::Salesforce(salesforce))) = (&to, &far)
        else {
            return Ok(false);
        };
        let item = &pass.items[n];
        let (lane, person) = (item.member.campaign_id.clone(), item.member.person.clone());
        if person.salesforce_id.as_ref() == Some(salesforce) {
            // The other one is who goes: its record in this campaign has an end to be told of, by its own look.
            let other = self.store.members_of(&[(lane.clone(), holder.id.clone())]).await?;
            let ends = other.iter().any(|member| matches!(member.salesforce, Seen::Status(_)));
            if ends && self.is_recorded(&lane, &person).await? {
                self.store.enqueue(&[self.look_again(&lane, holder.id.clone())]).await?;
                pass.items[n].retry(Reason::Waiting, Some(AFTER_THE_OTHER));
                return Ok(false);
            }
        } else if matches!(item.seen, Seen::Status(_)) && self.is_recorded(&lane, holder).await? {
            pass.items[n].salesforce = Reading::Absent;
            pass.items[n].retry(Reason::Waiting, Some(Duration::ZERO));
            return Ok(false);
        }
        let stays = if person.salesforce_id.as_ref() == Some(salesforce) { &person } else { holder };
        let goes = if stays.id == person.id { holder } else { &person };
        pass.moved = true;
        match self.store.unite(goes, &stays.id, *marketo, salesforce).await {
            Ok(one) => {
                pass.joined.insert(one.id.clone());
                pass.items[n].fate = Fate::Joined { into: Some(one.id) };
            }
            // Somebody else is joining them, or a third is in the way: looked at again as it is by then.
            Err(StoreError::Conflict(_)) => {
                let living = self.store.living_people(std::slice::from_ref(&person.id)).await?;
                match living.contains(&person.id) {
                    true => second_record(pass, n, &to),
                    false => pass.items[n].fate = Fate::Joined { into: None },
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(false)
    }
}

/// By the id that it had it is a member no more, and the one that it has now is somebody else's.
fn second_record(pass: &mut Pass, n: usize, to: &Half) {
    let item = &mut pass.items[n];
    match to {
        Half::Salesforce(_) => item.salesforce = Reading::Absent,
        Half::Marketo(_) => item.marketo = Reading::Absent,
    }
    item.park(Reason::SecondRecord);
}

/// Whether these are two people although one was led to the other's id: the far side knows them as two.
fn are_two(holder: &Person, person: &Person, by: &Half) -> bool {
    match by {
        Half::Salesforce(_) => holder.marketo_id.zip(person.marketo_id).is_some_and(|(a, b)| a != b),
        Half::Marketo(_) => {
            holder.salesforce_id.as_ref().zip(person.salesforce_id.as_ref()).is_some_and(|(a, b)| a != b)
        }
    }
}
