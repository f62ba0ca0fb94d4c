//! Two weeks go by in a history: webhooks are lost for days, statuses get other names, and comparisons come by themselves.

use std::time::Duration;

use jiff::Timestamp;

use super::History;
use super::world::{FOREIGN, RENAMED, STATUSES, World};

const WEEKS: Duration = Duration::from_secs(14 * 86_400);
/// How often a mapping is compared.
const INTERVAL: Duration = Duration::from_secs(86_400);

impl History {
    /// One of so many steps of the two weeks.
    pub async fn days_go_by(&mut self, steps: usize) {
        let mean = WEEKS / u32::try_from(steps).unwrap();
        let part = u32::try_from(self.dice.below(100)).unwrap();
        self.advance(mean * part / 100);
        match self.dice.below(6) {
            // With polls the stretches are of the poller's making.
            0 if !self.polls => self.deaf = !self.deaf,
            // A name alone is in no log: polls do not see it, and they are to bring peace without a comparison.
            1 if !self.polls => self.worlds.get().rename_status(),
            2 | 3 => self.store.sweep_comparisons(INTERVAL).await.unwrap(),
            _ => {}
        }
    }

    /// What is left of them passes.
    pub fn two_weeks_since(&mut self, begun: Timestamp) {
        // None where the clock was set back meanwhile.
        let gone = u64::try_from(self.clock.now().as_second() - begun.as_second()).unwrap_or(0);
        self.advance(WEEKS.saturating_sub(Duration::from_secs(gone)));
        self.deaf = false;
        self.worlds.get().tally.long += 1;
    }
}

impl World {
    /// The statuses of the campaign.
    pub fn labels(&self) -> [(&'static str, i64); 5] {
        let [invited, registered, waitlisted, (_, step)] = STATUSES;
        [invited, registered, waitlisted, (self.label, step), (FOREIGN, 40)]
    }

    /// Somebody gives a status of the campaign another name, or its old one: its members go along, and nobody hears of it.
    pub fn rename_status(&mut self) {
        let old = self.label;
        self.label = if old == RENAMED { STATUSES[3].0 } else { RENAMED };
        let label = self.label;
        for row in self.members_s.values_mut().filter(|row| row.status == old) {
            row.status = label.to_owned();
            self.set_by_people.insert(label.to_owned());
        }
        self.tally.renamed += 1;
        self.log.push(format!("salesforce: {old} is called {label}"));
    }
}
