//! Both vendors as generators: person `n` is a lead in Salesforce and a person in Marketo who knows it; nothing is kept but statuses.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use campaign_sync::connector::{
    Campaign, CampaignMember, CampaignMemberStatus, Channel, ConnectorError, ListedCampaign, Marketo, MarketoPerson,
    NewCampaign, NewLead, NewMember, NewPerson, Page, PersonKey, Program, ProgramMember, ProgramStatus, RecordResults,
    Salesforce, SalesforceIdentity, SalesforcePerson,
};
use campaign_sync::domain::ids::{MarketoId, PersonType, ProgramId, SalesforceId};
use campaign_sync::domain::one_way::{CampaignChange, CampaignFields, Costs};
use campaign_sync::domain::provision::{NewStatus, StatusChange};
use jiff::Timestamp;

use super::reconcile::{Calls, Counted, Side, held};

pub const PROGRAM: i64 = 1_044;
pub const CAMPAIGN: &str = "701000000000001";
pub const STATUSES: [(&str, i64); 3] = [("Invited", 10), ("Registered", 20), ("Attended", 30)];
const US: &str = "005000000000001";
/// As the vendors page.
const SALESFORCE_PAGE: usize = 2_000;
const MARKETO_PAGE: usize = 300;

pub struct Generated {
    pub marketo: Side,
    pub salesforce: Side,
    counted: Counted,
}

fn id(prefix: &str, n: usize) -> SalesforceId {
    format!("{prefix}{n:012}").parse().unwrap()
}

fn number(id: &SalesforceId) -> usize {
    id.as_str()[3..15].parse().unwrap()
}

fn place(status: &str) -> Option<u8> {
    STATUSES.iter().position(|(name, _)| *name == status).and_then(|n| u8::try_from(n).ok())
}

fn marketo_id(n: usize) -> MarketoId {
    i64::try_from(n).unwrap() + 1
}

fn of_marketo(id: MarketoId) -> usize {
    usize::try_from(id - 1).unwrap()
}

fn email(n: usize) -> Option<String> {
    Some(format!("person{n}@example.com"))
}

fn row(n: usize, status: u8) -> CampaignMember {
    CampaignMember {
        id: id("00v", n),
        campaign_id: CAMPAIGN.parse().unwrap(),
        lead_id: Some(id("00Q", n)),
        account_id: None,
        contact_id: None,
        status: STATUSES[usize::from(status)].0.to_owned(),
        is_deleted: false,
        last_modified_by: None,
        system_modstamp: Timestamp::from_second(1_795_000_000).ok(),
        email: email(n),
    }
}

fn lead(n: usize) -> SalesforcePerson {
    SalesforcePerson {
        id: id("00Q", n),
        person_type: PersonType::Lead,
        email: email(n),
        first_name: Some("First".to_owned()),
        last_name: Some(format!("Last{n}")),
        company: None,
        is_deleted: false,
        master_record_id: None,
        converted_contact_id: None,
        created_by: None,
        created_at: None,
    }
}

fn person(n: usize) -> MarketoPerson {
    MarketoPerson {
        id: marketo_id(n),
        email: email(n),
        first_name: Some("First".to_owned()),
        last_name: Some(format!("Last{n}")),
        company: None,
        salesforce_lead_id: Some(id("00Q", n)),
        salesforce_contact_id: None,
    }
}

fn by_email(text: &str) -> usize {
    text.trim_start_matches("person").split('@').next().unwrap().parse().unwrap()
}

impl Generated {
    /// Everybody is a member of both, with one status.
    pub fn new(members: usize) -> Self {
        let all = vec![Some(0); members];
        Self { marketo: Mutex::new(all.clone()), salesforce: Mutex::new(all), counted: Counted::default() }
    }

    pub fn tally(&self) -> Calls {
        self.counted.so_far()
    }

    /// Of each thousand one differs: raised or removed, on one side or the other.
    pub fn differ(&self) -> usize {
        let (mut marketo, mut salesforce) = (self.marketo.lock().unwrap(), self.salesforce.lock().unwrap());
        let mut changed = 0;
        for n in (500..marketo.len()).step_by(1_000) {
            changed += 1;
            match changed % 10 {
                0 => marketo[n] = None,
                5 => salesforce[n] = None,
                even if even % 2 == 0 => marketo[n] = Some(2),
                _ => salesforce[n] = Some(2),
            }
        }
        changed
    }

    fn page<T>(side: &Side, cursor: Option<&str>, size: usize, one: impl Fn(usize, u8) -> T) -> Page<T> {
        let side = side.lock().unwrap();
        let from: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let mut rows = Vec::with_capacity(size);
        let mut at = from;
        while at < side.len() && rows.len() < size {
            rows.extend(side[at].map(|status| one(at, status)));
            at += 1;
        }
        Page { rows, next: (at < side.len()).then(|| at.to_string()), total: None, unreadable: 0 }
    }

    fn set(side: &Side, n: usize, status: Option<&str>) {
        side.lock().unwrap()[n] = status.map(|status| place(status).unwrap());
    }
}

#[async_trait]
impl Marketo for Generated {
    async fn program(&self, id: ProgramId) -> Result<Option<Program>, ConnectorError> {
        Ok(Some(Program {
            id,
            name: "Many".to_owned(),
            program_type: "event".to_owned(),
            channel: "Webinar".to_owned(),
            cost: None,
            sfdc_id: None,
        }))
    }

    async fn program_page(&self, _: usize) -> Result<Vec<Program>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn program_costs(&self, _: &Program) -> Result<Costs, ConnectorError> {
        Ok(Costs::None)
    }

    async fn channel(&self, name: &str) -> Result<Option<Channel>, ConnectorError> {
        let status = |(name, step): (&str, i64)| ProgramStatus {
            name: name.to_owned(),
            step,
            success: step == 30,
            hidden: false,
        };
        Ok(Some(Channel { name: name.to_owned(), statuses: STATUSES.map(status).to_vec() }))
    }

    async fn members(&self, _: ProgramId, people: &[MarketoId]) -> Result<Vec<ProgramMember>, ConnectorError> {
        Ok(self.counted.call(|| {
            let side = self.marketo.lock().unwrap();
            let member = |id: &MarketoId| {
                let status = STATUSES[usize::from(side[of_marketo(*id)]?)].0.to_owned();
                Some(ProgramMember { lead_id: *id, status, updated_at: None })
            };
            people.iter().filter_map(member).collect()
        }))
    }

    async fn member_page(
        &self,
        _: ProgramId,
        cursor: Option<&str>,
    ) -> Result<Page<(MarketoPerson, ProgramMember)>, ConnectorError> {
        let one = |n: usize, status: u8| {
            let status = STATUSES[usize::from(status)].0.to_owned();
            (person(n), ProgramMember { lead_id: marketo_id(n), status, updated_at: None })
        };
        Ok(self.counted.page(|| Self::page(&self.marketo, cursor, MARKETO_PAGE, one)))
    }

    async fn member_count(&self, _: ProgramId, _: &str, _: u64) -> Result<Option<u64>, ConnectorError> {
        Ok(None)
    }

    async fn people(&self, ids: &[MarketoId]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        Ok(self.counted.call(|| ids.iter().map(|id| person(of_marketo(*id))).collect()))
    }

    async fn people_by(&self, key: PersonKey, values: &[String]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        Ok(self.counted.call(|| match key {
            PersonKey::Email => values.iter().map(|value| person(by_email(value))).collect(),
            PersonKey::SalesforceLead => values.iter().map(|value| person(number(&value.parse().unwrap()))).collect(),
            PersonKey::SalesforceContact => Vec::new(),
        }))
    }

    async fn merges(&self, _: &[MarketoId], _: Timestamp) -> Result<BTreeMap<MarketoId, MarketoId>, ConnectorError> {
        Ok(BTreeMap::new())
    }

    async fn set_status(
        &self,
        _: ProgramId,
        status: &str,
        people: &[MarketoId],
    ) -> Result<RecordResults<()>, ConnectorError> {
        Ok(self.counted.write(|| {
            people
                .iter()
                .map(|id| {
                    Self::set(&self.marketo, of_marketo(*id), Some(status));
                    Ok(())
                })
                .collect()
        }))
    }

    async fn remove_members(&self, _: ProgramId, people: &[MarketoId]) -> Result<RecordResults<()>, ConnectorError> {
        Ok(self.counted.write(|| {
            people
                .iter()
                .map(|id| {
                    Self::set(&self.marketo, of_marketo(*id), None);
                    Ok(())
                })
                .collect()
        }))
    }

    async fn create_people(&self, _: &[NewPerson]) -> Result<RecordResults<MarketoId>, ConnectorError> {
        unreachable!("everybody is known to both")
    }
}

#[async_trait]
impl Salesforce for Generated {
    async fn identity(&self) -> Result<SalesforceIdentity, ConnectorError> {
        Ok(SalesforceIdentity { user_id: US.parse().unwrap(), organization_id: id("00D", 1) })
    }

    async fn campaigns_like(
        &self,
        _: &str,
        _: Option<&SalesforceId>,
        _: usize,
    ) -> Result<Vec<ListedCampaign>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn campaigns(&self, ids: &[SalesforceId]) -> Result<Vec<Campaign>, ConnectorError> {
        let status = |(label, step): (&str, i64)| CampaignMemberStatus {
            id: id("01Y", usize::try_from(step).unwrap()),
            label: label.to_owned(),
            has_responded: step == 30,
            is_default: step == 10,
            sort_order: step,
        };
        let campaign = |id: &SalesforceId| Campaign {
            id: id.clone(),
            name: "Many".to_owned(),
            is_active: true,
            campaign_type: Some("Webinar".to_owned()),
            actual_cost: None,
            statuses: STATUSES.map(status).to_vec(),
        };
        Ok(ids.iter().map(campaign).collect())
    }

    async fn members(
        &self,
        _: &[SalesforceId],
        people: &[SalesforceId],
    ) -> Result<Vec<CampaignMember>, ConnectorError> {
        self.members_by_id(people).await
    }

    async fn members_by_id(&self, ids: &[SalesforceId]) -> Result<Vec<CampaignMember>, ConnectorError> {
        Ok(self.counted.call(|| {
            let side = self.salesforce.lock().unwrap();
            ids.iter().map(number).filter_map(|n| Some(row(n, side[n]?))).collect()
        }))
    }

    async fn member_page(
        &self,
        _: &SalesforceId,
        cursor: Option<&str>,
    ) -> Result<Page<CampaignMember>, ConnectorError> {
        Ok(self.counted.page(|| Self::page(&self.salesforce, cursor, SALESFORCE_PAGE, row)))
    }

    async fn member_counts(&self, _: &SalesforceId) -> Result<BTreeMap<String, u64>, ConnectorError> {
        Ok(held(&self.salesforce))
    }

    async fn people(&self, ids: &[SalesforceId]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        Ok(self.counted.call(|| ids.iter().map(|id| lead(number(id))).collect()))
    }

    async fn people_by_email(&self, emails: &[String]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        Ok(self.counted.call(|| emails.iter().map(|text| lead(by_email(text))).collect()))
    }

    async fn people_by_external_id(&self, _: &[String]) -> Result<Vec<(String, SalesforcePerson)>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn leads_created(&self, _: Timestamp) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn guards_leads(&self) -> Result<bool, ConnectorError> {
        Ok(false)
    }
    async fn create_leads(&self, _: &[NewLead]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        unreachable!("everybody is known to both")
    }

    async fn create_members(&self, members: &[NewMember]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        let one = |new: &NewMember| {
            let n = number(&new.person_id);
            Self::set(&self.salesforce, n, Some(&new.status));
            Ok(id("00v", n))
        };
        Ok(self.counted.write(|| members.iter().map(one).collect()))
    }

    async fn update_members(&self, members: &[(SalesforceId, String)]) -> Result<RecordResults<()>, ConnectorError> {
        let one = |(id, status): &(SalesforceId, String)| {
            Self::set(&self.salesforce, number(id), Some(status));
            Ok(())
        };
        Ok(self.counted.write(|| members.iter().map(one).collect()))
    }

    async fn delete_members(&self, ids: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError> {
        let one = |id: &SalesforceId| {
            Self::set(&self.salesforce, number(id), None);
            Ok(())
        };
        Ok(self.counted.write(|| ids.iter().map(one).collect()))
    }

    async fn campaign_fields(&self) -> Result<CampaignFields, ConnectorError> {
        Ok(CampaignFields::default())
    }

    async fn campaigns_named(&self, _: &str) -> Result<Vec<SalesforceId>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn campaigns_created(&self, _: Timestamp) -> Result<Vec<(SalesforceId, String)>, ConnectorError> {
        Ok(Vec::new())
    }
    async fn create_campaign(&self, _: &NewCampaign) -> Result<SalesforceId, ConnectorError> {
        unreachable!("no campaign is made here")
    }

    async fn update_campaign(&self, _: &SalesforceId, _: &CampaignChange) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn create_statuses(
        &self,
        _: &SalesforceId,
        _: &[NewStatus],
    ) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        unreachable!("no campaign is made here")
    }

    async fn update_statuses(&self, _: &[StatusChange]) -> Result<RecordResults<()>, ConnectorError> {
        unreachable!("no campaign is made here")
    }

    async fn delete_statuses(&self, _: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError> {
        unreachable!("no campaign is made here")
    }
}
