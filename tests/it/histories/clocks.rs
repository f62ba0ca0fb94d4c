//! Time: of this process, of another one whose clock differs, of the vendors; and a clock that is set back.

use std::time::Duration;

use campaign_sync::store;

use super::History;

impl History {
    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        let now = self.clock.now().as_millisecond();
        if let Some((_, far, skew)) = &self.far {
            far.advance(by);
            far.show(store::time(now + skew));
        }
        self.worlds.get().now = now + self.set_back.unwrap_or_default();
    }

    /// Somebody finds our clock ahead, by more than clocks may differ; somebody looks at it before anything else is done, as is done
    /// every few seconds.
    pub(super) async fn perhaps_set_back(&mut self) {
        let Some(before) = self.set_back else { return };
        self.store.mind_the_clock().await.unwrap();
        if self.dice.one_in(8) {
            let by = *self.dice.pick(&[45_000, 600_000, 7_200_000]);
            self.note(format!("the clock is set back by {by} ms"));
            self.clock.show(store::time(self.clock.now().as_millisecond() - by));
            self.set_back = Some(before + by);
            self.advance(Duration::ZERO);
            let noticed = self.store.mind_the_clock().await.unwrap().is_some();
            assert!(noticed || by < 100_000, "{by} ms went unnoticed");
        }
    }
}
