//! The sender of webhooks: given up after its time, never tried again, so many at once and no more.
//!
//! Must not use the connectors, as all tests of the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use tokio::sync::Semaphore;

use super::super::*;
use super::{Site, listen};

/// A receiver that holds every call until it is let go.
struct Slow {
    inside: AtomicUsize,
    most: AtomicUsize,
    arrived: AtomicUsize,
    gate: Semaphore,
}

async fn hold(State(slow): State<Arc<Slow>>) -> &'static str {
    slow.arrived.fetch_add(1, Ordering::SeqCst);
    let now = slow.inside.fetch_add(1, Ordering::SeqCst) + 1;
    slow.most.fetch_max(now, Ordering::SeqCst);
    let _let_go = slow.gate.acquire().await;
    slow.inside.fetch_sub(1, Ordering::SeqCst);
    "{}"
}

async fn site(options: Options) -> (Site, Arc<Slow>) {
    let slow = Arc::new(Slow {
        inside: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        arrived: AtomicUsize::new(0),
        gate: Semaphore::new(0),
    });
    let url = listen(Router::new().route("/hook", post(hold)).with_state(slow.clone())).await;
    let site = Site::open(options).await;
    site.marketo.with(|world| {
        world.add_webhook(Webhook {
            name: "Changed".into(),
            url: format!("{url}/hook"),
            method: "POST".into(),
            template: person_template("person.deleted", Encoding::JsonBare),
            encoding: Encoding::JsonBare,
            headers: [].into(),
        });
        let trigger = Some(Trigger::StatusChanged { new_status: None });
        let (name, program_id, webhook) = ("changed".into(), Some(1044), Some("Changed".into()));
        world.add_campaign(SmartCampaign { id: 0, name, program_id, trigger, active: true, webhook });
    });
    (site, slow)
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn twenty_at_a_time() {
    let (site, slow) = site(Options::default()).await;
    let sender = site.marketo.start();
    site.marketo.with(|world| {
        for n in 0..50 {
            let id = world.add_person(NewPerson { id: Some(100 + n), ..NewPerson::default() });
            world.set_status(1044, id, "Invited").unwrap();
        }
    });
    until(|| slow.inside.load(Ordering::SeqCst) == 20).await;
    slow.gate.add_permits(1000);
    until(|| site.marketo.with(|world| world.deliveries.len() == 50)).await;
    assert_eq!(slow.most.load(Ordering::SeqCst), 20);
    sender.abort();
}

#[tokio::test]
async fn given_up_in_time_and_never_tried_again() {
    let (site, slow) = site(Options { webhook_timeout_seconds: 1, ..Options::default() }).await;
    assert_eq!(Options::default().webhook_timeout_seconds, 30);
    let sender = site.marketo.start();
    site.marketo.with(|world| world.set_status(1044, 2, "Invited")).unwrap();
    until(|| site.marketo.with(|world| !world.deliveries.is_empty())).await;
    slow.gate.add_permits(1000);
    // The next one is sent, and the first one is not sent again before it.
    site.marketo.with(|world| world.set_status(1044, 3, "Invited")).unwrap();
    until(|| site.marketo.with(|world| world.deliveries.len() == 2)).await;
    assert_eq!(slow.arrived.load(Ordering::SeqCst), 2);
    site.marketo.with(|world| {
        let errors: Vec<_> = world.deliveries.iter().map(|delivery| delivery.error.clone()).collect();
        assert_eq!(errors, [Some("timeout".into()), None]);
    });
    sender.abort();
}
