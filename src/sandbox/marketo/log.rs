//! The activity log: append only, in order of time.
//!
//! Owns the rows and their attributes. Must not know how a client pages through them.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::envelope::lead_date;
use super::visited::Visited;

/// Activity type ids, as verified in public clients.
pub mod kind {
    pub const NEW_LEAD: i64 = 12;
    pub const CHANGE_DATA_VALUE: i64 = 13;
    pub const MERGE_LEADS: i64 = 32;
    pub const DELETE_LEAD: i64 = 37;
    pub const REQUEST_CAMPAIGN: i64 = 47;
    pub const CHANGE_STATUS_IN_PROGRESSION: i64 = 104;
    pub const CALL_WEBHOOK: i64 = 110;
    pub const CHANGE_PROGRAM_MEMBER_DATA: i64 = 123;
    pub const PUSH_LEAD: i64 = 145;
}

/// Types of activity by id and name, with their primary attribute and the others, after the vendor's table for its data stream. Those
/// without a constant in [`kind`] belong to the native sync and to flows that are not emulated; they are listed and never written.
pub const TYPES: [(i64, &str, &str, &[&str]); 22] = [
    (kind::NEW_LEAD, "New Lead", "", &["Created Date", "Source Type"]),
    (
        kind::CHANGE_DATA_VALUE,
        "Change Data Value",
        "Attribute Name",
        &["Reason", "New Value", "Old Value", "Source", "Campaign", "Channel"],
    ),
    (19, "Sync Lead to SFDC", "", &["Assign To", "Campaign"]),
    (21, "Convert Lead", "", &["Assign To", "Converted Status", "Send Notification Email", "Campaign"]),
    (24, "Add to List", "List ID", &["Campaign"]),
    (25, "Remove from List", "List ID", &["Campaign"]),
    (28, "Sync Lead Updates to SFDC", "", &[]),
    (29, "Delete Lead from SFDC", "", &["Delete in Marketo"]),
    (31, "SFDC Merge Leads", "", &["Merged", "Winning Values"]),
    (kind::MERGE_LEADS, "Merge Leads", "Lead ID", &["Merge IDs", "Merge Fields"]),
    (kind::DELETE_LEAD, "Delete Lead", "Lead ID", &[]),
    (42, "Add to SFDC Campaign", "Campaign ID", &["Status"]),
    (43, "Remove from SFDC Campaign", "Campaign ID", &["Status"]),
    (44, "Change Status in SFDC Campaign", "Campaign ID", &["Old Status", "New Status"]),
    (kind::REQUEST_CAMPAIGN, "Request Campaign", "Campaign ID", &["Source"]),
    (100, "Change Lead Partition", "New Partition ID", &["Old Partition ID", "Reason"]),
    (
        kind::CHANGE_STATUS_IN_PROGRESSION,
        "Change Status in Progression",
        "Program ID",
        &[
            "Acquired By",
            "New Status",
            "New Status ID",
            "Old Status",
            "Old Status ID",
            "Program Member ID",
            "Reason",
            "Success",
        ],
    ),
    (kind::CALL_WEBHOOK, "Call Webhook", "Webhook", &["Error Type", "Response"]),
    (113, "Add to Nurture", "Program ID", &["Track ID"]),
    (114, "Change Nurture Track", "Program ID", &["New Track ID", "Previous Track ID"]),
    (
        kind::CHANGE_PROGRAM_MEMBER_DATA,
        "Change Program Member Data",
        "Program ID",
        &["Attribute Name", "Attribute Display Name", "New Value", "Old Value", "Reason", "Source", "Campaign"],
    ),
    (kind::PUSH_LEAD, "Push Lead to Marketo", "Program ID", &["Reason", "Source"]),
];

/// One activity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Activity {
    /// Number in the log, from 1; id and GUID on the wire.
    pub id: i64,
    /// When.
    pub date: Timestamp,
    /// What, see [`kind`].
    pub kind: i64,
    /// Whose.
    pub lead_id: i64,
    /// Smart campaign that caused it.
    pub campaign_id: Option<i64>,
    /// Id of the primary asset: the program for 104.
    pub primary_id: Option<i64>,
    /// Its name.
    pub primary: String,
    /// Attributes; empty ones are left out on the wire.
    pub attributes: Vec<(Cow<'static, str>, Value)>,
}

impl Activity {
    /// The row as REST shows it.
    #[must_use]
    pub fn as_json(&self, with_id: bool) -> Value {
        let attributes: Vec<Value> = self
            .attributes
            .iter()
            .filter(|(_, value)| !value.is_null() && value.as_str() != Some(""))
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let mut row = serde_json::Map::new();
        if with_id {
            row.insert("id".into(), self.id.into());
        }
        row.insert("marketoGUID".into(), self.id.to_string().into());
        row.insert("leadId".into(), self.lead_id.into());
        row.insert("activityDate".into(), lead_date(self.date).into());
        row.insert("activityTypeId".into(), self.kind.into());
        if let Some(campaign) = self.campaign_id {
            row.insert("campaignId".into(), campaign.into());
        }
        if let Some(primary) = self.primary_id {
            row.insert("primaryAttributeValueId".into(), primary.into());
        }
        if !self.primary.is_empty() {
            row.insert("primaryAttributeValue".into(), self.primary.as_str().into());
        }
        row.insert("attributes".into(), attributes.into());
        Value::Object(row)
    }
}

/// The log of a subscription.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Log {
    rows: Vec<Activity>,
    #[serde(skip)]
    visited: Visited,
}

impl Log {
    /// Appends a row and gives it the next number. A clock that went back is not followed.
    pub fn append(&mut self, mut activity: Activity) {
        activity.id = i64::try_from(self.rows.len()).unwrap_or(i64::MAX - 1) + 1;
        if let Some(last) = self.rows.last() {
            activity.date = activity.date.max(last.date);
        }
        self.rows.push(activity);
    }

    /// Rows from a position on.
    #[must_use]
    pub fn from(&self, position: i64) -> &[Activity] {
        usize::try_from(position).ok().and_then(|start| self.rows.get(start..)).unwrap_or_default()
    }

    /// Counts rows that a call has looked at.
    pub fn visit(&self, rows: usize) {
        self.visited.add(rows);
    }

    /// How many rows were looked at so far.
    #[must_use]
    pub fn visited(&self) -> u64 {
        self.visited.count()
    }

    /// The position of the first row at or after a time; times on the wire have whole seconds.
    #[must_use]
    pub fn position_at(&self, since: Timestamp) -> i64 {
        let at = self.rows.partition_point(|row| row.date.as_second() < since.as_second());
        i64::try_from(at).unwrap_or(i64::MAX)
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing ever happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
