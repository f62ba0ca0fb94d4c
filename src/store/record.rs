//! The one transaction in which the outcome of a batch becomes true: member state, history, trigger events, rows of the
//! outbox and their ledger, progress of a run, and the end of the lease.
//!
//! It is fenced: what belongs to a lane that another worker has leased since is dropped, and the rest recorded. Trigger
//! events are inserted here and nowhere else.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::dialect::{Rows, Tx, args};
use super::fan_out::{Telling, fan_out};
use super::lanes::{Lease, give_back, hold};
use super::listings::{Doubted, doubt};
use super::mappings::Mapping;
use super::members::{Member, write_base, write_seen};
use super::outbox::{Kind, NewWork, Subject, enqueue};
use super::replays::end_finds;
use super::runs::{Kept, Run, save_run};
use super::settle::settle;
use super::undo::store_kept;
use super::{Store, StoreError, time, write_json};
use crate::domain::trigger::{Circumstances, DetectedBy, Origin, Transition, TriggerEvent};

pub use super::settle::{End, Settled, VendorError};

/// What became of one member.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// As it is from now on; `sequence` as it was, the events are numbered here.
    pub member: Member,
    pub events: Vec<(Transition, DetectedBy, Origin)>,
    /// Kind and detail, oldest first.
    pub history: Vec<(&'static str, serde_json::Value)>,
}

/// A row of the outbox, and the member whom it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub change_id: String,
    pub lane: String,
    pub member_id: String,
}

/// The outcome of a batch.
#[derive(Debug, Default)]
pub struct Batch {
    pub leases: Vec<Lease>,
    /// The mappings of the lanes.
    pub mappings: HashMap<String, Mapping>,
    pub members: Vec<Recorded>,
    pub settled: Vec<Settled>,
    /// Rows that end here and the members whom they were about: what was heard is told in their history.
    pub heard: Vec<Heard>,
    /// Work in the batch's own lanes; for another lane `Store::enqueue` comes first.
    pub work: Vec<NewWork>,
    pub runs: Vec<Run>,
    /// Members that an undo leaves; of the runs of this batch.
    pub kept: Vec<Kept>,
    /// Members of whom a listing says otherwise, by lane.
    pub doubted: Vec<(String, Doubted)>,
    /// Lanes whose campaign was now read completely for the first time.
    pub baselines: Vec<String>,
    /// Lanes that are kept for more; the others are given back.
    pub keep: HashSet<String>,
}

impl Store {
    /// Adds work to lanes of others; the id of the row that each becomes, unless it is merged into one that waits.
    pub async fn enqueue(&self, work: &[NewWork]) -> Result<Vec<String>, StoreError> {
        let mut tx = self.db.begin().await?;
        let ids = enqueue(self, &mut tx, work).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(ids)
    }

    /// Records a batch and ends its leases; the leases that were still ours.
    ///
    /// # Errors
    /// When the database fails: nothing is recorded, the leases run out, and what was written is found by the next read.
    pub async fn record(&self, batch: Batch) -> Result<Vec<Lease>, StoreError> {
        if let Some(place) = batch.place() {
            let kept = self.keep_place(place).await?;
            return Ok(if kept { batch.leases } else { Vec::new() });
        }
        let mut tx = self.db.begin().await?;
        let held = hold(&mut tx, &batch.leases).await?;
        let ours: HashSet<&str> = held.iter().map(|lease| lease.lane.as_str()).collect();
        let members: Vec<Recorded> =
            batch.members.into_iter().filter(|r| ours.contains(r.member.campaign_id.as_str())).collect();
        let rows = self.store_members(&mut tx, &members).await?;
        let (mut members, gone): (Vec<_>, Vec<_>) = members.into_iter().partition(|r| rows.contains(&r.member.id));
        for (lane, doubted) in batch.doubted.iter().filter(|(lane, _)| ours.contains(lane.as_str())) {
            doubt(self, &tx, lane, doubted)?.run(&mut tx).await?;
        }
        let told = members.iter().any(|r| !r.events.is_empty());
        let settled: Vec<_> = batch.settled.into_iter().filter(|s| ours.contains(s.lane.as_str())).collect();
        settle(self, &mut tx, &settled).await?;
        let mut ended = Vec::new();
        for run in batch.runs.iter().filter(|run| ours.contains(run.lane.as_str())) {
            if save_run(&mut tx, run).await? && run.state != "running" {
                ended.push(&run.id);
            }
            store_kept(&mut tx, run, &batch.kept).await?;
        }
        let baselines: Vec<_> =
            batch.baselines.iter().filter(|lane| ours.contains(lane.as_str())).map(|lane| (lane,)).collect();
        if !baselines.is_empty() {
            let sql = "UPDATE lanes SET baseline = TRUE WHERE id IN (SELECT r.id FROM {rows})";
            tx.execute_rows(sql, &Rows::new("id text", &baselines)?, vec![]).await?;
        }
        let again = gone.iter().map(|r| look_again(&r.member, self.now()));
        let work = batch.work.into_iter().filter(|w| ours.contains(w.lane.as_str()));
        let work: Vec<_> = work.chain(again).collect();
        enqueue(self, &mut tx, &work).await?;
        let heard: Vec<_> = batch.heard.iter().filter(|h| ours.contains(h.lane.as_str())).collect();
        store_heard(&mut tx, &heard).await?;
        let causes = heard.iter().map(|h| (h.member_id.as_str(), h.change_id.as_str())).collect();
        self.store_history(&mut tx, &members).await?;
        let done: Vec<_> = held.iter().filter(|lease| !batch.keep.contains(&lease.lane)).cloned().collect();
        give_back(self, &mut tx, &done).await?;
        let mut delivering = false;
        if told {
            // Last, since the position is held until the commit.
            delivering = self.store_events(&mut tx, &mut members, &batch.mappings, &batch.runs, &causes).await?;
        }
        for run in ended {
            delivering |= end_finds(self, &mut tx, run).await?;
        }
        tx.commit().await?;
        if told {
            self.events.notify_waiters();
        }
        if delivering {
            self.deliveries.notify_one();
        }
        if settled.iter().any(|s| s.kind == Kind::FlowAction) {
            self.commands.notify_waiters();
        }
        Ok(held)
    }

    /// Announces writes before their calls: members as they are, each with what is being sent. New ones get their rows. The
    /// leases that are still ours.
    pub async fn announce(&self, leases: &[Lease], members: Vec<Member>) -> Result<Vec<Lease>, StoreError> {
        let mut tx = self.db.begin().await?;
        let held = hold(&mut tx, leases).await?;
        let ours: HashSet<&str> = held.iter().map(|lease| lease.lane.as_str()).collect();
        let members = members.into_iter().filter(|m| ours.contains(m.campaign_id.as_str()));
        let members: Vec<_> =
            members.map(|member| Recorded { member, events: Vec::new(), history: Vec::new() }).collect();
        self.store_members(&mut tx, &members).await?;
        tx.commit().await?;
        Ok(held)
    }

    /// The ids of the rows that were written. The others are of people who were joined with another meanwhile: their rows
    /// belong to that one now, or were never made.
    async fn store_members(&self, tx: &mut Tx, members: &[Recorded]) -> Result<HashSet<String>, StoreError> {
        if members.is_empty() {
            return Ok(HashSet::new());
        }
        let now = self.now();
        let rows: Vec<_> = members
            .iter()
            .map(|Recorded { member: m, events, .. }| {
                let (base_marketo, base_salesforce) = write_base(m.base.as_ref());
                // As text: a nested value would come back from JSON as an object.
                let sent = m.sent.as_ref().map(|sent| write_json("sent", sent)).transpose()?;
                let seen = (write_seen(&m.marketo), write_seen(&m.salesforce), m.salesforce_modstamp);
                let would = m.would.as_ref().map(|would| write_json("would", would)).transpose()?;
                let own_writes =
                    (!m.own_writes.is_empty()).then(|| write_json("own_writes", &m.own_writes)).transpose()?;
                let sequence = m.sequence + count(events.len());
                flatten(&(
                    (&m.id, &m.campaign_id, &m.person.id, &m.campaign_member_id),
                    seen,
                    (base_marketo, base_salesforce, sent, &m.sync_state, &m.reason, &m.rule, m.after_merge, m.frozen),
                    (
                        &m.marketo_scan,
                        &m.salesforce_scan,
                        m.in_marketo.added,
                        m.in_salesforce.added,
                        m.in_marketo.edited,
                        m.in_salesforce.edited,
                        sequence,
                        m.stored,
                    ),
                    (m.resolved, would, own_writes, m.person.marketo_id, m.marketo_shown, m.salesforce_shown),
                ))
            })
            .collect::<Result<_, _>>()?;
        let columns = "id text, campaign_id text, person_id text, campaign_member_id text, marketo text, salesforce text, \
             salesforce_modstamp int, base_marketo text, base_salesforce text, sent text, sync_state text, reason text, rule text, \
             after_merge bool, frozen bool, marketo_scan text, salesforce_scan text, added_to_marketo bool, added_to_salesforce bool, \
             edited_in_marketo bool, edited_in_salesforce bool, sequence int, stored bool, resolved text, would text, own_writes text, program_member_id int, \
             marketo_shown int, salesforce_shown int";
        let rows = Rows::new(columns, &rows)?;
        let updated: Vec<(String,)> = tx.fetch_rows(
            "UPDATE members SET campaign_member_id = r.campaign_member_id, marketo = r.marketo, salesforce = r.salesforce,
               salesforce_modstamp = r.salesforce_modstamp, base_marketo = r.base_marketo, base_salesforce = r.base_salesforce,
               sent = r.sent, sync_state = r.sync_state, reason = r.reason, rule = r.rule, after_merge = r.after_merge, frozen = r.frozen,
               marketo_scan = r.marketo_scan, salesforce_scan = r.salesforce_scan, added_to_marketo = r.added_to_marketo,
               added_to_salesforce = r.added_to_salesforce, edited_in_marketo = r.edited_in_marketo,
               edited_in_salesforce = r.edited_in_salesforce, sequence = r.sequence, would = r.would, own_writes = r.own_writes,
               program_member_id = r.program_member_id, marketo_shown = r.marketo_shown, salesforce_shown = r.salesforce_shown,
               resolution = CASE WHEN members.resolution = r.resolved THEN NULL ELSE members.resolution END,
               updated_at = $2
             FROM {rows} WHERE members.id = r.id AND members.person_id = r.person_id RETURNING members.id",
            &rows,
            args![now],
        )
        .await?;
        let mut written: HashSet<String> = updated.into_iter().map(|row| row.0).collect();
        let new: Vec<_> = members.iter().filter(|r| !r.member.stored).map(|r| (&r.member.person.id,)).collect();
        if !new.is_empty() {
            // Whoever is joining one of them is waited for, so that what is inserted has its person.
            let lock = tx.backend().for_key_share();
            let sql = format!("SELECT id FROM people WHERE id IN (SELECT r.id FROM {{rows}}) ORDER BY id {lock}");
            tx.fetch_rows::<(String,)>(&sql, &Rows::new("id text", &new)?, vec![]).await?;
            let sql = "INSERT INTO members (id, campaign_id, person_id, campaign_member_id, marketo, salesforce, salesforce_modstamp,
                   base_marketo, base_salesforce, sent, sync_state, reason, rule, after_merge, frozen, marketo_scan,
                   salesforce_scan, added_to_marketo, added_to_salesforce, edited_in_marketo, edited_in_salesforce, sequence, would,
                   own_writes, program_member_id, marketo_shown, salesforce_shown, updated_at)
                 SELECT id, campaign_id, person_id, campaign_member_id, marketo, salesforce, salesforce_modstamp, base_marketo,
                   base_salesforce, sent, sync_state, reason, rule, after_merge, frozen, marketo_scan, salesforce_scan, added_to_marketo,
                   added_to_salesforce, edited_in_marketo, edited_in_salesforce, sequence, would, own_writes,
                   program_member_id, marketo_shown, salesforce_shown, $2
                 FROM {rows} WHERE NOT r.stored AND EXISTS (SELECT 1 FROM people p WHERE p.id = r.person_id)
                 ON CONFLICT (campaign_id, person_id) DO NOTHING RETURNING id";
            let inserted: Vec<(String,)> = tx.fetch_rows(sql, &rows, args![now]).await?;
            written.extend(inserted.into_iter().map(|row| row.0));
        }
        Ok(written)
    }

    async fn store_history(&self, tx: &mut Tx, members: &[Recorded]) -> Result<(), StoreError> {
        let now = self.now();
        let mut rows = Vec::new();
        for recorded in members {
            for (kind, detail) in &recorded.history {
                rows.push((&recorded.member.id, kind, write_json("history", detail)?));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO history (member_id, at, kind, detail) SELECT member_id, $2, kind, detail FROM {rows}";
        tx.execute_rows(sql, &Rows::new("member_id text, kind text, detail text", &rows)?, args![now]).await.map(drop)
    }

    /// Stores trigger events, and the deliveries of those that are told at once: what a run has found is told when it ends.
    /// Whether there were any deliveries.
    async fn store_events(
        &self,
        tx: &mut Tx,
        members: &mut [Recorded],
        mappings: &HashMap<String, Mapping>,
        runs: &[Run],
        causes: &HashMap<&str, &str>,
    ) -> Result<bool, StoreError> {
        let total = count(members.iter().map(|r| r.events.len()).sum());
        let sql = "UPDATE event_log SET last_position = last_position + $1 WHERE id = 1 RETURNING last_position";
        let last: Vec<(i64,)> = tx.fetch(sql, args![total]).await?;
        let mut position = last.first().map_or(0, |row| row.0) - total;
        let now = self.now();
        let unmapped: HashSet<_> =
            members.iter().map(|r| &r.member.campaign_id).filter(|c| !mappings.contains_key(*c)).collect();
        let unmapped: Vec<_> = unmapped.into_iter().map(|campaign| (campaign,)).collect();
        let sql = "SELECT l.id, l.campaign_name FROM {rows} JOIN lanes l ON l.id = r.id";
        let names: Vec<(String, Option<String>)> =
            tx.fetch_rows(sql, &Rows::new("id text", &unmapped)?, vec![]).await?;
        let names: HashMap<_, _> = names.into_iter().collect();
        let mut rows = Vec::new();
        let mut telling = Vec::new();
        for Recorded { member, events, .. } in members {
            let run = runs.iter().find(|run| run.lane == member.campaign_id).map(|run| &run.id);
            let mapping = mappings.get(&member.campaign_id);
            let pinned_name = || names.get(&member.campaign_id).cloned().flatten();
            for (transition, detected_by, origin) in events.drain(..) {
                position += 1;
                member.sequence += 1;
                let id = Uuid::parse_str(&self.new_id()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
                let campaign_id = member.campaign_id.parse();
                let of = Circumstances {
                    campaign_id: campaign_id
                        .map_err(|_| StoreError::Corrupt(format!("members.campaign_id of {}", member.id)))?,
                    campaign_name: mapping.map(|m| m.campaign_name.clone()).or_else(pinned_name),
                    mapping_id: mapping.and_then(|m| Uuid::parse_str(&m.id).ok()),
                    program_id: mapping.map(|m| m.program_id),
                    marketo_id: member.person.marketo_id,
                    person_id: member.person.salesforce_id.clone(),
                    email: member.person.email.clone(),
                    campaign_member_id: member.campaign_member_id.clone(),
                    origin,
                    detected_by,
                    time: time(now),
                };
                let kind = transition.kind.as_str();
                let (old, new) = (transition.old_status.clone(), transition.new_status.clone());
                let event = TriggerEvent::new(id, unsigned(position), unsigned(member.sequence), transition, of);
                let body = write_json("trigger event", &event)?;
                let status = new.clone().or_else(|| old.clone());
                let run = run.filter(|_| detected_by == DetectedBy::Reconciliation);
                let (id, sequence) = (id.to_string(), member.sequence);
                if run.is_none() {
                    telling.push(Telling {
                        position,
                        id: id.clone(),
                        kind: kind.to_owned(),
                        campaign_id: member.campaign_id.clone(),
                        program_id: mapping.map(|m| m.program_id),
                        status: status.clone(),
                        old_status: old.clone(),
                        new_status: new.clone(),
                    });
                }
                rows.push((
                    (position, id, kind, &member.campaign_id, mapping.map(|m| &m.id), mapping.map(|m| m.program_id)),
                    (&member.id, sequence, status, old, new, body, run, causes.get(member.id.as_str())),
                ));
            }
        }
        let rows: Vec<_> = rows.iter().map(flatten).collect::<Result<_, _>>()?;
        let columns = "position int, id text, type text, campaign_id text, mapping_id text, program_id int, member_id text, \
             sequence int, status text, old_status text, new_status text, body text, run_id text, change_id text";
        tx.execute_rows(
            "INSERT INTO trigger_events (position, id, type, campaign_id, mapping_id, program_id, member_id, sequence, status, old_status,
               new_status, body, run_id, change_id, created_at)
             SELECT position, id, type, campaign_id, mapping_id, program_id, member_id, sequence, status, old_status, new_status, body,
               run_id, change_id, $2 FROM {rows}",
            &Rows::new(columns, &rows)?,
            args![now],
        )
        .await?;
        fan_out(self, tx, &telling).await
    }
}

/// Tells members' histories of every record that became, or was merged into, the rows that end; of one that ends a second
/// time not again.
async fn store_heard(tx: &mut Tx, heard: &[&Heard]) -> Result<(), StoreError> {
    if heard.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = heard.iter().map(|h| (&h.change_id, &h.member_id)).collect();
    let sql = "INSERT INTO history (member_id, at, kind, detail)
         SELECT n.member_id, n.at, 'hint', n.detail FROM (
           SELECT r.member_id, i.id, i.received_at AS at, '{\"source\":\"' || i.source || '\",\"hint\":' || i.hint || '}' AS detail
           FROM {rows} JOIN inbox i ON i.change_id = r.change_id JOIN members m ON m.id = r.member_id) n
         WHERE NOT EXISTS (SELECT 1 FROM history h WHERE h.member_id = n.member_id AND h.kind = 'hint' AND h.at = n.at
           AND h.detail = n.detail)
         ORDER BY n.id";
    tx.execute_rows(sql, &Rows::new("change_id text, member_id text", &rows)?, vec![]).await.map(drop)
}

/// Work for a member whose person was joined with another while it was worked off: the next pass finds who that is now.
fn look_again(member: &Member, now: i64) -> NewWork {
    let person = &member.person;
    let subject = person.marketo_id.map(Subject::Marketo);
    let subject = subject.or_else(|| person.salesforce_id.clone().map(Subject::Salesforce));
    NewWork {
        lane: member.campaign_id.clone(),
        // Nobody sent it, so the ledger does not count it as received.
        mapping_id: None,
        kind: Kind::Hint,
        subject: subject.unwrap_or_else(|| Subject::Person(person.id.clone())),
        source: "policy",
        payload: None,
        due_at: now,
    }
}

/// Nested tuples as one row: serde writes tuples of at most sixteen.
pub(super) fn flatten<T: serde::Serialize>(row: &T) -> Result<serde_json::Value, StoreError> {
    let nested = serde_json::to_value(row).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let serde_json::Value::Array(groups) = nested else { return Ok(nested) };
    Ok(groups
        .into_iter()
        .flat_map(|group| if let serde_json::Value::Array(v) = group { v } else { vec![group] })
        .collect())
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
