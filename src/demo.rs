//! `demo`: both vendors in this process, an awkward world, a mapping, and people at work on both sides.
//!
//! Owns the order of things and what is printed. Uses the service as anybody would, over its configuration, its webhooks
//! and its API; judges it by what the emulators hold at the end (`compare`).

mod compare;
mod dice;
mod report;
mod service;
mod traffic;
mod world;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret;

use crate::domain::clock::Clock;
use crate::sandbox::{self, EmulateOptions, Emulators};
use dice::Dice;
use report::Figures;
use service::Service;
use traffic::{Act, Traffic};

/// `demo`
#[derive(Args, Debug)]
pub struct Demo {
    /// A fixed script, a comparison of both sides and an end, instead of traffic until ctrl-c.
    #[arg(long)]
    once: bool,
    /// The figures as one JSON object, with `--once`.
    #[arg(long)]
    json: bool,
    /// Address and port of the service; port 8080 of this machine unless given, a free one with `--once`.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// An empty database; a temporary SQLite file unless given.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Humans in the two worlds, a few awkward ones not counted.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    people: u32,
    /// Another seed, other people in other statuses.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// All of `--once` is over by then.
const SCRIPT_LIMIT: Duration = Duration::from_secs(110);
/// Between two acts of the people while the demo goes on.
const PACE: Duration = Duration::from_millis(400);

/// The script: what happens at once, then is waited for. Numbers are for 200 people and grow with them.
const SCRIPT: [(&str, &[(Act, usize)]); 6] = [
    ("people are added on both sides", &[(Act::MarketingAdds, 12), (Act::SalesAdds, 12)]),
    ("statuses change on both sides", &[(Act::MarketingMoves, 30), (Act::SalesMoves, 30), (Act::SalesLowers, 1)]),
    ("people nobody knew join", &[(Act::MarketingCreates, 6), (Act::SalesCreates, 6)]),
    ("the same people are changed on both sides at once", &[(Act::BothMove, 8)]),
    ("people are removed on both sides", &[(Act::MarketingRemoves, 6), (Act::SalesRemoves, 6)]),
    ("leads are converted, and members moved meanwhile", &[(Act::SalesConverts, 4), (Act::MarketingMoves, 10)]),
];

/// How often people do what while the demo goes on. Removals are rare, or the removal guard would rightly ask.
const HABITS: [(Act, usize); 10] = [
    (Act::MarketingMoves, 80),
    (Act::SalesMoves, 80),
    (Act::MarketingAdds, 40),
    (Act::SalesAdds, 40),
    (Act::MarketingCreates, 20),
    (Act::SalesCreates, 20),
    (Act::BothMove, 10),
    (Act::SalesConverts, 4),
    (Act::MarketingRemoves, 1),
    (Act::SalesRemoves, 1),
];

impl Demo {
    /// Runs until the script is over, or until told to stop; false when both sides do not hold the same.
    ///
    /// # Errors
    /// When an address or the database cannot be used.
    pub async fn run(self, told: impl Future<Output = ()>) -> anyhow::Result<bool> {
        tokio::select! {
            result = self.play() => result,
            () = told => Ok(true),
        }
    }

    async fn play(&self) -> anyhow::Result<bool> {
        let mut options = EmulateOptions::default();
        options.salesforce.seed = self.seed;
        options.marketo.seed = self.seed;
        let emulators = sandbox::start(options).await?;
        let mut dice = Dice::new(self.seed);
        let scene = world::seed(&emulators, usize::try_from(self.people)?, &mut dice)?;
        progress(&format!("two worlds with {} people and some awkward ones", self.people))?;
        let port = if self.once { 0 } else { 8080 };
        let listen = self.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let service = Service::start(&emulators, listen, self.database.as_deref()).await?;
        progress(&format!("the service listens on {}", service.url))?;
        let mapping = service.map(&scene).await?;
        progress("program and campaign are mapped; the first sync runs")?;
        let mut traffic = Traffic { emulators: &emulators, scene, dice };
        match self.once {
            true => {
                let equal = self.script(&mut traffic, &service, &mapping).await?;
                service.stop().await;
                Ok(equal)
            }
            false => {
                where_to_look(&emulators, &service, &mapping)?;
                // With many people it takes longer; then the traffic begins meanwhile.
                service.settled(&emulators, &mapping, SCRIPT_LIMIT).await?;
                progress("people are at work")?;
                go_on(&mut traffic).await;
                Ok(true)
            }
        }
    }

    async fn script(&self, traffic: &mut Traffic<'_>, service: &Service, mapping: &str) -> anyhow::Result<bool> {
        let clock = Clock::system();
        let started = clock.monotonic();
        let left = || SCRIPT_LIMIT.saturating_sub(clock.monotonic().saturating_sub(started));
        let emulators = traffic.emulators;
        let mut settled = service.settled(emulators, mapping, left()).await?;
        for (what, acts) in SCRIPT {
            for (act, of_200) in acts {
                let times = (of_200 * usize::try_from(self.people)?).div_ceil(200).min(*of_200 * 5);
                let times = traffic.act(*act, times);
                progress(&format!("{what}: {act:?} {times}"))?;
            }
            settled = settled && service.settled(emulators, mapping, left()).await?;
        }
        traffic.merge_twins()?;
        progress("two records of one human are merged on both sides")?;
        settled = settled && service.settled(emulators, mapping, left()).await?;
        let compared = compare::compare(emulators, &traffic.scene, service).await?;
        let figures = Figures::collect(emulators, service, mapping, &compared).await?;
        let mut out = String::new();
        for difference in &compared.differences {
            let kind = if difference.reason.is_some() { "explained" } else { "different" };
            let line = format!("{kind}: {difference}");
            // With --json only the object goes to standard output.
            if self.json { progress(&line)? } else { out += &format!("{line}\n") }
        }
        if !settled {
            progress("the changes were not worked off in time")?;
        }
        out += &if self.json { format!("{}\n", serde_json::to_string(&figures)?) } else { figures.lines() };
        print(&out)?;
        Ok(settled && compared.is_equal())
    }
}

async fn go_on(traffic: &mut Traffic<'_>) {
    let mut ticks = tokio::time::interval(PACE);
    let total: usize = HABITS.iter().map(|(_, weight)| weight).sum();
    loop {
        ticks.tick().await;
        let mut drawn = traffic.dice.below(total);
        for (act, weight) in HABITS {
            if drawn < weight {
                traffic.act(act, 1);
                break;
            }
            drawn -= weight;
        }
    }
}

fn where_to_look(emulators: &Emulators, service: &Service, mapping: &str) -> anyhow::Result<()> {
    let (url, key, control) = (&service.url, service.key.expose_secret(), &emulators.control_url);
    print(&format!(
        "\nservice            {url}\ndashboard          {url}/\nAPI key            {key}\nAPI description    {url}/docs\n\
         emulators, to act  {control}\n\n\
         curl -H 'Authorization: Bearer {key}' {url}/api/v1/mappings/{mapping}\n\
         curl {control}/marketo/programs/1044/members\n\
         curl {url}/metrics\n\n\
         People are at work on both sides. Ctrl-c ends it.\n"
    ))
}

fn progress(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "{text}")?)
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
