//! What the dashboard's pages and the figures cost with ten thousand mappings and a million members, and with hardly any.

use crate::Figure;
use crate::filled::{LARGE, SMALL, Size};
use crate::ground::{TestDatabase, name_of};
use crate::visited::{self, Timed};

const ROUNDS: usize = 11;

pub async fn run() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (small, large) in TestDatabase::each().await.into_iter().zip(TestDatabase::each().await) {
        let (name, few) = (name_of(&small), measured(&small, SMALL).await);
        let many = measured(&large, LARGE).await;
        let worst =
            many.iter().filter(|one| one.is_page()).max_by(|a, b| a.millis.median.total_cmp(&b.millis.median)).unwrap();
        let figure = |what: String, value: f64, goal| Figure { workload: "pages", what, value, goal };
        figures.push(figure(
            format!("{name}: ms of the slowest page, median, {} (up to {:.0} ms)", worst.path, worst.millis.most),
            worst.millis.median,
            Some(("at most", 100.0)),
        ));
        for (path, most) in [("/api/v1/stats", 1.5), ("/api/v1/stats/timeseries", 1.5)] {
            let of = |all: &[Timed]| {
                let of_path: Vec<_> = all
                    .iter()
                    .filter(|one| one.path.split('?').next() == Some(path))
                    .map(|one| one.millis.median)
                    .collect();
                of_path.into_iter().fold(0.0, f64::max)
            };
            figures.push(figure(format!("{name}: ms of {path}, median"), of(&many), Some(("at most", 100.0))));
            figures.push(figure(
                format!("{name}: ms more than with 1,000 members, {path}"),
                of(&many) - of(&few),
                Some(("at most", most * 10.0)),
            ));
        }
        let bytes = many.iter().filter(|one| one.is_page()).map(|one| one.text.len()).max().unwrap();
        figures.push(figure(
            format!("{name}: KB of the largest page, before compression"),
            bytes as f64 / 1000.0,
            None,
        ));
    }
    figures
}

/// Each of them, told.
pub async fn measured(database: &TestDatabase, size: Size) -> Vec<Timed> {
    println!("pages {}: {size:?}", name_of(database));
    let timed = visited::measured(&database.url, size, ROUNDS).await;
    for one in &timed {
        println!(
            "pages {} {} members: {:7.1} ms, at most {:7.1} ms, {:6.1} KB  {}",
            name_of(database),
            size.members,
            one.millis.median,
            one.millis.most,
            one.text.len() as f64 / 1000.0,
            one.path
        );
    }
    timed
}
