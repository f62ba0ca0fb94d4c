//! A page of a vendor's listing beside what is recorded, both in the order of their ids: one step for each member who agrees.
//!
//! Owns who has to be looked at: whom the page shows otherwise than recorded, or not at all although recorded. Pure: reads nothing,
//! and decides nothing about anybody.

use crate::domain::merge::Side;
use crate::domain::status::StatusMap;
use crate::store::listings::{Listed, Standing};

/// A member as a page shows it.
pub(super) struct Shown<'a, K> {
    pub key: K,
    pub status: &'a str,
    /// Of the person, see `print`.
    pub print: i64,
}

/// Where the comparison of one page stands.
pub(super) struct Beside<'a, K> {
    side: Side,
    map: &'a StatusMap,
    shown: &'a [Shown<'a, K>],
    at: usize,
    /// What was found of the member at `at`; nothing while none is recorded.
    found: Option<Found>,
    /// Positions of those whose status alone is another one.
    moved: Vec<usize>,
    /// Positions of those who are asked for by name in any case.
    open: Vec<usize>,
    /// Positions of those who have to be looked at.
    pub look: Vec<usize>,
    /// Those recorded who rest, and of whom the page says otherwise: they are to be decided by what both sides say by name.
    doubted: Vec<K>,
}

/// What a page says of a member who is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Agrees,
    Moved,
    Open,
    Unclear,
}

/// One of so many in a page whose status alone is another one is asked for by name, like whoever is not shown and who is open. Where there
/// are more, as after a status was renamed, what the page shows of each is recorded: a page costs less than its members by name.
const FEW: usize = 20;

/// So many who are doubted are not kept in memory until the page is recorded.
const MANY: usize = 2_000;

impl<'a, K: Ord + Clone> Beside<'a, K> {
    pub(super) fn new(side: Side, map: &'a StatusMap, shown: &'a [Shown<'a, K>]) -> Self {
        let (moved, open, look, doubted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { side, map, shown, at: 0, found: None, moved, open, look, doubted }
    }

    /// The next one recorded, in the order of ids.
    pub(super) fn recorded(&mut self, listed: &Listed<K>) {
        while self.shown.get(self.at).is_some_and(|shown| shown.key < listed.key) {
            self.pass();
        }
        match self.shown.get(self.at).filter(|shown| shown.key == listed.key) {
            Some(shown) if self.found.is_none() => self.found = Some(self.compare(shown, listed)),
            // Two are recorded under one id: whose it is has to be found out.
            Some(_) => {
                self.found = Some(Found::Unclear);
                self.doubted.push(listed.key.clone());
            }
            None if matches!(listed.standing, Standing::Open | Standing::Closed) => {}
            None => self.doubted.push(listed.key.clone()),
        }
    }

    /// Those doubted so far, where they are many.
    pub(super) fn take_many(&mut self) -> Vec<K> {
        if self.doubted.len() < MANY { Vec::new() } else { std::mem::take(&mut self.doubted) }
    }

    /// There is no more recorded.
    pub(super) fn end(mut self) -> (Vec<usize>, Vec<K>) {
        while self.at < self.shown.len() {
            self.pass();
        }
        if (self.moved.len() + self.open.len()) * FEW <= self.shown.len() {
            self.doubted.extend(self.moved.iter().map(|at| self.shown[*at].key.clone()));
        } else {
            self.look.append(&mut self.moved);
            self.look.append(&mut self.open);
            self.look.sort_unstable();
        }
        (self.look, self.doubted)
    }

    fn pass(&mut self) {
        match self.found.take() {
            Some(Found::Agrees) => {}
            Some(Found::Moved) => self.moved.push(self.at),
            Some(Found::Open) => self.open.push(self.at),
            Some(Found::Unclear) | None => self.look.push(self.at),
        }
        self.at += 1;
    }

    fn compare(&self, shown: &Shown<'_, K>, listed: &Listed<K>) -> Found {
        if listed.standing == Standing::Open && listed.shown == Some(shown.print) {
            return Found::Open;
        }
        let (Some(marketo), Some(salesforce)) = (listed.marketo.as_deref(), listed.salesforce.as_deref()) else {
            return Found::Unclear;
        };
        if listed.standing != Standing::Rests || listed.shown != Some(shown.print) {
            return Found::Unclear;
        }
        let recorded = if self.side == Side::Marketo { marketo } else { salesforce };
        if recorded == shown.status && self.map.same(marketo, salesforce) { Found::Agrees } else { Found::Moved }
    }
}

/// Whether ids go up from one to the next, and from the end of the page before.
pub(super) fn goes_up<K: Ord>(before: Option<&K>, keys: impl Iterator<Item = K>) -> bool {
    let mut last: Option<K> = None;
    for key in keys {
        if last.as_ref().or(before).is_some_and(|last| *last >= key) {
            return false;
        }
        last = Some(key);
    }
    true
}

/// What a listing shows of a person, as a number: it is the same as long as that is. FNV-1a, since it is stored and has to stay.
pub(super) fn print(parts: [Option<&str>; 2]) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        // Ends each part, so that a missing one is not an empty one and no letter moves from one to the next.
        let bytes = part.into_iter().flat_map(str::bytes).map(u64::from);
        for byte in bytes.chain([if part.is_some() { 256 } else { 257 }]) {
            hash = (hash ^ byte).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(key: i64, status: &str, standing: Standing) -> Listed<i64> {
        let status = Some(status.to_owned());
        Listed { key, marketo: status.clone(), salesforce: status, shown: Some(7), standing }
    }

    #[test]
    fn only_who_is_not_as_recorded_is_looked_at() {
        let map = StatusMap::exact(&["In", "Out"], &["In", "Out"]);
        let shown = |key, status, print| Shown { key, status, print };
        let page = [
            shown(1, "In", 7),  // new
            shown(2, "In", 7),  // as recorded
            shown(3, "Out", 7), // other status
            shown(4, "In", 8),  // other address
            shown(6, "In", 7),  // not settled
            shown(7, "In", 7),  // recorded twice
            shown(8, "In", 7),  // open
            shown(10, "In", 7), // new, at the end
        ];
        let mut beside = Beside::new(Side::Marketo, &map, &page);
        for (key, standing) in [
            (0, Standing::Unsettled),
            (2, Standing::Rests),
            (3, Standing::Rests),
            (4, Standing::Rests),
            (5, Standing::Rests),
            (6, Standing::Unsettled),
            (7, Standing::Rests),
            (7, Standing::Rests),
            (8, Standing::Open),
            (9, Standing::Open),
        ] {
            beside.recorded(&listed(key, "In", standing));
        }
        assert_eq!(beside.end(), (vec![0, 2, 3, 4, 5, 6, 7], vec![0, 5, 7]));
    }

    #[test]
    fn a_few_who_have_moved_are_asked_for_by_name() {
        let map = StatusMap::exact(&["In", "Out"], &["In", "Out"]);
        for (moved, expected) in [(2, (vec![], vec![0, 1])), (3, (vec![0, 1, 2], vec![]))] {
            let page = (0..40).map(|key| Shown { key, status: if key < moved { "Out" } else { "In" }, print: 7 });
            let page: Vec<_> = page.collect();
            let mut beside = Beside::new(Side::Salesforce, &map, &page);
            (0..40).for_each(|key| beside.recorded(&listed(key, "In", Standing::Rests)));
            assert_eq!(beside.end(), expected);
        }
    }

    #[test]
    fn a_few_who_are_open_are_neither_recorded_nor_put_down() {
        let map = StatusMap::exact(&["In"], &["In"]);
        let page: Vec<_> =
            (0..40).map(|key| Shown { key, status: "In", print: if key == 39 { 8 } else { 7 } }).collect();
        for (standing, keys, expected) in [
            (Standing::Open, vec![0, 1], vec![]),
            (Standing::Open, vec![0, 1, 2], vec![0, 1, 2]),
            (Standing::Closed, vec![0, 1], vec![0, 1]),
            // Shown with another address.
            (Standing::Open, vec![1, 39], vec![39]),
        ] {
            let mut beside = Beside::new(Side::Marketo, &map, &page);
            for shown in &page {
                let here = keys.contains(&shown.key);
                let print = if here { 7 } else { shown.print };
                let standing = if here { standing } else { Standing::Rests };
                beside.recorded(&Listed { shown: Some(print), ..listed(shown.key, "In", standing) });
            }
            assert_eq!(beside.end(), (expected, vec![]), "{standing:?} {keys:?}");
        }
    }

    #[test]
    fn who_is_recorded_after_the_last_of_the_listing_is_doubted() {
        let map = StatusMap::exact(&["In"], &["In"]);
        let mut beside = Beside::new(Side::Salesforce, &map, &[]);
        beside.recorded(&listed(3, "In", Standing::Rests));
        assert_eq!(beside.end(), (vec![], vec![3]));
    }

    #[test]
    fn order_goes_on_from_the_page_before() {
        assert!(goes_up(None, [1, 2, 5].into_iter()));
        assert!(goes_up(Some(&4), std::iter::empty()));
        assert!(!goes_up(Some(&1), [1, 2].into_iter()), "a page again");
        assert!(!goes_up(None, [1, 3, 2].into_iter()), "not in order");
        assert!(!goes_up(None, [1, 1].into_iter()), "twice");
    }

    #[test]
    fn prints_differ_where_what_is_shown_does() {
        let prints = [[None, None], [Some(""), None], [None, Some("")], [Some("a"), Some("b")], [Some("ab"), Some("")]];
        let distinct: std::collections::BTreeSet<_> = prints.iter().map(|parts| print(*parts)).collect();
        assert_eq!(distinct.len(), prints.len());
        // Stored by older versions.
        assert_eq!(print([Some("a"), None]), -1_641_007_802_823_744_481);
    }
}
