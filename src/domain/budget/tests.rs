//! The account by itself: rules that hold whatever processes do.

use super::*;

#[test]
fn whoever_wants_little_gets_it_and_the_others_the_same() {
    let share = |most, wants: &[(&'static str, u64)], me| fair(most, wants.to_vec(), me, 0);
    for (most, wants, expected) in [
        (50, vec![("a", 50)], vec![50]),
        (50, vec![("a", 50), ("b", 50)], vec![25, 25]),
        (50, vec![("a", 50), ("b", 4)], vec![46, 4]),
        (5, vec![("a", 5), ("b", 5), ("c", 5)], vec![1, 2, 2]),
        (50, vec![("a", 10), ("b", 10), ("c", 0)], vec![10, 10, 0]),
        (0, vec![("a", 3)], vec![0]),
    ] {
        let got: Vec<u64> = wants.iter().map(|(me, _)| share(most, &wants, me)).collect();
        assert_eq!(got, expected, "{most} for {wants:?}");
    }
}

#[test]
fn where_there_is_not_one_for_each_they_take_turns() {
    let wants = || vec![("a", 1), ("b", 1), ("c", 1)];
    let mut had = std::collections::BTreeMap::new();
    for turn in 0..9 {
        let shares = ["a", "b", "c"].map(|me| (me, fair(1, wants(), me, turn)));
        assert_eq!(shares.iter().map(|(_, share)| share).sum::<u64>(), 1, "{shares:?}");
        shares.iter().for_each(|(me, share)| *had.entry(*me).or_insert(0) += share);
    }
    assert_eq!(had.into_values().collect::<Vec<_>>(), [3, 3, 3]);
}

fn report(replica: &str, wants: (u64, u64)) -> Report {
    Report {
        replica: replica.to_owned(),
        most: Part { concurrency: 5, calls: 50 },
        daily: Some(1000),
        held: Part::default(),
        wants: Part { concurrency: wants.0, calls: wants.1 },
        in_flight: false,
        day: "2026-11-23".to_owned(),
        calls_today: 0,
        may_call: 0,
        ahead: 64,
        rests: false,
        leaves: false,
        lease: Duration::from_secs(10),
        call: Duration::from_secs(24),
        window: Duration::from_secs(20),
        exhausted: None,
        paused: None,
        granted: None,
    }
}

#[test]
fn a_dead_process_keeps_its_part_until_nothing_of_it_can_be_in_use() {
    let (mut account, mut holdings) = (Account::default(), Vec::new());
    let grant = account.settle(&mut holdings, &report("dead", (5, 50)), 0);
    assert_eq!((grant.part, grant.may_call), (Part { concurrency: 5, calls: 50 }, 64));
    let mut asks = |now| account.settle(&mut holdings, &report("next", (5, 50)), now);
    // It may begin calls for 10 s, each of which takes 24 s at the most, and counts for 20 s after its end.
    for (now, part, others) in [(1, (0, 0), 0), (33_999, (0, 0), 0), (34_000, (5, 0), 0), (54_000, (5, 50), 64)] {
        let grant = asks(now);
        assert_eq!((grant.part.concurrency, grant.part.calls), part, "at {now}");
        assert_eq!(grant.others_today, others, "what it could have called counts as called");
    }
}

#[test]
fn what_was_given_back_is_free_at_once_but_for_what_is_in_use() {
    let (mut account, mut holdings) = (Account::default(), Vec::new());
    account.settle(&mut holdings, &report("a", (5, 50)), 0);
    let held = Part { concurrency: 0, calls: 7 };
    let rests = Report { rests: true, held, calls_today: 7, may_call: 7, ..report("a", (0, 0)) };
    account.settle(&mut holdings, &rests, 1000);
    let grant = account.settle(&mut holdings, &report("b", (5, 50)), 1001);
    assert_eq!((grant.part, grant.others_today), (Part { concurrency: 5, calls: 43 }, 7));
    // It counts on where it was, however long it rested.
    let again = Report { calls_today: 7, may_call: 7, ..report("a", (1, 4)) };
    let grant = account.settle(&mut holdings, &again, 3_600_000);
    assert_eq!((grant.may_call, grant.others_today), (71, 64), "the other one is dead by now");
    assert_eq!(account.calls_today(&holdings), 71);
}

#[test]
fn a_holder_gives_way_before_another_is_granted_more() {
    let (mut account, mut holdings) = (Account::default(), Vec::new());
    account.settle(&mut holdings, &report("a", (5, 50)), 0);
    let grant = account.settle(&mut holdings, &report("b", (5, 50)), 1);
    assert_eq!((grant.part, grant.soon), (Part::default(), true));
    let held = Part { concurrency: 5, calls: 50 };
    let grant = account.settle(&mut holdings, &Report { held, ..report("a", (5, 50)) }, 2);
    assert_eq!((grant.part, grant.soon), (Part { concurrency: 2, calls: 25 }, true), "told, though it holds all yet");
    assert_eq!(account.settle(&mut holdings, &report("b", (5, 50)), 3).part, Part::default());
    let held = Part { concurrency: 2, calls: 40 };
    account.settle(&mut holdings, &Report { held, ..report("a", (5, 50)) }, 4);
    let grant = account.settle(&mut holdings, &report("b", (5, 50)), 5);
    assert_eq!((grant.part, grant.soon), (Part { concurrency: 3, calls: 10 }, true));
}

#[test]
fn what_a_vendor_said_to_one_holds_for_all_and_ends() {
    let (mut account, mut holdings) = (Account::default(), Vec::new());
    let hour = Duration::from_hours(1);
    let told = Report { exhausted: Some(hour), granted: Some(9000), ..report("a", (1, 1)) };
    account.settle(&mut holdings, &told, 0);
    let grant = account.settle(&mut holdings, &report("b", (1, 1)), 600_000);
    assert_eq!((grant.exhausted, grant.granted), (Some(Duration::from_mins(50)), Some(9000)));
    let grant = account.settle(&mut holdings, &report("b", (1, 1)), 3_600_000);
    assert_eq!((grant.exhausted, account.exhausted_until), (None, None));
}

#[test]
fn the_day_is_given_out_once_and_anew_on_the_next() {
    let (mut account, mut holdings) = (Account::default(), Vec::new());
    let mut given = 0;
    let mut pieces = 0;
    let (mut used, mut last) = ([0, 0], [false, false]);
    while last != [true, true] {
        for (n, replica) in ["a", "b"].into_iter().enumerate() {
            let report = Report { calls_today: used[n], may_call: used[n], ..report(replica, (5, 50)) };
            let grant = account.settle(&mut holdings, &report, 0);
            given += grant.may_call - used[n];
            (used[n], last[n]) = (grant.may_call, grant.day_is_out);
            pieces += 1;
        }
    }
    assert_eq!((given, account.calls_today(&holdings)), (1000, 1000));
    assert!(pieces < 60, "{pieces} settlements for a day of a thousand calls");
    let tomorrow = Report { day: "2026-11-24".to_owned(), ..report("b", (5, 50)) };
    let grant = account.settle(&mut holdings, &tomorrow, 0);
    assert_eq!((grant.may_call, grant.others_today, grant.day_is_out), (64, 0, false));
    // Whoever's clock is behind is told of the day before it is granted calls of it.
    let grant = account.settle(&mut holdings, &Report { calls_today: 500, ..report("a", (5, 50)) }, 0);
    assert_eq!((grant.day.as_str(), grant.may_call, grant.soon), ("2026-11-24", 0, true));
}
