//! The shortest part of a history that still fails: played alone, with ever more of its steps.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use super::play_all;

/// More steps than any history has.
const MOST: usize = 40;

thread_local! {
    static LIMIT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How many steps of a history are played: all, or as `HISTORY_STEPS` says.
pub fn steps() -> usize {
    let asked = || std::env::var("HISTORY_STEPS").ok()?.parse().ok();
    LIMIT.get().or_else(asked).unwrap_or(usize::MAX)
}

/// Prints what the shortest failing beginning of a history was, where it fails alone as well.
pub fn show(seed: u64) {
    // Each of them would print all that it was.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let shortest = (0..MOST).find_map(|most| {
        LIMIT.set(Some(most));
        let outcome = catch_unwind(AssertUnwindSafe(|| play_all(seed..seed + 1, false, |_| {})));
        LIMIT.set(None);
        match outcome {
            Ok(Err((_, said))) => Some((most, said)),
            _ => None,
        }
    });
    set_hook(hook);
    match shortest {
        Some((most, said)) => eprintln!("seed {seed}, the first {most} steps alone (HISTORY_STEPS={most}):\n{said}"),
        None => eprintln!("seed {seed} fails only after those before it: HISTORY_SEED={seed} plays them too"),
    }
}
