//! The logs of the model vendors: what each tells of, and what not.
//!
//! Marketo logs changes of memberships, but none for those that a merge moves; Salesforce gives each changed row a new time, but none to rows
//! that a merge or a conversion hands over. Pages are small, and Marketo's may be empty on the way.

use async_trait::async_trait;
use campaign_sync::connector::changes::{
    Activity, ChangedCampaign, Deletable, Deletions, DepartedPerson, LogPage, MarketoChange, MarketoLog, SalesforceLog,
};
use campaign_sync::connector::{CampaignMember, ConnectorError, Page, Vendor};
use campaign_sync::domain::ids::{PersonType, SalesforceId};
use jiff::Timestamp;

use super::vendors::page;
use super::world::{World, Worlds};

/// Rows of Marketo's log in one page.
const PAGE: usize = 4;

/// What the vendors remember of what happened.
#[derive(Debug, Default)]
pub struct Logs {
    /// Epoch milliseconds.
    marketo: Vec<(i64, MarketoChange)>,
    /// Rows in the recycle bin.
    bin: Vec<CampaignMember>,
    /// Leads and contacts that were deleted, merged or converted.
    departed: Vec<(i64, SalesforceId)>,
}

impl World {
    pub fn log_marketo(&mut self, change: MarketoChange) {
        self.logs.marketo.push((self.now, change));
    }

    pub fn log_departed(&mut self, person: &SalesforceId) {
        self.logs.departed.push((self.now, person.clone()));
    }

    /// A row that is no more.
    pub fn bury(&mut self, mut row: CampaignMember) {
        row.is_deleted = true;
        row.system_modstamp = Timestamp::from_second(self.now / 1000).ok();
        self.logs.bin.push(row);
    }

    fn log_page(&self, place: &str, deletions: bool) -> LogPage {
        let from: usize = place.parse().unwrap();
        let until = (from + PAGE).min(self.logs.marketo.len());
        let is_deletion = |change: &MarketoChange| matches!(change, MarketoChange::Deleted { .. });
        let numbered = (from..until).zip(&self.logs.marketo[from..until]);
        let rows = numbered.filter(|(_, (_, change))| is_deletion(change) == deletions).map(|(n, (_, change))| {
            // Programs are numbered through all histories, and so are the rows.
            Activity { guid: Some(format!("{}-{n}", self.program)), change: change.clone() }
        });
        LogPage { rows: rows.collect(), next: until.to_string(), more: until < self.logs.marketo.len() }
    }
}

/// Where a row is in the order of its log.
fn place(row: &CampaignMember) -> String {
    format!("{:020}|{}", row.system_modstamp.map_or(0, Timestamp::as_millisecond), row.id)
}

#[async_trait]
impl MarketoLog for Worlds {
    async fn log_place(&self, since: Timestamp) -> Result<String, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| {
            world.logs.marketo.partition_point(|(at, _)| at / 1000 < since.as_second()).to_string()
        })
    }

    async fn activities(&self, place: &str) -> Result<LogPage, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| world.log_page(place, false))
    }

    async fn deletions(&self, place: &str) -> Result<LogPage, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| world.log_page(place, true))
    }
}

#[async_trait]
impl SalesforceLog for Worlds {
    async fn changed_members(
        &self,
        campaigns: &[SalesforceId],
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<CampaignMember>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| {
            let rows = world.members_s.values().chain(&world.logs.bin);
            let changed = |row: &&CampaignMember| {
                campaigns.contains(&row.campaign_id)
                    && row.system_modstamp.is_some_and(|at| at.as_second() >= since.as_second())
            };
            let mut rows: Vec<_> = rows.filter(changed).cloned().collect();
            rows.sort_by_key(place);
            // A locator goes on after the last row, whatever moves meanwhile: a row that is changed takes no other's place.
            rows.retain(|row| cursor.is_none_or(|cursor| place(row).as_str() > cursor));
            let last = rows.get(PAGE - 1).filter(|_| rows.len() > PAGE).map(place);
            rows.truncate(PAGE);
            Page { rows, next: last, total: None, unreadable: 0 }
        })
    }

    async fn changed_campaigns(
        &self,
        _: &[SalesforceId],
        _: Timestamp,
        _: Option<&str>,
    ) -> Result<Page<ChangedCampaign>, ConnectorError> {
        Ok(Page { rows: Vec::new(), next: None, total: Some(0), unreadable: 0 })
    }

    async fn departed_people(
        &self,
        person: PersonType,
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<DepartedPerson>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| {
            let departed = world
                .logs
                .departed
                .iter()
                .filter(|(at, id)| at / 1000 >= since.as_second() && PersonType::of(id) == Some(person));
            let row = |(at, id): &(i64, SalesforceId)| DepartedPerson {
                id: id.clone(),
                is_deleted: world.people_s[id].deleted,
                master_record_id: world.people_s[id].master.clone(),
                converted_contact_id: world.people_s[id].contact.clone(),
                system_modstamp: Timestamp::from_second(at / 1000).ok(),
            };
            page(departed.map(row).collect(), cursor)
        })
    }

    async fn deleted(&self, of: Deletable, from: Timestamp, to: Timestamp) -> Result<Deletions, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| {
            let covered = Timestamp::from_second(to.as_second() - to.as_second().rem_euclid(60)).unwrap();
            let within = |at: &Timestamp| (from..covered).contains(at);
            let rows: Vec<_> = match of {
                Deletable::CampaignMember => {
                    let rows = world.logs.bin.iter().map(|row| (row.id.clone(), row.system_modstamp.unwrap()));
                    rows.filter(|(_, at)| within(at)).collect()
                }
                Deletable::Lead | Deletable::Contact => Vec::new(),
            };
            Deletions { rows, earliest: from, covered }
        })
    }
}
