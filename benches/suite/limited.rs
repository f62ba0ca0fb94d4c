//! `drain.limited`: a backlog with Marketo's limiter on and all of its calls ours: how many of them are used, how full they are, and that
//! none is refused.

use std::time::{Duration, Instant};

use crate::Figure;
use crate::asked::{databases, number};
use crate::ground::name_of;
use crate::peopled::{Calls, Peopled, Side, unlimited};
use crate::world::pause;

/// Calls in 20 seconds, as Marketo counts them.
const WINDOW: f64 = 100.0 / 20.0;
/// People of a full call.
const FULL: f64 = 300.0;

pub async fn run() -> Vec<Figure> {
    let seconds = number("LIMITED_SECONDS", 80);
    let mut figures = Vec::new();
    for database in databases().await {
        for (side, calls) in [(Side::Marketo, 1.0), (Side::Salesforce, 2.0)] {
            let database = database.fresh().await;
            figures.extend(case(&database.url, name_of(&database), side, calls, Duration::from_secs(seconds)).await);
        }
    }
    figures
}

/// `each` is how many calls to Marketo a member costs at the least: a read, and a write where Marketo is written to.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn case(url: &str, name: &str, side: Side, each: f64, time: Duration) -> [Figure; 4] {
    // More than can be worked off.
    let members = (WINDOW * FULL / each * time.as_secs_f64() * 1.3) as usize + 5_000;
    let mut options = unlimited();
    options.marketo.rate_limit = Some(100);
    options.marketo.concurrency_limit = Some(10);
    let mut peopled = Peopled::new(members, 4, options).await;
    let tables = peopled.fill(url).await;
    peopled.change(side);
    peopled.tell(&tables, side).await;
    let launch = peopled.launch(url);
    let launch = launch.set("limits.marketo.calls_per_window", "100").set("limits.marketo.window", "20s");
    let service = launch.start().await;
    peopled.release(&tables).await;
    let refused = || peopled.emulators.marketo.with(|world| world.police.over_limit_calls);
    let used = || peopled.emulators.marketo.with(|world| world.police.calls_by_endpoint.values().sum::<u64>());
    let about_members = || {
        peopled.emulators.marketo.with(|world| {
            let of = |part: &str| {
                let found = world.police.calls_by_endpoint.iter().filter(|(name, _)| name.contains(part));
                found.map(|(_, count)| *count).sum::<u64>()
            };
            of("members")
        })
    };
    let of = |calls: Calls| calls.all();
    while of(peopled.of_marketo()) == 0 {
        pause(Duration::from_millis(1)).await;
    }
    let (started, before, done) = (Instant::now(), used(), worked(&tables).await);
    let about = about_members();
    pause(time).await;
    let (calls, about, done) = (used() - before, about_members() - about, worked(&tables).await - done);
    let took = started.elapsed().as_secs_f64();
    println!(
        "drain.limited {name} from {side:?}: {done} members, {calls} calls ({about} about members) in {took:.0} s"
    );
    drop(service);
    let to = if side == Side::Marketo { "Salesforce" } else { "Marketo" };
    let figure = |what: &str, value, goal| Figure {
        workload: "drain.limited",
        what: format!("{name}, towards {to}: {what}"),
        value,
        goal,
    };
    [
        figure("members/s", done as f64 / took, None),
        // The window is full at the start: up to a hundred calls go at once, and as many are in the first 20 seconds.
        figure("of the allowed calls used", calls as f64 / (WINDOW * took), Some(("at least", 0.97))),
        figure("calls refused as too many", refused() as f64, Some(("at most", 0.0))),
        figure("calls to those of full ones", about as f64 * FULL / (done as f64 * each), Some(("at most", 1.1))),
    ]
}

async fn worked(tables: &crate::ground::Tables) -> usize {
    crate::known::count(tables, "outbox WHERE state = 'completed'").await
}
