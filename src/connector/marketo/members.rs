//! Program members: who is in a program, with which status, and the writes.
//!
//! Owns both listings (by person, and whole programs with the persons' fields) and the two member writes.
//!
//! Source: Adobe, "Program Members", "Leads": get leads by program.

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::errors::Write;
use super::super::{ConnectorError, MARKETO_BATCH, MarketoPerson, Page, ProgramMember, RecordResults};
use super::super::{chunk, wire};
use super::envelope::by_person;
use super::people::ADDRESS_ROOM;
use super::{MarketoClient, broken, refused_with};
use crate::domain::ids::{MarketoId, ProgramId};

/// Step 0 of every channel: the status of who is not a member.
pub(super) const ABSENT: &str = "Not in Program";
/// Answered to a filter other than by person in a program of more than 100,000 members.
const TOO_MANY: &str = "1003";
/// `statusName` is not among the fields that come unasked.
const FIELDS: &str = "leadId,programId,statusName,membershipDate,updatedAt";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MemberRow {
    #[serde(deserialize_with = "wire::number")]
    lead_id: i64,
    status_name: Option<String>,
    #[serde(default, deserialize_with = "wire::optional_time")]
    updated_at: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    progression_status: Option<String>,
    #[serde(default, deserialize_with = "wire::optional_time")]
    updated_at: Option<jiff::Timestamp>,
}

/// A member; none for who left, an outage where the status is missing, since a member has one.
fn member(
    lead_id: MarketoId,
    status: Option<String>,
    updated_at: Option<jiff::Timestamp>,
) -> Result<Option<ProgramMember>, ConnectorError> {
    match status.filter(|status| !status.is_empty()) {
        None => Err(broken(false, "a member came without its status")),
        Some(status) if status == ABSENT => Ok(None),
        Some(status) => Ok(Some(ProgramMember { lead_id, status, updated_at })),
    }
}

impl MarketoClient {
    pub(super) async fn read_members(
        &self,
        program: ProgramId,
        people: &[MarketoId],
    ) -> Result<Vec<ProgramMember>, ConnectorError> {
        let ids: Vec<String> = people.iter().map(ToString::to_string).collect();
        let runs = chunk::runs(&ids, MARKETO_BATCH, ADDRESS_ROOM, 3);
        let parts = try_join_all(runs.into_iter().map(|run| self.members_of(program, run.join(",")))).await?;
        parts
            .into_iter()
            .flatten()
            .filter_map(|row| member(row.lead_id, row.status_name, row.updated_at).transpose())
            .collect()
    }

    async fn members_of(&self, program: ProgramId, ids: String) -> Result<Vec<MemberRow>, ConnectorError> {
        let (mut members, mut token) = (Vec::new(), None);
        loop {
            let (page, next) = self.filtered(program, ("leadId", &ids), token.as_deref()).await?;
            members.extend(page);
            match next {
                Some(_) => token = next,
                None => return Ok(members),
            }
        }
    }

    /// One page of the members that a filter lets through, and the token of the next.
    async fn filtered(
        &self,
        program: ProgramId,
        (filter, values): (&str, &str),
        token: Option<&str>,
    ) -> Result<(Vec<MemberRow>, Option<String>), ConnectorError> {
        let path = format!("/rest/v1/programs/{program}/members.json");
        let mut query =
            vec![("filterType", filter), ("filterValues", values), ("fields", FIELDS), ("batchSize", "300")];
        query.extend(token.map(|token| ("nextPageToken", token)));
        let page = self.get::<Vec<MemberRow>>("members", &path, &query).await?;
        let next = page.next(token)?;
        Ok((page.rows()?, next))
    }

    pub(super) async fn count_members(
        &self,
        program: ProgramId,
        status: &str,
        most: u64,
    ) -> Result<Option<u64>, ConnectorError> {
        // The values of a filter are parted by commas, which nothing escapes.
        if status.contains(',') {
            return Ok(None);
        }
        let (mut count, mut token) = (0, None);
        loop {
            let page = self.filtered(program, ("statusName", status), token.as_deref()).await;
            let (rows, next) = match page {
                Err(error) if refused_with(&error, &[TOO_MANY]) => return Ok(None),
                page => page?,
            };
            count += rows.iter().filter(|row| row.status_name.as_deref() == Some(status)).count() as u64;
            match next {
                None => return Ok(Some(count).filter(|count| *count <= most)),
                Some(_) if count >= most => return Ok(None),
                Some(_) => token = next,
            }
        }
    }

    pub(super) async fn read_member_page(
        &self,
        program: ProgramId,
        cursor: Option<&str>,
    ) -> Result<Page<(MarketoPerson, ProgramMember)>, ConnectorError> {
        let path = format!("/rest/v1/leads/programs/{program}.json");
        let mut query = vec![("batchSize", "300")];
        query.extend(cursor.map(|token| ("nextPageToken", token)));
        let envelope = self.with_person_fields("members_of_program", &path, &query).await?;
        let next = envelope.next(cursor)?;
        let (rows, unreadable) = wire::readable(envelope.rows()?, |row| self.listed(row))?;
        if unreadable > 0 {
            tracing::warn!(unreadable, "rows of a listing of Marketo could not be read");
        }
        Ok(Page { rows: rows.into_iter().flatten().collect(), next, total: None, unreadable })
    }

    fn listed(&self, mut row: Map<String, Value>) -> Result<Option<(MarketoPerson, ProgramMember)>, ConnectorError> {
        let membership = row.remove("membership").and_then(|value| serde_json::from_value::<Membership>(value).ok());
        let person = self.person(&row).ok_or_else(|| broken(false, "a person came without an id"))?;
        let Some(Membership { progression_status, updated_at }) = membership else {
            return Err(broken(false, "a member came without its membership"));
        };
        Ok(member(person.id, progression_status, updated_at)?.map(|member| (person, member)))
    }

    pub(super) async fn write_status(
        &self,
        program: ProgramId,
        status: &str,
        people: &[MarketoId],
    ) -> Result<RecordResults<()>, ConnectorError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let path = format!("/rest/v1/programs/{program}/members/status.json");
        let body = json!({ "statusName": status, "input": input(people) });
        by_person(self.post("set_status", &path, &body).await?, people, Write::MarketoStatus)
    }

    pub(super) async fn write_removal(
        &self,
        program: ProgramId,
        people: &[MarketoId],
    ) -> Result<RecordResults<()>, ConnectorError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let path = format!("/rest/v1/programs/{program}/members/delete.json");
        let body = json!({ "input": input(people) });
        by_person(self.post("remove_members", &path, &body).await?, people, Write::MarketoRemove)
    }
}

fn input(people: &[MarketoId]) -> Vec<Value> {
    people.iter().map(|id| json!({ "leadId": id })).collect()
}
