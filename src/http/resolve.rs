//! A person says which side of a member is right.
//!
//! Owns what can be said, and what is refused because no pass could carry it out. What was said is kept with the member; it is
//! settled by the next pass, as every other change is.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Id, Json};
use super::members::{MemberBody, found, standing};
use super::refusal::{Answer, Refusal};
use crate::domain::mapping::{Direction, MappingState};
use crate::domain::merge::{Reason, Side};
use crate::domain::trigger::Seen;
use crate::store::mappings::Mapping;
use crate::store::members::Member;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(resolve))
}

/// Which side is right.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resolution {
    winner: Side,
}

/// Resolve a member
///
/// For a member that differs, is held or parked: what the winner says is written to the other side. A winner who is absent there
/// means a removal, which no guard holds back. A lower status reaches Marketo by removing and adding again, which loses the
/// membership date and success. A member that the loop breaker froze goes on. Ask again to see what came of it.
#[utoipa::path(
    post, path = "/members/{id}/resolve", operation_id = "resolve_member", tag = "members", params(("id" = uuid::Uuid, Path)),
    request_body = Resolution,
    responses(
        (status = 202, description = "The member, about to be settled", body = MemberBody),
        (status = 409, description = "Nothing waits for a person (`nothing-to-resolve`), the mapping does not write there (`mapping-observes`, `one-way-mapping`), or the person is gone from there (`person-gone`)"),
        (status = 422, description = "`invalid-input`, or the winner's status has no translation (`no-translation`)"),
    )
)]
async fn resolve(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Json(Resolution { winner }): Json<Resolution>,
) -> Answer<Response> {
    let (member, mapping) = found(&api, &id).await?;
    if member.resolution != Some(winner) {
        let Some(mapping) = mapping else {
            return Err(nothing("no mapping keeps this campaign the same as a program"));
        };
        check(&member, &mapping, winner)?;
        api.store.resolve_member(&member, winner, &caller.actor).await?;
    }
    let (member, mapping, _) = standing(&api, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(MemberBody::of(member, mapping.as_ref()))).into_response())
}

fn nothing(detail: &str) -> Refusal {
    Refusal::new(409, "nothing-to-resolve", "Nothing to resolve", detail)
}

/// Refuses what no pass would carry out.
fn check(member: &Member, mapping: &Mapping, winner: Side) -> Answer<()> {
    if mapping.state == MappingState::Removing {
        return Err(nothing("the mapping is being removed"));
    }
    let reason = member.reason.as_deref().and_then(|reason| reason.parse::<Reason>().ok());
    match (member.sync_state.as_str(), reason) {
        ("in_sync" | "closed", _) => return Err(nothing("both sides agree")),
        ("pending", Some(Reason::RemovalWaiting)) => {}
        ("pending", _) if member.resolution.is_none() => {
            return Err(nothing("the member waits for its turn, and for no person"));
        }
        _ => {}
    }
    if reason == Some(Reason::UnsupportedAccount) {
        return Err(nothing(
            "an account is the member, and there is no person behind it; remove it from the campaign by hand, or leave it",
        ));
    }
    let to = winner.other();
    match mapping.policies.direction {
        Direction::Observe => {
            let detail = "the mapping only observes; give it another direction, and both sides are compared anew";
            return Err(Refusal::new(409, "mapping-observes", "The mapping observes", detail));
        }
        Direction::MarketoToSalesforce if to == Side::Marketo => return Err(one_way(to)),
        Direction::SalesforceToMarketo if to == Side::Salesforce => return Err(one_way(to)),
        _ => {}
    }
    let status = |seen: &Seen| if let Seen::Status(status) = seen { Some(status.clone()) } else { None };
    let (marketo, salesforce) = (status(&member.marketo), status(&member.salesforce));
    let (says, translated) = match winner {
        Side::Marketo => (&marketo, marketo.as_deref().map(|status| mapping.status_map.to_salesforce(status))),
        Side::Salesforce => (&salesforce, salesforce.as_deref().map(|status| mapping.status_map.to_marketo(status))),
    };
    if translated == Some(None) {
        let detail = format!(
            "{:?} has no translation in {to}; add one to the status_map, or let the other side win",
            says.as_deref().unwrap_or_default()
        );
        return Err(Refusal::new(422, "no-translation", "No translation", detail));
    }
    if reason == Some(Reason::PersonDeleted) && winner == Side::Marketo {
        let detail = "the person was deleted in Salesforce: undelete the record there, or let salesforce win, which removes the \
                      member from the program";
        return Err(Refusal::new(409, "person-gone", "Person gone", detail));
    }
    Ok(())
}

fn one_way(to: Side) -> Refusal {
    let detail = format!("the mapping travels one way, and {to} is the side that it comes from: let {to} win");
    Refusal::new(409, "one-way-mapping", "One-way mapping", detail)
}
