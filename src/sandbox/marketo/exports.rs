//! Export jobs: their queue, the two that run at a time, the file that each makes, and what it costs of the day's allowance.
//!
//! Owns the jobs. A job moves when somebody looks, as far as the clock has come: nothing runs in the background. Its file has who is
//! a member when it begins ("at the time that the job begins processing"), or at the first look after that. Must not know HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::envelope::{Refusal, lead_date};
use super::limits::central_day;

/// Jobs that run at once, and jobs that wait or run.
const RUNNING: usize = 2;
const QUEUED: usize = 10;
const KEPT_DAYS: i64 = 7;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Created,
    Queued,
    Processing,
    Cancelled,
    Completed,
    Failed,
}

/// Which members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberFilter {
    pub programs: Vec<i64>,
    /// Whether `programIds` was given, which adds a column.
    pub several: bool,
    pub statuses: Option<Vec<String>>,
    pub exhausted: Option<bool>,
    pub cadence: Option<String>,
    /// Seconds, both included.
    pub updated: Option<(i64, i64)>,
}

/// One job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Export {
    pub id: String,
    /// The API user who made it, and who alone sees it.
    pub user: String,
    pub state: State,
    /// `CSV`, `TSV` or `SSV`.
    pub format: String,
    pub fields: Vec<String>,
    pub headers: BTreeMap<String, String>,
    pub filter: MemberFilter,
    pub created_at: Timestamp,
    pub queued_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub records: usize,
    pub file: Arc<[u8]>,
}

impl Export {
    /// The job as the API shows it.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let mut row = json!({
            "exportId": self.id, "format": self.format, "status": format!("{:?}", self.state),
            "createdAt": lead_date(self.created_at),
        });
        for (name, time) in
            [("queuedAt", self.queued_at), ("startedAt", self.started_at), ("finishedAt", self.finished_at)]
        {
            if let Some(time) = time {
                row[name] = lead_date(time).into();
            }
        }
        if self.state == State::Completed {
            row["numberOfRecords"] = self.records.into();
            row["fileSize"] = self.file.len().into();
            row["fileChecksum"] = format!("sha256:{}", sha256(&self.file)).into();
        }
        row
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All jobs, in the order in which they were made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Exports {
    jobs: Vec<Export>,
}

impl Exports {
    /// A job of this user, or 1013.
    pub fn find(&mut self, id: &str, user: &str) -> Result<&mut Export, Refusal> {
        let job = self.jobs.iter_mut().find(|job| job.id == id && job.user == user);
        job.ok_or_else(|| Refusal::new(1013, format!("Export job '{id}' not found")))
    }

    /// This user's jobs of the last seven days, newest last.
    pub fn of_user(&self, user: &str, now: Timestamp) -> impl Iterator<Item = &Export> {
        let oldest = now - SignedDuration::from_hours(24 * KEPT_DAYS);
        self.jobs.iter().filter(move |job| job.user == user && job.created_at >= oldest)
    }

    /// Adds a job.
    pub fn add(&mut self, job: Export) {
        self.jobs.push(job);
    }

    /// How many there ever were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// 1029 when more was written today, US Central, than is allowed.
    pub fn within_quota(&self, bytes: usize, now: Timestamp) -> Result<(), Refusal> {
        let today = central_day(now);
        let finished = self.jobs.iter().filter(|job| job.finished_at.is_some_and(|at| central_day(at) == today));
        if finished.map(|job| job.file.len()).sum::<usize>() > bytes {
            return Err(Refusal::new(1029, "Export daily quota exceeded"));
        }
        Ok(())
    }

    /// 1029 when ten jobs wait or run.
    pub fn has_room(&self) -> Result<(), Refusal> {
        let busy = self.jobs.iter().filter(|job| matches!(job.state, State::Queued | State::Processing));
        if busy.count() >= QUEUED {
            return Err(Refusal::new(1029, "Too many jobs in queue"));
        }
        Ok(())
    }

    /// Moves jobs as far as the clock has come: queued for `step` at least, running for `step`, two at a time. Gives those that began
    /// and have no file yet.
    pub fn advance(&mut self, now: Timestamp, step: SignedDuration) -> Vec<usize> {
        let mut begun = Vec::new();
        loop {
            let mut ends: Vec<Timestamp> = self.running().map(|job| job.started_at.unwrap_or(now) + step).collect();
            ends.sort();
            let next = self.jobs.iter().enumerate().filter(|(_, job)| job.state == State::Queued);
            let Some(next) = next.min_by_key(|(_, job)| job.queued_at).map(|(at, _)| at) else { break };
            let ready = self.jobs[next].queued_at.unwrap_or(now) + step;
            let start = if ends.len() < RUNNING { ready } else { ready.max(ends[0]) };
            if start > now {
                break;
            }
            self.finish(start, step);
            self.jobs[next].state = State::Processing;
            self.jobs[next].started_at = Some(start);
            begun.push(next);
        }
        self.finish(now, step);
        begun
    }

    fn running(&self) -> impl Iterator<Item = &Export> {
        self.jobs.iter().filter(|job| job.state == State::Processing)
    }

    fn finish(&mut self, until: Timestamp, step: SignedDuration) {
        for job in self.jobs.iter_mut().filter(|job| job.state == State::Processing) {
            let end = job.started_at.unwrap_or(until) + step;
            if end <= until {
                job.state = State::Completed;
                job.finished_at = Some(end);
            }
        }
    }

    /// A job by its place, as `advance` gave it.
    pub fn at(&mut self, place: usize) -> Option<&mut Export> {
        self.jobs.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_run_at_a_time_and_each_takes_its_time() {
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let mut exports = Exports::default();
        for id in 0..3 {
            exports.add(Export {
                id: id.to_string(),
                user: "u".into(),
                state: State::Queued,
                format: "CSV".into(),
                fields: vec![],
                headers: BTreeMap::new(),
                filter: MemberFilter::default(),
                created_at: start,
                queued_at: Some(start),
                started_at: None,
                finished_at: None,
                records: 0,
                file: Arc::from([]),
            });
        }
        let step = SignedDuration::from_secs(60);
        for (second, expected) in [
            (59, ["Queued", "Queued", "Queued"]),
            (60, ["Processing", "Processing", "Queued"]),
            (119, ["Processing", "Processing", "Queued"]),
            (120, ["Completed", "Completed", "Processing"]),
            (180, ["Completed", "Completed", "Completed"]),
        ] {
            let now = start + SignedDuration::from_secs(second);
            exports.advance(now, step);
            let states: Vec<String> = exports.of_user("u", now).map(|job| format!("{:?}", job.state)).collect();
            assert_eq!(states, expected, "second {second}");
        }
        assert_eq!(exports.of_user("other", start).count(), 0);
        assert!(exports.find("1", "other").is_err());
    }
}
