//! Who is a member of which program, indexed both ways.
//!
//! Owns the membership rows and what a status does to their dates. Must not know channels; it is handed the status.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::envelope::lead_date;
use super::rules::ProgressionStatus;
use super::visited::Visited;

/// One program member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Id of the row, in activity 104.
    pub member_id: i64,
    /// The person.
    pub lead_id: i64,
    /// The program.
    pub program_id: i64,
    /// Name of the status; stays when the channel renames it.
    pub status: String,
    /// The step that the status had when it was given.
    pub step: i64,
    /// Since when the person is a member.
    pub membership_date: Timestamp,
    /// When a success status was first reached.
    pub reached_success: Option<Timestamp>,
    /// Whether the program brought the person in.
    pub acquired_by: bool,
    /// When the row last changed.
    pub updated_at: Timestamp,
    /// Program member custom fields and the standard writable ones.
    pub custom: BTreeMap<String, Value>,
}

/// Fields of a program member: REST name, type, whether the API writes it.
pub const FIELDS: [(&str, &str, bool); 19] = [
    ("acquiredBy", "boolean", true),
    ("attendanceLikelihood", "integer", false),
    ("createdAt", "datetime", false),
    ("isExhausted", "boolean", false),
    ("leadId", "integer", false),
    ("membershipDate", "datetime", false),
    ("nurtureCadence", "string", true),
    ("program", "string", false),
    ("programId", "integer", false),
    ("reachedSuccess", "boolean", false),
    ("reachedSuccessDate", "datetime", false),
    ("registrationLikelihood", "integer", false),
    ("statusName", "string", false),
    ("statusReason", "string", true),
    ("trackName", "string", false),
    ("updatedAt", "datetime", false),
    ("waitlistPriority", "integer", false),
    ("registrationCode", "string", true),
    ("webinarUrl", "string", true),
];

impl Member {
    /// A field as REST shows it.
    #[must_use]
    pub fn get(&self, field: &str) -> Value {
        match field {
            "acquiredBy" => self.acquired_by.into(),
            "createdAt" | "membershipDate" => lead_date(self.membership_date).into(),
            "isExhausted" => false.into(),
            "leadId" => self.lead_id.into(),
            "programId" => self.program_id.into(),
            "reachedSuccess" => self.reached_success.is_some().into(),
            "reachedSuccessDate" => self.reached_success.map_or(Value::Null, |date| lead_date(date).into()),
            "statusName" => self.status.as_str().into(),
            "updatedAt" => lead_date(self.updated_at).into(),
            other => self.custom.get(other).cloned().unwrap_or(Value::Null),
        }
    }

    /// The child object of the calls by lead and by program.
    #[must_use]
    pub fn as_child(&self) -> Map<String, Value> {
        let child = json!({
            "id": self.program_id, "progressionStatus": self.status, "progressionStatusType": self.status,
            "isExhausted": false, "acquiredBy": self.acquired_by, "reachedSuccess": self.reached_success.is_some(),
            "membershipDate": lead_date(self.membership_date), "updatedAt": lead_date(self.updated_at),
        });
        child.as_object().cloned().unwrap_or_default()
    }
}

/// All memberships.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memberships {
    by_program: BTreeMap<i64, BTreeMap<i64, Member>>,
    by_lead: BTreeMap<i64, BTreeSet<i64>>,
    last_id: i64,
    #[serde(skip)]
    visited: Visited,
}

impl Memberships {
    /// One membership.
    #[must_use]
    pub fn get(&self, program_id: i64, lead_id: i64) -> Option<&Member> {
        self.visited.add(1);
        self.by_program.get(&program_id)?.get(&lead_id)
    }

    /// One membership, to change its fields.
    pub fn get_mut(&mut self, program_id: i64, lead_id: i64) -> Option<&mut Member> {
        self.by_program.get_mut(&program_id)?.get_mut(&lead_id)
    }

    /// Members of a program whose lead id is above `after`, in order.
    pub fn of_program(&self, program_id: i64, after: i64) -> impl Iterator<Item = &Member> {
        let rows = self.by_program.get(&program_id);
        let rows =
            rows.into_iter().flat_map(move |rows| rows.range(after.saturating_add(1)..).map(|(_, member)| member));
        rows.inspect(|_| self.visited.add(1))
    }

    /// How many rows were looked at so far.
    #[must_use]
    pub fn visited(&self) -> u64 {
        self.visited.count()
    }

    /// How many members a program has.
    #[must_use]
    pub fn count(&self, program_id: i64) -> usize {
        self.by_program.get(&program_id).map_or(0, BTreeMap::len)
    }

    /// Programs that a person is in, in order of id.
    #[must_use]
    pub fn programs_of(&self, lead_id: i64) -> Vec<i64> {
        let programs: Vec<i64> = self.by_lead.get(&lead_id).into_iter().flatten().copied().collect();
        self.visited.add(programs.len());
        programs
    }

    /// Gives a person a status. Says whether this is the moment in which success was reached.
    pub fn put(&mut self, program_id: i64, lead_id: i64, status: &ProgressionStatus, now: Timestamp) -> bool {
        self.visited.add(1);
        self.last_id += 1;
        let member_id = self.last_id;
        let member = self.by_program.entry(program_id).or_default().entry(lead_id).or_insert_with(|| Member {
            member_id,
            lead_id,
            program_id,
            status: String::new(),
            step: 0,
            membership_date: now,
            reached_success: None,
            acquired_by: false,
            updated_at: now,
            custom: BTreeMap::new(),
        });
        member.status.clone_from(&status.name);
        member.step = status.step;
        member.updated_at = now;
        let reached_now = status.success && member.reached_success.is_none();
        if reached_now {
            member.reached_success = Some(now);
        }
        self.by_lead.entry(lead_id).or_default().insert(program_id);
        reached_now
    }

    /// Takes a member out.
    pub fn remove(&mut self, program_id: i64, lead_id: i64) -> Option<Member> {
        self.visited.add(1);
        let member = self.by_program.get_mut(&program_id)?.remove(&lead_id)?;
        if let Some(programs) = self.by_lead.get_mut(&lead_id) {
            programs.remove(&program_id);
        }
        Some(member)
    }

    /// Forgets a program with all its members, as when it is deleted.
    pub fn remove_program(&mut self, program_id: i64) {
        for lead_id in self.by_program.remove(&program_id).unwrap_or_default().into_keys() {
            if let Some(programs) = self.by_lead.get_mut(&lead_id) {
                programs.remove(&program_id);
            }
        }
    }

    /// Moves a loser's memberships to the winner of a merge. Where both are members, the one further on stays, or the winner's.
    pub fn merge(&mut self, winner: i64, loser: i64, keep_higher: bool) {
        for program_id in self.programs_of(loser) {
            let Some(mut moved) = self.remove(program_id, loser) else { continue };
            let rows = self.by_program.entry(program_id).or_default();
            if rows.get(&winner).is_some_and(|kept| !keep_higher || kept.step >= moved.step) {
                continue;
            }
            moved.lead_id = winner;
            rows.insert(winner, moved);
            self.by_lead.entry(winner).or_default().insert(program_id);
        }
        self.by_lead.remove(&loser);
    }
}
