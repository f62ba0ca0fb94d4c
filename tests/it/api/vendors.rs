//! Two vendors made of tables: what a mapping asks of them, and nothing that it may not do.
//!
//! Every write is refused, since making a mapping writes nothing at the vendors.

use std::collections::BTreeMap;

use async_trait::async_trait;
use campaign_sync::connector::{
    Campaign, CampaignMember, CampaignMemberStatus, Channel, ConnectorError, ListedCampaign, Marketo, MarketoPerson,
    NewCampaign, NewLead, NewMember, NewPerson, PROGRAM_PAGE, Page, PersonKey, Program, ProgramMember, ProgramStatus,
    RecordResults, Salesforce, SalesforceIdentity, SalesforcePerson, Vendor,
};
use campaign_sync::domain::ids::{MarketoId, ProgramId, SalesforceId};
use campaign_sync::domain::one_way::{CampaignChange, CampaignFields, Costs};
use campaign_sync::domain::provision::{NewStatus, StatusChange};
use jiff::Timestamp;

/// Program whose read fails because Marketo is down.
pub const DOWN: ProgramId = 1503;
/// Program whose read Marketo refuses.
pub const REFUSED: ProgramId = 1502;

/// Programs in the listing.
pub const LISTED: usize = 2 * PROGRAM_PAGE + 7;

pub struct Tables;

/// Id, type, channel, whether Marketo's own sync has it.
const PROGRAMS: [(ProgramId, &str, &str, bool); 8] = [
    (1044, "event", "Webinar", false),
    (1045, "default", "Webinar", false),
    (1046, "engagement", "Webinar", false),
    (1047, "default", "Webinar", true),
    (1048, "default", "Gone", false),
    (1049, "default", "Old", false),
    (1050, "event", "Seminar", false),
    (1051, "default", "Twins", false),
];

fn refused<T>() -> Result<T, ConnectorError> {
    let (code, message) = ("610".to_owned(), "Requested resource not found".to_owned());
    Err(ConnectorError::Refused { vendor: Vendor::Marketo, code, message })
}

fn down<T>() -> Result<T, ConnectorError> {
    let detail = "502 Bad Gateway".to_owned();
    Err(ConnectorError::Unavailable { vendor: Vendor::Marketo, detail, retry_after: None, sent: false })
}

#[async_trait]
impl Marketo for Tables {
    async fn program(&self, id: ProgramId) -> Result<Option<Program>, ConnectorError> {
        match id {
            DOWN => return down(),
            REFUSED => return refused(),
            _ => {}
        }
        let found = PROGRAMS.into_iter().find(|(program, ..)| *program == id);
        Ok(found.map(|(id, kind, channel, native)| Program {
            id,
            name: format!("Program {id}"),
            program_type: kind.to_owned(),
            channel: channel.to_owned(),
            cost: None,
            sfdc_id: native.then(|| campaign('9')),
        }))
    }

    async fn program_page(&self, page: usize) -> Result<Vec<Program>, ConnectorError> {
        // A listing of three pages, the last of which is not full.
        let numbers = (page * PROGRAM_PAGE..LISTED.min((page + 1) * PROGRAM_PAGE)).map(|n| 1044 + n as ProgramId);
        let program = |id: ProgramId| Program {
            id,
            name: format!("Program {id}"),
            program_type: "default".to_owned(),
            channel: "Webinar".to_owned(),
            cost: None,
            sfdc_id: None,
        };
        Ok(numbers.map(program).collect())
    }

    async fn program_costs(&self, _: &Program) -> Result<Costs, ConnectorError> {
        Ok(Costs::None)
    }

    async fn channel(&self, name: &str) -> Result<Option<Channel>, ConnectorError> {
        let status = |name: &str, step, hidden| ProgramStatus {
            name: name.trim_end_matches('+').to_owned(),
            step,
            success: name.ends_with('+'),
            hidden,
        };
        let statuses = match name {
            "Webinar" => {
                vec![status("Invited", 10, false), status("Registered", 20, false), status("Attended", 30, false)]
            }
            "Old" => vec![status("Invited", 10, false), status("Waved", 15, true), status("Attended", 30, false)],
            "Seminar" => vec![
                status("Invited", 10, false),
                status("Signed up", 20, false),
                status("No Show", 30, false),
                status("Attended+", 30, false),
            ],
            "Twins" => vec![status("Invited", 10, false), status("invited", 20, false)],
            _ => return Ok(None),
        };
        Ok(Some(Channel { name: name.to_owned(), statuses }))
    }

    async fn members(&self, _: ProgramId, _: &[MarketoId]) -> Result<Vec<ProgramMember>, ConnectorError> {
        refused()
    }

    async fn member_page(
        &self,
        _: ProgramId,
        _: Option<&str>,
    ) -> Result<Page<(MarketoPerson, ProgramMember)>, ConnectorError> {
        refused()
    }

    async fn member_count(&self, _: ProgramId, status: &str, most: u64) -> Result<Option<u64>, ConnectorError> {
        let held = match status {
            "Invited" => 25_000,
            "Registered" | "Signed up" => 12,
            "Attended" => return down(),
            _ => 0,
        };
        Ok(Some(held).filter(|held| *held <= most))
    }

    async fn people(&self, _: &[MarketoId]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        refused()
    }

    async fn people_by(&self, _: PersonKey, _: &[String]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        refused()
    }

    async fn merges(&self, _: &[MarketoId], _: Timestamp) -> Result<BTreeMap<MarketoId, MarketoId>, ConnectorError> {
        refused()
    }

    async fn set_status(&self, _: ProgramId, _: &str, _: &[MarketoId]) -> Result<RecordResults<()>, ConnectorError> {
        refused()
    }

    async fn remove_members(&self, _: ProgramId, _: &[MarketoId]) -> Result<RecordResults<()>, ConnectorError> {
        refused()
    }

    async fn create_people(&self, _: &[NewPerson]) -> Result<RecordResults<MarketoId>, ConnectorError> {
        refused()
    }
}

/// Id of one of the campaigns, by its last digit; `0` does not exist.
pub fn campaign(digit: char) -> String {
    format!("7015g000000000{digit}").parse::<SalesforceId>().unwrap().to_string()
}

#[async_trait]
impl Salesforce for Tables {
    async fn identity(&self) -> Result<SalesforceIdentity, ConnectorError> {
        refused()
    }

    async fn campaigns_like(
        &self,
        text: &str,
        before: Option<&SalesforceId>,
        limit: usize,
    ) -> Result<Vec<ListedCampaign>, ConnectorError> {
        if text == "down" {
            return down();
        }
        let listed = |digit: char| ListedCampaign {
            id: campaign(digit).parse().unwrap(),
            name: format!("Campaign {digit}"),
            is_active: digit != '2',
            campaign_type: (digit == '1').then(|| "Webinar".to_owned()),
        };
        let found = ('1'..='7').rev().map(listed);
        let found = found.filter(|c| c.name.to_lowercase().contains(text) && before.is_none_or(|id| c.id < *id));
        Ok(found.take(limit).collect())
    }

    async fn campaigns(&self, ids: &[SalesforceId]) -> Result<Vec<Campaign>, ConnectorError> {
        let labels: [(char, &[&str]); 7] = [
            ('1', &["Invited", "Registered", "Attended"]),
            ('2', &["Invited", "registered", "Attended", "Sent"]),
            ('3', &["Sent", "Responded"]),
            ('4', &["Invited", "Attended"]),
            ('5', &["Invited", "Registered", "Attended"]),
            ('6', &["invited", "RSVP'd", "Did not attend", "Showed up+", "Partner"]),
            ('7', &["Invited+", "Registered", "Attended", "Signed up", "No Show"]),
        ];
        let found = labels.into_iter().filter(|(digit, _)| ids.iter().any(|id| id.as_str() == campaign(*digit)));
        Ok(found
            .map(|(digit, labels)| Campaign {
                id: campaign(digit).parse().unwrap(),
                name: format!("Campaign {digit}"),
                is_active: true,
                campaign_type: None,
                actual_cost: None,
                statuses: labels
                    .iter()
                    .zip(1..)
                    .map(|(label, sort_order)| CampaignMemberStatus {
                        id: format!("01Y5g0000000{digit}{sort_order:02}").parse().unwrap(),
                        label: label.trim_end_matches('+').to_owned(),
                        has_responded: label.ends_with('+'),
                        is_default: sort_order == 1,
                        sort_order,
                    })
                    .collect(),
            })
            .collect())
    }

    async fn members(&self, _: &[SalesforceId], _: &[SalesforceId]) -> Result<Vec<CampaignMember>, ConnectorError> {
        refused()
    }

    async fn members_by_id(&self, _: &[SalesforceId]) -> Result<Vec<CampaignMember>, ConnectorError> {
        refused()
    }

    async fn member_page(&self, _: &SalesforceId, _: Option<&str>) -> Result<Page<CampaignMember>, ConnectorError> {
        refused()
    }

    async fn member_counts(&self, id: &SalesforceId) -> Result<BTreeMap<String, u64>, ConnectorError> {
        if id.as_str() == campaign('3') {
            return down();
        }
        Ok([("registered", 3), ("RSVP'd", 11), ("invited", 24_000)]
            .map(|(label, held)| (label.to_owned(), held))
            .into())
    }

    async fn people(&self, _: &[SalesforceId]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        refused()
    }

    async fn people_by_email(&self, _: &[String]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        refused()
    }

    async fn people_by_external_id(&self, _: &[String]) -> Result<Vec<(String, SalesforcePerson)>, ConnectorError> {
        refused()
    }

    async fn leads_created(&self, _: Timestamp) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        refused()
    }

    async fn guards_leads(&self) -> Result<bool, ConnectorError> {
        Ok(false)
    }

    async fn create_leads(&self, _: &[NewLead]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        refused()
    }

    async fn create_members(&self, _: &[NewMember]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        refused()
    }

    async fn update_members(&self, _: &[(SalesforceId, String)]) -> Result<RecordResults<()>, ConnectorError> {
        refused()
    }

    async fn delete_members(&self, _: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError> {
        refused()
    }

    async fn campaign_fields(&self) -> Result<CampaignFields, ConnectorError> {
        Ok(CampaignFields::default())
    }

    async fn campaigns_named(&self, name: &str) -> Result<Vec<SalesforceId>, ConnectorError> {
        Ok(if name == "Taken" { vec![campaign('5').parse().unwrap()] } else { Vec::new() })
    }

    async fn campaigns_created(&self, _: Timestamp) -> Result<Vec<(SalesforceId, String)>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn create_campaign(&self, _: &NewCampaign) -> Result<SalesforceId, ConnectorError> {
        refused()
    }

    async fn update_campaign(&self, _: &SalesforceId, _: &CampaignChange) -> Result<(), ConnectorError> {
        refused()
    }

    async fn create_statuses(
        &self,
        _: &SalesforceId,
        _: &[NewStatus],
    ) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        refused()
    }

    async fn update_statuses(&self, _: &[StatusChange]) -> Result<RecordResults<()>, ConnectorError> {
        refused()
    }

    async fn delete_statuses(&self, _: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError> {
        refused()
    }
}
