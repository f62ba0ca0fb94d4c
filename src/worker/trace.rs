//! What a pass tells of each change, for whoever collects traces.
//!
//! Reads what the pass came to. Must not hold it up: nothing is done where nobody collects.

use super::sync::Item;
use crate::store::lanes::Claimed;
use crate::store::record::{End, Settled};
use crate::telemetry::spans::Span;

/// The calls that carried the changes over.
pub(super) fn calls(items: &[Item], changes: &[Claimed]) -> Vec<Span> {
    let of = |item: &Item| {
        let Some((vendor, begun, ended)) = item.called else { return Vec::new() };
        let name = if item.wrote { "write" } else { "write, refused" };
        let span = |n: &usize| {
            Span::new(&changes[*n].id, name, begun, ended)
                .call()
                .with("campaign_sync.vendor", vendor)
                .with("campaign_sync.member_id", &item.member.id)
        };
        item.causes.iter().map(span).collect()
    };
    items.iter().flat_map(of).collect()
}

/// The attempts, and of those that were the last the whole.
pub(super) fn ends(settled: &[Settled], changes: &[Claimed], claimed: i64, now: i64) -> Vec<Span> {
    let mut spans = Vec::new();
    for Settled { id, lane, end, .. } in settled {
        let Some(change) = changes.iter().find(|change| change.id == *id) else { continue };
        let (outcome, error) = match end {
            End::Applied => ("applied", None),
            End::NoOp => ("no_op", None),
            End::Skipped { reason } => ("skipped", Some(reason)),
            End::Superseded => ("superseded", None),
            End::Parked { reason, .. } => ("parked", Some(reason)),
            End::GivenUp { reason, .. } => ("given_up", Some(reason)),
            End::Retry { reason, .. } => ("retried", Some(reason)),
            End::Later { .. } => ("put_off", None),
        };
        let attempt = Span::new(id, "attempt", claimed, now).with("campaign_sync.attempt", change.attempts);
        spans.push(attempt.with("campaign_sync.outcome", outcome).failed(error));
        if !matches!(outcome, "retried" | "put_off") {
            let whole = Span::new(id, "change", change.created_at, now).whole();
            let whole = whole.with("campaign_sync.source", &change.source).with("campaign_sync.campaign_id", lane);
            spans.push(whole.with("campaign_sync.outcome", outcome).failed(error));
        }
    }
    spans
}
