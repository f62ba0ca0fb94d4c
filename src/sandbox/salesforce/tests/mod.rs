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

use super::{Now, Options, World};

/// 2026-11-23T20:05:00Z
const START: i64 = 1_795_464_300;

/// A clock moved by hand, in seconds.
fn clock() -> (Arc<AtomicI64>, Now) {
    let seconds = Arc::new(AtomicI64::new(START));
    let read = seconds.clone();
    (seconds, Arc::new(move || Timestamp::from_second(read.load(Ordering::Relaxed)).unwrap()))
}

fn world(options: Options) -> World {
    World::new(options, clock().1)
}
