//! Keeps one access token for all calls of a client.
//!
//! Owns when a token is fetched again: when its lifetime has run out, or when the vendor refused it; one fetch at a time,
//! whoever else needs it waits for that one. Must not know how a token is fetched.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::domain::clock::Clock;

/// A token, or what came with it, that is shared while it lasts.
pub struct Held<T> {
    /// What was fetched.
    pub value: T,
    /// When it lapses; none where the vendor does not say (Salesforce).
    lapses: Option<Duration>,
}

/// The place where the token is kept.
pub struct TokenSlot<T> {
    clock: Clock,
    held: Mutex<Option<Arc<Held<T>>>>,
}

impl<T> TokenSlot<T> {
    /// An empty place.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::const_new(None) }
    }

    /// What is held at the moment, lapsed or not: handed to `get` as refused, it is fetched anew.
    pub async fn held(&self) -> Option<Arc<Held<T>>> {
        self.held.lock().await.clone()
    }

    /// The token, fetched when there is none, when it has lapsed, or when it is the one that was refused.
    ///
    /// # Errors
    /// What the fetch answered.
    pub async fn get<E>(
        &self,
        refused: Option<&Arc<Held<T>>>,
        fetch: impl Future<Output = Result<(T, Option<Duration>), E>>,
    ) -> Result<Arc<Held<T>>, E> {
        let mut held = self.held.lock().await;
        let asked = self.clock.monotonic();
        if let Some(token) = held.as_ref() {
            let lapsed = token.lapses.is_some_and(|end| end <= asked);
            if !lapsed && !refused.is_some_and(|refused| Arc::ptr_eq(refused, token)) {
                return Ok(Arc::clone(token));
            }
        }
        *held = None;
        let (value, lifetime) = fetch.await?;
        // Counted from before the call, so that it never ends later than the vendor's.
        let token = Arc::new(Held { value, lapses: lifetime.map(|time| asked + time) });
        *held = Some(Arc::clone(&token));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_callers_share_one_fetch_and_a_refused_token_is_fetched_once() {
        let slot = TokenSlot::new(Clock::manual(jiff::Timestamp::UNIX_EPOCH));
        let fetched = AtomicU32::new(0);
        let fetch = async || {
            tokio::task::yield_now().await;
            Ok::<_, ()>((fetched.fetch_add(1, Ordering::SeqCst), None))
        };
        let all = futures_util::future::join_all((0..20).map(|_| slot.get(None, fetch()))).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().value == 0));
        let old = all[0].as_ref().unwrap();
        let all = futures_util::future::join_all((0..20).map(|_| slot.get(Some(old), fetch()))).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().value == 1));
        assert_eq!(fetched.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_token_is_used_until_it_lapses() {
        let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
        let slot = TokenSlot::new(clock.clone());
        let life = Some(Duration::from_secs(2));
        assert_eq!(slot.get(None, async { Ok::<_, ()>((1, life)) }).await.unwrap().value, 1);
        clock.advance(Duration::from_millis(1999));
        assert_eq!(slot.get(None, async { Ok::<_, ()>((2, life)) }).await.unwrap().value, 1);
        clock.advance(Duration::from_millis(1));
        assert_eq!(slot.get(None, async { Ok::<_, ()>((3, life)) }).await.unwrap().value, 3);
        assert!(slot.get(None, async { Err::<(i32, _), _>("down") }).await.is_ok());
    }
}
