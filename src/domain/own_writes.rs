//! What this service has written of a member lately.
//!
//! Owns two questions that one write alone cannot answer: whether it overtook an edit that nobody had read, and whether
//! somebody keeps undoing what we write. Must not know how a value was read, nor what is done about either.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::SalesforceId;
use super::merge::{Base, Presence, Reading, Side};

/// Writes kept of one member; older ones are forgotten, however long the window is.
const MOST: usize = 40;

/// One write: what it found, and what it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnWrite {
    /// Epoch milliseconds.
    pub at: i64,
    pub side: Side,
    /// The value that was read before; none for absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Presence,
    /// None for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Presence,
    /// Who had set `from`, where the side tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<SalesforceId>,
    /// Salesforce's row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<SalesforceId>,
    /// When `from` was set, epoch milliseconds; an edit that is younger was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<i64>,
    /// What both sides had agreed on before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// It arrived. While it is under way nobody knows.
    pub done: bool,
}

/// An edit in Salesforce, as a hint tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub row: SalesforceId,
    pub status: String,
    pub by: SalesforceId,
    pub at: Timestamp,
}

/// The writes of one member, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnWrites(Vec<OwnWrite>);

impl OwnWrites {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn all(&self) -> &[OwnWrite] {
        &self.0
    }

    /// A write is about to be sent. What is older than `since` is forgotten, but for the last one in Salesforce, which may still
    /// turn out to have overtaken an edit.
    pub fn announce(&mut self, write: OwnWrite, since: i64) {
        let last = self.last_in_salesforce().map(|write| write.at);
        self.0.retain(|w| w.done && (w.at >= since || (w.side == Side::Salesforce && Some(w.at) == last)));
        self.0.push(write);
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
    }

    /// The one under way has arrived.
    pub fn arrived(&mut self) {
        if let Some(last) = self.0.last_mut() {
            last.done = true;
        }
    }

    /// Both sides were read again: the one under way has arrived when its side says so, and else never will.
    pub fn read(&mut self, marketo: &Reading, salesforce: &Reading) {
        let Some(last) = self.0.last_mut().filter(|last| !last.done) else { return };
        let now = match last.side {
            Side::Marketo => marketo,
            Side::Salesforce => salesforce,
        };
        match (now, &last.to) {
            (Reading::Unreadable, _) => {}
            (Reading::Status(now), Some(to)) if now == to => last.done = true,
            (Reading::Absent | Reading::Gone, None) => last.done = true,
            _ => drop(self.0.pop()),
        }
    }

    /// The last that arrived in Salesforce.
    #[must_use]
    pub fn last_in_salesforce(&self) -> Option<&OwnWrite> {
        self.0.iter().rev().find(|write| write.done && write.side == Side::Salesforce)
    }

    /// The last write in Salesforce, when it overtook this edit: somebody else's, younger than what was read, and neither what
    /// was read nor what was written. Whether the write is the younger of the two, the row says.
    #[must_use]
    pub fn overtook(&self, edit: &Edit, us: &SalesforceId) -> Option<&OwnWrite> {
        let write = self.last_in_salesforce()?;
        let unread = write.read_at.is_some_and(|read_at| edit.at.as_millisecond() > read_at);
        let another = |value: &Presence| value.as_ref() != Some(&edit.status);
        let lost = write.from.is_some() && another(&write.from) && another(&write.to);
        (edit.by != *us && write.row.as_ref() == Some(&edit.row) && unread && lost).then_some(write)
    }

    /// An edit that the last write in Salesforce overtook has been dealt with: told again, it is no news.
    pub fn heeded(&mut self, edit: &Edit) {
        if let Some(write) = self.0.iter_mut().rev().find(|write| write.done && write.side == Side::Salesforce) {
            write.read_at = Some(edit.at.as_millisecond());
        }
    }

    /// Whether a write sets a side back to what an earlier one since then had set it to: somebody has undone that.
    #[must_use]
    pub fn sets_back(&self, side: Side, to: Option<&str>, since: i64) -> bool {
        self.0.iter().any(|w| w.done && w.at >= since && w.side == side && w.to.as_deref() == to)
    }

    /// How many of the writes since then set a side back.
    #[must_use]
    pub fn alternations(&self, since: i64) -> usize {
        let recent: Vec<_> = self.0.iter().filter(|write| write.done && write.at >= since).collect();
        let same = |a: &OwnWrite, b: &OwnWrite| a.side == b.side && a.to == b.to;
        (0..recent.len()).filter(|&n| recent[..n].iter().any(|earlier| same(earlier, recent[n]))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SalesforceId {
        text.parse().unwrap()
    }

    fn write(at: i64, side: Side, from: Option<&str>, to: Option<&str>) -> OwnWrite {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let row = (side == Side::Salesforce).then(|| id("00v4S0000000001"));
        let read_at = (side == Side::Salesforce).then_some(at - 5_000);
        OwnWrite { at, side, from: text(from), to: text(to), by: None, row, read_at, base: None, done: false }
    }

    fn edit(status: &str, by: &str, at: i64) -> Edit {
        let at = Timestamp::from_millisecond(at).unwrap();
        Edit { row: id("00v4S0000000001"), status: status.to_owned(), by: id(by), at }
    }

    const US: &str = "0054S0000000001";
    const SOMEBODY: &str = "0054S0000000002";

    #[test]
    fn an_edit_that_nobody_read_was_overtaken() {
        let mut writes = OwnWrites::default();
        writes.announce(write(10_000, Side::Salesforce, Some("Invited"), Some("Attended")), 0);
        let overtook = |writes: &OwnWrites, edit: Edit| writes.overtook(&edit, &id(US)).is_some();
        assert!(!overtook(&writes, edit("Registered", SOMEBODY, 9_000)), "it may never have arrived");
        writes.arrived();
        assert!(overtook(&writes, edit("Registered", SOMEBODY, 9_000)));
        assert!(!overtook(&writes, edit("Registered", US, 9_000)), "our own");
        assert!(!overtook(&writes, edit("Registered", SOMEBODY, 5_000)), "as old as what was read");
        assert!(!overtook(&writes, edit("Invited", SOMEBODY, 9_000)), "what was read");
        assert!(!overtook(&writes, edit("Attended", SOMEBODY, 9_000)), "what was written");
        writes.heeded(&edit("Registered", SOMEBODY, 9_000));
        assert!(!overtook(&writes, edit("Registered", SOMEBODY, 9_000)), "told twice");
    }

    #[test]
    fn who_keeps_undoing_what_we_write_is_noticed() {
        let mut writes = OwnWrites::default();
        for n in 0..5 {
            assert_eq!(writes.sets_back(Side::Salesforce, Some("Attended"), 0), n > 0);
            writes.announce(write(n * 1_000, Side::Salesforce, Some("Invited"), Some("Attended")), 0);
            writes.arrived();
        }
        assert_eq!(writes.alternations(0), 4);
        assert_eq!(writes.alternations(2_000), 2, "those of the window");
        let mut both = OwnWrites::default();
        for n in 0..6 {
            let (side, to) = if n % 2 == 0 { (Side::Marketo, "Invited") } else { (Side::Salesforce, "Attended") };
            both.announce(write(n * 1_000, side, None, Some(to)), 0);
            both.arrived();
        }
        assert_eq!(both.alternations(0), 4);
        let mut progress = OwnWrites::default();
        for (n, to) in ["Invited", "Registered", "Attended"].into_iter().enumerate() {
            progress.announce(write(i64::try_from(n).unwrap(), Side::Salesforce, None, Some(to)), 0);
            progress.arrived();
        }
        assert_eq!(progress.alternations(0), 0);
    }

    #[test]
    fn a_lost_answer_is_settled_by_the_next_read() {
        let status = |text: &str| Reading::Status(text.to_owned());
        for (found, kept) in [("Attended", 1), ("Invited", 0)] {
            let mut writes = OwnWrites::default();
            writes.announce(write(1, Side::Salesforce, Some("Invited"), Some("Attended")), 0);
            writes.read(&Reading::Absent, &Reading::Unreadable);
            assert_eq!(writes.all().len(), 1);
            writes.read(&Reading::Absent, &status(found));
            assert_eq!(writes.all().iter().filter(|write| write.done).count(), kept, "{found}");
        }
        let mut writes = OwnWrites::default();
        writes.announce(write(1, Side::Salesforce, Some("Invited"), None), 0);
        writes.announce(write(2, Side::Salesforce, Some("Invited"), None), 0);
        assert_eq!(writes.all().len(), 1, "the first was never sent, for all that is known");
    }

    #[test]
    fn old_ones_are_forgotten_but_for_the_last_in_salesforce() {
        let mut writes = OwnWrites::default();
        for at in 1..=3 {
            writes.announce(write(at, Side::Salesforce, None, Some("Invited")), 0);
            writes.arrived();
        }
        writes.announce(write(100, Side::Marketo, None, Some("Invited")), 50);
        assert_eq!(writes.all().iter().map(|write| write.at).collect::<Vec<_>>(), [3, 100]);
        for at in 101..300 {
            writes.arrived();
            writes.announce(write(at, Side::Marketo, None, None), 0);
        }
        assert_eq!(writes.all().len(), MOST);
    }
}
