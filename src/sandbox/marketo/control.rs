//! The control API of this emulator: acting as a person in Marketo, and turning its switches.
//!
//! Owns the JSON forms of those acts, in snake case, and none of their rules. A refused act is answered 422 with Marketo's code.
//! No key: it is for tests and demos on a loopback address.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Marketo;
use super::campaigns::{SmartCampaign, Webhook};
use super::envelope::Refusal;
use super::identity::Service;
use super::options::Options;
use super::people::Field;
use super::police::Police;
use super::programs::Cost;
use super::rules::ProgressionStatus;
use super::saved::Saved;
use super::setup::{NewChannel, NewPerson, NewProgram, Seed};
use super::world::World;

type Shared = State<Arc<Marketo>>;
type Done = Result<Json<Value>, Refusal>;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"code": self.code.to_string(), "message": self.message});
        (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
    }
}

/// All control calls.
pub(super) fn router(marketo: Arc<Marketo>) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/saved", get(save).put(restore))
        .route("/seed", post(seed))
        .route("/options", get(options).patch(set_options))
        .route("/counters", get(counters).delete(reset_counters))
        .route("/quota", post(set_quota))
        .route("/services", post(add_service))
        .route("/tokens/expire", post(expire_tokens))
        .route("/fields", post(add_field))
        .route("/member-fields", post(add_member_field))
        .route("/channels", post(add_channel))
        .route("/channels/{id}", axum::routing::patch(edit_channel))
        .route("/programs", post(add_program))
        .route("/programs/{id}", axum::routing::patch(edit_program).delete(delete_program))
        .route("/programs/{id}/costs", post(add_cost))
        .route("/programs/{id}/members", get(members).post(set_members))
        .route("/programs/{id}/members/{lead}", axum::routing::delete(remove_member))
        .route("/people", get(find_people).post(add_people))
        .route("/people/{id}", get(person).patch(edit_person).delete(delete_person))
        .route("/people/{id}/merge", post(merge))
        .route("/webhooks", post(add_webhook))
        .route("/webhooks/deliveries", get(deliveries))
        .route("/campaigns", post(add_campaign))
        .route("/campaigns/{id}/run", post(run_batch))
        // A saved world may be large.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(marketo)
}

fn done() -> Done {
    Ok(Json(json!({"ok": true})))
}

async fn state(State(marketo): Shared) -> Json<Value> {
    Json(marketo.with(|world| world.as_json()))
}

async fn save(State(marketo): Shared) -> Json<Saved> {
    Json(marketo.with(|world| world.save()))
}

async fn restore(State(marketo): Shared, Json(saved): Json<Value>) -> Done {
    marketo.with(|world| world.restore_json(saved))?;
    done()
}

async fn seed(State(marketo): Shared, Json(seed): Json<Seed>) -> Done {
    marketo.with(|world| world.load(seed))?;
    done()
}

async fn options(State(marketo): Shared) -> Json<Options> {
    Json(marketo.with(|world| world.options.clone()))
}

/// Changes only the options that are named.
async fn set_options(
    State(marketo): Shared,
    Json(changes): Json<BTreeMap<String, Value>>,
) -> Result<Json<Options>, Refusal> {
    marketo.with(|world| {
        let mut merged = json!(world.options);
        for (name, value) in changes {
            merged[name] = value;
        }
        world.options = serde_json::from_value(merged).map_err(|error| Refusal::invalid(error.to_string()))?;
        Ok(Json(world.options.clone()))
    })
}

/// The counters, and what of them is misuse.
async fn counters(State(marketo): Shared) -> Json<Value> {
    let police = marketo.with(|world| world.police.clone());
    let mut counters = json!(police);
    counters["misuse"] = json!(police.misuse());
    Json(counters)
}

async fn reset_counters(State(marketo): Shared) -> Json<Police> {
    Json(marketo.with(|world| std::mem::take(&mut world.police)))
}

#[derive(Deserialize)]
struct Quota {
    used_today: u64,
}

async fn set_quota(State(marketo): Shared, Json(quota): Json<Quota>) -> Done {
    marketo.with(|world| {
        let now = world.now();
        world.limits.set_used_today(now, quota.used_today);
    });
    done()
}

async fn add_service(State(marketo): Shared, Json(service): Json<Service>) -> Done {
    marketo.with(|world| world.identity.add(service));
    done()
}

async fn expire_tokens(State(marketo): Shared) -> Done {
    marketo.with(|world| {
        let now = world.now();
        world.identity.expire_all(now);
    });
    done()
}

async fn add_field(State(marketo): Shared, Json(field): Json<Field>) -> Done {
    marketo.with(|world| world.people.add_field(field));
    done()
}

async fn add_member_field(State(marketo): Shared, Json(field): Json<Field>) -> Done {
    marketo.with(|world| world.add_member_field(field))?;
    done()
}

async fn add_channel(State(marketo): Shared, Json(channel): Json<NewChannel>) -> Done {
    Ok(Json(json!({"id": marketo.with(|world| world.add_channel(channel))})))
}

#[derive(Deserialize)]
struct Rename {
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelEdit {
    rename: Option<Rename>,
    statuses: Option<Vec<ProgressionStatus>>,
}

async fn edit_channel(State(marketo): Shared, Path(id): Path<i64>, Json(edit): Json<ChannelEdit>) -> Done {
    marketo.with(|world| {
        if let Some(statuses) = edit.statuses {
            world.set_channel_statuses(id, statuses)?;
        }
        edit.rename.map_or(Ok(()), |rename| world.rename_status(id, &rename.from, &rename.to))
    })?;
    done()
}

async fn add_program(State(marketo): Shared, Json(program): Json<NewProgram>) -> Done {
    Ok(Json(json!({"id": marketo.with(|world| world.add_program(program))?})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramEdit {
    name: Option<String>,
    /// An empty text removes the native mapping.
    sfdc_id: Option<String>,
    my_tokens: Option<BTreeMap<String, Value>>,
    costs: Option<Vec<Cost>>,
}

async fn edit_program(State(marketo): Shared, Path(id): Path<i64>, Json(edit): Json<ProgramEdit>) -> Done {
    marketo.with(|world| {
        world.program(id)?;
        let now = world.now();
        if let Some(costs) = edit.costs {
            world.put_costs(id, costs, true);
        }
        let Some(program) = world.programs.get_mut(&id) else { return Ok(()) };
        if let Some(name) = edit.name {
            program.name = name;
            program.updated_at = now;
        }
        if let Some(sfdc_id) = edit.sfdc_id {
            program.sfdc_id = Some(sfdc_id).filter(|sfdc_id| !sfdc_id.is_empty());
        }
        if let Some(tokens) = edit.my_tokens {
            program.my_tokens.extend(tokens);
        }
        Ok::<_, Refusal>(())
    })?;
    done()
}

async fn delete_program(State(marketo): Shared, Path(id): Path<i64>) -> Done {
    marketo.with(|world| world.program(id).map(|_| ()).map(|()| world.delete_program(id)))?;
    done()
}

async fn add_cost(State(marketo): Shared, Path(id): Path<i64>, Json(cost): Json<Cost>) -> Done {
    marketo.with(|world| world.add_cost(id, cost))?;
    done()
}

async fn members(State(marketo): Shared, Path(id): Path<i64>) -> Done {
    Ok(Json(marketo.with(|world| json!({"members": world.memberships.of_program(id, 0).collect::<Vec<_>>()}))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetMembers {
    lead_ids: Vec<i64>,
    status: String,
}

async fn set_members(State(marketo): Shared, Path(id): Path<i64>, Json(act): Json<SetMembers>) -> Done {
    let [created, updated, skipped] = marketo.with(|world| world.set_status_of_all(id, &act.lead_ids, &act.status))?;
    Ok(Json(json!({"created": created, "updated": updated, "skipped": skipped})))
}

async fn remove_member(State(marketo): Shared, Path((id, lead)): Path<(i64, i64)>) -> Done {
    marketo.with(|world| world.leave_program(id, lead))?;
    done()
}

#[derive(Deserialize)]
struct FindPeople {
    field: String,
    value: String,
}

async fn find_people(State(marketo): Shared, Query(find): Query<FindPeople>) -> Done {
    marketo.with(|world| {
        let ids = world.people.find(&find.field, &find.value);
        Ok(Json(json!({"people": ids.iter().filter_map(|id| world.people.get(*id)).collect::<Vec<_>>()})))
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NewPeople {
    Many(Vec<NewPerson>),
    One(NewPerson),
}

async fn add_people(State(marketo): Shared, Json(people): Json<NewPeople>) -> Done {
    Ok(Json(marketo.with(|world| match people {
        NewPeople::One(person) => json!({"id": world.add_person(person)}),
        NewPeople::Many(people) => {
            json!({"ids": people.into_iter().map(|person| world.add_person(person)).collect::<Vec<_>>()})
        }
    })))
}

async fn person(State(marketo): Shared, Path(id): Path<i64>) -> Done {
    marketo.with(|world| {
        let person = world.people.get(id).ok_or_else(|| Refusal::new(1004, "Lead not found"))?;
        Ok(Json(json!(person)))
    })
}

async fn edit_person(State(marketo): Shared, Path(id): Path<i64>, Json(fields): Json<BTreeMap<String, Value>>) -> Done {
    marketo.with(|world| world.edit_person(id, fields))?;
    done()
}

async fn delete_person(State(marketo): Shared, Path(id): Path<i64>) -> Done {
    marketo.with(|world| world.delete_person(id))?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    losers: Vec<i64>,
}

async fn merge(State(marketo): Shared, Path(id): Path<i64>, Json(act): Json<Merge>) -> Done {
    Ok(Json(json!({"winner": marketo.with(|world| world.merge(id, &act.losers))?})))
}

async fn add_webhook(State(marketo): Shared, Json(webhook): Json<Webhook>) -> Done {
    marketo.with(|world| world.add_webhook(webhook));
    done()
}

async fn deliveries(State(marketo): Shared) -> Done {
    Ok(Json(
        marketo
            .with(|world| json!({"waiting": world.outgoing.len() + world.on_the_way, "deliveries": world.deliveries})),
    ))
}

async fn add_campaign(State(marketo): Shared, Json(campaign): Json<SmartCampaign>) -> Done {
    Ok(Json(json!({"id": marketo.with(|world| world.add_campaign(campaign))})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    lead_ids: Vec<i64>,
}

async fn run_batch(State(marketo): Shared, Path(id): Path<i64>, Json(batch): Json<Batch>) -> Done {
    marketo.with(|world| world.run_batch(id, &batch.lead_ids));
    done()
}

impl World {
    /// The whole state, for people to look at and for tests to compare.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let members: Vec<_> = self.programs.keys().flat_map(|id| self.memberships.of_program(*id, 0)).collect();
        json!({
            "now": self.now(), "used_today": self.limits.used_today(self.now()),
            "channels": self.channels.values().collect::<Vec<_>>(),
            "programs": self.programs.values().collect::<Vec<_>>(),
            "people": self.people.iter().collect::<Vec<_>>(),
            "members": members,
            "campaigns": self.campaigns.values().collect::<Vec<_>>(),
            "webhooks": self.webhooks.values().collect::<Vec<_>>(),
            "requests": self.requests, "schedules": self.schedules,
            "activities": self.log.from(0),
        })
    }
}
