//! Marketo as a receiver: a smart campaign is requested for the people whom events are about.
//!
//! Owns the tokens that its flow can use. An event about somebody whom Marketo does not know is passed over: there is nobody to
//! request the campaign for.

use std::ops::Range;

use serde::Deserialize;

use super::Deliverer;
use super::hand::Ended;
use crate::connector::ConnectorError;
use crate::domain::delivery::{CampaignRequest, Tokens, campaign_requests};
use crate::domain::ids::MarketoId;
use crate::store::deliveries::{Attempted, DueDelivery, Health, Outcome};

/// "Lead not found".
const UNKNOWN_PERSON: &str = "1004";

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    campaign_id: Option<String>,
    campaign_name: Option<String>,
    person: Option<Person>,
    status: Option<String>,
    old_status: Option<String>,
    new_status: Option<String>,
}

#[derive(Deserialize)]
struct Person {
    marketo_id: Option<MarketoId>,
}

/// Deliveries, put into requests.
pub(super) struct Requests {
    /// Each with the deliveries of its people, in their order.
    pub requests: Vec<(CampaignRequest, Vec<DueDelivery>)>,
    pub without_person: Vec<DueDelivery>,
}

impl Requests {
    /// Of deliveries that are due, in the order in which they are to be told.
    pub(super) fn of(due: Vec<DueDelivery>) -> Self {
        let (mut events, mut deliveries, mut without_person) = (Vec::new(), Vec::new(), Vec::new());
        for delivery in due {
            let event = delivery.body().and_then(|body| serde_json::from_str::<Event>(&body).ok());
            match event.and_then(|event| Some((event.data.person.as_ref()?.marketo_id?, tokens(event)))) {
                Some(event) => {
                    events.push(event);
                    deliveries.push(delivery);
                }
                None => without_person.push(delivery),
            }
        }
        let of_people = |request: CampaignRequest| {
            let due = request.people.iter().map(|(position, _)| deliveries[*position].clone()).collect();
            (request, due)
        };
        Self { requests: campaign_requests(events).into_iter().map(of_people).collect(), without_person }
    }
}

/// What is not there is left out, so that the token of the program stands as the marketer has set it.
fn tokens(event: Event) -> Tokens {
    let Data { campaign_id, campaign_name, status, old_status, new_status, .. } = event.data;
    let kind = event.kind.rsplit('.').next().map(str::to_owned);
    let all = [
        ("{{my.SFDC Campaign Id}}", campaign_id),
        ("{{my.SFDC Campaign}}", campaign_name),
        ("{{my.SFDC Event}}", kind),
        ("{{my.SFDC Status}}", status),
        ("{{my.SFDC Old Status}}", old_status),
        ("{{my.SFDC New Status}}", new_status),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?))).collect()
}

impl Deliverer {
    /// Requests a campaign for people with the same tokens. When somebody is unknown the call as a whole is refused: it is made in
    /// halves then, until whoever it is stands alone.
    pub(super) async fn request(&self, campaign: i64, request: CampaignRequest, due: Vec<DueDelivery>) -> Vec<Ended> {
        let tokens: Vec<(String, String)> =
            request.tokens.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let people: Vec<MarketoId> = request.people.iter().map(|(_, person)| *person).collect();
        let mut ended = Vec::with_capacity(due.len());
        let mut parts = Vec::from([Range { start: 0, end: due.len() }]);
        while let Some(part) = parts.pop() {
            let started = self.store.clock().monotonic();
            let answered = self.campaigns.request_campaign(campaign, &people[part.clone()], &tokens).await;
            let took = self.store.clock().monotonic().saturating_sub(started);
            let took = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
            let unknown = matches!(&answered, Err(ConnectorError::Refused { code, .. }) if code == UNKNOWN_PERSON);
            if unknown && part.len() > 1 {
                let middle = part.start + part.len() / 2;
                parts.extend([middle..part.end, part.start..middle]);
                continue;
            }
            ended.extend(due[part].iter().map(|delivery| self.requested(delivery, &answered, took)));
        }
        ended
    }

    fn requested(&self, delivery: &DueDelivery, answered: &Result<(), ConnectorError>, latency_ms: i64) -> Ended {
        let now = self.store.now();
        let mut health = Health::default();
        let mut again = |asked| {
            let outcome = self.again(delivery, now, asked);
            // Marketo is as it is for all that would follow.
            if let (Some(_), Outcome::Retry { due_at }) = (asked, &outcome) {
                health.not_before = Some(*due_at);
            }
            outcome
        };
        let outcome = match answered {
            Ok(()) => {
                health.taken = true;
                Outcome::Delivered
            }
            Err(ConnectorError::Refused { code, .. }) if code == UNKNOWN_PERSON => {
                Outcome::Skipped { reason: "person_not_in_marketo" }
            }
            // The campaign is not active, is no trigger campaign, or is gone.
            Err(ConnectorError::Refused { .. }) => {
                health.refused = true;
                self.again(delivery, now, None)
            }
            Err(
                ConnectorError::RateLimited { retry_after, .. } | ConnectorError::QuotaExhausted { retry_after, .. },
            ) => again(Some(*retry_after)),
            Err(ConnectorError::Unavailable { retry_after, .. }) => again(*retry_after),
            Err(ConnectorError::Unauthorized { .. }) => again(None),
        };
        let attempted = Attempted {
            delivery_id: delivery.id.clone(),
            started_at: delivery.started_at,
            attempt: Some(delivery.attempts + 1),
            at: now - latency_ms,
            code: None,
            latency_ms,
            error: answered.as_ref().err().map(ToString::to_string),
            body: None,
            outcome,
        };
        Ended { attempted, health }
    }
}
