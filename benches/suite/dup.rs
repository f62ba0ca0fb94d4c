//! `ingest.dup`: signed deliveries of Salesforce's of which each comes twice, in turns with as many of which none does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use campaign_sync::app::Role;
use campaign_sync::domain::clock::Clock;

use crate::Figure;
use crate::asked::{databases, number, rounds};
use crate::ground::{Tables, name_of};
use crate::known::count;
use crate::load::{Load, Next};
use crate::spread::Spread;
use crate::world::{Bench, SALESFORCE_SECRET};

const CONNECTIONS: usize = 64;
/// Deliveries between the two times of one: the second comes when the first is stored, or just before.
const APART: usize = 128;

pub async fn run() -> Vec<Figure> {
    let (rounds, time) = (rounds(5), Duration::from_secs_f64(number("INGEST_SECONDS", 3.0)));
    let mut figures = Vec::new();
    for database in databases().await {
        let name = name_of(&database);
        let bench = Bench::over(1, Role::Http, &database.url).await;
        bench.map(false).await;
        let tables = Tables::open(&database.url).await;
        let (url, load) = (bench.url("/webhooks/salesforce"), Load { connections: CONNECTIONS, time, rate: None });
        let (mut rates, mut ratios) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let mut two = [0, 0];
            for (n, again) in [false, true].into_iter().enumerate() {
                let sent = Arc::new(AtomicUsize::new(0));
                let next = delivery(&bench.campaign.to_string(), &format!("{round}-{again}"), again, &sent);
                let before = count(&tables, "inbox").await;
                two[n] = load.post(&url, StatusCode::OK, next).await.good;
                let sent = sent.load(Ordering::Relaxed);
                assert_eq!(two[n], sent, "some were refused");
                let wanted = (0..sent).map(|n| id_of(n, again)).collect::<std::collections::HashSet<_>>().len();
                assert_eq!(count(&tables, "inbox").await - before, wanted, "one row for each delivery");
            }
            let [once, twice] = two.map(|count| count as f64 / time.as_secs_f64());
            println!(
                "ingest.dup {name} round {round}: {once:.0}/s of which none, {twice:.0}/s of which half had come before"
            );
            rates.push(twice);
            ratios.push(twice / once);
        }
        let figure = |what: &str, values: &[f64], goal| {
            let spread = Spread::of(values);
            let what = format!("{name}, {CONNECTIONS} connections: {what}{}", spread.told(rounds));
            Figure { workload: "ingest.dup", what, value: spread.median, goal }
        };
        figures.push(figure("deliveries/s of which half had come before", &rates, None));
        figures.push(figure("to those of which none had", &ratios, Some(("at least", 0.9))));
    }
    figures
}

/// Whose turn the `n`th is: those of one stretch, then the same once more.
fn id_of(n: usize, again: bool) -> usize {
    if again { n / (2 * APART) * APART + n % APART } else { n }
}

/// One record of a campaign's member, 1 KB, signed.
fn delivery(campaign: &str, name: &str, again: bool, sent: &Arc<AtomicUsize>) -> Next {
    let secret = BASE64_STANDARD.decode(SALESFORCE_SECRET.trim_start_matches("whsec_")).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let (campaign, name, sent, filler) = (campaign.to_owned(), name.to_owned(), Arc::clone(sent), "x".repeat(650));
    Arc::new(move || {
        let n = id_of(sent.fetch_add(1, Ordering::Relaxed), again);
        let (id, now) = (format!("{name}-{n}"), Clock::system().now().as_second());
        let body = format!(
            r#"{{"object":"CampaignMember","operation":"update","records":[{{"Id":"00v{n:012}","CampaignId":"{campaign}","LeadId":"00Q{n:012}","Status":"Attended"}}],"filler":"{filler}"}}"#
        );
        let signature = BASE64_STANDARD.encode(hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes()));
        let headers = format!(
            "webhook-id: {id}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{signature}\r\nContent-Type: application/json\r\n"
        );
        (headers, body)
    })
}
