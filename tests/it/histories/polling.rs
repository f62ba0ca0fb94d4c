//! The poller in a history: webhooks are lost for stretches, pages are read in between, and in the end polls alone bring peace.

use std::time::Duration;

use campaign_sync::worker::PassError;
use campaign_sync::worker::points::Point;

use super::world::Owners;
use super::{History, judge};

/// When the comparison after the one that is due would be: not in this history.
const LATER: Duration = Duration::from_secs(365 * 86_400);

impl History {
    /// A poller that runs finds out soon that somebody is mapped.
    pub async fn find_places(&mut self) {
        if self.polls {
            self.advance(Duration::from_secs(61));
            self.poll_all().await;
        }
    }

    /// Now and then a page of some log, the beginning or end of a stretch without webhooks, or time that passes.
    pub async fn perhaps_poll(&mut self) {
        if !self.polls {
            return;
        }
        match self.dice.below(8) {
            0 => self.deaf = !self.deaf,
            1 => self.advance(Duration::from_secs(60)),
            2 | 3 => drop(self.poll(true).await),
            _ => {}
        }
    }

    /// One page, after which the poller may crash.
    async fn poll(&mut self, may_crash: bool) -> bool {
        if may_crash && self.dice.one_in(4) {
            *self.crash.lock().unwrap() = Some((Point::Polled, 0));
        }
        let done = self.poller.step().await;
        *self.crash.lock().unwrap() = None;
        match done {
            Ok(read) => read,
            Err(PassError::Interrupted(_)) => {
                self.note("crash of a poll".to_owned());
                self.worlds.get().tally.crashes += 1;
                self.poller = self.poller.another();
                true
            }
            Err(PassError::Store(error)) => panic!("seed {}: {error}", self.seed),
        }
    }

    /// Everything that was never told of is found by polls, without a comparison; then they find nothing more.
    pub async fn polled_to_peace(&mut self, before: &Owners) {
        if !self.polls {
            return;
        }
        self.note("polls to peace".to_owned());
        for _ in 0..3 {
            self.advance(Duration::from_secs(301));
            self.poll_all().await;
            if self.lost_a_place().await {
                self.note("a place is lost".to_owned());
                self.store.sweep_comparisons(LATER).await.unwrap();
            }
            self.settle().await;
        }
        judge::judge(self, before).await;
        self.worlds.get().tally.polled += 1;
    }

    /// Whether some log was not read for longer than it reaches back: then a comparison is due, and polls alone cannot bring peace.
    async fn lost_a_place(&self) -> bool {
        let newest = self.store.audit_log(None, 100).await.unwrap();
        newest.iter().any(|entry| entry.action == "poll.place_lost" && entry.at >= self.mapping.created_at)
    }

    async fn poll_all(&mut self) {
        for _ in 0..200 {
            if !self.poll(false).await {
                return;
            }
        }
        judge::fail(self, "polls never ended");
    }

    /// The next history has other vendors: the places in the logs of these are forgotten, as when nobody is mapped.
    pub async fn forget_places(&mut self) {
        if self.polls {
            self.advance(Duration::from_secs(301));
            self.poll_all().await;
        }
    }
}
