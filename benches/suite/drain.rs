//! What waits is worked off: each member read on both sides, written on one, read back and recorded with its history and its event. At
//! 0 ms in turns with job queues whose handlers do nothing; with slow vendors against what their batches and our concurrency allow.

use std::time::Duration;

use crate::Figure;
use crate::asked::{databases, number, numbers, rounds};
use crate::ground::name_of;
use crate::known::{count, drained};
use crate::peers::Peer;
use crate::peopled::{Peopled, STATUSES, Side, unlimited};
use crate::spread::Spread;

/// Calls at the same time, to each vendor.
const CONCURRENCY: f64 = 10.0;

pub async fn run() -> Vec<Figure> {
    let members = number("DRAIN_MEMBERS", 200_000);
    let mappings = numbers("DRAIN_MAPPINGS", &[1, 100, 10_000]);
    let mut figures = Vec::new();
    for latency in numbers("DRAIN_LATENCY", &[0, 100]) {
        for pairs in &mappings {
            figures.extend(shape(members, *pairs, Duration::from_millis(latency)).await);
        }
    }
    figures
}

async fn shape(members: usize, pairs: usize, latency: Duration) -> Vec<Figure> {
    let slow = latency > Duration::ZERO;
    // Each goes a step of the channel on.
    let rounds = rounds(if slow { 3 } else { 5 }).min(STATUSES.len() - 1);
    let peers = if slow { Vec::new() } else { Peer::each().await };
    let mut figures = Vec::new();
    let mut best: Vec<f64> = Vec::new();
    for database in databases().await {
        let name = name_of(&database);
        let what = format!("{name}, {pairs} mappings, {} ms", latency.as_millis());
        println!("drain {what}: making {members} members");
        let mut peopled = Peopled::new(members, pairs, unlimited()).await;
        let tables = peopled.fill(&database.url).await;
        peopled.latency(latency);
        let service = peopled.launch(&database.url).start().await;
        let (mut ours, mut ratios, mut busy) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            peopled.change(Side::Marketo);
            peopled.tell(&tables, Side::Marketo).await;
            let (salesforce, marketo, used) = (peopled.of_salesforce(), peopled.of_marketo(), service.processor_time());
            let took = drained(&peopled, &tables).await.as_secs_f64();
            let (salesforce, marketo) = (peopled.of_salesforce() - salesforce, peopled.of_marketo() - marketo);
            busy.push((service.processor_time() - used).as_secs_f64() * 1e6 / members as f64);
            ours.push(members as f64 / took);
            assert!(peopled.is_equal(), "both sides are to be the same");
            if best.len() <= round {
                let mut fastest = 0.0_f64;
                for peer in &peers {
                    peer.run("many", members).await;
                    let rate = peer.rate("drain", members).await;
                    println!("drain round {round}: {} {rate:.0} jobs/s", peer.name);
                    fastest = fastest.max(rate);
                }
                best.push(fastest);
            }
            let limit = if slow { bound(&peopled, latency) } else { best[round] };
            ratios.push(ours[round] / limit);
            println!(
                "drain {what}, round {round}: {:.0} members/s; Salesforce {} reads {} writes, Marketo {} reads; {:.0} µs of a core each",
                ours[round], salesforce.reads, salesforce.writes, marketo.reads, busy[round]
            );
        }
        for table in ["outbox WHERE state = 'completed' AND outcome = 'applied'", "trigger_events"] {
            assert_eq!(count(&tables, table).await, members * rounds, "{table}");
        }
        service.terminate().await;
        let figure = |of: &str, values: &[f64], goal| {
            let spread = Spread::of(values);
            Figure {
                workload: "drain",
                what: format!("{what}: {of}{}", spread.told(rounds)),
                value: spread.median,
                goal,
            }
        };
        figures.push(figure("members/s", &ours, None));
        figures.push(figure("µs of a core for each, the service alone", &busy, None));
        match slow {
            true => figures.push(figure("to what batches and concurrency allow", &ratios, Some(("at least", 0.9)))),
            false if !peers.is_empty() => {
                figures.push(figure("to the best peer that does nothing", &ratios, Some(("at least", 0.4))));
            }
            false => {}
        }
    }
    figures
}

/// Members a second, were every call full and no place for a call ever empty. Salesforce: memberships read, written and read back, 200 at a
/// time whatever their campaigns. Marketo: a read for each program and 300.
fn bound(peopled: &Peopled, latency: Duration) -> f64 {
    let members = peopled.people.len();
    let mut of_pair = vec![0_usize; peopled.pairs.len()];
    peopled.people.iter().for_each(|one| of_pair[one.pair] += 1);
    let salesforce = 3 * members.div_ceil(200);
    let marketo: usize = of_pair.iter().map(|count| count.div_ceil(300)).sum();
    let seconds = salesforce.max(marketo) as f64 * latency.as_secs_f64() / CONCURRENCY;
    members as f64 / seconds
}
