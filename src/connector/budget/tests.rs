//! One budget by itself, on a clock that waiting moves.

use super::*;

fn limits(concurrency: usize, calls: u32) -> Limits {
    Limits {
        concurrency,
        window: Some((calls, Duration::from_secs(20))),
        daily_calls: None,
        daily_share: None,
        timeout: Duration::from_secs(1),
    }
}

/// A budget on a manual clock that waiting moves.
fn budget(limits: Limits) -> (Arc<Budget>, Clock) {
    let clock = Clock::manual("2026-11-23T12:00:00Z".parse().unwrap());
    let hand = clock.clone();
    let wait: Wait = Arc::new(move |time| {
        let hand = hand.clone();
        Box::pin(async move { hand.advance(time) })
    });
    let zone = TimeZone::posix("CST6CDT,M3.2.0,M11.1.0").unwrap();
    (Arc::new(Budget::new(limits, zone, clock.clone(), wait)), clock)
}

#[tokio::test]
async fn no_window_ever_holds_more_than_allowed() {
    let (budget, clock) = budget(limits(5, 10));
    let mut begun = Vec::new();
    for n in 0..95_u64 {
        let permit = budget.acquire(Priority::Webhook).await.unwrap();
        begun.push(clock.monotonic());
        clock.advance(Duration::from_millis(n * 37 % 900));
        drop(permit);
    }
    for start in &begun {
        let inside = begun.iter().filter(|t| **t >= *start && **t < *start + Duration::from_secs(20)).count();
        assert!(inside <= 10, "{inside} calls from {start:?}");
    }
    assert_eq!(budget.calls_today(), 95);
}

#[tokio::test]
async fn concurrency_holds_and_the_first_priority_goes_first() {
    let (budget, _) = budget(limits(1, 1000));
    let held = budget.acquire(Priority::Reconcile).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for priority in [Priority::Reconcile, Priority::Webhook, Priority::FlowAction, Priority::Webhook] {
        let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let _permit = budget.acquire(priority).await.unwrap();
            order.lock().unwrap().push(priority);
            tokio::task::yield_now().await;
        }));
        tokio::task::yield_now().await;
    }
    assert!(order.lock().unwrap().is_empty());
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    use Priority::{FlowAction, Reconcile, Webhook};
    assert_eq!(*order.lock().unwrap(), [FlowAction, Webhook, Webhook, Reconcile]);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_queue() {
    let (budget, _) = budget(limits(1, 1000));
    let held = budget.acquire(Priority::Webhook).await.unwrap();
    let mut gone = Box::pin(budget.acquire(Priority::FlowAction));
    assert!(futures_util::poll!(gone.as_mut()).is_pending());
    drop(gone);
    drop(held);
    assert!(budget.acquire(Priority::Reconcile).await.is_ok());
}

#[tokio::test]
async fn the_day_of_marketo_ends_at_midnight_central() {
    let (budget, clock) = budget(Limits { daily_calls: Some(2), ..limits(5, 1000) });
    for _ in 0..2 {
        drop(budget.acquire(Priority::Webhook).await.unwrap());
    }
    // 12:00 UTC is 06:00 in winter Central time.
    let left = Duration::from_hours(18);
    assert_eq!(budget.acquire(Priority::Webhook).await.err(), Some(Withheld::Quota(left)));
    clock.advance(left);
    assert!(budget.acquire(Priority::Webhook).await.is_ok());
    assert_eq!(budget.calls_today(), 1);
}

#[tokio::test]
async fn a_pause_answers_at_once_and_ends() {
    let (budget, clock) = budget(limits(5, 1000));
    budget.pause(Duration::from_secs(20));
    let why = Withheld::Paused(Duration::from_secs(20));
    assert_eq!(budget.acquire(Priority::FlowAction).await.err(), Some(why));
    clock.advance(Duration::from_secs(20));
    assert!(budget.acquire(Priority::FlowAction).await.is_ok());
}

#[tokio::test]
async fn a_share_of_what_the_vendor_grants_is_the_limit() {
    let (budget, _) = budget(Limits { daily_share: Some(0.5), ..limits(5, 1000) });
    budget.granted(6);
    assert_eq!(budget.daily_limit(), Some(3));
    for _ in 0..3 {
        drop(budget.acquire(Priority::Webhook).await.unwrap());
    }
    assert!(matches!(budget.acquire(Priority::Webhook).await.err(), Some(Withheld::Quota(_))));
}
