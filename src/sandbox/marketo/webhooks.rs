//! The sender behind Call Webhook: one HTTP call per person, 30 seconds, no retry, at most 20 at a time.
//!
//! Owns the line of calls that wait, the mishaps that a test asks for, and what is logged of the outcome (activity 110; error 1001
//! for an empty body). Must not look at the state of members: a call was rendered when the change happened.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::Marketo;
use super::log::kind;
use super::options::Mishaps;

/// Deliveries that are remembered for the control API.
const REMEMBERED: usize = 1000;

/// A call that waits to be sent.
#[derive(Clone, Debug, Serialize)]
pub struct Outgoing {
    pub webhook: String,
    pub campaign_id: i64,
    pub lead_id: i64,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// A call and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    #[serde(flatten)]
    pub call: Outgoing,
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// Marketo's "Error Type": the reason phrase, `1001` for an empty body, `timeout`, or why there was no connection.
    pub error: Option<String>,
    /// The body of the answer.
    pub response: String,
}

/// A small seeded generator (splitmix64), so that a run can be repeated.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// True with a chance of so many in 1,000.
    pub fn hits(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }
}

/// What is to be sent now, after the mishaps: each call with a delay.
fn astray(mut calls: Vec<Outgoing>, mishaps: &Mishaps, random: &mut Random) -> Vec<(Outgoing, Duration)> {
    for position in 1..calls.len() {
        if random.hits(mishaps.reorder_per_mille) {
            calls.swap(position - 1, position);
        }
    }
    let mut sent = Vec::with_capacity(calls.len());
    for call in calls {
        if random.hits(mishaps.drop_per_mille) {
            continue;
        }
        let copies = if random.hits(mishaps.duplicate_per_mille) { 2 } else { 1 };
        for _ in 0..copies {
            let late = random.hits(mishaps.delay_per_mille) && mishaps.delay_ms > 0;
            let wait = if late { 1 + random.next() % mishaps.delay_ms } else { 0 };
            sent.push((call.clone(), Duration::from_millis(wait)));
        }
    }
    sent
}

/// Sends whatever gets in line, until it is dropped.
pub(super) async fn run(marketo: Arc<Marketo>) {
    let (wake, seed, limit) =
        marketo.with(|world| (world.wake.clone(), world.options.seed, world.options.webhook_concurrency.max(1)));
    let client = match reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no HTTP client for webhooks"),
    };
    let mut random = Random::new(seed);
    let slots = Arc::new(Semaphore::new(limit));
    loop {
        let calls: Vec<(Outgoing, Duration)> = marketo.with(|world| {
            let calls = astray(world.outgoing.drain(..).collect(), &world.options.webhook_mishaps, &mut random);
            world.on_the_way += calls.len();
            calls
        });
        if calls.is_empty() {
            wake.notified().await;
            continue;
        }
        for (call, wait) in calls {
            let (marketo, client, slots) = (marketo.clone(), client.clone(), slots.clone());
            // Without a delay the line moves in order; a late call waits aside and takes a slot only then.
            let slot = if wait.is_zero() { slots.clone().acquire_owned().await.ok() } else { None };
            tokio::spawn(async move {
                pause(wait).await;
                let _slot = match slot {
                    Some(slot) => Some(slot),
                    None => slots.acquire_owned().await.ok(),
                };
                deliver(&marketo, &client, call).await;
            });
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a late webhook is late in real time")]
async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

async fn deliver(marketo: &Marketo, client: &reqwest::Client, call: Outgoing) {
    let timeout = Duration::from_secs(marketo.with(|world| world.options.webhook_timeout_seconds));
    let method = reqwest::Method::from_bytes(call.method.as_bytes()).unwrap_or(reqwest::Method::POST);
    let mut request = client.request(method.clone(), &call.url).timeout(timeout);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    if method != reqwest::Method::GET {
        request = request.body(call.body.clone());
    }
    let outcome = async {
        let answer = request.send().await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.text().await?))
    };
    let (status, error, response) = match outcome.await {
        Ok((status, text)) if !status.is_success() => {
            (Some(status.as_u16()), Some(status.canonical_reason().unwrap_or("Error").to_owned()), text)
        }
        Ok((status, text)) if text.is_empty() => (Some(status.as_u16()), Some("1001".to_owned()), text),
        Ok((status, text)) => (Some(status.as_u16()), None, text),
        Err(error) if error.is_timeout() => (None, Some("timeout".to_owned()), String::new()),
        Err(error) => (None, Some(error.to_string()), String::new()),
    };
    marketo.with(|world| {
        world.on_the_way -= 1;
        let attributes = vec![
            ("Error Type", error.as_deref().map_or(Value::Null, Value::from)),
            ("Response", response.chars().take(1000).collect::<String>().into()),
        ];
        world.record(kind::CALL_WEBHOOK, call.lead_id, None, call.webhook.clone(), attributes);
        if world.deliveries.len() == REMEMBERED {
            world.deliveries.pop_front();
        }
        world.deliveries.push_back(Delivery { call, status, error, response });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(count: i64) -> Vec<Outgoing> {
        let call = |lead_id| Outgoing {
            webhook: "w".into(),
            campaign_id: 1,
            lead_id,
            method: "POST".into(),
            url: String::new(),
            headers: vec![],
            body: String::new(),
        };
        (0..count).map(call).collect()
    }

    fn leads(mishaps: &Mishaps, seed: u64) -> Vec<i64> {
        astray(line(200), mishaps, &mut Random::new(seed)).iter().map(|(call, _)| call.lead_id).collect()
    }

    #[test]
    fn mishaps_are_drawn_from_the_seed() {
        assert_eq!(leads(&Mishaps::default(), 1), (0..200).collect::<Vec<_>>());
        assert!(leads(&Mishaps { drop_per_mille: 1000, ..Mishaps::default() }, 1).is_empty());
        assert_eq!(leads(&Mishaps { duplicate_per_mille: 1000, ..Mishaps::default() }, 1).len(), 400);
        let some = Mishaps { drop_per_mille: 300, reorder_per_mille: 300, ..Mishaps::default() };
        assert_eq!(leads(&some, 7), leads(&some, 7));
        assert_ne!(leads(&some, 7), leads(&some, 8));
        let late = Mishaps { delay_per_mille: 1000, delay_ms: 50, ..Mishaps::default() };
        let waits = astray(line(9), &late, &mut Random::new(3));
        assert!(waits.iter().all(|(_, wait)| (1..=50).contains(&wait.as_millis())));
    }
}
