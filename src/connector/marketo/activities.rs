//! Marketo's activity log: pages by token, and what a row of it says.
//!
//! Owns the reading of types 104 (change of a membership), 32 (merge) and 37 (deletion, a list of its own), and the rule of tokens:
//! one always comes back, and only `moreResult` tells of a further page. A page on the way may be empty.
//!
//! Source: Adobe, "Activities", "Paging Tokens"; attributes after the data stream guide and the samples of "Bulk Activity Extract".

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::super::changes::{Activity, LogPage, MarketoChange, MarketoLog};
use super::super::{ConnectorError, wire};
use super::{MarketoClient, broken};
use crate::domain::ids::MarketoId;

const CHANGE_STATUS_IN_PROGRESSION: i64 = 104;
pub(super) const MERGE_LEADS: i64 = 32;
const DELETE_LEAD: i64 = 37;
/// Step 0 of every channel: not a member.
const NOT_IN_PROGRAM: &str = "Not in Program";

/// A row as it comes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    #[serde(default, rename = "marketoGUID")]
    guid: Value,
    #[serde(deserialize_with = "wire::number")]
    pub lead_id: i64,
    #[serde(default, deserialize_with = "wire::optional_number")]
    pub activity_type_id: Option<i64>,
    #[serde(default, deserialize_with = "wire::optional_number")]
    primary_attribute_value_id: Option<i64>,
    /// Empty ones are left out by Marketo.
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    name: String,
    value: Value,
}

/// Rows and the token that came with them.
pub(super) struct Rows {
    pub rows: Vec<Row>,
    pub next: String,
    pub more: bool,
}

impl Row {
    fn value(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value)
    }

    /// A status; none for "not in program".
    fn status(&self, name: &str) -> Option<String> {
        self.value(name)?.as_str().filter(|status| *status != NOT_IN_PROGRAM && !status.is_empty()).map(str::to_owned)
    }

    pub fn losers(&self) -> Vec<MarketoId> {
        // One number, or several in a text; brackets and blanks were seen around them.
        let text = self.value("Merge IDs").map(ToString::to_string).unwrap_or_default();
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|id| id.parse().ok()).collect()
    }

    /// None for what is of no use: another type, or a membership without a program.
    fn read(self) -> Option<Activity> {
        let change = match self.activity_type_id? {
            CHANGE_STATUS_IN_PROGRESSION => MarketoChange::Member {
                program: self.primary_attribute_value_id?,
                person: self.lead_id,
                old: self.status("Old Status"),
                new: self.status("New Status"),
            },
            MERGE_LEADS => MarketoChange::Merged { winner: self.lead_id, losers: self.losers() },
            DELETE_LEAD => MarketoChange::Deleted { person: self.lead_id },
            _ => return None,
        };
        let guid = match self.guid {
            Value::String(guid) if !guid.is_empty() => Some(guid),
            Value::Number(guid) => Some(guid.to_string()),
            _ => None,
        };
        Some(Activity { guid, change })
    }
}

impl MarketoClient {
    pub(super) async fn read_log_place(&self, since: Timestamp) -> Result<String, ConnectorError> {
        // Without fractions of a second, which Marketo does not read here.
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let path = "/rest/v1/activities/pagingtoken.json";
        let answer = self.get::<Value>("paging_token", path, &[("sinceDatetime", &since)]).await?;
        answer.next_page_token.ok_or_else(|| broken(false, "no paging token"))
    }

    /// A page of the log from a token on; without types the deletions.
    pub(super) async fn log_rows(&self, token: &str, types: Option<&str>) -> Result<Rows, ConnectorError> {
        let (endpoint, path) = match types {
            Some(_) => ("activities", "/rest/v1/activities.json"),
            None => ("deleted_leads", "/rest/v1/activities/deletedleads.json"),
        };
        let mut query = vec![("nextPageToken", token), ("batchSize", "300")];
        query.extend(types.map(|types| ("activityTypeIds", types)));
        let page = self.get::<Vec<Value>>(endpoint, path, &query).await?;
        let more = page.more_result == Some(true);
        let rows = match (page.result, page.more_result) {
            (Some(rows), _) => rows,
            // The log is the one listing whose pages may be empty on the way, and say whether there is more.
            (None, Some(_)) => Vec::new(),
            (None, None) => return Err(broken(false, "the answer has no result")),
        };
        let (rows, unreadable) = wire::readable(rows, serde_json::from_value::<Row>)
            .map_err(|error| broken(false, format!("rows of an unknown form ({error})")))?;
        if unreadable > 0 {
            tracing::warn!(endpoint, unreadable, "rows of the log of Marketo could not be read");
        }
        match page.next_page_token.filter(|token| !token.is_empty()) {
            Some(next) => Ok(Rows { rows, next, more }),
            None => Err(broken(false, "the log came without a token to go on with")),
        }
    }

    async fn log_page(&self, token: &str, types: Option<&str>) -> Result<LogPage, ConnectorError> {
        let Rows { rows, next, more } = self.log_rows(token, types).await?;
        Ok(LogPage { rows: rows.into_iter().filter_map(Row::read).collect(), next, more })
    }
}

#[async_trait]
impl MarketoLog for MarketoClient {
    async fn log_place(&self, since: Timestamp) -> Result<String, ConnectorError> {
        self.read_log_place(since).await
    }

    async fn activities(&self, place: &str) -> Result<LogPage, ConnectorError> {
        self.log_page(place, Some("104,32")).await
    }

    async fn deletions(&self, place: &str) -> Result<LogPage, ConnectorError> {
        self.log_page(place, None).await
    }
}
