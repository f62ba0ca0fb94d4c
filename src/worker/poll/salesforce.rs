//! Salesforce's changes: by `SystemModstamp` in its order, and its log of deletions.
//!
//! Owns the walk over campaigns and pages. A place is the newest time that was seen, of Salesforce's clock and not of ours, and each poll
//! begins a while before it: a transaction that took long becomes visible with an old time. Rows that come again are known by id and time.
//! Must not know what a hint comes to.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Look, OVERLAP, Page, Poller, Progress, read_place, write_place};
use crate::connector::changes::{CAMPAIGNS_AT_ONCE, ChangedCampaign, Deletable, DepartedPerson};
use crate::connector::{self, CampaignMember, ConnectorError};
use crate::domain::hint::{DeliveredHint, Hint, Operation};
use crate::domain::ids::{PersonType, SalesforceId};
use crate::store::StoreError;
use crate::store::polls::Poll;

/// Where a walk over changes is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Walk {
    /// The newest time that earlier polls have seen.
    since: Timestamp,
    /// The newest that this one has.
    seen: Option<Timestamp>,
    /// The last campaign that is done.
    after: Option<SalesforceId>,
    /// The page to go on with.
    next: Option<String>,
}

impl Walk {
    fn begin(since: Timestamp) -> Self {
        Self { since, seen: None, after: None, next: None }
    }

    /// From when on changes are asked for.
    fn asked(&self) -> Timestamp {
        self.since - SignedDuration::try_from(OVERLAP).unwrap_or_default()
    }

    fn saw(&mut self, times: impl Iterator<Item = Option<Timestamp>>) {
        self.seen = times.flatten().max().max(self.seen);
    }

    /// The next poll begins where this one has seen most.
    fn over(self) -> Self {
        Self::begin(self.seen.map_or(self.since, |seen| seen.max(self.since)))
    }

    /// After a page: further pages of these campaigns, further campaigns, or the end.
    fn go_on(mut self, next: Option<String>, last: Option<&SalesforceId>, all: bool) -> (Self, Progress) {
        match next {
            Some(next) => {
                self.next = Some(next);
                (self, Progress::More)
            }
            None if all => (self.over(), Progress::End),
            None => {
                (self.next, self.after) = (None, last.cloned());
                (self, Progress::More)
            }
        }
    }
}

/// What came of asking for a page.
type Asked<T> = Result<connector::Page<T>, ConnectorError>;

impl Poller {
    fn walk(&self, place: Option<&str>) -> Result<Walk, StoreError> {
        Ok(read_place(place)?.unwrap_or_else(|| Walk::begin(self.first_place())))
    }

    pub(super) async fn look_at_members(&self, place: Option<&str>) -> Result<Look, StoreError> {
        let ask = async |campaigns: &[SalesforceId], walk: &Walk| {
            self.salesforce.changed_members(campaigns, walk.asked(), walk.next.as_deref()).await
        };
        self.look_at(place, ask, |row| row.system_modstamp, |row, _| member_hint(row)).await
    }

    pub(super) async fn look_at_campaigns(&self, place: Option<&str>) -> Result<Look, StoreError> {
        let ask = async |campaigns: &[SalesforceId], walk: &Walk| {
            self.salesforce.changed_campaigns(campaigns, walk.asked(), walk.next.as_deref()).await
        };
        self.look_at(place, ask, |row| row.system_modstamp, |row, walk| campaign_hint(row, walk.asked())).await
    }

    /// A page of what happened in the campaigns that are tracked, as many of them as go into one call.
    async fn look_at<T>(
        &self,
        place: Option<&str>,
        ask: impl AsyncFnOnce(&[SalesforceId], &Walk) -> Asked<T>,
        time: impl Fn(&T) -> Option<Timestamp>,
        hint: impl Fn(T, &Walk) -> Option<DeliveredHint>,
    ) -> Result<Look, StoreError> {
        let campaigns = self.store.polled_campaigns().await?;
        if campaigns.is_empty() {
            return Ok(Look::Idle);
        }
        let mut walk = self.walk(place)?;
        let left: Vec<_> =
            campaigns.into_iter().filter(|id| walk.after.as_ref().is_none_or(|after| id > after)).collect();
        if left.is_empty() && walk.next.is_none() {
            // The last ones are not tracked any more.
            return Ok(Look::Page(Page { found: Vec::new(), place: write_place(&walk.over())?, state: Progress::End }));
        }
        let chunk = &left[..left.len().min(CAMPAIGNS_AT_ONCE)];
        let page = match ask(chunk, &walk).await {
            Ok(page) => page,
            Err(error) => return failed(error, walk),
        };
        walk.saw(page.rows.iter().map(time));
        let found = page.rows.into_iter().filter_map(|row| hint(row, &walk)).collect();
        let (walk, state) = walk.go_on(page.next, chunk.last(), chunk.len() == left.len());
        Ok(Look::Page(Page { found, place: write_place(&walk)?, state }))
    }

    pub(super) async fn look_at_people(&self, person: PersonType, place: Option<&str>) -> Result<Look, StoreError> {
        if self.store.polled_campaigns().await?.is_empty() {
            return Ok(Look::Idle);
        }
        let mut walk = self.walk(place)?;
        let page = match self.salesforce.departed_people(person, walk.asked(), walk.next.as_deref()).await {
            Ok(page) => page,
            Err(error) => return failed(error, walk),
        };
        walk.saw(page.rows.iter().map(|row| row.system_modstamp));
        let found = page.rows.into_iter().map(person_hint).collect();
        let (walk, state) = walk.go_on(page.next, None, true);
        Ok(Look::Page(Page { found, place: write_place(&walk)?, state }))
    }

    /// The next span of the log of deletions; its place is the end of the one before, as Salesforce says it.
    pub(super) async fn look_at_deletions(&self, of: Deletable, poll: &Poll) -> Result<Look, StoreError> {
        if self.store.polled_campaigns().await?.is_empty() {
            return Ok(Look::Idle);
        }
        let now = self.store.clock().now();
        let from: Timestamp = read_place(poll.place.as_deref())?.unwrap_or_else(|| minute(now));
        let page =
            |found, place: &Timestamp| Ok(Look::Page(Page { found, place: write_place(place)?, state: Progress::End }));
        // A span of a minute or less is refused; seconds do not count.
        if minute(now).duration_since(from) <= SignedDuration::from_mins(1) {
            return page(Vec::new(), &from);
        }
        match self.salesforce.deleted(of, from, now).await {
            Ok(found) if found.earliest > from && poll.covered_at.is_some() => {
                Ok(Look::Lost(format!("the log of deletions begins at {} by now", found.earliest)))
            }
            Ok(found) => {
                let hint = |(id, at): (SalesforceId, Timestamp)| deletion_hint(of, id, at);
                page(found.rows.into_iter().map(hint).collect(), &found.covered.max(from))
            }
            Err(ConnectorError::Refused { code, message, .. }) if code == "INVALID_REPLICATION_DATE" => {
                Ok(Look::Lost(message))
            }
            Err(error) => Ok(Look::Failed { error, place: None }),
        }
    }
}

/// A walk whose page is gone begins anew with the campaigns at hand.
fn failed(error: ConnectorError, walk: Walk) -> Result<Look, StoreError> {
    let gone = matches!(&error, ConnectorError::Refused { code, .. } if code == "INVALID_QUERY_LOCATOR");
    let place = if gone { Walk { next: None, ..walk } } else { walk };
    Ok(Look::Failed { error, place: Some(write_place(&place)?) })
}

fn minute(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(time)
}

/// A record by its id and time: what comes again within the overlap is known.
fn known_by(id: &SalesforceId, time: Option<Timestamp>, what: &str) -> Option<String> {
    Some(format!("{id}@{}{what}", time?.as_second()))
}

fn member_hint(row: CampaignMember) -> Option<DeliveredHint> {
    let person = row.person()?.clone();
    let what = if row.is_deleted { " deleted".to_owned() } else { format!(" {}", row.status) };
    let hint = Hint::CampaignMember {
        member_id: row.id.clone(),
        campaign_id: Some(row.campaign_id),
        person_id: Some(person),
        operation: Some(if row.is_deleted { Operation::Delete } else { Operation::Update }),
        status: Some(row.status),
        modified_by: row.last_modified_by,
        modstamp: row.system_modstamp,
    };
    Some(DeliveredHint { delivery_id: known_by(&row.id, row.system_modstamp, &what), position: 0, hint })
}

/// None where only the counts of its members were brought up to date.
fn campaign_hint(row: ChangedCampaign, since: Timestamp) -> Option<DeliveredHint> {
    if !row.is_deleted && row.last_modified.is_some_and(|at| at < since) {
        return None;
    }
    let operation = Some(if row.is_deleted { Operation::Delete } else { Operation::Update });
    let what = if row.is_deleted { " deleted" } else { "" };
    let delivery_id = known_by(&row.id, row.last_modified.or(row.system_modstamp), what);
    Some(DeliveredHint { delivery_id, position: 0, hint: Hint::Campaign { campaign_id: row.id, operation } })
}

fn person_hint(row: DepartedPerson) -> DeliveredHint {
    let hint = Hint::SalesforcePerson {
        person_id: row.id.clone(),
        operation: Some(if row.is_deleted { Operation::Delete } else { Operation::Update }),
        master_id: row.master_record_id,
        converted_contact_id: row.converted_contact_id,
    };
    DeliveredHint { delivery_id: known_by(&row.id, row.system_modstamp, ""), position: 0, hint }
}

fn deletion_hint(of: Deletable, id: SalesforceId, at: Timestamp) -> DeliveredHint {
    let delivery_id = known_by(&id, Some(at), " purged");
    let operation = Some(Operation::Delete);
    let hint = match of {
        Deletable::CampaignMember => Hint::CampaignMember {
            member_id: id,
            campaign_id: None,
            person_id: None,
            operation,
            status: None,
            modified_by: None,
            modstamp: None,
        },
        Deletable::Lead | Deletable::Contact => {
            Hint::SalesforcePerson { person_id: id, operation, master_id: None, converted_contact_id: None }
        }
    };
    DeliveredHint { delivery_id, position: 0, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_walk_goes_over_pages_then_campaigns_and_keeps_the_newest_time() {
        let mut walk = Walk::begin(at("2026-11-23T12:00:00Z"));
        assert_eq!(walk.asked(), at("2026-11-23T11:55:00Z"));
        walk.saw([Some(at("2026-11-23T12:07:00Z")), None, Some(at("2026-11-23T12:03:00Z"))].into_iter());
        let campaign: SalesforceId = "7014S00000097HcQAI".parse().unwrap();
        let (walk, state) = walk.go_on(Some("2 url".to_owned()), Some(&campaign), false);
        assert!(state == Progress::More && walk.next.as_deref() == Some("2 url") && walk.after.is_none());
        let (mut walk, state) = walk.go_on(None, Some(&campaign), false);
        assert!(state == Progress::More && walk.next.is_none() && walk.after == Some(campaign));
        walk.saw([Some(at("2026-11-23T12:05:00Z"))].into_iter());
        let (walk, state) = walk.go_on(None, None, true);
        assert!(state == Progress::End);
        assert_eq!(walk, Walk::begin(at("2026-11-23T12:07:00Z")));
        assert_eq!(walk.clone().over(), walk, "a quiet poll stays where it is");
    }

    #[test]
    fn counting_members_is_no_change_of_a_campaign() {
        let row = |last_modified: &str, is_deleted| ChangedCampaign {
            id: "7014S00000097HcQAI".parse().unwrap(),
            is_deleted,
            last_modified: Some(at(last_modified)),
            system_modstamp: Some(at("2026-11-23T12:00:00Z")),
        };
        let since = at("2026-11-23T11:00:00Z");
        assert!(campaign_hint(row("2026-11-23T10:00:00Z", false), since).is_none());
        assert!(campaign_hint(row("2026-11-23T11:30:00Z", false), since).is_some());
        assert!(campaign_hint(row("2026-11-23T10:00:00Z", true), since).is_some());
    }
}
