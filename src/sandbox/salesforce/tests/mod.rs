//! Tests of the emulated org: its rules, its wire forms over HTTP, and its webhooks.

mod accounts;
mod calls;
mod logins;
mod profile;
mod recorded;
mod rules;
mod scale;
mod time;
mod webhooks;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use serde_json::Value;

use super::world::Actor;
use super::{Now, Options, World, api};

/// 2026-11-23T20:05:00Z
const START: i64 = 1_795_464_300;

/// A clock moved by hand, in seconds.
fn clock() -> (Arc<AtomicI64>, Now) {
    let seconds = Arc::new(AtomicI64::new(START));
    let read = seconds.clone();
    (seconds, Arc::new(move || Timestamp::from_second(read.load(Ordering::Relaxed)).unwrap()))
}

/// What the API user asks.
fn user(w: &World) -> Actor {
    Actor { user: w.api_user, api: true, call: 1, allow_save: false }
}

fn get(w: &mut World, path: &[&str], query: &[(&str, &str)]) -> (u16, Value) {
    let request = api::Request {
        method: "GET".into(),
        version: "60.0".into(),
        path: path.iter().map(ToString::to_string).collect(),
        query: query.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        ..api::Request::default()
    };
    let actor = user(w);
    let reply = api::answer(w, &actor, &request);
    (reply.status, reply.body.unwrap_or_default())
}

fn world(options: Options) -> World {
    World::new(options, clock().1)
}
