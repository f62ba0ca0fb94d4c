//! A campaign of people whose changes are recorded straight into the store, as the worker does at the end of a pass.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use campaign_sync::domain::clock::Clock;
use campaign_sync::domain::ids::SalesforceId;
use campaign_sync::domain::mapping::{MappingState, Policies};
use campaign_sync::domain::merge::Base;
use campaign_sync::domain::status::StatusMap;
use campaign_sync::domain::subscription::Wanted;
use campaign_sync::domain::trigger::{DetectedBy, Origin, Seen, transition};
use campaign_sync::store::Store;
use campaign_sync::store::lanes::Lease;
use campaign_sync::store::mappings::{Created, Found, Mapping, Options};
use campaign_sync::store::members::Member;
use campaign_sync::store::people::Half;
use campaign_sync::store::record::{Batch, Recorded};
use campaign_sync::store::subscriptions::{NewSubscription, Subscription, Target};

use crate::ground::TestDatabase;

/// Longer than any run.
const LEASE: Duration = Duration::from_secs(24 * 3600);
const STATUSES: [&str; 2] = ["Invited", "Attended"];

pub struct Log {
    pub store: Store,
    mapping: Mapping,
    leases: Vec<Lease>,
    members: Vec<Member>,
    /// Changes recorded so far.
    pub told: usize,
}

impl Log {
    /// With so many members, of whom nobody was told yet.
    pub async fn new(database: &TestDatabase, members: usize) -> Self {
        let store = Store::connect(&database.url, 10, Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        let campaign: SalesforceId = "7014S0000000001".parse().unwrap();
        let created = store.create_mapping(mapping(&store, campaign), "bench").await.unwrap();
        let Created::New { mapping, .. } = created else { panic!("{created:?}") };
        let lane = mapping.campaign_id.to_string();
        let leases = store.claim("bench", LEASE, 1).await.unwrap().leases;
        let halves: Vec<_> = (1..=i64::try_from(members).unwrap()).map(Half::Marketo).collect();
        let people = store.ensure_people(&halves).await.unwrap();
        let member = |person| {
            let mut member = Member::new(store.new_id(), lane.clone(), person);
            (member.marketo, member.salesforce) = (status(1), status(1));
            (member.sync_state, member.reason) = ("in_sync".to_owned(), None);
            member.base =
                Some(Base { marketo: Some(STATUSES[1].to_owned()), salesforce: Some(STATUSES[1].to_owned()) });
            member
        };
        let mut log = Self { members: people.into_iter().map(member).collect(), store, mapping, leases, told: 0 };
        log.record(log.members.clone().into_iter().map(quiet).collect()).await;
        log.members.iter_mut().for_each(|member| member.stored = true);
        log
    }

    async fn record(&self, members: Vec<Recorded>) {
        let lane = self.mapping.campaign_id.to_string();
        let mappings = HashMap::from([(lane.clone(), self.mapping.clone())]);
        let batch =
            Batch { leases: self.leases.clone(), mappings, members, keep: HashSet::from([lane]), ..Batch::default() };
        assert_eq!(self.store.record(batch).await.unwrap().len(), 1, "the lease was lost");
    }

    /// Changes the status of the next `count` members, each with its state, its history and its event, in one transaction.
    pub async fn change(&mut self, count: usize) {
        let total = self.members.len();
        let mut recorded = Vec::with_capacity(count);
        for n in self.told..self.told + count {
            let member = &mut self.members[n % total];
            let next = status(n / total % 2);
            let told = transition(&member.salesforce, &next).unwrap();
            (member.marketo, member.salesforce) = (next.clone(), next);
            let history = vec![("decided", serde_json::json!({"rule": "7", "to": STATUSES[n / total % 2]}))];
            let events = vec![(told, DetectedBy::Webhook, Origin::Salesforce)];
            recorded.push(Recorded { member: member.clone(), events, history });
            member.sequence += 1;
        }
        self.record(recorded).await;
        self.told += count;
    }

    pub async fn subscribe(&self, url: &str, enabled: bool) -> Subscription {
        let new = NewSubscription {
            target: Target::Url(url.to_owned()),
            description: String::new(),
            wanted: Wanted::default(),
            enabled,
            secret: Some("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz".to_owned()),
        };
        self.store.create_subscription(&new, "bench").await.unwrap()
    }
}

fn quiet(member: Member) -> Recorded {
    Recorded { member, events: Vec::new(), history: Vec::new() }
}

fn status(n: usize) -> Seen {
    Seen::Status(STATUSES[n].to_owned())
}

fn mapping(store: &Store, campaign_id: SalesforceId) -> Mapping {
    Mapping {
        id: store.new_id(),
        program_id: 1044,
        campaign_id,
        program_name: "Program".to_owned(),
        campaign_name: "Campaign".to_owned(),
        state: MappingState::Active,
        reason: None,
        status_map: StatusMap::exact(&STATUSES, &STATUSES),
        custom_map: true,
        steps: serde_json::from_value(serde_json::json!({"Invited": 10, "Attended": 30})).unwrap(),
        policies: Policies::default(),
        options: Options::default(),
        found: Found::default(),
        version: 0,
        created_at: 0,
        updated_at: 0,
    }
}
