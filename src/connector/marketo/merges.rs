//! Who was merged into whom, from the activity log.
//!
//! Owns the reading of activity 32. It is logged with the winner and names the losers, so a search by the losers'
//! ids finds nothing: the log is read from a moment on and matched here. Merges are few.
//!
//! Source: Adobe, "Activities", "Paging Tokens".

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::super::ConnectorError;
use super::super::wire;
use super::{MarketoClient, broken};
use crate::domain::ids::MarketoId;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Activity {
    #[serde(deserialize_with = "wire::number")]
    lead_id: i64,
    #[serde(default, deserialize_with = "wire::optional_number")]
    activity_type_id: Option<i64>,
    /// Empty ones are left out by Marketo.
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    name: String,
    value: Value,
}

impl Activity {
    fn losers(&self) -> Vec<MarketoId> {
        let ids = self.attributes.iter().find(|attribute| attribute.name == "Merge IDs").map(|ids| &ids.value);
        // One number, or several in a text; brackets and blanks were seen around them.
        let text = ids.map(ToString::to_string).unwrap_or_default();
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|id| id.parse().ok()).collect()
    }
}

impl MarketoClient {
    pub(super) async fn read_merges(
        &self,
        losers: &[MarketoId],
        since: Timestamp,
    ) -> Result<BTreeMap<MarketoId, MarketoId>, ConnectorError> {
        if losers.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut winners = BTreeMap::new();
        let mut token = self.paging_token(since).await?;
        loop {
            let query = [("nextPageToken", token.as_str()), ("activityTypeIds", "32"), ("batchSize", "300")];
            let page = self.get::<Vec<Activity>>("activities", "/rest/v1/activities.json", &query).await?;
            // A token always comes; only moreResult tells of a further page, and a page on the way may be empty.
            let next = page.next_page_token.clone().filter(|_| page.more_result == Some(true));
            if page.more_result == Some(true) && next.as_ref().is_none_or(|next| *next == token) {
                return Err(broken(false, "there are more activities, but no token to ask for them with"));
            }
            let rows = match (page.result, page.more_result) {
                (Some(rows), _) => rows,
                // The log is the one listing whose pages may be empty on the way, and say whether there is more.
                (None, Some(_)) => Vec::new(),
                (None, None) => return Err(broken(false, "the answer has no result")),
            };
            for activity in rows {
                if activity.activity_type_id.is_none_or(|kind| kind == 32) {
                    winners.extend(activity.losers().into_iter().map(|loser| (loser, activity.lead_id)));
                }
            }
            match next {
                Some(next) => token = next,
                None => return Ok(losers.iter().filter_map(|id| Some((*id, last_winner(&winners, *id)?))).collect()),
            }
        }
    }

    async fn paging_token(&self, since: Timestamp) -> Result<String, ConnectorError> {
        // Without fractions of a second, which Marketo does not read here.
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let path = "/rest/v1/activities/pagingtoken.json";
        let answer = self.get::<Value>("paging_token", path, &[("sinceDatetime", &since)]).await?;
        answer.next_page_token.ok_or_else(|| broken(false, "no paging token"))
    }
}

/// A winner may have lost later.
fn last_winner(winners: &BTreeMap<MarketoId, MarketoId>, loser: MarketoId) -> Option<MarketoId> {
    let mut winner = *winners.get(&loser)?;
    for _ in 0..winners.len() {
        match winners.get(&winner) {
            Some(next) => winner = *next,
            None => return Some(winner),
        }
    }
    None
}
