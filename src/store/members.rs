//! Members: what each side was last seen to hold, what both last agreed on, and where that leaves them.
//!
//! Rows are written by `record` alone. Must not interpret a status.

use super::dialect::{Arg, Rows, args};
use super::people::Person;
use super::{Store, StoreError, read_json};
use crate::domain::ids::SalesforceId;
use crate::domain::merge::{Base, Presence, Proposal, Reason, Sent, Side};
use crate::domain::own_writes::OwnWrites;
use crate::domain::provenance::Provenance;
use crate::domain::trigger::Seen;

/// One person in one tracked campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub id: String,
    pub campaign_id: String,
    pub person: Person,
    pub campaign_member_id: Option<SalesforceId>,
    pub marketo: Seen,
    pub salesforce: Seen,
    /// Epoch milliseconds; of the recorded Salesforce value.
    pub salesforce_modstamp: Option<i64>,
    pub base: Option<Base>,
    /// The write that was announced, and whose outcome is not recorded.
    pub sent: Option<Sent>,
    /// `closed` when absent on both sides.
    pub sync_state: String,
    pub reason: Option<String>,
    pub rule: Option<String>,
    pub after_merge: bool,
    pub frozen: bool,
    /// The side that a person has said is right, as long as that is not settled.
    pub resolution: Option<Side>,
    /// What a person has said is settled with this record. It is never read back.
    pub resolved: Option<Side>,
    /// What would have been written, had the mapping not been observing only.
    pub would: Option<Proposal>,
    pub own_writes: OwnWrites,
    /// The run, with its generation, whose pages last showed the member on each side.
    pub marketo_scan: Option<String>,
    pub salesforce_scan: Option<String>,
    /// What the listing of each side showed of the person last, as a number to compare with.
    pub marketo_shown: Option<i64>,
    pub salesforce_shown: Option<i64>,
    /// Whose the membership is, on each side.
    pub in_marketo: Provenance,
    pub in_salesforce: Provenance,
    /// Number of the last trigger event.
    pub sequence: i64,
    pub updated_at: i64,
    /// Whether a row of it exists.
    pub stored: bool,
}

impl Member {
    /// Somebody who was never looked at in this campaign.
    #[must_use]
    pub fn new(id: String, campaign_id: String, person: Person) -> Self {
        Self {
            id,
            campaign_id,
            person,
            campaign_member_id: None,
            marketo: Seen::Unknown,
            salesforce: Seen::Unknown,
            salesforce_modstamp: None,
            base: None,
            sent: None,
            sync_state: "pending".to_owned(),
            reason: Some("waiting".to_owned()),
            rule: None,
            after_merge: false,
            frozen: false,
            resolution: None,
            resolved: None,
            would: None,
            own_writes: OwnWrites::default(),
            marketo_scan: None,
            salesforce_scan: None,
            marketo_shown: None,
            salesforce_shown: None,
            in_marketo: Provenance::default(),
            in_salesforce: Provenance::default(),
            sequence: 0,
            updated_at: 0,
            stored: false,
        }
    }

    /// In sync, with nothing left to be decided unless a side changes: a comparison passes such a member by. `listings` has the same
    /// as SQL.
    #[must_use]
    pub fn rests(&self) -> bool {
        let agreed = |seen: &Seen, base: &Presence| matches!((seen, base), (Seen::Status(s), Some(b)) if s == b);
        self.sync_state == "in_sync"
            && self
                .base
                .as_ref()
                .is_some_and(|base| agreed(&self.marketo, &base.marketo) && agreed(&self.salesforce, &base.salesforce))
            && self.sent.is_none()
            && self.resolution.is_none()
            && self.would.is_none()
            && !self.after_merge
            && !self.frozen
    }

    /// Takes over what a side was read to hold.
    pub fn saw(&mut self, side: Side, now: Seen) {
        let sent = self.sent.as_ref().filter(|sent| sent.side == side).map(|sent| &sent.status);
        let (value, provenance) = match side {
            Side::Marketo => (&mut self.marketo, &mut self.in_marketo),
            Side::Salesforce => (&mut self.salesforce, &mut self.in_salesforce),
        };
        *provenance = provenance.read(value, &now, sent);
        if now != Seen::Unknown {
            *value = now;
        }
    }

    /// Takes over what we have written to a side.
    pub fn wrote(&mut self, side: Side, now: Seen) {
        let (value, provenance) = match side {
            Side::Marketo => (&mut self.marketo, &mut self.in_marketo),
            Side::Salesforce => (&mut self.salesforce, &mut self.in_salesforce),
        };
        *provenance = provenance.written(value, &now);
        if now != Seen::Unknown {
            *value = now;
        }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct MemberRow {
    id: String,
    campaign_id: String,
    person_id: String,
    marketo_id: Option<i64>,
    salesforce_id: Option<String>,
    email: Option<String>,
    campaign_member_id: Option<String>,
    marketo: Option<String>,
    salesforce: Option<String>,
    salesforce_modstamp: Option<i64>,
    base_marketo: Option<String>,
    base_salesforce: Option<String>,
    sent: Option<String>,
    sync_state: String,
    reason: Option<String>,
    rule: Option<String>,
    after_merge: bool,
    frozen: bool,
    resolution: Option<String>,
    would: Option<String>,
    own_writes: Option<String>,
    marketo_scan: Option<String>,
    salesforce_scan: Option<String>,
    marketo_shown: Option<i64>,
    salesforce_shown: Option<i64>,
    added_to_marketo: bool,
    added_to_salesforce: bool,
    edited_in_marketo: bool,
    edited_in_salesforce: bool,
    sequence: i64,
    updated_at: i64,
}

pub(super) const MEMBER: &str = "m.id, m.campaign_id, m.person_id, p.marketo_id, p.salesforce_id, p.email, m.campaign_member_id, m.marketo, \
    m.salesforce, m.salesforce_modstamp, m.base_marketo, m.base_salesforce, m.sent, m.sync_state, m.reason, m.rule, m.after_merge, \
    m.frozen, m.resolution, m.would, m.own_writes, m.marketo_scan, m.salesforce_scan, m.marketo_shown, m.salesforce_shown, m.added_to_marketo, m.added_to_salesforce, \
    m.edited_in_marketo, m.edited_in_salesforce, m.sequence, m.updated_at";

/// A status as stored: none while unknown, empty while absent.
pub(super) fn write_seen(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Unknown => None,
        Seen::Absent => Some(String::new()),
        Seen::Status(status) => Some(status.clone()),
    }
}

fn read_seen(text: Option<String>) -> Seen {
    match text {
        None => Seen::Unknown,
        Some(text) if text.is_empty() => Seen::Absent,
        Some(text) => Seen::Status(text),
    }
}

pub(super) fn write_base(base: Option<&Base>) -> (Option<String>, Option<String>) {
    let presence = |p: &Presence| Some(p.clone().unwrap_or_default());
    base.map_or((None, None), |b| (presence(&b.marketo), presence(&b.salesforce)))
}

fn read_base(marketo: Option<String>, salesforce: Option<String>) -> Option<Base> {
    let presence = |text: String| (!text.is_empty()).then_some(text);
    Some(Base { marketo: presence(marketo?), salesforce: presence(salesforce?) })
}

impl TryFrom<MemberRow> for Member {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self, StoreError> {
        let corrupt =
            |what: &str, e: &dyn std::fmt::Display| StoreError::Corrupt(format!("{what} of member {}: {e}", row.id));
        let id = |what: &str, text: Option<String>| {
            text.map(SalesforceId::try_from).transpose().map_err(|e| corrupt(what, &e))
        };
        let salesforce_id = id("people.salesforce_id", row.salesforce_id)?;
        let campaign_member_id = id("members.campaign_member_id", row.campaign_member_id)?;
        let resolution = row.resolution.map(|text| text.parse().map_err(|e| corrupt("members.resolution", &e)));
        let person = Person { id: row.person_id, marketo_id: row.marketo_id, salesforce_id, email: row.email };
        Ok(Self {
            id: row.id,
            campaign_id: row.campaign_id,
            person,
            campaign_member_id,
            marketo: read_seen(row.marketo),
            salesforce: read_seen(row.salesforce),
            salesforce_modstamp: row.salesforce_modstamp,
            sent: row.sent.map(|text| read_json("members.sent", &text)).transpose()?,
            base: read_base(row.base_marketo, row.base_salesforce),
            sync_state: row.sync_state,
            reason: row.reason,
            rule: row.rule,
            after_merge: row.after_merge,
            frozen: row.frozen,
            resolution: resolution.transpose()?,
            resolved: None,
            would: row.would.map(|text| read_json("members.would", &text)).transpose()?,
            own_writes: row
                .own_writes
                .map(|text| read_json("members.own_writes", &text))
                .transpose()?
                .unwrap_or_default(),
            marketo_scan: row.marketo_scan,
            salesforce_scan: row.salesforce_scan,
            marketo_shown: row.marketo_shown,
            salesforce_shown: row.salesforce_shown,
            in_marketo: Provenance { added: row.added_to_marketo, edited: row.edited_in_marketo },
            in_salesforce: Provenance { added: row.added_to_salesforce, edited: row.edited_in_salesforce },
            sequence: row.sequence,
            updated_at: row.updated_at,
            stored: true,
        })
    }
}

pub(super) fn members(rows: Vec<MemberRow>) -> Result<Vec<Member>, StoreError> {
    rows.into_iter().map(Member::try_from).collect()
}

/// Which members are listed.
#[derive(Clone, Debug, Default)]
pub struct MemberFilter {
    pub campaign_id: String,
    /// Held on either side.
    pub status: Option<String>,
    pub sync_state: Option<String>,
    pub reason: Option<String>,
    /// Part of an address, or an id of either side.
    pub q: Option<String>,
    /// Why nothing of the campaign is worked off at the moment: members that have something waiting are pending for it.
    pub halted: Option<Reason>,
}

/// A member has a change that waits, under any of its names.
const WAITS: &str = "((m.sync_state = 'pending' AND m.reason IN ('waiting', 'retrying')) OR EXISTS (SELECT 1 FROM outbox o
    WHERE o.lane = m.campaign_id AND o.kind = 'hint' AND o.state IN ('available', 'retryable') AND o.subject IN
    ('person:' || p.id, 'marketo:' || CAST(p.marketo_id AS TEXT), 'salesforce:' || p.salesforce_id, 'member:' || m.campaign_member_id)))";

/// State and reason as they are shown while the campaign is halted for this reason, or not at all.
fn shown(halted: Option<Reason>) -> (String, String) {
    let Some(reason) = halted else { return ("m.sync_state".to_owned(), "m.reason".to_owned()) };
    let instead = |value: &str, column: &str| format!("CASE WHEN {WAITS} THEN '{value}' ELSE {column} END");
    (instead(reason.state().as_str(), "m.sync_state"), instead(reason.as_str(), "m.reason"))
}

impl Store {
    /// Members by campaign and person; pairs without a row are left out.
    pub async fn members_of(&self, pairs: &[(String, String)]) -> Result<Vec<Member>, StoreError> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let rows = Rows::new("campaign_id text, person_id text", pairs)?;
        let sql = format!(
            "SELECT DISTINCT {MEMBER} FROM {{rows}} JOIN members m ON m.campaign_id = r.campaign_id AND m.person_id = r.person_id
             JOIN people p ON p.id = m.person_id"
        );
        members(self.db.fetch_rows(&sql, &rows, vec![]).await?)
    }

    /// Members by the ids of their campaign member rows.
    pub async fn members_by_campaign_member(&self, ids: &[SalesforceId]) -> Result<Vec<Member>, StoreError> {
        let rows: Vec<_> = ids.iter().map(|id| (id.as_str(),)).collect();
        let sql = format!(
            "SELECT DISTINCT {MEMBER} FROM {{rows}} JOIN members m ON m.campaign_member_id = r.id JOIN people p ON p.id = m.person_id"
        );
        members(self.db.fetch_rows(&sql, &Rows::new("id text", &rows)?, vec![]).await?)
    }

    /// All memberships of people, in any tracked campaign.
    pub async fn memberships(&self, people: &[String]) -> Result<Vec<Member>, StoreError> {
        let rows: Vec<_> = people.iter().map(|id| (id,)).collect();
        let sql = format!(
            "SELECT DISTINCT {MEMBER} FROM {{rows}} JOIN members m ON m.person_id = r.id JOIN people p ON p.id = m.person_id"
        );
        members(self.db.fetch_rows(&sql, &Rows::new("id text", &rows)?, vec![]).await?)
    }

    /// One member.
    pub async fn member(&self, id: &str) -> Result<Option<Member>, StoreError> {
        let sql = format!("SELECT {MEMBER} FROM members m JOIN people p ON p.id = m.person_id WHERE m.id = $1");
        self.db.fetch_optional::<MemberRow>(&sql, args![id]).await?.map(Member::try_from).transpose()
    }

    /// A page of a campaign's members in the order of their ids, closed ones included: for runs.
    pub async fn member_page(&self, campaign_id: &str, after: &str, limit: i64) -> Result<Vec<Member>, StoreError> {
        let sql = format!(
            "SELECT {MEMBER} FROM members m JOIN people p ON p.id = m.person_id
             WHERE m.campaign_id = $1 AND m.id > $2 ORDER BY m.id LIMIT $3"
        );
        members(self.db.fetch(&sql, args![campaign_id, after, limit]).await?)
    }

    /// A page as above of those that meet a condition; the first three arguments are campaign, after and limit.
    pub(super) async fn member_page_where(&self, condition: &str, args: Vec<Arg>) -> Result<Vec<Member>, StoreError> {
        let sql = format!(
            "SELECT {MEMBER} FROM members m JOIN people p ON p.id = m.person_id
             WHERE m.campaign_id = $1 AND m.id > $2 AND {condition} ORDER BY m.id LIMIT $3"
        );
        members(self.db.fetch(&sql, args).await?)
    }

    /// Members as listed by the API: those present on a side, after the id `after`.
    pub async fn list_members(
        &self,
        filter: &MemberFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Member>, StoreError> {
        let mut args = args![&filter.campaign_id, after, limit];
        let (state, reason) = shown(filter.halted);
        let columns = MEMBER.replace("m.sync_state, m.reason", &format!("{state} AS sync_state, {reason} AS reason"));
        let mut sql = format!(
            "SELECT {columns} FROM members m JOIN people p ON p.id = m.person_id
             WHERE m.campaign_id = $1 AND m.id > $2 AND m.sync_state <> 'closed'"
        );
        let mut add = |condition: &str, value: &Option<String>| {
            if let Some(value) = value {
                args.push(Arg::from(value));
                sql += &condition.replace("$?", &format!("${}", args.len()));
            }
        };
        add(" AND (m.marketo = $? OR m.salesforce = $?)", &filter.status);
        add(&format!(" AND {state} = $?"), &filter.sync_state);
        add(&format!(" AND {reason} = $?"), &filter.reason);
        add(
            " AND (REPLACE(LOWER(p.email), LOWER($?), '') <> LOWER(p.email) OR CAST(p.marketo_id AS TEXT) = $? OR p.salesforce_id = $?)",
            &filter.q.clone().filter(|q| !q.is_empty()),
        );
        sql += " ORDER BY m.id LIMIT $3";
        members(self.db.fetch(&sql, args).await?)
    }

    /// How many members of a campaign are in each state for each reason.
    pub async fn member_counts(&self, campaign_id: &str) -> Result<Vec<(String, Option<String>, i64)>, StoreError> {
        let sql = "SELECT sync_state, reason, COUNT(*) FROM members WHERE campaign_id = $1 AND sync_state <> 'closed'
                   GROUP BY sync_state, reason";
        // Sorted here, since the databases disagree on where NULL goes.
        let mut counts: Vec<(String, Option<String>, i64)> = self.db.fetch(sql, args![campaign_id]).await?;
        counts.sort();
        Ok(counts)
    }
}
