//! Removals that wait in a history, and the person who says what shall become of them.

use campaign_sync::store::guards::{GuardLimits, Verdict};

use super::{History, judge};

/// Every removal waits: these worlds are too small for one beyond the usual.
pub const STRICT: GuardLimits = GuardLimits { members: 0, percent: 0, window: 3_600_000 };
/// Small worlds would trip it with each removal.
pub const LENIENT: GuardLimits = GuardLimits { members: 1_000, percent: 100, window: 0 };

impl History {
    /// Somebody looks at what waits, and decides one of them.
    pub async fn decide_a_guard(&mut self) -> bool {
        let guards = self.store.guards(&self.mapping.id, "", 100).await.unwrap();
        let waiting: Vec<_> = guards.iter().filter(|guard| guard.state == "waiting").collect();
        if waiting.is_empty() {
            return false;
        }
        let guard = *self.dice.pick(&waiting);
        let verdict = *self.dice.pick(&[Verdict::Approve, Verdict::KeepApart, Verdict::Restore]);
        self.note(format!("removals that wait: {verdict:?}"));
        let decided = self.store.decide_guard(guard, verdict, "test").await.unwrap();
        let mut world = self.worlds.get();
        // Somebody has said so, whichever it was.
        world.removed_by_people = true;
        world.tally.approvals += usize::from(decided);
        true
    }

    /// Until nothing waits for a person.
    pub async fn decide_all_guards(&mut self) {
        for _ in 0..20 {
            if !self.decide_a_guard().await {
                return;
            }
            self.settle().await;
        }
        judge::fail(self, "removals never ceased to wait");
    }
}
