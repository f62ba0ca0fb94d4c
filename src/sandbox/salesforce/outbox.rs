//! What waits to be told to the outside, and to whom.
//!
//! Owns the configuration of webhooks, which changes are told of at all, the bodies of the Apex kind, and the noise of a real
//! network: deliveries lost, doubled, late or out of order, drawn from a seeded generator. Sends nothing itself.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::cell::wire_time;
use super::ids::Id;
use super::objects::Object;
use super::world::{Change, World};

/// Where changes are told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// An Apex trigger with a callout.
    pub json: Option<JsonHook>,
    /// Outbound messages of a workflow or flow.
    pub outbound_message: Option<OutboundMessageHook>,
    pub noise: Noise,
}

/// Signed JSON after Standard Webhooks; sent at most once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonHook {
    pub url: String,
    /// `whsec_` and Base64.
    pub secret: String,
    /// Calls at a time; with one they keep their order.
    #[serde(default = "one")]
    pub concurrency: usize,
}

/// SOAP messages, repeated until they are acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboundMessageHook {
    pub url: String,
    /// Objects with a message; each is an action of its own.
    #[serde(default = "members")]
    pub objects: Vec<String>,
    #[serde(default = "one")]
    pub concurrency: usize,
    /// First wait before a repetition, doubled each time.
    #[serde(default = "second")]
    pub retry_base_millis: u64,
    /// Longest wait.
    #[serde(default = "two_hours")]
    pub retry_cap_millis: u64,
    /// Age at which a message is given up.
    #[serde(default = "a_day")]
    pub give_up_millis: u64,
}

fn one() -> usize {
    1
}

fn members() -> Vec<String> {
    vec!["CampaignMember".into()]
}

fn second() -> u64 {
    1000
}

fn two_hours() -> u64 {
    7_200_000
}

fn a_day() -> u64 {
    86_400_000
}

/// What befalls deliveries; probabilities from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    pub drop: f64,
    pub duplicate: f64,
    pub delay: f64,
    /// Longest delay.
    pub delay_millis: u64,
    /// A delivery lets the next one go first.
    pub reorder: f64,
}

/// Deliveries so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sent {
    /// Posts made, repetitions and duplicates included.
    pub posts: u64,
    /// Posts answered as they must be.
    pub accepted: u64,
    pub failed: u64,
    pub dropped: u64,
    pub duplicated: u64,
    pub delayed: u64,
    pub reordered: u64,
    /// Outbound messages given up.
    pub given_up: u64,
    pub last_error: Option<String>,
}

/// A signed body, ready to go.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: String,
    pub body: String,
}

/// One notification of an outbound message: its own id, and the record whose latest data it will carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    pub id: Id,
    pub record: Id,
}

/// What happens to a delivery on its way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    pub copies: usize,
    pub delay_millis: u64,
}

/// Everything that waits.
#[derive(Debug)]
pub struct Outbox {
    pub webhooks: Webhooks,
    pub sent: Sent,
    pub json_slots: Arc<Semaphore>,
    pub message_slots: Arc<Semaphore>,
    deliveries: VecDeque<Delivery>,
    notifications: Vec<(Object, VecDeque<Notification>)>,
    /// Posts of the Apex kind that were taken and have not ended.
    under_way: usize,
    serial: u64,
    random: u64,
}

impl Outbox {
    /// Nothing waits and nobody is told.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            webhooks: Webhooks::default(),
            sent: Sent::default(),
            json_slots: Arc::new(Semaphore::new(1)),
            message_slots: Arc::new(Semaphore::new(1)),
            deliveries: VecDeque::new(),
            notifications: Vec::new(),
            under_way: 0,
            serial: seed,
            random: seed,
        }
    }

    /// Takes another configuration.
    pub fn configure(&mut self, webhooks: Webhooks) {
        let slots = |n: Option<usize>| Arc::new(Semaphore::new(n.unwrap_or(1).max(1)));
        self.json_slots = slots(webhooks.json.as_ref().map(|h| h.concurrency));
        self.message_slots = slots(webhooks.outbound_message.as_ref().map(|h| h.concurrency));
        self.deliveries.clear();
        self.notifications.clear();
        self.webhooks = webhooks;
    }

    /// Takes the changes of one transaction.
    pub fn enqueue(&mut self, world: &World, changes: Vec<Change>) {
        if self.webhooks.outbound_message.is_some() {
            changes.iter().for_each(|c| self.enqueue_message(world, c));
        }
        if self.webhooks.json.is_none() {
            return;
        }
        let mut groups: Vec<((Object, &str), Vec<Change>)> = Vec::new();
        for change in changes.into_iter().filter(trigger_sees) {
            let key = (change.row.object, change.operation);
            match groups.iter_mut().find(|(k, _)| *k == key) {
                Some((_, group)) => group.push(change),
                None => groups.push((key, vec![change])),
            }
        }
        for ((object, operation), group) in groups {
            // Triggers are called with at most 200 records.
            for chunk in group.chunks(200) {
                self.serial += 1;
                let id = format!("msg_{:012}", self.serial);
                let records: Vec<Value> = chunk.iter().map(record).collect();
                let body = json!({
                    "eventId": id, "orgId": world.organization, "object": object.name(), "operation": operation,
                    "userId": chunk[0].actor.user, "sentAt": wire_time(world.now()), "records": records,
                });
                self.deliveries.push_back(Delivery { id, body: body.to_string() });
            }
        }
    }

    fn enqueue_message(&mut self, world: &World, change: &Change) {
        let Some(hook) = &self.webhooks.outbound_message else { return };
        let object = change.row.object;
        let named = hook.objects.iter().any(|o| o.eq_ignore_ascii_case(object.name()));
        let told = matches!(change.operation, "insert" | "update" | "undelete");
        let silent = change.actor.api && !world.options.api_user_sends_outbound_messages;
        if !named || !told || silent {
            return;
        }
        self.serial += 1;
        let notification = Notification { id: Id::new("04l", self.serial), record: change.row.id };
        match self.notifications.iter_mut().find(|(o, _)| *o == object) {
            // Only the latest data is sent, so one that waits already stands for both.
            Some((_, queue)) if queue.iter().rev().take(100).any(|n| n.record == notification.record) => {}
            Some((_, queue)) => queue.push_back(notification),
            None => self.notifications.push((object, VecDeque::from([notification]))),
        }
    }

    /// The next JSON delivery and its fate.
    pub fn next_delivery(&mut self) -> Option<(Delivery, Fate)> {
        let swap = self.deliveries.len() > 1 && self.chance(self.webhooks.noise.reorder);
        self.sent.reordered += u64::from(swap);
        let delivery = self.deliveries.remove(usize::from(swap))?;
        let fate = self.fate();
        self.under_way += fate.copies;
        Some((delivery, fate))
    }

    /// One post has ended, whatever came of it.
    pub fn ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Posts of the Apex kind that wait or are under way.
    #[must_use]
    pub fn on_the_way(&self) -> usize {
        self.deliveries.len() + self.under_way
    }

    /// The next batch of notifications of one object and its fate.
    pub fn next_message(&mut self) -> Option<(Object, Vec<Notification>, Fate)> {
        let at = self.notifications.iter().position(|(_, q)| !q.is_empty())?;
        let swap = self.notifications[at].1.len() > 1 && self.chance(self.webhooks.noise.reorder);
        let (object, queue) = &mut self.notifications[at];
        let object = *object;
        if swap {
            queue.swap(0, 1);
            self.sent.reordered += 1;
        }
        let batch = queue.drain(..queue.len().min(100)).collect();
        let fate = self.fate();
        Some((object, batch, fate))
    }

    fn fate(&mut self) -> Fate {
        let noise = self.webhooks.noise.clone();
        if self.chance(noise.drop) {
            self.sent.dropped += 1;
            return Fate::default();
        }
        let twice = self.chance(noise.duplicate);
        let late = self.chance(noise.delay);
        self.sent.duplicated += u64::from(twice);
        self.sent.delayed += u64::from(late);
        let delay_millis = if late { self.random() % noise.delay_millis.max(1) } else { 0 };
        Fate { copies: 1 + usize::from(twice), delay_millis }
    }

    fn chance(&mut self, probability: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are plenty for a coin")]
        let drawn = (self.random() >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < probability
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// What the customer's triggers pass on: members when their status or contact changed, and ends and conversions of others.
fn trigger_sees(change: &Change) -> bool {
    let changed = |name| change.before.as_ref().is_some_and(|b| b.get(name) != change.row.get(name));
    match (change.row.object, change.operation) {
        (Object::CampaignMember, "update") => changed("Status") || changed("ContactId"),
        (Object::CampaignMember, _) => true,
        (Object::Lead, "update") => changed("IsConverted"),
        (Object::Lead | Object::Contact | Object::Campaign, "delete" | "undelete") => true,
        _ => false,
    }
}

fn record(change: &Change) -> Value {
    let row = &change.row;
    let mut out = serde_json::Map::new();
    let names: &[&str] = match row.object {
        Object::CampaignMember => &["Id", "CampaignId", "LeadId", "ContactId", "Status", "HasResponded"],
        Object::Lead => &["Id", "Email", "MasterRecordId", "IsConverted", "ConvertedContactId"],
        Object::Contact => &["Id", "Email", "MasterRecordId"],
        _ => &["Id", "Name"],
    };
    for name in names.iter().chain(&["LastModifiedById", "SystemModstamp"]) {
        let cell = row.system(name).unwrap_or_else(|| row.get(name).clone());
        out.insert((*name).to_owned(), cell.to_json());
    }
    if row.object == Object::CampaignMember {
        let old = change.before.as_ref().map(|b| b.get("Status").to_json());
        out.insert("OldStatus".into(), old.unwrap_or_default());
    }
    Value::Object(out)
}
