//! What changed, as the vendors' own logs tell it: the reads of the pollers.
//!
//! Owns the two traits that a poller asks through, and what a row of a log comes to. A log is walked from a place in it; the place
//! after the last row is what a poller keeps. Must not know what becomes of a row.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{CampaignMember, ConnectorError, Page};
use crate::domain::ids::{MarketoId, PersonType, ProgramId, SalesforceId};

/// A page of Marketo's log. It may be empty although there is more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    pub rows: Vec<Activity>,
    /// Where the log goes on, also at its present end.
    pub next: String,
    /// Whether there are rows behind it already.
    pub more: bool,
}

/// A row of Marketo's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// By which a row that comes again is known.
    pub guid: Option<String>,
    pub change: MarketoChange,
}

/// What happened in Marketo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarketoChange {
    /// A membership changed; none for a status is "not in program". Marketo logs changes to the same status as well.
    Member { program: ProgramId, person: MarketoId, old: Option<String>, new: Option<String> },
    /// People became one.
    Merged { winner: MarketoId, losers: Vec<MarketoId> },
    /// A person was deleted.
    Deleted { person: MarketoId },
}

/// Marketo's activity log.
#[async_trait]
pub trait MarketoLog: Send + Sync {
    /// The place of a moment in the log.
    async fn log_place(&self, since: Timestamp) -> Result<String, ConnectorError>;
    /// Changes of memberships, and merges, from a place on. A place that Marketo does not take is `Refused`.
    async fn activities(&self, place: &str) -> Result<LogPage, ConnectorError>;
    /// Deletions from a place on; Marketo keeps them for 14 days.
    async fn deletions(&self, place: &str) -> Result<LogPage, ConnectorError>;
}

/// A campaign that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedCampaign {
    pub id: SalesforceId,
    pub is_deleted: bool,
    /// By a person or through the API; counting its members is no such change.
    pub last_modified: Option<Timestamp>,
    pub system_modstamp: Option<Timestamp>,
}

/// A lead or contact that is not any more what it was: deleted, merged away or converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartedPerson {
    pub id: SalesforceId,
    pub is_deleted: bool,
    pub master_record_id: Option<SalesforceId>,
    pub converted_contact_id: Option<SalesforceId>,
    pub system_modstamp: Option<Timestamp>,
}

/// What Salesforce keeps a log of deletions of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletable {
    CampaignMember,
    Lead,
    Contact,
}

/// A span of Salesforce's log of deletions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletions {
    /// Who, and when.
    pub rows: Vec<(SalesforceId, Timestamp)>,
    /// Nothing before this is in the log any more.
    pub earliest: Timestamp,
    /// Where the next span begins: transactions that were open are not in this one.
    pub covered: Timestamp,
}

/// Campaigns of one call about changes, so that its address stays below Salesforce's limit of 16,384 bytes.
pub const CAMPAIGNS_AT_ONCE: usize = 400;

/// Changes in Salesforce, by `SystemModstamp`, oldest first, deleted rows included.
#[async_trait]
pub trait SalesforceLog: Send + Sync {
    /// Members of at most [`CAMPAIGNS_AT_ONCE`] campaigns that changed since; `cursor` from the page before.
    async fn changed_members(
        &self,
        campaigns: &[SalesforceId],
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<CampaignMember>, ConnectorError>;
    /// Those of at most [`CAMPAIGNS_AT_ONCE`] campaigns that changed since.
    async fn changed_campaigns(
        &self,
        campaigns: &[SalesforceId],
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<ChangedCampaign>, ConnectorError>;
    /// Leads or contacts that were deleted, merged or converted since.
    async fn departed_people(
        &self,
        person: PersonType,
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<DepartedPerson>, ConnectorError>;
    /// What was deleted between two moments more than a minute apart, what left the recycle bin included. A beginning that is too long
    /// ago is `Refused` with code `INVALID_REPLICATION_DATE`.
    async fn deleted(&self, of: Deletable, from: Timestamp, to: Timestamp) -> Result<Deletions, ConnectorError>;
}
