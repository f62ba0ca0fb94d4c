//! What changes cost in calls: worked off by a service that is otherwise idle, and counted at the vendors.

use std::time::Duration;

use campaign_sync::domain::hint::{Hint, Operation};

use super::known::is_open;
use super::peopled::{Calls, Peopled, STATUSES, Side};
use super::{Tables, world};

/// Calls of both vendors.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub salesforce: Calls,
    pub marketo: Calls,
}

impl Cost {
    fn so_far(peopled: &Peopled) -> Self {
        Self { salesforce: peopled.of_salesforce(), marketo: peopled.of_marketo() }
    }

    /// Works off what waits.
    pub async fn of(peopled: &Peopled, tables: &Tables) -> Self {
        let before = Self::so_far(peopled);
        peopled.release(tables).await;
        while is_open(tables).await {
            world::pause(Duration::from_millis(5)).await;
        }
        let after = Self::so_far(peopled);
        Self { salesforce: after.salesforce - before.salesforce, marketo: after.marketo - before.marketo }
    }
}

/// Everybody is set a step on in one vendor.
pub async fn of_changes(peopled: &mut Peopled, tables: &Tables, side: Side) -> Cost {
    peopled.change(side);
    peopled.tell(tables, side).await;
    let cost = Cost::of(peopled, tables).await;
    assert!(peopled.is_equal(), "both sides are to be the same");
    cost
}

/// Everybody goes a step on and back in Salesforce, so often, and stays a step on; each time somebody is told of it, as a webhook would.
pub async fn of_flapping(peopled: &mut Peopled, tables: &Tables, webhooks: &str, times: usize) -> Cost {
    let halted = "UPDATE lanes SET halted = {}, next_due_at = NULL";
    tables.execute(&halted.replace("{}", "TRUE")).await;
    let http = reqwest::Client::new();
    for time in 0..=times {
        let status = STATUSES[peopled.step + (time + 1) % 2];
        peopled.emulators.salesforce.with(|world| {
            peopled.people.iter().for_each(|one| world.set_member_status(one.member, status).unwrap());
        });
        for one in &peopled.people {
            let (lead, program) = (one.lead, peopled.pairs[one.pair].program);
            let body = format!(r#"{{"v":1,"event":"program_member.changed","leadId":{lead},"programId":{program}}}"#);
            let answer = http.post(webhooks).bearer_auth(world::TOKEN).body(body).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    }
    peopled.step += 1 - times % 2;
    tables.execute(&halted.replace("{}", "FALSE")).await;
    let cost = Cost::of(peopled, tables).await;
    assert!(peopled.is_equal(), "both sides are to be the same");
    cost
}

/// What both vendors would tell of our own last writes, with the status that they left.
pub async fn of_echoes(peopled: &mut Peopled, tables: &Tables) -> Cost {
    let status = STATUSES[peopled.step].to_owned();
    let us = peopled.emulators.salesforce.with(|world| world.api_user.to_string()).parse().ok();
    let hints: Vec<String> = peopled
        .people
        .iter()
        .map(|one| Hint::CampaignMember {
            member_id: one.member.to_string().parse().unwrap(),
            campaign_id: peopled.pairs[one.pair].campaign.to_string().parse().ok(),
            person_id: one.record.to_string().parse().ok(),
            operation: Some(Operation::Update),
            status: Some(status.clone()),
            modified_by: us.clone(),
            modstamp: None,
        })
        .map(|hint| serde_json::to_string(&hint).unwrap())
        .collect();
    peopled.tell(tables, Side::Salesforce).await;
    for (one, hint) in peopled.people.iter().zip(hints) {
        let (lane, subject) = (peopled.pairs[one.pair].campaign, one.record);
        tables
            .execute(&format!(
                "UPDATE outbox SET payload = '{hint}' WHERE lane = '{lane}' AND subject = 'salesforce:{subject}' AND state = 'available'"
            ))
            .await;
    }
    Cost::of(peopled, tables).await
}
