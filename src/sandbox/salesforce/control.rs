//! The control API: what tests and demos do to the org from outside.
//!
//! Owns its paths and bodies. Records are written as a person, through the same rules as the REST API, so their changes go
//! out as webhooks.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::Fault;
use super::ids::Id;
use super::objects::Object;
use super::options::Options;
use super::outbox::{Noise, Webhooks};
use super::rules::Fields;
use super::saved::Saved;
use super::world::World;
use super::{Salesforce, locked};

type Org = State<Arc<Salesforce>>;

/// A refusal in the form of the REST API, or of this one.
struct Refused(Value);

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self(fault.of_call())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, Json(self.0)).into_response()
    }
}

type Answer = Result<Json<Value>, Refused>;

/// All of it, without a prefix.
pub fn router(salesforce: Arc<Salesforce>) -> Router {
    Router::new()
        .route("/records/{object}", post(create))
        .route("/record/{id}", get(read).patch(update).delete(delete))
        .route("/record/{id}/undelete", post(undelete))
        .route("/record/{id}/purge", post(purge))
        .route("/leads/{id}/convert", post(convert))
        .route("/statuses/{id}/rename", post(rename))
        .route("/merge", post(merge))
        .route("/options", get(options).patch(set_options))
        .route("/webhooks", get(webhooks).put(set_webhooks))
        .route("/webhooks/noise", put(set_noise))
        .route("/state", get(state))
        .route("/saved", get(save).put(load))
        .route("/members/{campaign}", get(members))
        .route("/counters", get(counters).delete(reset))
        .route("/tokens/expire", post(expire))
        .route("/tokens/refresh", post(approve))
        .route("/locators/expire", post(expire_locators))
        .route("/quota", put(quota))
        .route("/locks", post(lock))
        // A saved org is large.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(salesforce)
}

fn named(name: &str) -> Result<Object, Refused> {
    let object = Object::ALL.into_iter().find(|o| o.name().eq_ignore_ascii_case(name));
    object.ok_or_else(|| Refused(json!({"message": format!("no object {name}")})))
}

fn id(text: &str) -> Result<Id, Refused> {
    Id::parse(text).ok_or_else(|| Refused(json!({"message": format!("not an id: {text}")})))
}

async fn create(State(org): Org, Path(object): Path<String>, Json(fields): Json<Fields>) -> Answer {
    let object = named(&object)?;
    let id = org.with(|w| w.create(&w.as_person(), object, &fields))?;
    Ok(Json(json!({"id": id})))
}

async fn read(State(org): Org, Path(record): Path<String>) -> Answer {
    let id = id(&record)?;
    let shown = org.with(|w| w.row(id).map(|row| show(w, row.id)));
    Ok(Json(shown.ok_or_else(Fault::never_existed)?))
}

async fn update(State(org): Org, Path(record): Path<String>, Json(fields): Json<Fields>) -> Answer {
    let id = id(&record)?;
    org.with(|w| w.update(&w.as_person(), id, &fields))?;
    Ok(Json(json!({"id": id})))
}

async fn delete(State(org): Org, Path(record): Path<String>) -> Answer {
    let id = id(&record)?;
    org.with(|w| w.atomically(|w| w.delete(&w.as_person(), id)))?;
    Ok(Json(json!({"id": id})))
}

async fn undelete(State(org): Org, Path(record): Path<String>) -> Answer {
    let id = id(&record)?;
    org.with(|w| w.undelete(&w.as_person(), id))?;
    Ok(Json(json!({"id": id})))
}

async fn purge(State(org): Org, Path(record): Path<String>) -> Answer {
    let id = id(&record)?;
    org.with(|w| w.purge(id))?;
    Ok(Json(json!({"id": id})))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Conversion {
    contact_id: Option<Id>,
}

async fn convert(State(org): Org, Path(lead): Path<String>, body: Option<Json<Conversion>>) -> Answer {
    let (lead, into) = (id(&lead)?, body.unwrap_or_default().0.contact_id);
    let contact = org.with(|w| w.atomically(|w| w.convert(&w.as_person(), lead, into)))?;
    Ok(Json(json!({"id": lead, "contact_id": contact})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    label: String,
}

async fn rename(State(org): Org, Path(status): Path<String>, Json(body): Json<Rename>) -> Answer {
    let id = id(&status)?;
    org.with(|w| w.rename_status(id, &body.label))?;
    Ok(Json(json!({"id": id})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    winner: Id,
    losers: Vec<Id>,
}

async fn merge(State(org): Org, Json(body): Json<Merge>) -> Answer {
    org.with(|w| {
        w.atomically(|w| body.losers.iter().try_for_each(|loser| w.merge(&w.as_person(), body.winner, *loser)))
    })?;
    Ok(Json(json!({"id": body.winner})))
}

async fn options(State(org): Org) -> Json<Value> {
    Json(json!(org.with(|w| w.options.clone())))
}

/// The options named in the body get its values; an unknown name changes nothing.
async fn set_options(State(org): Org, Json(changes): Json<Map<String, Value>>) -> Answer {
    org.with(|w| {
        let mut all = json!(w.options);
        for (name, value) in changes {
            all[name] = value;
        }
        let options: Options = serde_json::from_value(all).map_err(|e| Refused(json!({"message": e.to_string()})))?;
        w.set_options(options);
        Ok(Json(json!(w.options)))
    })
}

async fn webhooks(State(org): Org) -> Json<Value> {
    Json(json!(locked(&org.outbox).webhooks))
}

async fn set_webhooks(State(org): Org, Json(body): Json<Webhooks>) -> Json<Value> {
    org.set_webhooks(body);
    webhooks(State(org)).await
}

/// What befalls deliveries from now on; what waits stays.
async fn set_noise(State(org): Org, Json(noise): Json<Noise>) -> Json<Value> {
    locked(&org.outbox).webhooks.noise = noise;
    webhooks(State(org)).await
}

/// The org as it can be loaded again.
async fn save(State(org): Org) -> Json<Saved> {
    Json(org.with(|w| w.save()))
}

async fn load(State(org): Org, Json(saved): Json<Saved>) -> Answer {
    org.with(|w| w.load(saved)).map_err(|message| Refused(json!({"message": message})))?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Filter {
    object: Option<String>,
}

/// Every row, those in the recycle bin too, with all fields; by object.
async fn state(State(org): Org, Query(filter): Query<Filter>) -> Answer {
    let only = filter.object.as_deref().map(named).transpose()?;
    let shown = org.with(|w| {
        let objects = Object::ALL.into_iter().filter(|o| only.is_none_or(|only| only == *o));
        let rows = |o| w.rows(o).map(|r| show(w, r.id)).collect::<Vec<_>>();
        objects.map(|o| (o.name().to_owned(), json!(rows(o)))).collect::<Map<_, _>>()
    });
    Ok(Json(shown.into()))
}

fn show(world: &World, id: Id) -> Value {
    let schema = world.schema(false);
    let (Some(row), Some(table)) = (world.row(id), Object::of(id).and_then(|o| schema.table(o))) else {
        return Value::Null;
    };
    let fields = table.fields.iter().map(|f| (f.name.to_string(), world.read(row, &f.name).to_json()));
    Value::Object(fields.collect())
}

async fn members(State(org): Org, Path(campaign): Path<String>) -> Answer {
    let campaign = id(&campaign)?;
    Ok(Json(json!(org.with(|w| w.members(campaign)))))
}

async fn counters(State(org): Org) -> Json<Value> {
    let mut shown = json!(org.with(|w| w.counters.clone()));
    shown["webhooks"] = json!(locked(&org.outbox).sent);
    Json(shown)
}

async fn reset(State(org): Org) -> Json<Value> {
    org.with(|w| w.counters.reset());
    locked(&org.outbox).sent = super::outbox::Sent::default();
    counters(State(org)).await
}

async fn expire(State(org): Org) -> Json<Value> {
    locked(&org.tokens).expire();
    Json(json!({}))
}

/// A refresh token, as if a user had approved the client in a browser.
async fn approve(State(org): Org) -> Json<Value> {
    Json(json!({"refresh_token": locked(&org.tokens).approve()}))
}

async fn expire_locators(State(org): Org) -> Json<Value> {
    org.with(|w| w.cursors.clear());
    Json(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    id: Id,
    /// Writes of the API user that do not get it.
    times: u32,
}

/// Locks a row, or with a campaign all of its members.
async fn lock(State(org): Org, Json(lock): Json<Lock>) -> Json<Value> {
    org.with(|w| w.locks.insert(lock.id, lock.times));
    Json(json!({"id": lock.id, "times": lock.times}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quota {
    left: u64,
}

async fn quota(State(org): Org, Json(quota): Json<Quota>) -> Json<Value> {
    let allowed = org.with(|w| {
        w.counters.used = w.options.daily_calls.saturating_sub(quota.left);
        w.options.daily_calls
    });
    Json(json!({"left": quota.left, "allowed": allowed}))
}
