//! What is done for one subscription while it is leased: a window of requests that is filled again as they are answered.
//!
//! Owns what an answer means for the delivery and for its receiver. Nothing is marked before it is sent: after a crash a delivery
//! is due as it was. What was answered together is stored together.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::Deliverer;
use super::post::Reply;
use super::smart_campaign::Requests;
use crate::domain::delivery::{CampaignRequest, next_attempt};
use crate::domain::subscription::DisabledReason;
use crate::store::deliveries::{Attempted, DeliveryLease, DueDelivery, Endpoint, Health, Outcome};
use crate::store::subscriptions::Target;
use crate::telemetry::spans::{self, Span};
use crate::worker::PassError;
use crate::worker::points::Point;

/// While something is on its way, how long until it is looked for more to send beside it.
const AGAIN: Duration = Duration::from_millis(250);
/// Events that are put into requests of a smart campaign at once.
const GATHERED: usize = 1000;
/// Events of the log that become deliveries at once.
const REPLAYED: i64 = 500;
/// How often that is done before the lease is looked at again: of a long log a subscription may want nothing.
const FED: usize = 20;

/// One request, not sent yet.
enum Shot {
    Post(DueDelivery),
    Campaign(CampaignRequest, Vec<DueDelivery>),
}

impl Shot {
    fn deliveries(&self) -> &[DueDelivery] {
        match self {
            Self::Post(delivery) => std::slice::from_ref(delivery),
            Self::Campaign(_, due) => due,
        }
    }
}

/// What an attempt has come to, and what that says about the receiver.
pub(super) struct Ended {
    pub attempted: Attempted,
    pub health: Health,
}

/// A subscription in hand.
struct Hand<'a> {
    deliverer: &'a Deliverer,
    lease: DeliveryLease,
    endpoint: Endpoint,
    waiting: VecDeque<Shot>,
    on_their_way: FuturesUnordered<BoxFuture<'a, Vec<Ended>>>,
    /// Deliveries that wait here or are on their way.
    known: HashSet<String>,
}

impl Deliverer {
    /// Works on a subscription until nothing of it is due.
    pub(super) async fn work(self, lease: DeliveryLease, stop: CancellationToken) {
        let subscription = lease.subscription_id.clone();
        match self.work_on(lease, &stop).await {
            Ok(()) => {}
            Err(PassError::Interrupted(at)) => tracing::warn!(%at, "deliveries were interrupted"),
            Err(PassError::Store(error)) => {
                tracing::error!(%error, %subscription, "deliveries were not recorded; they are made again when the lease runs out");
            }
        }
    }

    pub(super) async fn work_on(&self, lease: DeliveryLease, stop: &CancellationToken) -> Result<(), PassError> {
        let Some(endpoint) = self.store.endpoint(&lease).await? else {
            return Ok(self.store.release_delivery(&lease).await?);
        };
        let (waiting, on_their_way, known) = (VecDeque::new(), FuturesUnordered::new(), HashSet::new());
        let mut hand = Hand { deliverer: self, lease, endpoint, waiting, on_their_way, known };
        loop {
            if !stop.is_cancelled() {
                hand.refill().await?;
                self.points.reach(Point::Delivering)?;
                hand.send();
            }
            if hand.on_their_way.is_empty() {
                break;
            }
            let ended = hand.answered().await;
            if !ended.is_empty() {
                self.points.reach(Point::Answered)?;
                if !hand.record(ended).await? {
                    return Ok(());
                }
                self.points.reach(Point::Noted)?;
            }
            if !hand.keep_lease().await? {
                return Ok(());
            }
        }
        Ok(self.store.release_delivery(&hand.lease).await?)
    }
}

impl<'a> Hand<'a> {
    /// How many requests may be on their way.
    fn window(&self) -> usize {
        match self.endpoint.target {
            Target::Url(_) => self.deliverer.settings.concurrency,
            // One after the other, so that the events of a person arrive in their order.
            Target::SmartCampaign(_) => 1,
        }
    }

    /// Looks for deliveries to send, where there is room for them.
    async fn refill(&mut self) -> Result<(), PassError> {
        let store = &self.deliverer.store;
        if !self.waiting.is_empty() || self.on_their_way.len() >= self.window() {
            return Ok(());
        }
        match store.endpoint(&self.lease).await? {
            Some(endpoint) if endpoint.not_before.is_none_or(|until| until <= store.now()) => self.endpoint = endpoint,
            // Stopped, removed, lost, or asked to be left alone.
            _ => return Ok(()),
        }
        let room = match self.endpoint.target {
            Target::Url(_) => self.window() * 2,
            Target::SmartCampaign(_) => GATHERED,
        };
        let most = i64::try_from(room + self.known.len()).unwrap_or(i64::MAX);
        let mut due = store.due_deliveries(&self.lease.subscription_id, most).await?;
        due.retain(|delivery| !self.known.contains(&delivery.id));
        for _ in 0..FED {
            if due.len() >= room || !store.feed_replay(&self.lease, REPLAYED).await? {
                break;
            }
            due = store.due_deliveries(&self.lease.subscription_id, most).await?;
            due.retain(|delivery| !self.known.contains(&delivery.id));
        }
        let (due, gone): (Vec<_>, Vec<_>) = due.into_iter().partition(|delivery| delivery.body().is_some());
        let mut skipped: Vec<Attempted> =
            gone.iter().map(|d| not_made(d, store.now(), Outcome::Failed { reason: "event_not_kept" })).collect();
        match self.endpoint.target {
            Target::Url(_) => self.waiting.extend(due.into_iter().map(Shot::Post)),
            Target::SmartCampaign(_) => {
                let Requests { requests, without_person } = Requests::of(due);
                let nobody = Outcome::Skipped { reason: "no_marketo_id" };
                skipped.extend(without_person.iter().map(|d| not_made(d, store.now(), nobody.clone())));
                self.waiting.extend(requests.into_iter().map(|(request, due)| Shot::Campaign(request, due)));
            }
        }
        let found = self.waiting.iter().flat_map(Shot::deliveries).map(|delivery| delivery.id.clone());
        self.known.extend(found);
        if !skipped.is_empty() {
            store.record_attempts(&self.lease, &skipped, &Health::default()).await?;
        }
        Ok(())
    }

    /// Sends what waits, as far as the window allows.
    fn send(&mut self) {
        while self.on_their_way.len() < self.window()
            && let Some(shot) = self.waiting.pop_front()
        {
            let (deliverer, endpoint) = (self.deliverer, self.endpoint.clone());
            let sent: BoxFuture<'a, Vec<Ended>> = match (shot, endpoint.target.clone()) {
                (Shot::Post(delivery), Target::Url(url)) => {
                    Box::pin(async move { vec![deliverer.post_one(delivery, &url, &endpoint).await] })
                }
                (Shot::Campaign(request, due), Target::SmartCampaign(campaign)) => {
                    Box::pin(deliverer.request(campaign, request, due))
                }
                // The target was changed while it waited: it is found again, and sent there.
                (shot, _) => {
                    self.forget(&shot);
                    continue;
                }
            };
            self.on_their_way.push(sent);
        }
    }

    /// It is found again when it is looked for.
    fn forget(&mut self, shot: &Shot) {
        for delivery in shot.deliveries() {
            self.known.remove(&delivery.id);
        }
    }

    /// What has been answered, at least one request unless it is time to look around.
    async fn answered(&mut self) -> Vec<Ended> {
        let first = tokio::time::timeout(AGAIN, self.on_their_way.next()).await;
        let mut ended = first.ok().flatten().unwrap_or_default();
        while let Some(Some(more)) = self.on_their_way.next().now_or_never() {
            ended.extend(more);
        }
        ended
    }

    /// Stores what was answered; false when the lease was lost.
    async fn record(&mut self, ended: Vec<Ended>) -> Result<bool, PassError> {
        let deliverer = self.deliverer;
        let now = deliverer.store.now();
        let mut health = Health::default();
        for of_one in ended.iter().map(|ended| ended.health) {
            health.taken |= of_one.taken;
            health.refused |= of_one.refused;
            health.not_before = health.not_before.max(of_one.not_before);
            health.disable = health.disable.or(of_one.disable);
        }
        let max_age = i64::try_from(deliverer.settings.max_age.as_millis()).unwrap_or(i64::MAX);
        let for_long = self.endpoint.failing_since.is_some_and(|since| now.saturating_sub(since) >= max_age);
        if health.refused && !health.taken && for_long {
            health.disable = health.disable.or(Some(DisabledReason::Failing));
        }
        if let Some(reason) = health.disable {
            tracing::warn!(subscription = %self.lease.subscription_id, %reason, "a subscription is disabled");
        }
        let attempted: Vec<Attempted> = ended.into_iter().map(|ended| ended.attempted).collect();
        let held = deliverer.store.record_attempts(&self.lease, &attempted, &health).await?;
        for attempt in attempted {
            let outcome = match attempt.outcome {
                Outcome::Delivered => "delivered",
                Outcome::Retry { .. } => "retried",
                Outcome::Failed { .. } => "failed",
                Outcome::Skipped { .. } => "skipped",
            };
            metrics::counter!("campaign_sync_deliveries_total", "outcome" => outcome).increment(1);
            self.known.remove(&attempt.delivery_id);
        }
        if health.disable.is_some() || health.not_before.is_some_and(|until| until > now) {
            // What waits here is not to be sent now.
            for shot in std::mem::take(&mut self.waiting) {
                self.forget(&shot);
            }
        }
        Ok(held)
    }

    /// Moves the end of the lease when half of it is over; false when it was lost.
    async fn keep_lease(&mut self) -> Result<bool, PassError> {
        let (store, length) = (&self.deliverer.store, self.deliverer.settings.lease);
        if self.lease.deadline.saturating_sub(store.clock().monotonic()) > length / 2 {
            return Ok(true);
        }
        match store.renew_delivery(&self.lease, length).await? {
            Some(lease) => {
                self.lease = lease;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// An attempt as a part of what became of the change that the event came of.
fn traced(delivery: &DueDelivery, begun: i64, ended: i64, reply: &Reply) -> Option<Span> {
    let span = Span::new(delivery.change_id.as_deref()?, "deliver", begun, ended).call();
    let span =
        span.with("campaign_sync.event_id", &delivery.event_id).with("campaign_sync.attempt", delivery.attempts + 1);
    let code = reply.code.map_or_else(String::new, |code| code.to_string());
    let refused = reply.code.filter(|code| !(200..300).contains(code)).map(|code| code.to_string());
    Some(span.with("http.response.status_code", code).failed(reply.error.clone().or(refused)))
}

/// The end of a delivery for which nothing was sent.
fn not_made(delivery: &DueDelivery, at: i64, outcome: Outcome) -> Attempted {
    let (delivery_id, started_at, attempt) = (delivery.id.clone(), delivery.started_at, None);
    Attempted { delivery_id, started_at, attempt, at, code: None, latency_ms: 0, error: None, body: None, outcome }
}

impl Deliverer {
    async fn post_one(&self, delivery: DueDelivery, url: &str, endpoint: &Endpoint) -> Ended {
        let body = delivery.body().unwrap_or_default();
        let begun = self.store.now();
        let reply = self.post.send(url, &endpoint.secrets, &delivery.event_id, body).await;
        spans::send(spans::gathered(|| traced(&delivery, begun, self.store.now(), &reply)));
        self.judged(&delivery, reply)
    }

    /// What a reply means.
    fn judged(&self, delivery: &DueDelivery, reply: Reply) -> Ended {
        let now = self.store.now();
        let mut health = Health::default();
        let outcome = match reply.code {
            Some(200..=299) => {
                health.taken = true;
                Outcome::Delivered
            }
            Some(410) => {
                (health.refused, health.disable) = (true, Some(DisabledReason::Gone));
                Outcome::Failed { reason: "gone" }
            }
            code => {
                health.refused = true;
                let outcome = self.again(delivery, now, reply.retry_after);
                // It speaks of all that would follow, and not of this one alone.
                if let (Some(429 | 503), Some(_), Outcome::Retry { due_at }) = (code, reply.retry_after, &outcome) {
                    health.not_before = Some(*due_at);
                }
                outcome
            }
        };
        let attempted = Attempted {
            delivery_id: delivery.id.clone(),
            started_at: delivery.started_at,
            attempt: Some(delivery.attempts + 1),
            at: now - reply.latency_ms,
            code: reply.code,
            latency_ms: reply.latency_ms,
            error: reply.error,
            body: reply.body,
            outcome,
        };
        Ended { attempted, health }
    }

    /// When it is tried again, or that it is not.
    pub(super) fn again(&self, delivery: &DueDelivery, now: i64, asked: Option<Duration>) -> Outcome {
        let attempt = u32::try_from(delivery.attempts + 1).unwrap_or(u32::MAX);
        // Ids differ in their last characters, so that deliveries that failed together do not come back together.
        let seed = delivery.id.bytes().fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        match next_attempt(attempt, delivery.started_at, now, self.settings.max_age, asked, seed) {
            Some(due_at) => Outcome::Retry { due_at },
            None => Outcome::Failed { reason: "expired" },
        }
    }
}
