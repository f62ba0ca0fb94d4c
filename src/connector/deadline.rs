//! Until when a call may still be sent.
//!
//! Owns that nobody sends what is another process's by now: a call waits for its part of the budget, and a process may stand still
//! meanwhile, for longer than its lease. The vendors check no fence. Must not know what a lease is.

use std::time::Duration;

tokio::task_local! {
    /// On the monotonic clock.
    static DEADLINE: Duration;
}

/// Calls within `calls` are not sent any more from `deadline` on, on the monotonic clock.
pub async fn before<T>(deadline: Duration, calls: impl Future<Output = T>) -> T {
    DEADLINE.scope(deadline, calls).await
}

/// Whether it is too late to send one.
pub(super) fn is_over(now: Duration) -> bool {
    DEADLINE.try_with(|deadline| *deadline <= now).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_late_from_its_deadline_on_and_never_without_one() {
        let second = Duration::from_secs(1);
        assert!(!is_over(Duration::MAX));
        before(second, async {
            assert_eq!([Duration::ZERO, second, second * 2].map(is_over), [false, true, true]);
        })
        .await;
        assert!(!is_over(Duration::MAX));
    }
}
