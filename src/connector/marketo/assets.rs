//! Programs and channels, from the asset API.
//!
//! Owns the reading of program, costs and progression statuses. The asset API leaves `result` out of an empty answer, which
//! is how it says that there is none.
//!
//! Source: Adobe, "Programs", "Channels"; `swagger-asset.json`.

use serde::Deserialize;

use super::super::wire;
use super::super::{Channel, ConnectorError, PROGRAM_PAGE, Program, ProgramStatus};
use super::{MarketoClient, broken, refused_with};
use crate::domain::ids::{ProgramId, SalesforceId};
use crate::domain::one_way::Costs;

/// "No data found", and the other one that a missing asset was seen to give.
const NOT_FOUND: [&str; 2] = ["702", "710"];
/// Most assets in one page.
pub(super) const PAGE: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProgramRow {
    #[serde(deserialize_with = "wire::number")]
    id: i64,
    name: String,
    #[serde(rename = "type")]
    program_type: String,
    channel: String,
    costs: Option<Vec<Cost>>,
    #[serde(default, deserialize_with = "wire::optional_text")]
    sfdc_id: Option<String>,
}

/// One month's cost, whole units.
#[derive(Deserialize)]
struct Cost {
    cost: Option<f64>,
}

impl ProgramRow {
    fn cost(&self) -> Option<f64> {
        let costs = self.costs.as_ref().filter(|costs| !costs.is_empty())?;
        Some(costs.iter().filter_map(|cost| cost.cost).sum())
    }

    pub(super) fn read(self) -> Program {
        let cost = self.cost();
        let normal = |text: String| text.parse::<SalesforceId>().map_or(text, |id| id.to_string());
        Program {
            id: self.id,
            name: self.name,
            program_type: self.program_type.to_lowercase(),
            channel: self.channel,
            cost,
            sfdc_id: self.sfdc_id.map(normal),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChannelRow {
    name: String,
    #[serde(default)]
    progression_statuses: Vec<StatusRow>,
}

#[derive(Deserialize)]
struct StatusRow {
    name: String,
    step: i64,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    success: bool,
}

impl ChannelRow {
    fn read(self) -> Channel {
        // Step 0 stands for absence and is no membership.
        let real = self.progression_statuses.into_iter().filter(|s| s.step != 0 && s.name != super::members::ABSENT);
        let statuses =
            real.map(|StatusRow { name, step, hidden, success }| ProgramStatus { name, step, success, hidden });
        Channel { name: self.name, statuses: statuses.collect() }
    }
}

impl MarketoClient {
    pub(super) async fn read_program(&self, id: ProgramId) -> Result<Option<Program>, ConnectorError> {
        let rows = self.assets::<ProgramRow>("program", &format!("/rest/asset/v1/program/{id}.json"), &[]).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let row = rows.into_iter().find(|row| row.id == id);
        row.map(|row| Some(row.read())).ok_or_else(|| broken(false, "another program was answered"))
    }

    pub(super) async fn read_program_page(&self, page: usize) -> Result<Vec<Program>, ConnectorError> {
        let (most, offset) = (PROGRAM_PAGE.to_string(), (page * PROGRAM_PAGE).to_string());
        let query = [("maxReturn", most.as_str()), ("offset", offset.as_str())];
        let rows = self.assets::<ProgramRow>("programs", "/rest/asset/v1/programs.json", &query).await?;
        Ok(rows.into_iter().map(ProgramRow::read).collect())
    }

    /// Only the call by name is documented to carry costs.
    pub(super) async fn read_program_costs(&self, program: &Program) -> Result<Costs, ConnectorError> {
        if let Some(sum) = program.cost {
            return Ok(Costs::Sum(sum));
        }
        if program.name.contains(',') {
            return Ok(Costs::Unknown);
        }
        let query = [("name", program.name.as_str()), ("includeCosts", "true")];
        let rows = self.assets::<ProgramRow>("program_by_name", "/rest/asset/v1/program/byName.json", &query).await?;
        // Not there by this name: it was renamed at this moment.
        let found = rows.iter().find(|row| row.id == program.id);
        Ok(found.map_or(Costs::Unknown, |row| row.cost().map_or(Costs::None, Costs::Sum)))
    }

    pub(super) async fn read_channel(&self, name: &str) -> Result<Option<Channel>, ConnectorError> {
        let found = if name.contains(',') {
            Vec::new()
        } else {
            let path = "/rest/asset/v1/channel/byName.json";
            match self.assets::<ChannelRow>("channel_by_name", path, &[("name", name)]).await {
                Ok(rows) => rows,
                Err(ConnectorError::Refused { code, .. }) if code != "603" => Vec::new(),
                Err(error) => return Err(error),
            }
        };
        match found.into_iter().find(|row| row.name == name) {
            Some(row) => Ok(Some(row.read())),
            None => self.listed_channel(name).await,
        }
    }

    async fn listed_channel(&self, name: &str) -> Result<Option<Channel>, ConnectorError> {
        for page in 0.. {
            let channels = self.channel_page(page * PAGE).await?;
            let last = channels.len() < PAGE;
            if let Some(channel) = channels.into_iter().find(|channel| channel.name == name) {
                return Ok(Some(channel));
            }
            if last {
                break;
            }
        }
        Ok(None)
    }

    /// The channels from this one on, at most a page.
    pub(super) async fn channel_page(&self, from: usize) -> Result<Vec<Channel>, ConnectorError> {
        let offset = from.to_string();
        let query = [("maxReturn", "200"), ("offset", offset.as_str())];
        let rows = self.assets::<ChannelRow>("channels", "/rest/asset/v1/channels.json", &query).await?;
        Ok(rows.into_iter().map(ChannelRow::read).collect())
    }

    /// The assets that a call found; none where Marketo says so in one of its ways.
    pub(super) async fn assets<T: serde::de::DeserializeOwned>(
        &self,
        endpoint: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ConnectorError> {
        match self.get::<Vec<T>>(endpoint, path, query).await {
            Ok(envelope) => Ok(envelope.result.unwrap_or_default()),
            Err(error) if refused_with(&error, &NOT_FOUND) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
