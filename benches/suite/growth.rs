//! Postgres after years: ten thousand mappings and millions of members, beside a database with hardly any: claims in turns, and pages.

use crate::Figure;
use crate::asked::number;
use crate::claims::Claims;
use crate::filled::{LARGE, SMALL, Size};
use crate::ground::{Tables, TestDatabase};
use crate::pages::measured;
use crate::spread::percentile;

pub async fn run() -> Vec<Figure> {
    let (Some(small), Some(large)) = (TestDatabase::postgres().await, TestDatabase::postgres().await) else {
        return Vec::new();
    };
    let members = number("GROWTH_MEMBERS", 2_000_000);
    let mappings = number("GROWTH_MAPPINGS", 10_000);
    let done = number("GROWTH_DONE", 1_000_000);
    let size = Size { mappings, members, in_one: members / 10, done, deliveries: done / 2, ..LARGE };
    let few = measured(&small, SMALL).await;
    let many = measured(&large, size).await;
    let mut sides = Vec::new();
    for database in [&small, &large] {
        let tables = Tables::open(&database.url).await;
        // Enough that each claim is full, and no more lanes with work in the one than in the other.
        tables.execute("UPDATE outbox SET due_at = 0 WHERE state = 'available'").await;
        tables.execute("INSERT INTO outbox (id, lane, kind, subject, source, state, due_at, window_start, created_at)
             SELECT 'waiting' || i, (SELECT MIN(campaign_id) FROM mappings), 'hint', 'marketo:' || i, 'marketo', 'available', 0, 0, 0
             FROM GENERATE_SERIES(1, 1000) AS n(i)").await;
        tables.execute("UPDATE lanes SET next_due_at = 0 WHERE id = (SELECT MIN(campaign_id) FROM mappings)").await;
        tables.execute("ANALYZE").await;
        sides.push(Claims::over(&database.url).await);
    }
    for round in 0..number("FLAT_CLAIMS", 300) + 10 {
        for side in &mut sides {
            side.claim().await;
            if round == 9 {
                side.millis.clear();
            }
        }
    }
    let [little, much] = [0, 1].map(|n| percentile(&mut sides[n].millis, 50));
    let figure = |what: String, value, goal| Figure { workload: "growth", what, value, goal };
    let worst = |timed: &[crate::visited::Timed]| {
        let pages = timed.iter().filter(|one| one.is_page());
        let worst = pages.max_by(|a, b| a.millis.median.total_cmp(&b.millis.median)).unwrap();
        (worst.millis.median, worst.path.clone())
    };
    let ((slow, path), (quick, _)) = (worst(&many), worst(&few));
    vec![
        figure(format!("ms of a claim, p50, {mappings} mappings, {members} members, {done} done"), much, None),
        figure("the same to that of 1,000 members".to_owned(), much / little, Some(("at most", 1.3))),
        figure(
            format!("ms of the slowest page, median, {path} ({quick:.1} with 1,000 members)"),
            slow,
            Some(("at most", 100.0)),
        ),
    ]
}
