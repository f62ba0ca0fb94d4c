//! What a checklist asks of Marketo: whether we are let in, what we may read, and how much is used.
//!
//! Owns the reading of usage, and of programs and channels many at a time. Must not judge what it reads: that is the
//! checklist's.
//!
//! Source: Adobe, "Usage and Errors", "Programs" (browse), "Channels", "Error Codes" (603).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::super::{Channel, ConnectorError, Program, wire};
use super::assets::{PAGE, ProgramRow};
use super::{MarketoClient, refused_with};
use crate::domain::ids::ProgramId;

/// "Access denied": the role lacks a permission, or our address is not on the list.
const ACCESS_DENIED: &[&str] = &["603"];

/// What a role permits to read; named as in Admin > Users & Roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Assets,
    People,
    Activities,
}

impl Permission {
    /// All that this service needs to read.
    pub const ALL: [Self; 3] = [Self::Assets, Self::People, Self::Activities];

    /// As Marketo calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assets => "Read-Only Assets",
            Self::People => "Read-Write Lead",
            Self::Activities => "Read-Only Activity",
        }
    }
}

#[derive(Deserialize)]
struct Day {
    #[serde(deserialize_with = "wire::number")]
    total: i64,
}

impl MarketoClient {
    /// Asks the identity service, whether or not there is a token: credentials that were withdrawn do not show in one that
    /// still lasts. Costs no call of the quota.
    ///
    /// # Errors
    /// `Unauthorized` with what Marketo said.
    pub async fn sign_in_anew(&self) -> Result<(), ConnectorError> {
        let held = self.shared.token.held().await;
        self.shared.token.get(held.as_ref().map(Arc::clone).as_ref(), self.fetch_token()).await.map(drop)
    }

    /// Calls of all integrations since midnight Central.
    ///
    /// # Errors
    /// `QuotaExhausted` when there is none left to ask with.
    pub async fn used_today(&self) -> Result<u64, ConnectorError> {
        let days = self.get::<Vec<Day>>("usage", "/rest/v1/stats/usage.json", &[]).await?.rows()?;
        Ok(days.first().and_then(|day| u64::try_from(day.total).ok()).unwrap_or(0))
    }

    /// Whether our role permits this.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn permits(&self, permission: Permission) -> Result<bool, ConnectorError> {
        let outcome = match permission {
            Permission::Assets => {
                self.get::<Value>("channels", "/rest/asset/v1/channels.json", &[("maxReturn", "1")]).await
            }
            Permission::People => self.get("describe", "/rest/v1/programs/members/describe.json", &[]).await,
            Permission::Activities => {
                let since = self.shared.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let query = [("sinceDatetime", since.as_str())];
                self.get("paging_token", "/rest/v1/activities/pagingtoken.json", &query).await
            }
        };
        match outcome {
            Err(error) if refused_with(&error, ACCESS_DENIED) => Ok(false),
            outcome => outcome.map(|_| true),
        }
    }

    /// Programs by id, 200 to a call; what is not in the answer is not there, or not ours to see. Without costs.
    ///
    /// # Errors
    /// When one of the calls brings nothing.
    pub async fn programs(&self, ids: &[ProgramId]) -> Result<Vec<Program>, ConnectorError> {
        let mut found = Vec::new();
        for ids in ids.chunks(PAGE) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let values = ids.join(",");
            let query = [("filterType", "id"), ("filterValues", values.as_str()), ("maxReturn", "200")];
            let rows = self.assets::<ProgramRow>("programs", "/rest/asset/v1/programs.json", &query).await?;
            found.extend(rows.into_iter().map(ProgramRow::read));
        }
        Ok(found)
    }

    /// Every channel, 200 to a call.
    ///
    /// # Errors
    /// When one of the calls brings nothing.
    pub async fn channels(&self) -> Result<Vec<Channel>, ConnectorError> {
        let mut found = Vec::new();
        loop {
            let page = self.channel_page(found.len()).await?;
            let last = page.len() < PAGE;
            found.extend(page);
            if last {
                return Ok(found);
            }
        }
    }
}
