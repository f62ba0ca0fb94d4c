//! Somebody is subscribed in a history: a smart campaign is requested for each event, calls fail or their answers are lost, and the
//! deliverer dies at its points. In the end each event was told, and told twice only where nobody could know that it had been.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use campaign_sync::connector::{ConnectorError, SmartCampaigns, Vendor};
use campaign_sync::domain::ids::MarketoId;
use campaign_sync::domain::subscription::Wanted;
use campaign_sync::store::subscriptions::{NewSubscription, Target};
use campaign_sync::store::triggers::EventFilter;
use campaign_sync::worker::PassError;
use campaign_sync::worker::deliver::DeliverySettings;
use campaign_sync::worker::points::Point;
use serde_json::Value;

use super::world::Worlds;
use super::{History, LEASE, judge};

const CAMPAIGN: i64 = 7;

/// What reached the smart campaign.
#[derive(Debug, Default)]
pub struct Told {
    /// Person and new status, each time.
    pub people: Vec<(MarketoId, String)>,
    /// Of those, whom the answer about was lost.
    pub unanswered: usize,
    /// Answered since the last of it was recorded.
    pub unrecorded: usize,
}

pub fn delivery_settings() -> DeliverySettings {
    DeliverySettings {
        timeout: Duration::from_secs(1),
        // Giving up has tests of its own.
        max_age: Duration::from_secs(3_650 * 86_400),
        concurrency: 1,
        lease: LEASE,
        allow_private: true,
    }
}

#[async_trait]
impl SmartCampaigns for Worlds {
    async fn request_campaign(
        &self,
        _: i64,
        people: &[MarketoId],
        tokens: &[(String, String)],
    ) -> Result<(), ConnectorError> {
        let status = |name: &str| tokens.iter().find(|(token, _)| token == name).map(|(_, value)| value.clone());
        let status = status("{{my.SFDC New Status}}").unwrap_or_default();
        let mut world = self.get();
        let (one_in, vendor) = (world.trouble, Vendor::Marketo);
        let fails = one_in > 0 && world.dice.one_in(one_in);
        let lost = fails && world.dice.one_in(2);
        let unavailable =
            |sent| ConnectorError::Unavailable { vendor, detail: "model".to_owned(), retry_after: None, sent };
        if fails && !lost {
            return Err(unavailable(false));
        }
        if people.iter().any(|id| !world.people_m.contains_key(id)) {
            return Err(ConnectorError::Refused {
                vendor,
                code: "1004".to_owned(),
                message: "Lead not found".to_owned(),
            });
        }
        world.told.people.extend(people.iter().map(|id| (*id, status.clone())));
        if lost {
            world.told.unanswered += people.len();
            return Err(unavailable(true));
        }
        world.told.unrecorded += people.len();
        Ok(())
    }
}

impl History {
    /// In some histories somebody is subscribed from the beginning.
    pub async fn perhaps_subscribe(&mut self) {
        if !self.dice.one_in(4) {
            return;
        }
        let new = NewSubscription {
            target: Target::SmartCampaign(CAMPAIGN),
            description: String::new(),
            wanted: Wanted::default(),
            enabled: true,
            secret: None,
        };
        self.subscription = Some(self.store.create_subscription(&new, "test").await.unwrap().id);
    }

    pub async fn perhaps_tell(&mut self) {
        if self.subscription.is_some() && self.dice.one_in(4) {
            self.tell(true).await;
        }
    }

    /// Whatever is due is told, and the deliverer may die at it.
    async fn tell(&mut self, may_crash: bool) {
        if may_crash && self.dice.one_in(3) {
            *self.crash.lock().unwrap() = Some((*self.dice.pick(&Point::OF_DELIVERIES), self.dice.below(2)));
        }
        let done = self.deliverer.step().await;
        *self.crash.lock().unwrap() = None;
        match done {
            Ok(_) => {}
            Err(PassError::Interrupted(at)) => {
                let mut world = self.worlds.get();
                world.log.push(format!("the deliverer dies at {}", at.0.as_str()));
                world.tally.crashes += 1;
                // What was answered and not recorded is told again.
                let again = std::mem::take(&mut world.told.unrecorded);
                world.told.unanswered += again;
            }
            Err(PassError::Store(error)) => panic!("seed {}: {error}", self.seed),
        }
        self.worlds.get().told.unrecorded = 0;
    }

    /// Until nothing is due any more, and then the account.
    pub async fn all_is_told(&mut self) {
        let Some(subscription) = self.subscription.clone() else { return };
        for _ in 0..400 {
            let Some(due) = self.store.next_delivery().await.unwrap() else { break };
            let wait = (due - self.clock.now().as_millisecond()).max(0);
            self.advance(Duration::from_millis(u64::try_from(wait).unwrap() + 1));
            self.tell(false).await;
        }
        let deliveries = self.store.deliveries_of(&subscription, None, None, 10_000).await.unwrap();
        if let Some(open) = deliveries.iter().find(|d| !["delivered", "skipped"].contains(&d.state.as_str())) {
            judge::fail(self, &format!("was not told: {open:?}"));
        }
        let campaign_ids = vec![self.mapping.campaign_id.to_string()];
        let events =
            self.store.events(&EventFilter { campaign_ids, ..EventFilter::default() }, 0, 10_000).await.unwrap();
        let mut due: BTreeMap<(MarketoId, String), usize> = BTreeMap::new();
        for event in &events {
            let body: Value = serde_json::from_str(&event.body()).unwrap();
            let of = deliveries.iter().filter(|delivery| body["id"] == delivery.event_id.as_str()).collect::<Vec<_>>();
            let [delivery] = of[..] else { judge::fail(self, &format!("{} deliveries of {body}", of.len())) };
            if delivery.state == "delivered" {
                let data = &body["data"];
                let person = data["person"]["marketo_id"].as_i64().unwrap_or_default();
                *due.entry((person, data["new_status"].as_str().unwrap_or_default().to_owned())).or_default() += 1;
            }
        }
        let delivered: usize = due.values().sum();
        let (told, unanswered) = {
            let world = self.worlds.get();
            (world.told.people.clone(), world.told.unanswered)
        };
        for (what, times) in due {
            let heard = told.iter().filter(|told| **told == what).count();
            if heard < times {
                judge::fail(self, &format!("{what:?} is recorded as told {times} times, and was {heard} times"));
            }
        }
        if told.len() != delivered + unanswered {
            let (told, of) = (told.len(), delivered + unanswered);
            judge::fail(
                self,
                &format!("told {told} times instead of {of}: {delivered}, and {unanswered} without an answer"),
            );
        }
        self.worlds.get().tally.told += delivered;
        self.store.delete_subscription(&subscription, "test").await.unwrap();
    }
}
