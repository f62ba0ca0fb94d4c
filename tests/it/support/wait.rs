//! The one place where a test waits for something that happens in its own time.
//!
//! What another process does can only be observed by asking again. Tests therefore never sleep for a guessed time: they name a
//! condition, and go on at the moment it holds. The pause between two questions bounds the load, not the outcome.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// Between two questions; short against everything the service promises in milliseconds.
const PAUSE: Duration = Duration::from_millis(10);
const LONG_PAUSE: Duration = Duration::from_millis(300);

/// Asks until there is an answer, and returns it.
///
/// # Panics
/// When there was none before the deadline; `what` says what was waited for.
pub async fn eventually<T>(what: &str, deadline: Duration, probe: impl AsyncFnMut() -> Option<T>) -> T {
    asked_every(PAUSE, what, deadline, probe).await
}

/// The same for what takes seconds and costs something to ask.
///
/// # Panics
/// As `eventually` does.
pub async fn in_time<T>(what: &str, deadline: Duration, probe: impl AsyncFnMut() -> Option<T>) -> T {
    asked_every(LONG_PAUSE, what, deadline, probe).await
}

async fn asked_every<T>(
    pause: Duration,
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let mut tick = interval(pause);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asking = async {
        loop {
            tick.tick().await;
            if let Some(answer) = probe().await {
                return answer;
            }
        }
    };
    match timeout(deadline, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {deadline:?} in vain for: {what}"),
    }
}
