//! The statuses of campaigns that flow actions name, kept for a minute: a step in Marketo asks once for each person, and each
//! question to Salesforce is a call.
//!
//! A status that is not among those kept is asked for again before it is refused; one that is, and has been taken away since, is
//! refused by the worker, which reads the statuses each time that it writes. So what is kept can be old, and never wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::ApiState;
use super::super::refusal::{Answer, Refusal};
use crate::domain::ids::SalesforceId;

const KEPT: Duration = Duration::from_secs(60);
/// Campaigns kept; beyond it all are forgotten.
const MOST: usize = 1000;

/// A campaign as it was read.
#[derive(Clone, Debug)]
pub(in crate::http) struct Known {
    pub(super) name: String,
    /// In sort order.
    pub(super) statuses: Vec<String>,
    /// On the monotonic clock.
    read_at: Duration,
}

/// What was read within the last minute; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct KnownCampaigns(Arc<Mutex<HashMap<SalesforceId, Known>>>);

impl KnownCampaigns {
    /// A campaign with its statuses; read, unless it was lately and has the status that is asked for.
    pub(super) async fn campaign(&self, api: &ApiState, id: &SalesforceId, status: Option<&str>) -> Answer<Known> {
        let now = api.store.clock().monotonic();
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let fits = |known: &Known| {
            let has = |status: &str| known.statuses.iter().any(|name| name == status);
            now.saturating_sub(known.read_at) < KEPT && status.is_none_or(has)
        };
        if let Some(known) = kept.filter(fits) {
            return Ok(known);
        }
        let Some(campaign) = api.salesforce.campaigns(std::slice::from_ref(id)).await?.pop() else {
            let detail = format!("Salesforce has no campaign {id}, or our user does not see it");
            return Err(Refusal::new(422, "unknown-campaign", "Unknown campaign", detail));
        };
        let statuses = campaign.statuses.into_iter().map(|status| status.label).collect();
        let known = Known { name: campaign.name, statuses, read_at: now };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(id.clone(), known.clone());
        Ok(known)
    }
}
