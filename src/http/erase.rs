//! Erasing a person on request.
//!
//! Reads who is meant; what is erased and where is the store's.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Json, Parameters};
use super::refusal::{Answer, Refusal};
use crate::domain::ids::SalesforceId;
use crate::store::erase::{Erased, Whom};
use crate::store::people::Half;

/// Longest address that mail knows (RFC 5321, 4.5.3.1).
const LONGEST_ADDRESS: usize = 254;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(erase))
}

/// Exactly one of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PersonToErase, example = json!({"marketo_id": 318592}))]
struct Named {
    marketo_id: Option<i64>,
    /// Of a lead or contact.
    salesforce_id: Option<String>,
    email: Option<String>,
}

impl Named {
    fn whom(self) -> Answer<Whom> {
        let blamed = |field, message: &str| Err(Refusal::field(field, "invalid", message));
        match (self.marketo_id, self.salesforce_id, self.email) {
            (Some(id), None, None) if id > 0 => Ok(Whom::By(Half::Marketo(id))),
            (Some(_), None, None) => blamed("marketo_id", "has to be above 0"),
            (None, Some(id), None) => match id.parse::<SalesforceId>() {
                Ok(id) => Ok(Whom::By(Half::Salesforce(id))),
                Err(error) => blamed("salesforce_id", &error.to_string()),
            },
            (None, None, Some(email)) => {
                let email = email.trim();
                match email.split_once('@') {
                    Some((local, host)) if !local.is_empty() && !host.is_empty() && email.len() <= LONGEST_ADDRESS => {
                        Ok(Whom::Email(email.to_owned()))
                    }
                    _ => blamed("email", "has to be an address"),
                }
            }
            _ => blamed("", "has to have one of marketo_id, salesforce_id and email"),
        }
    }
}

/// What was erased, or would be.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasedPerson)]
struct ErasedBody {
    dry_run: bool,
    /// How many people were meant: several where they share the address that was named.
    people: usize,
    /// By table, how many values said who they are.
    #[schema(example = json!({"people": 1, "trigger_events": 12}))]
    rows: BTreeMap<&'static str, i64>,
}

impl ErasedBody {
    fn of(erased: Erased, dry_run: bool) -> Self {
        Self { dry_run, people: erased.people.len(), rows: erased.rows }
    }
}

/// Erase a person
///
/// Takes addresses, and what receivers answered to events about them, out of everything that is kept: members, plans, events,
/// deliveries, flow actions, history. Ids, statuses, counts and the order of things stay. Work that waits under their address is
/// discarded. Erase them at the vendors first: while they exist there, the next read brings the address back. Can be repeated.
#[utoipa::path(
    post, path = "/people/erase", operation_id = "erase_person", tag = "administration", request_body = Named,
    params(("dry_run" = Option<bool>, Query, description = "Only count")),
    responses(
        (status = 200, description = "What was erased; nothing where nobody is known", body = ErasedBody),
        (status = 409, description = "They are being worked on at this moment (`conflict`); what was erased by then stays so"),
    )
)]
async fn erase(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    mut given: Parameters,
    Json(named): Json<Named>,
) -> Answer<Json<ErasedBody>> {
    let dry_run = given.one_of("dry_run", &["true", "false"])?.is_some_and(|dry_run| dry_run == "true");
    given.end()?;
    let erased = api.store.erase(&named.whom()?, dry_run, &caller.actor).await?;
    Ok(Json(ErasedBody::of(erased, dry_run)))
}
