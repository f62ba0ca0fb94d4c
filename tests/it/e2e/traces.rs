//! Traces by OTLP: one for each change, from its acceptance over the opposite call to the delivery of its event.

use serde_json::json;

use super::running::Running;
use super::subscriber::launch;
use super::world::{SOON, World};
use crate::support::{Receiver, eventually, on_both};

/// A span, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    name: String,
}

/// The fields of a message of Protocol Buffers that have a length: number and bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    fn number(message: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = message.split_first()?;
            *message = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    let mut found = Vec::new();
    while let Some(tag) = number(&mut message) {
        let length = match tag & 7 {
            0 => {
                number(&mut message);
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(&mut message).unwrap()).unwrap(),
            5 => 4,
            kind => panic!("fields of kind {kind} are not sent"),
        };
        let (field, rest) = message.split_at(length);
        found.push((tag >> 3, field));
        message = rest;
    }
    found
}

fn children(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter(move |(number, _)| *number == wanted).map(|(_, field)| field)
}

/// The spans of an export request: resource spans (1), scope spans (2), spans (2).
fn spans(request: &[u8]) -> Vec<Span> {
    let of_all = children(request, 1).flat_map(|resource| children(resource, 2)).flat_map(|scope| children(scope, 2));
    let field = |span: &[u8], number| children(span, number).next().unwrap_or_default().to_vec();
    let read = |span: &[u8]| Span {
        trace: field(span, 1),
        id: field(span, 2),
        parent: field(span, 4),
        name: String::from_utf8(field(span, 5)).unwrap(),
    };
    of_all.map(read).collect()
}

on_both! {
    async fn one_trace_goes_from_the_webhook_over_the_opposite_call_to_the_delivery(database: TestDatabase) {
        let collector = wiremock::MockServer::start().await;
        let exports = wiremock::Mock::given(wiremock::matchers::path("/v1/traces"));
        exports.respond_with(wiremock::ResponseTemplate::new(200)).mount(&collector).await;
        let world = World::new().await;
        world.bystanders(8);
        let launch = launch(&world, &database).env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.uri()).env("OTEL_BSP_SCHEDULE_DELAY", "100");
        let running = Running::launch(world, launch).await;
        let receiver = Receiver::good().await;
        let (id, _) = running.subscribe(&receiver, json!({})).await;
        running.world.marketo_person("Lovelace");
        running.world.set_in_marketo("Lovelace", "Invited");
        running.all_deliveries_are(&id, 1, &["delivered"]).await;
        let changes = running.api.get("changes?state=completed").await.expect(200).json();
        let applied = changes["data"].as_array().unwrap().iter().find(|change| change["outcome"] == "applied").unwrap();
        let change: uuid::Uuid = applied["id"].as_str().unwrap().parse().unwrap();
        let of_change = eventually("the spans", SOON, async || {
            let sent = collector.received_requests().await.unwrap();
            let mut all: Vec<Span> = sent.iter().flat_map(|request| spans(&request.body)).collect();
            all.retain(|span| span.trace == change.as_bytes());
            ["change", "attempt", "write", "deliver"].iter().all(|name| all.iter().any(|span| span.name == *name)).then_some(all)
        })
        .await;
        let whole = of_change.iter().find(|span| span.name == "change").unwrap();
        assert_eq!(whole.parent, Vec::<u8>::new());
        for part in of_change.iter().filter(|span| span.name != "change") {
            assert_eq!((part.parent.as_slice(), part.id.len()), (whole.id.as_slice(), 8), "{part:?}");
        }
        let sent = collector.received_requests().await.unwrap();
        let tells = |text: &str| sent.iter().any(|request| request.body.windows(text.len()).any(|part| part == text.as_bytes()));
        assert!(tells("campaign-sync") && !tells("Lovelace") && !tells("lovelace"), "who it is about is nobody's business");
    }
}
