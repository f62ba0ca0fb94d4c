//! Campaign members: by person, by their own ids, a campaign's a page at a time, and how many there are.
//!
//! Owns what becomes of members that are neither lead nor contact. Organisations that let accounts be members have one field
//! more, which exists nowhere else, so that it is asked for only of rows that can have it.
//!
//! Source: Salesforce, "CampaignMember": `AccountId` with the setting "Accounts as Campaign Members".

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::try_join_all;
use serde::Deserialize;

use super::super::{CampaignMember, ConnectorError, Page};
use super::read::{Rows, texts};
use super::records::{AccountRow, MEMBER, MemberRow};
use super::soql::{ROOM, any_of, quoted, runs};
use super::{SalesforceClient, refused_with};
use crate::domain::ids::SalesforceId;

/// A group of members.
#[derive(Deserialize)]
struct HeldRow {
    #[serde(rename = "Status")]
    status: Option<String>,
    held: u64,
}

impl SalesforceClient {
    pub(super) async fn read_members(
        &self,
        campaigns: &[SalesforceId],
        people: &[SalesforceId],
    ) -> Result<Vec<CampaignMember>, ConnectorError> {
        let (campaigns, people) = (texts(campaigns), texts(people));
        // People share the room that the shorter list leaves, so that each pair is in one query.
        let half = ROOM / 2;
        let mut queries = Vec::new();
        for campaigns in runs(&campaigns, half) {
            for people in runs(&people, half) {
                queries.extend(member_query(campaigns, people, &[("LeadId", "00Q"), ("ContactId", "003")]));
                queries.extend(member_query(campaigns, people, &[("AccountId", "001")]));
                queries.extend(member_query(campaigns, people, &[("Id", "00v")]));
            }
        }
        let queries = queries.into_iter().map(|soql| self.query::<MemberRow>("members", Rows::Living, soql));
        let mut rows: Vec<MemberRow> = try_join_all(queries).await?.into_iter().flatten().collect();
        // A row of a converted lead is found by its lead and by its contact.
        let mut seen = BTreeSet::new();
        rows.retain(|row| seen.insert(row.id.clone()));
        self.as_members(Rows::Living, rows).await
    }

    pub(super) async fn read_members_by_id(&self, ids: &[SalesforceId]) -> Result<Vec<CampaignMember>, ConnectorError> {
        let soql = |condition: &str| format!("SELECT {MEMBER} FROM CampaignMember WHERE {condition}");
        let rows = self.query_in("members_by_id", Rows::All, ("Id", &texts(ids)), soql).await?;
        self.as_members(Rows::All, rows).await
    }

    pub(super) async fn read_member_page(
        &self,
        campaign: &SalesforceId,
        cursor: Option<&str>,
    ) -> Result<Page<CampaignMember>, ConnectorError> {
        let campaign = quoted(campaign.as_str());
        let soql = format!("SELECT {MEMBER} FROM CampaignMember WHERE CampaignId = {campaign} ORDER BY Id");
        let page: Page<MemberRow> = self.page("members_of_campaign", Rows::Living, &soql, cursor).await?;
        let Page { rows, next, total, unreadable } = page;
        Ok(Page { rows: self.as_members(Rows::Living, rows).await?, next, total, unreadable })
    }

    pub(super) async fn read_member_counts(
        &self,
        campaign: &SalesforceId,
    ) -> Result<BTreeMap<String, u64>, ConnectorError> {
        let campaign = quoted(campaign.as_str());
        let soql =
            format!("SELECT Status, COUNT(Id) held FROM CampaignMember WHERE CampaignId = {campaign} GROUP BY Status");
        let rows: Vec<HeldRow> = self.query("member_counts", Rows::Living, soql).await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.status?, row.held))).collect())
    }

    /// Rows as members. Of those that are neither lead nor contact it is asked which account they are; where field security
    /// hides that, their own id has to do.
    pub(super) async fn as_members(
        &self,
        kind: Rows,
        rows: Vec<MemberRow>,
    ) -> Result<Vec<CampaignMember>, ConnectorError> {
        let mut members: Vec<CampaignMember> = rows.into_iter().map(MemberRow::read).collect();
        let nobody: Vec<SalesforceId> =
            members.iter().filter(|member| member.person().is_none()).map(|member| member.id.clone()).collect();
        if nobody.is_empty() {
            return Ok(members);
        }
        let soql = |condition: &str| format!("SELECT Id, AccountId FROM CampaignMember WHERE {condition}");
        let found = self.query_in::<AccountRow, _>("accounts_as_members", kind, ("Id", &texts(&nobody)), soql).await;
        let accounts: HashMap<SalesforceId, SalesforceId> = match found {
            Ok(rows) => rows.into_iter().filter_map(|row| Some((row.id, row.account_id?))).collect(),
            Err(error) if refused_with(&error, "INVALID_FIELD") => HashMap::new(),
            Err(error) => return Err(error),
        };
        for member in members.iter_mut().filter(|member| member.person().is_none()) {
            member.account_id = Some(accounts.get(&member.id).unwrap_or(&member.id).clone());
        }
        Ok(members)
    }
}

/// Memberships by these fields, each for the ids of its prefix; none when there is no such id among the people.
fn member_query(campaigns: &[&str], people: &[&str], by: &[(&str, &str)]) -> Option<String> {
    let of = |prefix: &str| people.iter().copied().filter(|id| id.starts_with(prefix)).collect::<Vec<_>>();
    let conditions: Vec<String> = by
        .iter()
        .map(|(field, prefix)| (field, of(prefix)))
        .filter(|(_, ids)| !ids.is_empty())
        .map(|(field, ids)| any_of(field, &ids))
        .collect();
    let people = conditions.join(" OR ");
    let campaigns = any_of("CampaignId", campaigns);
    let soql = format!("SELECT {MEMBER} FROM CampaignMember WHERE {campaigns} AND ({people})");
    (!conditions.is_empty()).then_some(soql)
}
