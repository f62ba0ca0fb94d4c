//! The router lane: what a hint names that cannot be placed without a read, handed on to the lanes that it concerns.

use std::collections::HashMap;

use super::Worker;
use super::halves::{Failure, Halves};
use super::sync::settle;
use super::{PassError, sync::fate_of};
use crate::connector::{CampaignMember, ConnectorError};
use crate::domain::hint::Source;
use crate::domain::ids::SalesforceId;
use crate::domain::merge::Reason;
use crate::domain::retry;
use crate::store::lanes::Claimed;
use crate::store::outbox::{Kind, NewWork, ROUTER, Subject};
use crate::store::people::Half;
use crate::store::record::{End, Settled};

/// What was read of many, and what was not.
struct Apart {
    found: HashMap<SalesforceId, CampaignMember>,
    failed: HashMap<SalesforceId, Failure>,
}

impl Worker {
    /// Hands the router's rows on; work in other lanes is added before these rows end, so that a crash in between adds it
    /// again rather than never.
    pub(super) async fn route(&self, changes: &[Claimed]) -> Result<Vec<Settled>, PassError> {
        let rows: Vec<&Claimed> = changes.iter().filter(|change| change.lane == ROUTER).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let members: Vec<SalesforceId> = rows
            .iter()
            .filter_map(|row| if let Subject::Member(id) = &row.subject { Some(id.clone()) } else { None })
            .collect();
        let Apart { found, failed } = self.members_apart(&members).await;
        let mut work = Vec::new();
        let mut settled = Vec::new();
        for row in rows {
            let end = match &row.subject {
                Subject::Member(id) => match failed.get(id) {
                    Some(failure) => self.unread(row, failure),
                    None => self.place_member(found.get(id), row.source.as_str(), &mut work).await?,
                },
                Subject::Marketo(id) => self.place_person(Half::Marketo(*id), row.source.as_str(), &mut work).await?,
                Subject::Salesforce(id) => {
                    self.place_person(Half::Salesforce(id.clone()), row.source.as_str(), &mut work).await?
                }
                Subject::Person(_) | Subject::Email(_) | Subject::Mapping => End::NoOp,
            };
            settled.push(settle(row, end));
        }
        if !work.is_empty() {
            self.store.enqueue(&work).await?;
        }
        Ok(settled)
    }

    async fn place_member(
        &self,
        row: Option<&CampaignMember>,
        source: &str,
        work: &mut Vec<NewWork>,
    ) -> Result<End, PassError> {
        let Some((row, person)) = row.and_then(|row| Some((row, row.person()?))) else { return Ok(End::NoOp) };
        let lane = row.campaign_id.to_string();
        if !self.store.is_tracked(&lane).await? {
            return Ok(End::NoOp);
        }
        let mapping = self.store.mappings_of_lanes(std::slice::from_ref(&lane)).await?.pop();
        work.push(self.hint(lane, mapping.map(|m| m.id), Subject::Salesforce(person.clone()), source));
        Ok(End::Applied)
    }

    /// Wherever the person is a member; a merge, a conversion or a deletion shows when they are read there.
    async fn place_person(&self, half: Half, source: &str, work: &mut Vec<NewWork>) -> Result<End, PassError> {
        let announced = matches!(half, Half::Marketo(_));
        let Some(person) = self.store.people(&[half]).await?.pop() else { return Ok(End::NoOp) };
        let members = self.store.memberships(std::slice::from_ref(&person.id)).await?;
        let lanes: Vec<String> = members.iter().map(|m| m.campaign_id.clone()).collect();
        if announced && !lanes.is_empty() {
            // Marketo tells of a deletion before it happens.
            let later: Vec<_> = lanes.iter().map(|lane| (lane.clone(), person.id.clone())).collect();
            self.store.look_later(&later).await?;
        }
        let mappings = self.store.mappings_of_lanes(&lanes).await?;
        for lane in lanes {
            let mapping = mappings.iter().find(|m| m.campaign_id.as_str() == lane).map(|m| m.id.clone());
            work.push(self.hint(lane, mapping, Subject::Person(person.id.clone()), source));
        }
        Ok(End::Applied)
    }

    fn hint(&self, lane: String, mapping_id: Option<String>, subject: Subject, source: &str) -> NewWork {
        let known = [Source::Marketo.as_str(), Source::Marketo.polled(), Source::Salesforce.polled()];
        let source = known.into_iter().find(|known| *known == source).unwrap_or(Source::Salesforce.as_str());
        NewWork { lane, mapping_id, kind: Kind::Hint, subject, source, payload: None, due_at: self.store.now() }
    }

    /// Another attempt at a row of which the vendor could not be asked.
    pub(super) fn later(&self, row: &Claimed, error: &ConnectorError) -> End {
        let attempts = u32::try_from(row.attempts).unwrap_or(u32::MAX);
        let pause = retry::backoff(attempts, self.settings.retry_base, self.settings.lease * 2, self.seed());
        let due_at = self.store.now() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        match fate_of(error) {
            super::sync::Fate::Retry { reason, error, .. } => End::Retry { due_at, reason: reason.to_string(), error },
            super::sync::Fate::Parked { reason, error } => End::Parked { reason: reason.to_string(), error },
            super::sync::Fate::Open | super::sync::Fate::Joined { .. } | super::sync::Fate::Lost => End::NoOp,
        }
    }

    /// The same for one that could not be read; given up at last where others could.
    pub(super) fn unread(&self, row: &Claimed, failure: &Failure) -> End {
        let attempts = u32::try_from(row.attempts).unwrap_or(u32::MAX);
        match self.later(row, &failure.error) {
            End::Retry { error, .. } if failure.alone && retry::exhausted(attempts, self.settings.max_attempts) => {
                End::GivenUp { reason: Reason::AttemptsExhausted.to_string(), error }
            }
            end => end,
        }
    }

    /// Members by their ids. What a call fails for as a whole is asked for in halves at once, until who spoils it stands alone, or
    /// nothing is answered.
    async fn members_apart(&self, ids: &[SalesforceId]) -> Apart {
        let (mut found, mut halves) = (HashMap::new(), Halves::of(ids));
        while let Some(part) = halves.next() {
            match self.salesforce.members_by_id(part).await {
                Ok(rows) => {
                    halves.answered();
                    found.extend(rows.into_iter().map(|row| (row.id.clone(), row)));
                }
                Err(error) => halves.failed(part, &error),
            }
        }
        Apart { found, failed: halves.end() }
    }

    /// Whom members of Salesforce, named by their own ids alone, are: known from the store, else read.
    pub(super) async fn people_of_members(
        &self,
        ids: &[SalesforceId],
    ) -> Result<HashMap<SalesforceId, Result<Half, Failure>>, PassError> {
        let mut found = HashMap::new();
        if ids.is_empty() {
            return Ok(found);
        }
        for member in self.store.members_by_campaign_member(ids).await? {
            if let (Some(id), Some(person)) = (member.campaign_member_id, member.person.salesforce_id) {
                found.insert(id, Ok(Half::Salesforce(person)));
            }
        }
        let unknown: Vec<SalesforceId> = ids.iter().filter(|id| !found.contains_key(*id)).cloned().collect();
        if unknown.is_empty() {
            return Ok(found);
        }
        let apart = self.members_apart(&unknown).await;
        let whose = |(id, row): (SalesforceId, CampaignMember)| Some((id, Ok(Half::Salesforce(row.person()?.clone()))));
        found.extend(apart.found.into_iter().filter_map(whose));
        found.extend(apart.failed.into_iter().map(|(id, failure)| (id, Err(failure))));
        Ok(found)
    }
}
