//! Finds out who spoils a call for the others, so that only that one fails.
//!
//! A vendor may refuse, or fail at, a whole call because of one record in it. What was refused was not carried out, and is tried
//! again at once in halves, each read anew. What ended without an answer is tried again later, in halves of what failed together, and
//! only when the vendor answers something else: one that is away is nobody's fault. Who failed alone often enough is given up.
//!
//! Kept in memory: a restart begins anew, and each process learns it by itself. Must not know which call it was.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Fate, Item, Pass, Whole};
use crate::connector::{ConnectorError, Vendor};
use crate::domain::merge::{Reading, Reason};
use crate::domain::trigger::Seen;
use crate::worker::{PassError, Worker};

/// Parts of one batch that are worked off in a row; who is left comes with a later batch.
const ROUNDS: usize = 24;
/// Refusals in a row, with nobody getting through, after which it is the call that is refused and not a record.
const REFUSALS: usize = 16;
/// How many are remembered; beyond that all are forgotten, and found anew.
const MOST: usize = 20_000;

/// Lane and person.
type Key = (String, String);

/// Somebody who was in a call that failed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suspect {
    /// With how many others, itself included, it may be tried at the most.
    together: usize,
    /// Failures since it stands alone.
    alone: u32,
}

/// Who may spoil a call.
#[derive(Debug, Default)]
pub(in crate::worker) struct Suspects(Mutex<HashMap<Key, Suspect>>);

/// Items that are worked off together.
struct Part {
    items: Vec<Item>,
    /// Of a call that was refused in this pass.
    refused: bool,
}

/// What a failed call says about its records.
pub(super) fn whole(error: &ConnectorError) -> Whole {
    match error {
        error if error.may_blame_a_record() => Whole::Refused,
        // Whoever says when to come back, our own circuit included, is away as a whole.
        ConnectorError::Unavailable { vendor, retry_after: None, .. } => Whole::Unanswered(*vendor),
        _ => Whole::Held,
    }
}

/// Whether one of its records may be to blame for a call that failed as a whole.
pub(in crate::worker) fn may_be_one(error: &ConnectorError) -> bool {
    whole(error) != Whole::Held
}

fn key(item: &Item) -> Key {
    (item.member.campaign_id.clone(), item.member.person.id.clone())
}

impl Suspects {
    fn known(&self) -> MutexGuard<'_, HashMap<Key, Suspect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In which parts items are tried: those of whom nothing is known all together, then the suspects, the least suspicious first.
    fn parts(&self, items: Vec<Item>) -> VecDeque<Part> {
        let known = self.known();
        if known.is_empty() {
            return VecDeque::from([Part { items, refused: false }]);
        }
        let (mut fresh, mut suspects) = (Vec::new(), Vec::new());
        for item in items {
            match known.get(&key(&item)) {
                Some(suspect) => suspects.push((*suspect, item)),
                None => fresh.push(item),
            }
        }
        suspects.sort_by_key(|(suspect, _)| (std::cmp::Reverse(suspect.together), suspect.alone));
        let mut parts = VecDeque::new();
        if !fresh.is_empty() {
            parts.push_back(Part { items: fresh, refused: false });
        }
        let mut part: Vec<Item> = Vec::new();
        for (suspect, item) in suspects {
            if part.len() >= suspect.together {
                parts.push_back(Part { items: std::mem::take(&mut part), refused: false });
            }
            part.push(item);
        }
        if !part.is_empty() {
            parts.push_back(Part { items: part, refused: false });
        }
        parts
    }

    fn clear<'a>(&self, items: impl Iterator<Item = &'a Item>) {
        let mut known = self.known();
        if !known.is_empty() {
            for item in items {
                known.remove(&key(item));
            }
        }
    }

    /// These failed together; the failures of one who stands alone.
    fn note(&self, items: &[&mut Item]) -> u32 {
        let mut known = self.known();
        if known.len() + items.len() > MOST {
            known.clear();
        }
        let half = items.len().div_ceil(2);
        let mut alone = 0;
        for item in items {
            let suspect = known.entry(key(item)).or_insert(Suspect { together: half, alone: 0 });
            suspect.together = suspect.together.min(half);
            if items.len() == 1 {
                suspect.alone += 1;
                alone = suspect.alone;
            }
        }
        alone
    }
}

impl Item {
    /// As it was before it was tried, but for what is stored of it.
    fn anew(self) -> Self {
        let missing = self.missing.filter(|_| self.order.is_some());
        Self {
            member: self.member,
            causes: self.causes,
            seen: self.seen,
            marketo: Reading::Unreadable,
            salesforce: Reading::Unreadable,
            row: None,
            marketo_person: None,
            salesforce_person: None,
            missing,
            decision: None,
            base: None,
            edit: self.edit,
            overtaken: None,
            order: self.order,
            mapped: self.mapped,
            written: Seen::Unknown,
            wrote: false,
            called: None,
            fate: Fate::Open,
            whole: None,
        }
    }
}

impl Worker {
    /// Takes the members of a pass as far as they go; who spoils it for the others is set apart.
    pub(in crate::worker) async fn process(&self, pass: &mut Pass) -> Result<(), PassError> {
        // A page of a whole read is one or nothing: it is made smaller by its run.
        if pass.whole || pass.dry.is_some() {
            return self.process_together(pass).await;
        }
        let mut parts = self.suspects.parts(std::mem::take(&mut pass.items));
        let mut done: Vec<Item> = Vec::new();
        let mut answering: HashMap<Vendor, bool> = HashMap::new();
        let (mut rounds, mut refusals) = (0, 0);
        let mut refusal = None;
        while let Some(Part { items, refused }) = parts.pop_front() {
            if refused && refusals >= REFUSALS {
                done.extend(items.into_iter().map(|item| put_off(item, refusal.clone())));
                continue;
            }
            if rounds == ROUNDS {
                done.extend(items.into_iter().map(|item| put_off(item, None)));
                continue;
            }
            if rounds > 0 {
                self.keep_leases(pass).await?;
            }
            rounds += 1;
            pass.items = items;
            pass.drop_lost();
            self.process_together(pass).await?;
            let mut spoiled = Vec::new();
            let before = done.len();
            for item in pass.items.drain(..) {
                // What was written is not tried again before it was recorded.
                let again = item.whole == Some(Whole::Refused) && !item.wrote;
                if again { spoiled.push(item) } else { done.push(item) }
            }
            let answered = done[before..].iter().any(got_through);
            self.suspects.clear(done[before..].iter().filter(|item| got_through(item)));
            self.suspect(pass, &mut done[before..], &mut answering).await;
            refusals = match (answered, spoiled.is_empty()) {
                (true, _) => 0,
                (false, false) => refusals + 1,
                (false, true) => refusals,
            };
            if spoiled.len() <= 1 || refusals >= REFUSALS {
                refusal = spoiled.first().map(|item| item.fate.clone()).or(refusal);
                self.suspects.clear(spoiled.iter());
                done.append(&mut spoiled);
                continue;
            }
            let second = spoiled.split_off(spoiled.len() / 2);
            for half in [second, spoiled] {
                let items = half.into_iter().map(Item::anew).collect();
                parts.push_front(Part { items, refused: true });
            }
        }
        pass.items = done;
        self.drop_joined_later(pass, rounds).await
    }

    /// Puts down who was in a call that ended without an answer, where its vendor answers something else.
    async fn suspect(&self, pass: &Pass, items: &mut [Item], answering: &mut HashMap<Vendor, bool>) {
        for vendor in [Vendor::Marketo, Vendor::Salesforce] {
            let mut failed: Vec<&mut Item> =
                items.iter_mut().filter(|item| item.whole == Some(Whole::Unanswered(vendor))).collect();
            let Some(first) = failed.first() else { continue };
            let answers = match answering.get(&vendor) {
                Some(answers) => *answers,
                None => {
                    let answers = self.answers(vendor, pass, &first.member.campaign_id).await;
                    answering.insert(vendor, answers);
                    answers
                }
            };
            if !answers {
                continue;
            }
            let alone = self.suspects.note(&failed);
            if alone >= self.settings.max_attempts
                && let [item] = failed.as_mut_slice()
                && let Fate::Retry { counted, .. } = &mut item.fate
            {
                *counted = true;
            }
        }
    }

    /// Whether a vendor answers something that no member has to do with.
    async fn answers(&self, vendor: Vendor, pass: &Pass, lane: &str) -> bool {
        match vendor {
            Vendor::Salesforce => self.salesforce.campaigns_like("", None, 1).await.is_ok(),
            Vendor::Marketo => match pass.mappings.get(lane) {
                Some(mapping) => self.marketo.program(mapping.program_id).await.is_ok(),
                None => false,
            },
        }
    }

    /// Who was joined with somebody in a later part knows too little of itself.
    async fn drop_joined_later(&self, pass: &mut Pass, rounds: usize) -> Result<(), PassError> {
        let joined = std::mem::take(&mut pass.were_joined);
        if rounds > 1 && !joined.is_empty() {
            (pass.joined, pass.moved) = (joined, true);
            self.drop_joined(pass).await?;
            pass.were_joined.clear();
        }
        Ok(())
    }
}

/// Whether a vendor has answered for somebody. Who waits for its turn was in no call.
fn got_through(item: &Item) -> bool {
    let waits = matches!(item.fate, Fate::Lost | Fate::Joined { .. } | Fate::Retry { reason: Reason::Waiting, .. });
    item.whole.is_none() && !waits
}

/// Somebody whose part was not tried: refused as the others of the call were, or to be tried with a later batch.
fn put_off(item: Item, refusal: Option<Fate>) -> Item {
    let later = Fate::Retry { reason: Reason::Retrying, after: None, counted: false, error: None };
    Item { fate: refusal.unwrap_or(later), ..item }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::members::Member;
    use crate::store::people::Person;

    fn item(n: usize) -> Item {
        let person = Person { id: format!("p{n:03}"), marketo_id: None, salesforce_id: None, email: None };
        Item::new(Member::new(format!("m{n}"), "lane".to_owned(), person), false)
    }

    fn sizes(suspects: &Suspects, count: usize) -> Vec<usize> {
        suspects.parts((0..count).map(item).collect()).iter().map(|part| part.items.len()).collect()
    }

    #[test]
    fn who_failed_together_comes_back_in_halves_until_one_stands_alone() {
        let suspects = Suspects::default();
        assert_eq!(sizes(&suspects, 10), [10]);
        // The seventh spoils every call that it is in.
        let mut calls = 0;
        for _ in 0..6 {
            for mut part in suspects.parts((0..100).map(item).collect()) {
                calls += 1;
                if part.items.iter().any(|item| item.member.person.id == "p007") {
                    suspects.note(&part.items.iter_mut().collect::<Vec<_>>());
                } else {
                    suspects.clear(part.items.iter());
                }
            }
        }
        assert!(calls < 25, "{calls}");
        let seventh = ("lane".to_owned(), "p007".to_owned());
        assert!(suspects.known()[&seventh].together <= 4);
        for alone in [0, 0, 1, 2] {
            let parts = suspects.parts((0..100).map(item).collect());
            let has = |part: &Part| part.items.iter().any(|item| item.member.person.id == "p007");
            let mut part = parts.into_iter().find(has).unwrap();
            assert!(suspects.note(&part.items.iter_mut().collect::<Vec<_>>()) >= alone);
        }
        assert_eq!(suspects.known()[&seventh].together, 1);
    }

    #[test]
    fn a_vendor_that_says_when_to_come_back_accuses_nobody() {
        let error = |retry_after| ConnectorError::Unavailable {
            vendor: Vendor::Marketo,
            detail: String::new(),
            retry_after,
            sent: true,
        };
        assert_eq!(whole(&error(None)), Whole::Unanswered(Vendor::Marketo));
        assert_eq!(whole(&error(Some(std::time::Duration::from_secs(1)))), Whole::Held);
    }
}
