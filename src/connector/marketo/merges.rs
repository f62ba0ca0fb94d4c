//! Who was merged into whom, from the activity log.
//!
//! Owns the search for the winners of losers that were asked for. Activity 32 is logged with the winner and names the losers, so a
//! search by the losers' ids finds nothing: the log is read from a moment on and matched here. Merges are few.
//!
//! Source: Adobe, "Activities", "Paging Tokens".

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::ConnectorError;
use super::activities::MERGE_LEADS;
use super::{MarketoClient, broken};
use crate::domain::ids::MarketoId;

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
        let mut token = self.read_log_place(since).await?;
        loop {
            let page = self.log_rows(&token, Some(&MERGE_LEADS.to_string())).await?;
            for row in page.rows.iter().filter(|row| row.activity_type_id.is_none_or(|kind| kind == MERGE_LEADS)) {
                winners.extend(row.losers().into_iter().map(|loser| (loser, row.lead_id)));
            }
            if !page.more {
                return Ok(losers.iter().filter_map(|id| Some((*id, last_winner(&winners, *id)?))).collect());
            }
            if page.next == token {
                return Err(broken(false, "there are more activities, but no token to ask for them with"));
            }
            token = page.next;
        }
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
