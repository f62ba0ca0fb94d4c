//! `campaign-sync reconcile`: compares and mends from the command line, with a worker of its own beside those of the service.
//!
//! Owns what is shown meanwhile and what counts as good. The work is a run or a plan like any other: whoever leases its lane
//! goes on with it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::budgets::Shared;
use super::{connect, marketo, salesforce, settings};
use crate::config::Config;
use crate::connector::budget::Priority;
use crate::domain::clock::Clock;
use crate::domain::mapping::MappingState;
use crate::domain::merge::Reason;
use crate::store::Store;
use crate::store::mappings::{Mapping, MappingFilter};
use crate::store::plan_rows::PlanRow;
use crate::store::plans::Draft;
use crate::store::runs::{Counts, Stage};
use crate::worker::Worker;
use crate::worker::points::Points;

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Lanes that are worked at the same time.
const WORKERS: usize = 2;
const PAGE: i64 = 500;

/// Compares one mapping, or all; whether both sides agree in the end, or, in a dry run, agree as they are. What a policy wants
/// different is no disagreement, nor is what is never synced.
///
/// # Errors
/// When the configuration or the database cannot be used, or there is no such mapping.
pub async fn reconcile(
    config: &Config,
    mapping: Option<&str>,
    dry_run: bool,
    told: impl Future<Output = ()>,
) -> anyhow::Result<bool> {
    let clock = Clock::system();
    let store = connect(config, clock.clone()).await?;
    store.migrate().await.context("the schema cannot be brought up to date")?;
    let mappings = chosen(&store, mapping).await?;
    if !store.sync_enabled().await? {
        say("campaign sync is switched off: nothing is compared")?;
        return Ok(false);
    }
    let (marketo, salesforce) = (Arc::new(marketo(config, clock.clone())?), Arc::new(salesforce(config, clock)?));
    let budgets = Shared::begin(config, &store, &marketo, &salesforce);
    let vendors = |at: Priority| -> crate::worker::Vendors {
        (Arc::new(marketo.prioritised(at)), Arc::new(salesforce.prioritised(at)))
    };
    let (commands, runs) = (vendors(Priority::FlowAction), vendors(Priority::Reconcile));
    let worker = Worker::new(store.clone(), marketo, salesforce, settings(config), Points::default());
    let worker = worker.with_priorities(commands, runs);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS {
        tasks.spawn(worker.another().run(stop.clone()));
    }
    let all = async {
        let mut good = true;
        for mapping in &mappings {
            let shown = Shown::new(mapping);
            good &= match dry_run {
                true => plan(&store, mapping, &shown).await?,
                false => compare(&store, mapping, &shown).await?,
            };
        }
        anyhow::Ok(good)
    };
    let outcome = tokio::select! {
        outcome = all => outcome,
        () = told => {
            say("stopped; a run that was begun goes on with the service")?;
            Ok(false)
        }
    };
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    budgets.end().await;
    outcome
}

async fn chosen(store: &Store, id: Option<&str>) -> anyhow::Result<Vec<Mapping>> {
    if let Some(id) = id {
        let found = store.mapping(id).await?;
        let missing = || format!("no mapping has the id {id}; GET /api/v1/mappings lists them");
        return Ok(vec![found.with_context(missing)?]);
    }
    let (mut mappings, mut after) = (Vec::new(), String::new());
    loop {
        let page = store.list_mappings(&MappingFilter::default(), &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        mappings.extend(page);
    }
    if mappings.is_empty() {
        bail!("there is no mapping to compare");
    }
    Ok(mappings)
}

/// A run from its beginning to its end.
async fn compare(store: &Store, mapping: &Mapping, shown: &Shown) -> anyhow::Result<bool> {
    if mapping.state != MappingState::Active {
        say(&format!("{}: {}, so that nothing is applied; --dry-run says what would be", shown.name, mapping.state))?;
        return Ok(false);
    }
    let id = store.start_run(&mapping.id, mapping.campaign_id.as_str(), "reconciliation").await?;
    let run = loop {
        let Some(run) = store.run(&id).await? else { bail!("the run {id} is gone") };
        if run.state != "running" {
            break run;
        }
        shown.progress(run.stage, &run.counts, run.message.as_deref())?;
        pause().await;
    };
    shown.end();
    for (side, reasons) in &run.differences {
        for (reason, n) in reasons {
            say(&format!("{}: {side} {reason} {n}", shown.name))?;
        }
    }
    if run.state != "completed" {
        say(&format!("{}: failed: {}", shown.name, run.message.unwrap_or_default()))?;
        return Ok(false);
    }
    let bridge = store.bridge(mapping.campaign_id.as_str()).await?;
    let mut left = Remaining::default();
    for (reason, n) in [&bridge.only_marketo, &bridge.only_salesforce, &bridge.different].into_iter().flatten() {
        left.count(reason, *n);
    }
    let changed = run.counts.get("changed").copied().unwrap_or(0);
    say(&format!("{}: {} in sync, {changed} changed, {left}", shown.name, bridge.in_sync))?;
    Ok(left.is_good())
}

/// What differs still, by reason: what somebody has to see to, what a policy wants so, and what is never synced.
#[derive(Default)]
struct Remaining {
    open: BTreeMap<String, i64>,
    intended: BTreeMap<String, i64>,
    out_of_scope: BTreeMap<String, i64>,
}

impl Remaining {
    fn count(&mut self, reason: &str, n: i64) {
        let by = match reason.parse::<Reason>() {
            Ok(reason) if reason.is_intended() => &mut self.intended,
            Ok(reason) if reason.is_out_of_scope() => &mut self.out_of_scope,
            _ => &mut self.open,
        };
        *by.entry(reason.to_owned()).or_default() += n;
    }

    fn is_good(&self) -> bool {
        self.open.is_empty()
    }
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = |by: &BTreeMap<String, i64>| by.values().sum::<i64>();
        let reasons = |by: &BTreeMap<String, i64>| {
            let each: Vec<_> = by.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
            if each.is_empty() { String::new() } else { format!(" ({})", each.join(", ")) }
        };
        write!(f, "{} still differ{}", total(&self.open), reasons(&self.open))?;
        if !self.intended.is_empty() {
            write!(f, ", {} differ as the policies want{}", total(&self.intended), reasons(&self.intended))?;
        }
        if !self.out_of_scope.is_empty() {
            write!(f, ", {} are never synced{}", total(&self.out_of_scope), reasons(&self.out_of_scope))?;
        }
        Ok(())
    }
}

/// A plan, with its rows.
async fn plan(store: &Store, mapping: &Mapping, shown: &Shown) -> anyhow::Result<bool> {
    let draft = Draft { mapping: mapping.clone(), new_statuses: Vec::new(), new_campaign: false };
    let id = store.create_plan(&draft, Some(&mapping.id)).await?;
    let plan = loop {
        let Some(plan) = store.plan(&id).await? else { bail!("the plan {id} is gone") };
        if plan.state != "computing" {
            break plan;
        }
        shown.progress(plan.stage, &plan.counts, plan.message.as_deref())?;
        pause().await;
    };
    shown.end();
    if plan.state != "ready" {
        say(&format!("{}: failed: {}", shown.name, plan.message.unwrap_or_default()))?;
        return Ok(false);
    }
    let (mut after, mut rows, mut good) = (String::new(), 0, true);
    loop {
        let page = store.plan_rows(&id, false, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        rows += page.len();
        for row in &page {
            let reason = row.reason.as_deref().and_then(|reason| reason.parse::<Reason>().ok());
            good &= reason.is_some_and(|reason| reason.is_intended() || reason.is_out_of_scope());
            say(&format!("{}: {}", shown.name, line(row)))?;
        }
    }
    let calls = (plan.calls_marketo, plan.calls_salesforce, plan.seconds);
    let cost = format!("about {} calls to Marketo and {} to Salesforce, {} s", calls.0, calls.1, calls.2);
    say(&format!("{}: {rows} differ; applying takes {cost}", shown.name))?;
    Ok(good)
}

fn line(row: &PlanRow) -> String {
    let id = row.marketo_id.map(|id| id.to_string()).or_else(|| row.salesforce_id.clone());
    let person = row.email.clone().or(id).unwrap_or_default();
    let status =
        |status: &Option<String>| status.as_ref().map_or_else(|| "-".to_owned(), |status| format!("{status:?}"));
    let why = row.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("{person} {} {} {} -> {}{why}", row.side, row.action, status(&row.from_status), status(&row.to_status))
}

#[expect(clippy::disallowed_methods, reason = "a person looks on, in real time")]
async fn pause() {
    tokio::time::sleep(LOOK).await;
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// What is shown of one mapping: a bar on a terminal, else a line for each stage.
struct Shown {
    name: String,
    bar: Option<ProgressBar>,
    last: std::cell::RefCell<String>,
}

impl Shown {
    fn new(mapping: &Mapping) -> Self {
        let name = format!("{} ({})", mapping.program_name, mapping.id);
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {elapsed}");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            style.map(|style| bar.set_style(style)).ok();
            bar
        });
        Self { name, bar, last: std::cell::RefCell::default() }
    }

    fn progress(&self, stage: Stage, counts: &Counts, message: Option<&str>) -> anyhow::Result<()> {
        let of = |what: &str| counts.get(what).copied();
        let (what, at, of_all) = match stage {
            Stage::Salesforce => ("reading Salesforce", of("salesforce_read"), of("salesforce_expected")),
            Stage::Marketo => ("reading Marketo", of("marketo_read"), of("marketo_expected")),
            Stage::Check => ("looking at the plan", None, None),
            Stage::Decide | Stage::Undo => ("deciding", of("decided"), of("members")),
        };
        let message = message.map(|message| format!(" ({message})")).unwrap_or_default();
        let text = format!("{}: {what}{message}", self.name);
        let unsigned = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        match &self.bar {
            Some(bar) => {
                bar.set_length(unsigned(of_all).max(unsigned(at)));
                bar.set_position(unsigned(at));
                bar.set_message(text);
            }
            None if *self.last.borrow() != text => {
                writeln!(std::io::stderr().lock(), "{text}")?;
                *self.last.borrow_mut() = text;
            }
            None => {}
        }
        Ok(())
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
