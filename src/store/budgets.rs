//! The vendors' budgets of calls, shared by all processes on this database.
//!
//! Owns the account: one row for each vendor, under whose lock a process settles what it has used and what it may use. How it is
//! divided, `domain::budget` says. Must not be asked for a single call.

use super::dialect::{Tx, args};
use super::{Store, StoreError};
use crate::domain::budget::{Account, Grant, Holding, Part, Report};

/// How a vendor's budget is used, by all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedUse {
    /// The day that `calls_today` is of, as in 2026-11-27.
    pub day: String,
    pub calls_today: u64,
    /// Processes that call at the moment.
    pub replicas: u64,
    /// What they hold together, with what dead ones may still have in use.
    pub held: Part,
    /// The vendor, or one of the processes, said that the day's calls are used up; epoch milliseconds.
    pub exhausted_until: Option<i64>,
}

type AccountRow = (String, i64, Option<i64>, Option<i64>, Option<i64>, i64);
type HoldingRow = (String, i64, i64, i64, i64, String, i64, i64, i64, i64, i64, bool);

impl Store {
    /// Settles with one process.
    ///
    /// # Errors
    /// When the database fails; whether it was settled is not known then.
    pub async fn settle_budget(&self, vendor: &str, report: &Report) -> Result<Grant, StoreError> {
        let mut tx = self.db.begin().await?;
        let (now, time) = tx.backend().shared_now(&self.clock);
        let lock = tx.backend().for_update();
        let sql = format!(
            "SELECT day, calls, granted, exhausted_until, paused_until, {now} FROM budgets WHERE vendor = $1 {lock}"
        );
        let found: Vec<AccountRow> = tx.fetch(&sql, [args![vendor], time].concat()).await?;
        let missing = || StoreError::Corrupt(format!("there is no budget of {vendor}"));
        let (before, now) = found.into_iter().next().map(account).ok_or_else(missing)?;
        let held = holdings(tx.fetch(&of_vendor(HOLDINGS), args![vendor]).await?);
        let (mut account, mut after) = (before.clone(), held.clone());
        let grant = account.settle(&mut after, report, now);
        if account != before {
            store_account(&mut tx, vendor, &account).await?;
        }
        for gone in held.iter().filter(|one| !after.iter().any(|other| other.replica == one.replica)) {
            let sql = "DELETE FROM budget_parts WHERE vendor = $1 AND replica = $2";
            tx.execute(sql, args![vendor, &gone.replica]).await?;
        }
        for holding in after.iter().filter(|one| !held.contains(one)) {
            store_holding(&mut tx, vendor, holding).await?;
        }
        tx.commit().await?;
        Ok(grant)
    }

    /// How a vendor's budget is used; nothing before the first call.
    pub async fn shared_use(&self, vendor: &str) -> Result<SharedUse, StoreError> {
        let sql = "SELECT day, calls, granted, exhausted_until, paused_until, CAST($2 AS BIGINT) FROM budgets WHERE vendor = $1";
        let found: Option<AccountRow> = self.db.fetch_optional(sql, args![vendor, self.now()]).await?;
        let Some((known, now)) = found.map(account) else { return Ok(SharedUse::default()) };
        let held = holdings(self.db.fetch(&of_vendor(HOLDINGS), args![vendor]).await?);
        let sum = |until: fn(&Holding) -> i64, of: fn(&Part) -> u64| {
            held.iter().filter(|one| until(one) > now).map(|one| of(&one.part)).sum()
        };
        Ok(SharedUse {
            calls_today: known.calls_today(&held),
            replicas: held.iter().filter(|one| one.lease_until > now).count() as u64,
            held: Part {
                concurrency: sum(|one| one.slots_until, |part| part.concurrency),
                calls: sum(|one| one.window_until, |part| part.calls),
            },
            exhausted_until: known.exhausted_until.filter(|until| *until > now),
            day: known.day,
        })
    }
}

const HOLDINGS: &str = "SELECT replica, concurrency, calls, wants_concurrency, wants_calls, day, calls_today, may_call,
    lease_until, slots_until, window_until, resting FROM budget_parts";

fn of_vendor(select: &str) -> String {
    format!("{select} WHERE vendor = $1 ORDER BY replica")
}

fn account((day, calls, granted, exhausted_until, paused_until, now): AccountRow) -> (Account, i64) {
    let granted = granted.map(count);
    (Account { day, calls: count(calls), granted, exhausted_until, paused_until }, now)
}

fn holdings(rows: Vec<HoldingRow>) -> Vec<Holding> {
    let holding = |row: HoldingRow| {
        let (
            replica,
            concurrency,
            calls,
            wants_concurrency,
            wants_calls,
            day,
            calls_today,
            may_call,
            lease,
            slots,
            window,
            rests,
        ) = row;
        Holding {
            replica,
            part: Part { concurrency: count(concurrency), calls: count(calls) },
            wants: Part { concurrency: count(wants_concurrency), calls: count(wants_calls) },
            day,
            calls_today: count(calls_today),
            may_call: count(may_call),
            lease_until: lease,
            slots_until: slots,
            window_until: window,
            rests,
        }
    };
    rows.into_iter().map(holding).collect()
}

async fn store_account(tx: &mut Tx, vendor: &str, account: &Account) -> Result<(), StoreError> {
    let sql = "UPDATE budgets SET day = $2, calls = $3, granted = $4, exhausted_until = $5, paused_until = $6 WHERE vendor = $1";
    let granted = account.granted.map(number);
    let (exhausted, paused) = (account.exhausted_until, account.paused_until);
    tx.execute(sql, args![vendor, &account.day, number(account.calls), granted, exhausted, paused]).await.map(drop)
}

async fn store_holding(tx: &mut Tx, vendor: &str, one: &Holding) -> Result<(), StoreError> {
    let sql = "INSERT INTO budget_parts (vendor, replica, concurrency, calls, wants_concurrency, wants_calls, day, calls_today, may_call,
                 lease_until, slots_until, window_until, resting)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
               ON CONFLICT (vendor, replica) DO UPDATE SET concurrency = excluded.concurrency, calls = excluded.calls,
                 wants_concurrency = excluded.wants_concurrency, wants_calls = excluded.wants_calls, day = excluded.day,
                 calls_today = excluded.calls_today, may_call = excluded.may_call, lease_until = excluded.lease_until,
                 slots_until = excluded.slots_until, window_until = excluded.window_until, resting = excluded.resting";
    let (part, wants) = (one.part, one.wants);
    let args = args![
        vendor,
        &one.replica,
        number(part.concurrency),
        number(part.calls),
        number(wants.concurrency),
        number(wants.calls),
        &one.day,
        number(one.calls_today),
        number(one.may_call),
        one.lease_until,
        one.slots_until,
        one.window_until,
        one.rests
    ];
    tx.execute(sql, args).await.map(drop)
}

fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
