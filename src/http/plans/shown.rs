//! The bodies of plans, as they go out.
//!
//! Must not decide anything; names and nulls are the contract's.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::members::PersonBody;
use super::super::schema::Time;
use super::super::table::Table;
use crate::domain::ids::{MemberType, SalesforceId};
use crate::domain::merge::{Reason, Rule, Side};
use crate::store::plan_rows::{PlanCounts, PlanRow};
use crate::store::plans::{GOOD_FOR, Plan};

/// What would be done.
#[derive(Serialize, ToSchema)]
#[schema(as = Plan)]
pub(in crate::http) struct PlanBody {
    pub(super) id: String,
    /// Null for a mapping that is not made yet.
    mapping_id: Option<String>,
    /// `computing` while members are still read and decided, `ready`, `failed`; `applied`; `expired` after a day, `superseded`
    /// when the mapping was changed since or a newer plan made. Only one that is ready can be applied.
    #[schema(example = "ready")]
    state: &'static str,
    created_at: Time,
    /// Until when it can be applied.
    expires_at: Time,
    counts: CountsBody,
    /// Calls that applying it takes, the reads included.
    calls: CallsBody,
    /// How long applying it takes, from the pace that the vendors allow and have shown.
    seconds: i64,
    /// Its removals are more than the mapping usually sees: they will wait for approval of a guard.
    removals_wait: bool,
    /// Why it waits or has failed.
    message: Option<String>,
    progress: ProgressBody,
}

/// Rows by what is done: they add up to the rows of the plan, of which `conflicts` and `people_to_create` are some.
#[derive(Serialize, ToSchema)]
#[schema(as = PlanCounts)]
struct CountsBody {
    add_to_salesforce: i64,
    add_to_marketo: i64,
    remove_from_salesforce: i64,
    remove_from_marketo: i64,
    change_in_salesforce: i64,
    change_in_marketo: i64,
    /// Members who differ and of whom neither side has changed alone.
    conflicts: i64,
    /// Of those to be added, the people whom the other side does not know.
    people_to_create: i64,
    /// Members who are left as they are, with the reason in their rows.
    held: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlanCalls)]
struct CallsBody {
    marketo: i64,
    salesforce: i64,
}

/// Members read and decided so far.
#[derive(Serialize, ToSchema)]
#[schema(as = PlanProgress)]
struct ProgressBody {
    stage: &'static str,
    salesforce_read: i64,
    marketo_read: i64,
    decided: i64,
}

impl PlanBody {
    pub(super) fn of(plan: &Plan, counts: &PlanCounts, state: &'static str) -> Self {
        let far = |what: &str| plan.counts.get(what).copied().unwrap_or(0);
        Self {
            id: plan.id.clone(),
            mapping_id: plan.mapping_id.clone(),
            state,
            created_at: Time::of(plan.created_at),
            expires_at: Time::of(plan.created_at + GOOD_FOR),
            counts: CountsBody {
                add_to_salesforce: counts.of("salesforce", "add"),
                add_to_marketo: counts.of("marketo", "add"),
                remove_from_salesforce: counts.of("salesforce", "remove"),
                remove_from_marketo: counts.of("marketo", "remove"),
                change_in_salesforce: counts.of("salesforce", "change"),
                change_in_marketo: counts.of("marketo", "change"),
                conflicts: counts.conflicts,
                people_to_create: counts.people_to_create,
                held: counts.held(),
            },
            calls: CallsBody { marketo: plan.calls_marketo, salesforce: plan.calls_salesforce },
            seconds: plan.seconds,
            removals_wait: plan.removals_wait,
            message: plan.message.clone(),
            progress: ProgressBody {
                stage: plan.stage.as_str(),
                salesforce_read: far("salesforce_read"),
                marketo_read: far("marketo_read"),
                decided: far("decided"),
            },
        }
    }
}

/// What would be done about one member.
#[derive(Serialize, ToSchema)]
#[schema(as = PlanRow)]
pub(super) struct RowBody {
    id: String,
    person: PersonBody,
    /// The side that is written to; of one that is held, the side that would have been or that differs.
    #[schema(value_type = Side)]
    side: String,
    /// `add`, `change`, `remove`, `hold`.
    #[schema(example = "add")]
    action: String,
    /// The status there now; null when absent.
    from: Option<String>,
    /// The status written; null for a removal.
    to: Option<String>,
    /// The row of the decision table.
    #[schema(value_type = Rule)]
    rule: String,
    /// Why it is held.
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    /// The person is created for it.
    creates_person: bool,
    conflict: bool,
    /// What it had become when the plan was applied; null while it holds.
    drifted: Option<String>,
}

impl From<PlanRow> for RowBody {
    fn from(row: PlanRow) -> Self {
        let parsed = row.salesforce_id.as_deref().and_then(|id| id.parse::<SalesforceId>().ok());
        let salesforce_type = parsed.as_ref().and_then(MemberType::of).map(MemberType::as_str);
        Self {
            id: row.id,
            person: PersonBody {
                marketo_id: row.marketo_id,
                salesforce_id: row.salesforce_id,
                salesforce_type,
                email: row.email,
            },
            side: row.side,
            action: row.action,
            from: row.from_status,
            to: row.to_status,
            rule: row.rule,
            reason: row.reason,
            creates_person: row.creates.is_some(),
            conflict: row.conflict,
            drifted: row.drifted,
        }
    }
}

/// The same as a line of a table.
#[derive(Serialize)]
pub(super) struct RowLine {
    person: String,
    side: String,
    action: String,
    from: Option<String>,
    to: Option<String>,
}

impl Table for RowLine {
    const COLUMNS: &'static [&'static str] = &["person", "side", "action", "from", "to"];
}

impl From<RowBody> for RowLine {
    fn from(row: RowBody) -> Self {
        let RowBody { person, side, action, from, to, .. } = row;
        let id = person.marketo_id.map(|id| id.to_string()).or(person.salesforce_id);
        Self { person: person.email.or(id).unwrap_or_default(), side, action, from, to }
    }
}
