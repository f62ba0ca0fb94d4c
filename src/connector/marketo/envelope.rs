//! What every answer of Marketo is wrapped in.
//!
//! Owns success, errors, paging tokens and the results of single records. Must not know which call was made.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::client::Answer;
use super::super::errors::{Fault, Write, of_marketo, of_status, record_error};
use super::super::wire;
use super::super::{ConnectorError, RecordError, RecordResults};
use super::broken;

/// The envelope of both APIs; the asset API leaves `result` out when it is empty, the lead database when nothing is due.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<T> {
    success: bool,
    pub result: Option<T>,
    pub next_page_token: Option<String>,
    pub more_result: Option<bool>,
}

/// A code with its text, of a call or of a record.
#[derive(Deserialize)]
pub(super) struct Problem {
    #[serde(deserialize_with = "wire::code")]
    code: String,
    #[serde(default)]
    message: String,
}

impl<T: DeserializeOwned> Envelope<T> {
    /// Reads an answer; whatever is not the envelope is an outage, never an empty result.
    pub fn read(answer: &Answer) -> Result<Self, Fault> {
        if let Some(problem) = problem(answer) {
            return Err(Fault::of(of_marketo(&problem.code), problem.code, problem.message));
        }
        match serde_json::from_slice::<Self>(&answer.body) {
            Ok(envelope) if envelope.success && (200..300).contains(&answer.status) => Ok(envelope),
            Err(error) if error.is_data() && answer.status == 200 => {
                Err(Fault::unreadable(format!("an answer of an unknown form ({error})")))
            }
            _ => Err(Fault::of(of_status(answer.status), "", answer.described())),
        }
    }
}

/// The first error that an answer names; its other members are left alone, since with an error they mean nothing.
fn problem(answer: &Answer) -> Option<Problem> {
    #[derive(Deserialize)]
    struct Refusal {
        success: bool,
        errors: Option<Vec<Problem>>,
    }
    let refusal: Refusal = serde_json::from_slice(&answer.body).ok()?;
    refusal.errors.unwrap_or_default().into_iter().next().filter(|_| !refusal.success)
}

impl<T> Envelope<Vec<T>> {
    /// The rows of a call of the lead database, where a list is always due.
    pub fn rows(self) -> Result<Vec<T>, ConnectorError> {
        self.result.ok_or_else(|| broken(false, "the answer has no result"))
    }

    /// The token of the page after the one that was asked for with `asked`. `moreResult` is missing from some calls, and
    /// some give a token at the end as well.
    pub fn next(&self, asked: Option<&str>) -> Result<Option<String>, ConnectorError> {
        match (&self.next_page_token, self.more_result) {
            (Some(token), None | Some(true)) if asked == Some(token) => {
                Err(broken(false, "the following page is this page"))
            }
            (Some(token), None | Some(true)) if !token.is_empty() => Ok(Some(token.clone())),
            (_, Some(true)) => Err(broken(false, "there is more, but no token to ask for it with")),
            _ => Ok(None),
        }
    }
}

/// The result of one record of a write.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    #[serde(default, deserialize_with = "wire::optional_number")]
    seq: Option<i64>,
    #[serde(default, deserialize_with = "wire::optional_number")]
    id: Option<i64>,
    #[serde(default, deserialize_with = "wire::optional_number")]
    lead_id: Option<i64>,
    status: String,
    reasons: Option<Vec<Problem>>,
    errors: Option<Vec<Problem>>,
}

impl Written {
    /// The person that was written; skipped ones often come without.
    pub fn person(&self) -> Option<i64> {
        self.lead_id.or(self.id)
    }

    /// What became of the record.
    pub fn outcome(&self, write: Write) -> Result<(), RecordError> {
        if matches!(self.status.as_str(), "created" | "updated" | "deleted") {
            return Ok(());
        }
        let reason = self.reasons.iter().chain(&self.errors).flatten().next();
        Err(match reason {
            Some(reason) => record_error(write, &reason.code, &reason.message),
            None => record_error(write, "", &format!("{} without a reason", self.status)),
        })
    }
}

/// Puts results in the order of the request, by `seq` or else by position. Anything but one result for each record
/// leaves open what was written.
pub(super) fn joined(envelope: Envelope<Vec<Written>>, count: usize) -> Result<Vec<Written>, ConnectorError> {
    let doubt = |what: &dyn Display| broken(true, format!("the results do not fit the request: {what}"));
    let rows = envelope.result.ok_or_else(|| doubt(&"there are none"))?;
    if rows.len() != count {
        return Err(doubt(&format_args!("{} for {count} records", rows.len())));
    }
    let mut slots: Vec<Option<Written>> = (0..count).map(|_| None).collect();
    for (position, row) in rows.into_iter().enumerate() {
        let at = row.seq.map_or(Ok(position), usize::try_from).ok().and_then(|at| slots.get_mut(at));
        match at {
            Some(slot) if slot.is_none() => *slot = Some(row),
            _ => return Err(doubt(&"a position is missing or there twice")),
        }
    }
    Ok(slots.into_iter().flatten().collect())
}

/// The results of records that were named by person, in the order of the request.
pub(super) fn by_person(
    envelope: Envelope<Vec<Written>>,
    people: &[i64],
    write: Write,
) -> Result<RecordResults<()>, ConnectorError> {
    let rows = joined(envelope, people.len())?;
    if rows.iter().zip(people).any(|(row, asked)| row.person().is_some_and(|id| id != *asked)) {
        return Err(broken(true, "the results are of other people than were asked for"));
    }
    Ok(rows.iter().map(|row| row.outcome(write)).collect())
}

/// A value of a row, as text.
pub(super) fn text(row: &serde_json::Map<String, Value>, field: &str) -> Option<String> {
    row.get(field)?.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
