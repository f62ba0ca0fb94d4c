//! The one place where a test waits for something that happens in its own time.
//!
//! What another process does can only be observed by asking again. Tests therefore never sleep for a guessed time: they name a
//! condition, and go on soon after it holds. The pause between two questions bounds the load, not the outcome.

use std::time::Duration;

use tokio::time::{interval, timeout};

/// Between two questions; short against everything the service promises in milliseconds.
const PAUSE: Duration = Duration::from_millis(10);
/// Of what has been waited already, so that a long wait is not spent in asking.
const SHARE: u32 = 20;
const LONGEST: Duration = Duration::from_millis(300);

/// How long is waited where this long would do. Where the vendors fail on purpose (`FAULTS`) one wait is made of several of theirs: a rate
/// limit alone holds all calls back for 20 s.
pub fn patience(deadline: Duration) -> Duration {
    if std::env::var_os("FAULTS").is_some() { deadline * 3 } else { deadline }
}

/// Asks until there is an answer, and returns it.
///
/// # Panics
/// When there was none before the deadline; `what` says what was waited for.
pub async fn eventually<T>(what: &str, deadline: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let (mut tick, mut waited) = (interval(PAUSE), Duration::ZERO);
    let asking = async {
        loop {
            tick.tick().await;
            if let Some(answer) = probe().await {
                return answer;
            }
            let pause = (waited / SHARE).clamp(PAUSE, LONGEST);
            waited += pause;
            tick.reset_after(pause);
        }
    };
    let deadline = patience(deadline);
    match timeout(deadline, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {deadline:?} in vain for: {what}"),
    }
}
