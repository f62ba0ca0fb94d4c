//! Group commit: one writer gathers the deliveries of the moment and stores them in one transaction.
//!
//! No timer: while one commit runs, the next group forms; a lone request pays for nothing but its own commit. In the
//! same transaction each record finds its lane, or is found to concern nobody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::dialect::{Rows, Tx, args};
use super::outbox::{Kind, NewWork, ROUTER, Subject, add};
use super::script::Script;
use super::spent::{Part, Spent};
use super::{Store, StoreError, write_json};
use crate::domain::hint::{DeliveredHint, Delivery, Hint, Receipt, Source};

/// Deliveries that may wait for the writer before senders are told to come back.
const QUEUE: usize = 4096;
/// Deliveries in one transaction: beyond this the commit is no longer what costs.
const GROUP: usize = 512;
/// Turns of the scheduler without a new delivery after which a group is whole.
const TURNS: usize = 3;
/// How often it is written down how long deliveries took.
const KEPT: Duration = Duration::from_secs(10);
/// The longest that a sender waits for the commit: Salesforce gives up on a call after that, and tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The door for deliveries; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: mpsc::Sender<Waiting>,
    patience: Duration,
}

/// A delivery and where its answer goes.
pub type Waiting = (Delivery, oneshot::Sender<Receipt>);

/// Why a delivery was not stored; the sender should come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Too many are waiting.
    #[error("too many deliveries are waiting to be stored")]
    Busy,
    /// The database did not take it, or the service is stopping.
    #[error("the delivery could not be stored")]
    NotStored,
}

impl Ingest {
    /// The door and the queue behind it, for the writer. `statement` is the longest that a statement may take.
    #[must_use]
    pub fn channel(statement: Duration) -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue, patience: PATIENCE.min(statement) }, waiting)
    }

    /// Stores a delivery; returns after the commit.
    ///
    /// # Errors
    /// When too many are waiting, or the commit failed or takes too long. Nothing was stored then, or it is recognised by its
    /// delivery id, or it is a hint too many.
    pub async fn accept(&self, delivery: Delivery) -> Result<Receipt, IngestError> {
        let (answer, receipt) = oneshot::channel();
        self.queue.try_send((delivery, answer)).map_err(|_| IngestError::Busy)?;
        let receipt = timeout(self.patience, receipt).await.map_err(|_| IngestError::NotStored)?;
        receipt.map_err(|_| IngestError::NotStored)
    }
}

impl Store {
    /// Stores what comes through the door until the last sender is gone.
    pub async fn write_deliveries(&self, mut queue: mpsc::Receiver<Waiting>) {
        let (mut spent, mut kept) = (Spent::default(), self.clock.monotonic());
        loop {
            // What the last ones took is written down, whether others come or not.
            let next = if spent.is_empty() { Ok(queue.recv().await) } else { timeout(KEPT, queue.recv()).await };
            let began = self.clock.monotonic();
            if !matches!(next, Ok(Some(_))) || began >= kept + KEPT {
                kept = began;
                self.keep_collected(&mut spent).await;
            }
            let first = match next {
                Ok(Some(first)) => first,
                Ok(None) => return,
                Err(_) => continue,
            };
            let mut group = gather(first, &mut queue).await;
            // Whoever was told to come back comes back.
            group.retain(|(_, sender)| !sender.is_closed());
            let (deliveries, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            if deliveries.is_empty() {
                continue;
            }
            match self.ingest(&deliveries).await {
                Ok(receipts) => {
                    spent.took(Part::Receive, self.clock.monotonic().saturating_sub(began), receipts.len());
                    answer(answers, receipts);
                }
                Err(error) if deliveries.len() > 1 => {
                    tracing::warn!(%error, "a group of deliveries was not stored; storing them one by one");
                    self.write_apart(&deliveries, answers).await;
                }
                Err(error) => tracing::error!(%error, "a delivery was not stored"),
            }
        }
    }

    /// Stores each by itself, for as long as the database is there: what one may wait for it, all others wait as well.
    async fn write_apart(&self, deliveries: &[Delivery], answers: Vec<oneshot::Sender<Receipt>>) {
        for (delivery, sender) in deliveries.iter().zip(answers) {
            match self.ingest(std::slice::from_ref(delivery)).await {
                Ok(receipts) => answer(vec![sender], receipts),
                Err(error) => {
                    tracing::error!(%error, "a delivery was not stored");
                    if !error.is_of_the_content() {
                        return;
                    }
                }
            }
        }
    }

    /// Stores deliveries in one transaction; a receipt for each. One that was stored before gets its first receipt.
    ///
    /// # Errors
    /// When the database does not take them; nothing is stored then.
    pub async fn ingest(&self, deliveries: &[Delivery]) -> Result<Vec<Receipt>, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut seen = seen_before(&mut tx, deliveries).await?;
        let mut fresh: Vec<(Source, &DeliveredHint)> = Vec::new();
        // How many of a delivery's records have no id and are work.
        let mut nameless = vec![0; deliveries.len()];
        let mut delivery_of = Vec::new();
        for (nth, delivery) in deliveries.iter().enumerate() {
            for record in &delivery.records {
                let new = key(delivery.source, record).is_none_or(|key| {
                    let new = !seen.contains_key(&key);
                    // Its place is taken at once: a second delivery in this very group is a second delivery.
                    seen.entry(key).or_insert(false);
                    new
                });
                if new {
                    fresh.push((delivery.source, record));
                    delivery_of.push(nth);
                }
            }
        }
        let places = places(&mut tx, &fresh).await?;
        let mut work = Vec::new();
        let mut rows = Vec::with_capacity(fresh.len());
        for (n, (source, record)) in fresh.iter().enumerate() {
            let hint = write_json("hint", &record.hint)?;
            let place = places.of(&record.hint);
            rows.push(Kept::of(source.as_str(), record, place.as_ref(), hint.clone()));
            if let Some(place) = place {
                work.push(NewWork {
                    lane: place.lane,
                    mapping_id: place.mapping_id,
                    kind: Kind::Hint,
                    subject: place.subject,
                    source: source.as_str(),
                    payload: Some(hint),
                    due_at: self.now(),
                });
                match key(*source, record) {
                    Some(key) => drop(seen.insert(key, true)),
                    None => nameless[delivery_of[n]] += 1,
                }
            }
        }
        let (_, script) = add(self, &mut tx, &work).await?;
        let script = keep(script, &tx, &rows, self.now())?;
        heard(script, &tx, deliveries, self.now())?.commit(tx).await?;
        if !work.is_empty() {
            self.work.notify_one();
        }
        let receipt = |(delivery, nameless): (&Delivery, usize)| {
            let keys = delivery.records.iter().filter_map(|record| key(delivery.source, record));
            let events = nameless + keys.filter(|key| seen[key]).count();
            Receipt { events: count(events), ignored: count(delivery.records.len() - events) }
        };
        Ok(deliveries.iter().zip(nameless).map(receipt).collect())
    }
}

impl Store {
    /// What the hints carried that became these rows of the outbox, or were merged into them; oldest first.
    pub async fn hints_of_changes(&self, changes: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        let rows: Vec<_> = changes.iter().map(|id| (id,)).collect();
        let sql = "SELECT i.change_id, i.hint FROM {rows} JOIN inbox i ON i.change_id = r.id ORDER BY i.id";
        self.db.fetch_rows(sql, &Rows::new("id text", &rows)?, vec![]).await
    }
}

/// A record as the inbox keeps it.
#[derive(Serialize)]
pub(super) struct Kept<'a>(&'static str, &'a Option<String>, u32, Option<String>, Option<String>, String);

impl<'a> Kept<'a> {
    /// With its place, where somebody tracks what it is about.
    pub(super) fn of(source: &'static str, record: &'a DeliveredHint, place: Option<&Place>, hint: String) -> Self {
        let (lane, subject) = (place.map(|p| p.lane.clone()), place.map(|p| p.subject.to_string()));
        Self(source, &record.delivery_id, record.position, lane, subject, hint)
    }
}

/// Keeps records, each with the row of the outbox that now waits for its subject.
pub(super) fn keep(script: Script, tx: &Tx, rows: &[Kept<'_>], now: i64) -> Result<Script, StoreError> {
    let columns = "source text, delivery_id text, position int, lane text, subject text, hint text";
    let sql = "INSERT INTO inbox (source, delivery_id, position, change_id, hint, received_at)
               SELECT source, delivery_id, position, (SELECT o.id FROM outbox o WHERE o.lane = r.lane AND o.subject = r.subject
                 AND o.kind = 'hint' AND o.state IN ('available', 'retryable')), hint, $2 FROM {rows}";
    Ok(script.over(tx, sql, &Rows::new(columns, rows)?, args![now]))
}

/// Notes which sources have been heard of.
fn heard(script: Script, tx: &Tx, deliveries: &[Delivery], now: i64) -> Result<Script, StoreError> {
    let sources: BTreeSet<_> = deliveries.iter().map(|delivery| (delivery.source.as_str(),)).collect();
    let rows = Rows::new("source text", &sources.into_iter().collect::<Vec<_>>())?;
    let sql = "INSERT INTO sources (source, heard_at) SELECT source, $2 FROM {rows} WHERE true
               ON CONFLICT (source) DO UPDATE SET heard_at = excluded.heard_at";
    Ok(script.over(tx, sql, &rows, args![now]))
}

/// The deliveries of the moment. Those who were answered by the last commit are about to send their next ones, so that the
/// scheduler is given a turn for as long as that brings more; where nobody else is ready to run, a turn costs nothing.
async fn gather(first: Waiting, queue: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut group = vec![first];
    let mut idle = 0;
    while group.len() < GROUP && idle < TURNS {
        match queue.try_recv() {
            Ok(next) => {
                group.push(next);
                idle = 0;
            }
            Err(_) => {
                idle += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    group
}

fn answer(answers: Vec<oneshot::Sender<Receipt>>, receipts: Vec<Receipt>) {
    for (sender, receipt) in answers.into_iter().zip(receipts) {
        // Whoever asked may have gone away; what is stored is stored.
        let _ = sender.send(receipt);
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

type DeliveryKey<'a> = (&'static str, &'a str, u32);

fn key(source: Source, record: &DeliveredHint) -> Option<DeliveryKey<'_>> {
    record.delivery_id.as_deref().map(|id| (source.as_str(), id, record.position))
}

/// Of the records that carry a delivery id, those stored before, each with whether it became work.
async fn seen_before<'a>(
    tx: &mut Tx,
    deliveries: &'a [Delivery],
) -> Result<HashMap<DeliveryKey<'a>, bool>, StoreError> {
    let keys = deliveries.iter().flat_map(|d| d.records.iter().filter_map(|r| key(d.source, r)));
    let keys: HashMap<_, _> = keys.map(|key| ((key.0.to_owned(), key.1.to_owned(), i64::from(key.2)), key)).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = Rows::new("source text, delivery_id text, position int", &keys.keys().collect::<Vec<_>>())?;
    let stored: Vec<(String, String, i64, Option<String>)> = tx
        .fetch_rows(
            "SELECT i.source, i.delivery_id, i.position, i.change_id FROM {rows}
             JOIN inbox i ON i.source = r.source AND i.delivery_id = r.delivery_id AND i.position = r.position",
            &rows,
            vec![],
        )
        .await?;
    Ok(stored
        .into_iter()
        .map(|(source, id, position, change)| (keys[&(source, id, position)], change.is_some()))
        .collect())
}

/// What a group of hints needs to know to find lanes.
#[derive(Default)]
pub(super) struct Places {
    programs: HashMap<i64, (String, String)>,
    campaigns: HashMap<String, Option<String>>,
    members: HashMap<String, String>,
    marketo_people: HashSet<i64>,
    salesforce_people: HashSet<String>,
}

/// Where a hint is worked off.
pub(super) struct Place {
    pub lane: String,
    pub mapping_id: Option<String>,
    pub subject: Subject,
}

impl Places {
    /// None for what nobody tracks.
    pub(super) fn of(&self, hint: &Hint) -> Option<Place> {
        let lane = |campaign: &str, subject| {
            let mapping_id = self.campaigns.get(campaign)?.clone();
            Some(Place { lane: campaign.to_owned(), mapping_id, subject })
        };
        let router = |subject| Some(Place { lane: ROUTER.to_owned(), mapping_id: None, subject });
        match hint {
            Hint::ProgramMember { program_id, marketo_id, .. } => {
                let (mapping_id, campaign) = self.programs.get(program_id)?.clone();
                Some(Place { lane: campaign, mapping_id: Some(mapping_id), subject: Subject::Marketo(*marketo_id) })
            }
            Hint::Program { program_id } => {
                let (mapping_id, campaign) = self.programs.get(program_id)?.clone();
                Some(Place { lane: campaign, mapping_id: Some(mapping_id), subject: Subject::Mapping })
            }
            Hint::MarketoPerson { marketo_id } => {
                self.marketo_people.contains(marketo_id).then(|| router(Subject::Marketo(*marketo_id)))?
            }
            Hint::SalesforcePerson { person_id, .. } => self
                .salesforce_people
                .contains(person_id.as_str())
                .then(|| router(Subject::Salesforce(person_id.clone())))?,
            Hint::CampaignMember { campaign_id: Some(campaign), person_id: Some(person), .. } => {
                lane(campaign.as_str(), Subject::Salesforce(person.clone()))
            }
            Hint::CampaignMember { campaign_id: Some(campaign), member_id, .. } => {
                lane(campaign.as_str(), Subject::Member(member_id.clone()))
            }
            Hint::CampaignMember { member_id, .. } => match self.members.get(member_id.as_str()) {
                Some(campaign) => lane(campaign, Subject::Member(member_id.clone())),
                None => router(Subject::Member(member_id.clone())),
            },
            Hint::Campaign { campaign_id, .. } => lane(campaign_id.as_str(), Subject::Mapping),
            Hint::CampaignMemberStatus { campaign_id, .. } => lane(campaign_id.as_ref()?.as_str(), Subject::Mapping),
        }
    }
}

pub(super) async fn places(tx: &mut Tx, fresh: &[(Source, &DeliveredHint)]) -> Result<Places, StoreError> {
    let mut programs = Vec::new();
    let mut members = Vec::new();
    let mut marketo = Vec::new();
    let mut salesforce = Vec::new();
    let mut campaigns = Vec::new();
    for (_, record) in fresh {
        match &record.hint {
            Hint::ProgramMember { program_id, .. } | Hint::Program { program_id } => programs.push((*program_id,)),
            Hint::MarketoPerson { marketo_id } => marketo.push((*marketo_id,)),
            Hint::SalesforcePerson { person_id, .. } => salesforce.push((person_id.to_string(),)),
            Hint::CampaignMember { campaign_id: None, member_id, .. } => members.push((member_id.to_string(),)),
            Hint::CampaignMember { campaign_id: Some(id), .. } | Hint::Campaign { campaign_id: id, .. } => {
                campaigns.push((id.to_string(),));
            }
            Hint::CampaignMemberStatus { campaign_id, .. } => {
                campaigns.extend(campaign_id.iter().map(|id| (id.to_string(),)))
            }
        }
    }
    let mut places = Places::default();
    if !programs.is_empty() {
        let sql = "SELECT DISTINCT m.program_id, m.id, m.campaign_id FROM {rows}
                   JOIN mappings m ON m.program_id = r.id AND m.deleted_at IS NULL";
        let found: Vec<(i64, String, String)> = tx.fetch_rows(sql, &Rows::new("id int", &programs)?, vec![]).await?;
        places.programs = found.into_iter().map(|(program, id, campaign)| (program, (id, campaign))).collect();
    }
    if !members.is_empty() {
        let sql = "SELECT DISTINCT m.campaign_member_id, m.campaign_id FROM {rows} JOIN members m ON m.campaign_member_id = r.id";
        places.members = tx.fetch_rows(sql, &Rows::new("id text", &members)?, vec![]).await?.into_iter().collect();
        campaigns.extend(places.members.values().map(|id: &String| (id.clone(),)));
    }
    if !campaigns.is_empty() {
        let sql = "SELECT DISTINCT l.id, m.id FROM {rows} JOIN lanes l ON l.id = r.id
                   LEFT JOIN mappings m ON m.campaign_id = l.id AND m.deleted_at IS NULL
                   WHERE l.pinned OR m.id IS NOT NULL";
        places.campaigns = tx.fetch_rows(sql, &Rows::new("id text", &campaigns)?, vec![]).await?.into_iter().collect();
    }
    if !marketo.is_empty() {
        let sql = "SELECT DISTINCT p.marketo_id FROM {rows} JOIN people p ON p.marketo_id = r.id";
        let found: Vec<(i64,)> = tx.fetch_rows(sql, &Rows::new("id int", &marketo)?, vec![]).await?;
        places.marketo_people = found.into_iter().map(|(id,)| id).collect();
    }
    if !salesforce.is_empty() {
        let sql = "SELECT DISTINCT p.salesforce_id FROM {rows} JOIN people p ON p.salesforce_id = r.id";
        let found: Vec<(String,)> = tx.fetch_rows(sql, &Rows::new("id text", &salesforce)?, vec![]).await?;
        places.salesforce_people = found.into_iter().map(|(id,)| id).collect();
    }
    Ok(places)
}
