//! Two emulated vendors with one program and one campaign, and the service between them.
//!
//! Owns the set-up, what a person does on either side, and how both sides are compared. People are told apart by their last
//! names, which are unique here: addresses are not, and ids differ between the vendors.

use std::collections::BTreeMap;
use std::time::Duration;

use campaign_sync::sandbox::marketo::{
    Encoding, Mishaps, NewChannel, NewPerson, NewProgram, ProgressionStatus, SmartCampaign, Trigger, Webhook,
    person_template, program_member_template,
};
use campaign_sync::sandbox::salesforce::{Cell, Id, JsonHook, Noise, Object, Webhooks};
use campaign_sync::sandbox::{self, EmulateOptions, Emulators};
use serde_json::{Value, json};

use super::police::Excused;
use super::storm;
use crate::support::{Launch, TestDatabase};

/// What the service is given longest to come to rest; much more than it needs on a machine with nothing else to do.
pub const SOON: Duration = Duration::from_secs(180);

pub const KEY: &str = "a-bootstrap-key-of-these-tests";
pub const TOKEN: &str = "a-token-of-these-tests";
pub const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Both vendors, before and beside the service.
pub struct World {
    pub emulators: Emulators,
    pub program: i64,
    pub campaign: Id,
    /// What the vendors may count against us in this case.
    pub excused: Excused,
}

impl Drop for World {
    fn drop(&mut self) {
        self.excused.look(&self.emulators);
    }
}

/// Who holds which status, by last name; one person may be there more than once.
pub type Side = BTreeMap<String, Vec<String>>;

impl World {
    /// A program and a campaign with the same three statuses, and nobody in them.
    pub async fn new() -> Self {
        let emulators = sandbox::start(EmulateOptions::default()).await.unwrap();
        storm::begin(&emulators.faults);
        let status = |name: &str, step, success| ProgressionStatus {
            id: 0,
            name: name.to_owned(),
            step,
            success,
            hidden: false,
        };
        let program = emulators.marketo.with(|world| {
            // The limits of the vendor have cases of their own; the others are not to wait for its window.
            world.options.rate_limit = None;
            let statuses =
                vec![status("Invited", 10, false), status("Registered", 20, false), status("Attended", 30, true)];
            world.add_channel(NewChannel {
                id: None,
                name: "Webinar".to_owned(),
                applicable_program_type: None,
                statuses,
            });
            let program =
                NewProgram { name: "Spring".to_owned(), channel: "Webinar".to_owned(), ..NewProgram::default() };
            world.add_program(program).unwrap()
        });
        let campaign = emulators.salesforce.with(|org| {
            let campaign = org.add_campaign("Spring", "Webinar").unwrap();
            let of_campaign = org.find(Object::CampaignMemberStatus, "CampaignId", &Cell::Id(campaign));
            let found: Vec<_> = of_campaign.map(|row| (row.id, row.text_of("Label").to_owned())).collect();
            for (id, label) in found {
                org.rename_status(id, if label == "Sent" { "Invited" } else { "Attended" }).unwrap();
            }
            org.add_status(campaign, "Registered", false).unwrap();
            campaign
        });
        Self { emulators, program, campaign, excused: Excused::default() }
    }

    /// How the service is started for this world.
    pub fn launch(&self, database: &TestDatabase) -> Launch {
        self.configured(Launch::serve(database))
    }

    /// The same on a database at an address.
    pub fn launch_on(&self, url: &str) -> Launch {
        self.configured(Launch::serve_on(url))
    }

    /// Any command with the configuration of the service.
    pub fn configured(&self, launch: Launch) -> Launch {
        let emulators = &self.emulators;
        let faults = storm::seed().is_some();
        launch
            .set("marketo.base_url", &emulators.marketo_url)
            .set("marketo.client_id", &emulators.marketo_client_id)
            .set("marketo.client_secret", &emulators.marketo_client_secret)
            .set("salesforce.login_url", &emulators.salesforce_url)
            .set("salesforce.client_id", &emulators.salesforce_client_id)
            .set("salesforce.client_secret", &emulators.salesforce_client_secret)
            .set("salesforce.organization_id", &emulators.salesforce_org_id)
            .set("webhooks.marketo_tokens", TOKEN)
            .set("webhooks.salesforce_secrets", SECRET)
            .set("auth.bootstrap_key", KEY)
            .set("sync.lease", "2s")
            // Cases that are not about polls are not to be helped by them, but where webhooks are lost.
            .set("sync.poll_interval", if faults { "200ms" } else { "1h" })
            .set("limits.marketo.window", if faults { "1s" } else { "20s" })
            .set("sync.retry_base", "100ms")
            .set("sync.retry_cap", "1s")
            .set("sync.removal_guard_members", "1000")
            .set("limits.marketo.calls_per_window", "100000")
    }

    /// Points the vendors' webhooks at the service.
    pub fn send_webhooks_to(&self, service: &str) {
        self.emulators.marketo.with(|world| {
            for (name, event, trigger) in [
                ("changed", "program_member.changed", Trigger::StatusChanged { new_status: None }),
                ("removed", "program_member.removed", Trigger::Removed),
                ("deleted", "person.deleted", Trigger::PersonDeleted),
            ] {
                let of_program = trigger != Trigger::PersonDeleted;
                let encoding = Encoding::JsonQuoted;
                let template = if of_program {
                    program_member_template(event, encoding)
                } else {
                    person_template(event, encoding)
                };
                world.add_webhook(Webhook {
                    name: name.to_owned(),
                    url: format!("{service}/webhooks/marketo"),
                    method: "POST".to_owned(),
                    template,
                    encoding,
                    headers: [("Authorization".to_owned(), format!("Bearer {TOKEN}"))].into(),
                });
                if !world.campaigns.values().any(|campaign| campaign.name == name) {
                    world.add_campaign(SmartCampaign {
                        id: 0,
                        name: name.to_owned(),
                        program_id: of_program.then_some(self.program),
                        trigger: Some(trigger),
                        active: true,
                        webhook: Some(name.to_owned()),
                    });
                }
            }
        });
        let (noise, mishaps) = storm::of_webhooks();
        self.make_noise(service, noise, mishaps);
    }

    /// The same with things going wrong on the way.
    pub fn make_noise(&self, service: &str, noise: Noise, mishaps: Mishaps) {
        self.emulators.marketo.with(|world| world.options.webhook_mishaps = mishaps);
        let hook =
            JsonHook { url: format!("{service}/webhooks/salesforce"), secret: SECRET.to_owned(), concurrency: 1 };
        self.emulators.salesforce.set_webhooks(Webhooks { json: Some(hook), outbound_message: None, noise });
    }

    /// No webhook of either vendor waits or is on its way.
    pub fn all_sent(&self) -> bool {
        let all_called = self.emulators.marketo.with(|world| world.outgoing.is_empty() && world.on_the_way == 0);
        all_called && self.emulators.salesforce.on_the_way() == 0
    }

    /// A person in Marketo, with an address made of the name.
    pub fn marketo_person(&self, name: &str) -> i64 {
        self.marketo_person_with(name, &address(name))
    }

    /// A person in Marketo; without an address when it is empty.
    pub fn marketo_person_with(&self, name: &str, email: &str) -> i64 {
        let mut fields: BTreeMap<String, Value> = [("firstName", "Ada"), ("lastName", name), ("company", "Acme")]
            .map(|(k, v)| (k.to_owned(), json!(v)))
            .into();
        if !email.is_empty() {
            fields.insert("email".to_owned(), json!(email));
        }
        self.emulators.marketo.with(|world| world.add_person(NewPerson { id: None, fields }))
    }

    /// A lead in Salesforce, with an address made of the name.
    pub fn lead(&self, name: &str) -> Id {
        self.lead_with(name, &address(name))
    }

    pub fn lead_with(&self, name: &str, email: &str) -> Id {
        self.emulators.salesforce.with(|org| org.add_lead("Ada", name, email, "Acme").unwrap())
    }

    /// A marketing user gives a status: adds, changes, or removes with "Not in Program".
    pub fn set_in_marketo(&self, name: &str, status: &str) {
        let id = self.marketo_id(name).unwrap();
        self.emulators.marketo.with(|world| world.set_status(self.program, id, status).unwrap());
    }

    /// A salesperson adds somebody.
    pub fn add_in_salesforce(&self, person: Id, status: &str) -> Id {
        self.emulators.salesforce.with(|org| org.add_member(self.campaign, person, Some(status)).unwrap())
    }

    /// A living lead by its last name.
    pub fn lead_named(&self, name: &str) -> Id {
        self.emulators.salesforce.with(|org| {
            let named = |row: &&sandbox::salesforce::Row| !row.deleted && row.text_of("LastName") == name;
            org.rows(Object::Lead).find(named).unwrap().id
        })
    }

    pub fn change_in_salesforce(&self, name: &str, status: &str) {
        let member = self.campaign_member(name);
        self.emulators.salesforce.with(|org| org.set_member_status(member, status).unwrap());
    }

    pub fn remove_in_salesforce(&self, name: &str) {
        let member = self.campaign_member(name);
        self.emulators.salesforce.with(|org| org.delete_member(member).unwrap());
    }

    /// Members on both sides who agree, so that one more removal is nothing special.
    pub fn bystanders(&self, n: usize) {
        for n in 0..n {
            let name = format!("Bystander{n}");
            self.marketo_person(&name);
            self.add_in_salesforce(self.lead(&name), "Registered");
            self.set_in_marketo(&name, "Registered");
        }
    }

    pub fn marketo_id(&self, name: &str) -> Option<i64> {
        self.emulators.marketo.with(|world| {
            let named = |person: &&sandbox::marketo::Person| person.fields.get("lastName") == Some(&json!(name));
            world.people.iter().find(named).map(|person| person.id)
        })
    }

    fn campaign_member(&self, name: &str) -> Id {
        self.emulators.salesforce.with(|org| {
            let named = |member: &sandbox::salesforce::Member| {
                let person = member.contact.or(member.lead);
                person.and_then(|id| org.row(id)).is_some_and(|row| row.text_of("LastName") == name)
            };
            org.members(self.campaign).into_iter().find(named).unwrap().id
        })
    }

    /// Ids of somebody's member and of the campaign.
    pub fn member_named(&self, name: &str) -> (String, String) {
        (self.campaign_member(name).to_string(), self.campaign.to_string())
    }

    /// Living leads with this last name.
    pub fn leads(&self, name: &str) -> usize {
        self.emulators
            .salesforce
            .with(|org| org.rows(Object::Lead).filter(|row| !row.deleted && row.text_of("LastName") == name).count())
    }

    /// People in Marketo with this last name.
    pub fn people(&self, name: &str) -> usize {
        self.emulators.marketo.with(|world| {
            world.people.iter().filter(|person| person.fields.get("lastName") == Some(&json!(name))).count()
        })
    }

    pub fn in_marketo(&self) -> Side {
        self.emulators.marketo.with(|world| {
            let name = |id| {
                world
                    .people
                    .get(id)
                    .and_then(|p| p.fields.get("lastName")?.as_str().map(str::to_owned))
                    .unwrap_or_default()
            };
            side(world.members(self.program).into_iter().map(|(id, status)| (name(id), status)))
        })
    }

    pub fn in_salesforce(&self) -> Side {
        self.emulators.salesforce.with(|org| {
            let name = |person: Option<Id>| {
                person.and_then(|id| org.row(id)).map(|row| row.text_of("LastName").to_owned()).unwrap_or_default()
            };
            let members = org.members(self.campaign).into_iter();
            side(members.map(|member| (name(member.contact.or(member.lead)), member.status)))
        })
    }

    /// Calls that write, Marketo's and Salesforce's.
    pub fn writes(&self) -> (u64, u64) {
        (
            self.emulators.marketo.with(|world| world.police.writes),
            self.emulators.salesforce.with(|org| org.counters.writes),
        )
    }

    /// Last name of a person in Salesforce, also of a deleted one.
    pub fn name_of(&self, id: &str) -> String {
        self.emulators.salesforce.with(|org| {
            let row = Id::parse(id).and_then(|id| org.row(id));
            row.map(|row| row.text_of("LastName").to_owned()).unwrap_or_default()
        })
    }
}

fn side(members: impl Iterator<Item = (String, String)>) -> Side {
    let mut side = Side::new();
    for (name, status) in members {
        side.entry(name).or_default().push(status);
    }
    side.values_mut().for_each(|statuses| statuses.sort());
    side
}

pub fn address(name: &str) -> String {
    format!("{}@people.example", name.to_lowercase())
}
