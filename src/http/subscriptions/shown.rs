//! The bodies of subscriptions and deliveries, as they go out. A secret is in one of them, and in that once.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::schema::Time;
use crate::domain::subscription::SubscriptionState;
use crate::store::delivery_log::Delivery;
use crate::store::subscriptions::{Subscription, Target};

/// A subscription, without its secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(super) struct SubscriptionBody {
    id: String,
    /// Null where a smart campaign is requested.
    url: Option<String>,
    marketo_smart_campaign_id: Option<i64>,
    description: String,
    types: Vec<String>,
    campaign_ids: Vec<String>,
    program_ids: Vec<i64>,
    statuses: Vec<String>,
    old_statuses: Vec<String>,
    new_statuses: Vec<String>,
    enabled: bool,
    state: SubscriptionState,
    /// Why this service has disabled it: `gone` (it answered 410), `failing` (it has taken nothing for `delivery.max_age`).
    reason: Option<String>,
    /// Of each wanted event after this position there is a delivery, while it is enabled.
    since_position: i64,
    /// Where that ended when it was last stopped; replay from here brings what it has missed.
    stopped_position: Option<i64>,
    failing_since: Option<Time>,
    last_success_at: Option<Time>,
    created_at: Time,
    updated_at: Time,
}

impl SubscriptionBody {
    pub(super) fn of(subscription: Subscription) -> Self {
        let (url, marketo_smart_campaign_id) = match subscription.target {
            Target::Url(url) => (Some(url), None),
            Target::SmartCampaign(id) => (None, Some(id)),
        };
        let wanted = subscription.wanted;
        Self {
            id: subscription.id,
            url,
            marketo_smart_campaign_id,
            description: subscription.description,
            types: wanted.types,
            campaign_ids: wanted.campaign_ids,
            program_ids: wanted.program_ids,
            statuses: wanted.statuses,
            old_statuses: wanted.old_statuses,
            new_statuses: wanted.new_statuses,
            enabled: subscription.state == SubscriptionState::Enabled,
            state: subscription.state,
            reason: subscription.reason,
            since_position: subscription.since_position,
            stopped_position: subscription.stopped_position,
            failing_since: subscription.failing_since.map(Time::of),
            last_success_at: subscription.last_success_at.map(Time::of),
            created_at: Time::of(subscription.created_at),
            updated_at: Time::of(subscription.updated_at),
        }
    }
}

/// A subscription that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeSubscription {
    #[serde(flatten)]
    pub subscription: SubscriptionBody,
    /// What deliveries are signed with, shown this once; null where a smart campaign is requested.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: Option<String>,
}

/// A secret that replaces those there are.
#[derive(Serialize, ToSchema)]
pub(super) struct RotatedSecret {
    /// Shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
    /// Until then deliveries are signed with the older ones as well.
    pub previous_expires_at: Time,
}

/// Which events are told again.
#[derive(Serialize, ToSchema)]
pub(super) struct Replaying {
    /// Exclusive.
    pub after_position: i64,
    /// Inclusive.
    pub until_position: i64,
}

/// How many deliveries are tried again.
#[derive(Serialize, ToSchema)]
pub(super) struct Retried {
    pub count: u64,
}

/// One event to one subscription.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryBody {
    id: String,
    subscription_id: String,
    /// The `id` of the event, and `webhook-id` at each attempt.
    event_id: String,
    r#type: String,
    /// Of a trigger event.
    position: Option<i64>,
    /// `pending`, `retrying`, `delivered`, `failed`, `skipped`.
    state: String,
    /// Why it failed (`expired`, `gone`, `event_not_kept`) or was skipped (`no_marketo_id`, `person_not_in_marketo`).
    reason: Option<String>,
    attempts: Vec<AttemptBody>,
    /// Null when no attempt is to follow.
    next_attempt_at: Option<Time>,
    created_at: Time,
    completed_at: Option<Time>,
}

/// One attempt.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
struct AttemptBody {
    at: Time,
    /// HTTP status; null where nothing was answered, and of a smart campaign.
    code: Option<i64>,
    latency_ms: i64,
    /// What failed: `timeout`, `no_connection`, `cut_off`, `address_refused`, `redirect`, with the cause.
    error: Option<String>,
    /// The first 1000 characters of the answer.
    body: Option<String>,
}

impl DeliveryBody {
    pub(super) fn of(delivery: Delivery) -> Self {
        let attempts = delivery.attempts.into_iter().map(|attempt| AttemptBody {
            at: Time::of(attempt.at),
            code: attempt.code,
            latency_ms: attempt.latency_ms,
            error: attempt.error,
            body: attempt.body,
        });
        let open = matches!(delivery.state.as_str(), "pending" | "retrying");
        Self {
            attempts: attempts.collect(),
            next_attempt_at: open.then(|| Time::of(delivery.due_at)),
            id: delivery.id,
            subscription_id: delivery.subscription_id,
            event_id: delivery.event_id,
            r#type: delivery.kind,
            position: delivery.position,
            state: delivery.state,
            reason: delivery.reason,
            created_at: Time::of(delivery.created_at),
            completed_at: delivery.completed_at.map(Time::of),
        }
    }
}
