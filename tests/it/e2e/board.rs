//! The dashboard without a browser: that its figures are those of the API and of `/metrics`, and decisions that take many events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Answer, Api, Receiver, eventually, on_both};

use super::running::Running;
use super::subscriber::{launch, received, running};
use super::world::{KEY, SOON, World};

/// Somebody who is logged in to the dashboard.
struct Visitor {
    api: Api,
}

/// The value of a field in a form.
fn field(page: &str, name: &str) -> String {
    let marked = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&marked).unwrap_or_else(|| panic!("no field {name} in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// `name=value` of a cookie that an answer sets.
fn cookie(answer: &Answer, name: &str) -> String {
    let all = answer.headers.get_all("set-cookie").iter().filter_map(|set| set.to_str().ok());
    let mut pairs = all.filter_map(|set| set.split(';').next());
    pairs.find(|pair| pair.contains(name)).unwrap_or_else(|| panic!("no cookie {name}")).to_owned()
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

const FORM: &str = "application/x-www-form-urlencoded";

impl Visitor {
    async fn log_in(url: &str) -> Self {
        let api = Api::new(url);
        let login = api.get("/login").await.expect(200);
        let csrf = field(&login.text, "csrf");
        let visiting = api.with_header("cookie", &cookie(&login, "visit"));
        let entered = form(&[("csrf", &csrf), ("key", KEY), ("next", "/")]);
        let entered = visiting.post_bytes("/login", entered, FORM).await.expect(303);
        Self { api: api.with_header("cookie", &cookie(&entered, "session")) }
    }

    async fn page(&self, path: &str) -> String {
        self.api.get(path).await.expect(200).text
    }

    /// Presses a button of a form on a page.
    async fn press(&self, page: &str, path: &str, action: &str) {
        let csrf = field(page, "csrf");
        self.api.post_bytes(path, form(&[("csrf", &csrf), ("action", action)]), FORM).await.expect(303);
    }
}

/// What a tile of the overview says: its figure, and what stands below.
fn tile(page: &str, label: &str) -> (String, String) {
    let marked = format!("<span class=\"label\">{label}</span>");
    let (_, rest) = page.split_once(&marked).unwrap_or_else(|| panic!("no tile {label} in {page}"));
    let of = |class: &str| {
        let (_, rest) = rest.split_once(&format!("<span class=\"{class}\">")).unwrap();
        rest.split('<').next().unwrap().to_owned()
    };
    (of("value"), of("detail"))
}

/// Every sample of `/metrics`: the name with its labels, and the value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let of_line = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(of_line).collect()
}

on_both! {
    async fn the_figures_of_the_api_of_metrics_and_of_the_dashboard_are_the_same(database: TestDatabase) {
        let running = running(&database).await;
        let receiver = Receiver::good().await;
        let (subscription, _) = running.subscribe(&receiver, json!({})).await;
        for name in ["Lovelace", "Hopper", "Franklin"] {
            running.world.marketo_person(name);
            running.world.set_in_marketo(name, "Registered");
            running.both_have(name, Some("Registered")).await;
        }
        running.world.change_in_salesforce("Hopper", "Invited");
        running.has_state("Hopper", "diverged", "regression").await;
        running.settle().await;
        running.reconcile().await;
        running.settle().await;
        running.all_deliveries_are(&subscription, 4, &["delivered"]).await;

        let visitor = Visitor::log_in(running.service.url()).await;
        let metrics = Api::new(running.service.url());
        // All three of a moment in which nothing moved: figures that move by themselves are looked at apart.
        let still = |stats: &Value| {
            let mut still = stats.clone();
            let all = still.as_object_mut().unwrap();
            for moving in ["generated_at", "throughput", "latency_ms", "vendors"] {
                all.remove(moving);
            }
            still
        };
        let (stats, text, page) = eventually("a moment of rest", SOON, async || {
            let before = running.api.get("stats").await.expect(200).json();
            let text = metrics.get("/metrics").await.expect(200).text;
            let page = visitor.page("/").await;
            let after = running.api.get("stats").await.expect(200).json();
            (still(&before) == still(&after) && before["vendors"] == after["vendors"]).then_some((before, text, page))
        })
        .await;
        let samples = samples(&text);
        let sample = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("{name} is not in {text}"));
        let mut compared = 0;
        for (part, metric, label) in [
            ("mappings", "mappings", "state"), ("members", "members", "state"), ("outbox", "open_changes", "state"),
            ("ledger", "records", "outcome"), ("today", "records_today", "outcome"),
        ] {
            for (name, value) in stats[part].as_object().unwrap().iter().filter(|(name, _)| *name != "oldest_age_seconds") {
                assert_eq!(sample(&format!("campaign_sync_{metric}{{{label}=\"{name}\"}}")), value.as_f64().unwrap(), "{part} {name}");
                compared += 1;
            }
        }
        assert!(compared > 25, "{compared}");
        for vendor in ["marketo", "salesforce"] {
            let of = &stats["vendors"][vendor];
            for (name, metric) in [("calls_today", "calls_today"), ("limit", "calls_limit")] {
                assert_eq!(sample(&format!("campaign_sync_vendor_{metric}{{vendor=\"{vendor}\"}}")), of[name].as_f64().unwrap(), "{vendor} {name}");
            }
            assert_eq!(sample(&format!("campaign_sync_vendor_circuit_open{{vendor=\"{vendor}\"}}")), 0.0);
        }
        let seconds = |path: &str| {
            let at = stats.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} of {stats:#}"));
            let since = at.parse::<jiff::Timestamp>().unwrap();
            (stats["generated_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() - since).as_secs_f64()
        };
        for (name, path) in [
            ("source_silence_seconds{source=\"marketo\"}", "/vendors/marketo/last_event_at"),
            ("source_silence_seconds{source=\"salesforce\"}", "/vendors/salesforce/last_event_at"),
            ("last_comparison_age_seconds", "/drift/at"), ("last_delivery_age_seconds", "/last_delivery_at"),
        ] {
            let (told, stood) = (sample(&format!("campaign_sync_{name}")), seconds(path));
            assert!((told - stood).abs() < 20.0, "{name}: {told} and {stood}");
        }
        assert_eq!(sample("campaign_sync_drift_members"), stats["drift"]["members"].as_f64().unwrap());
        assert!(stats["drift"]["members"].as_i64().unwrap() > 0, "{stats:#}");
        let p95 = stats["latency_ms"]["p95"].as_f64().unwrap();
        assert!((sample("campaign_sync_recent_latency_seconds{quantile=\"0.95\"}") * 1000.0 - p95).abs() < 0.5);

        // And the page, in its own words.
        let n = |path: &str| stats.pointer(path).and_then(Value::as_i64).unwrap();
        let all: i64 = stats["members"].as_object().unwrap().values().map(|count| count.as_i64().unwrap()).sum();
        let agree = n("/members/in_sync") + n("/members/gated");
        assert_eq!(tile(&page, "Mappings live"), (n("/mappings/active").to_string(), "0 paused, 0 broken".to_owned()));
        assert_eq!(tile(&page, "Members in agreement").1, format!("{agree} of {all}"));
        assert_eq!(tile(&page, "Applied today"), (n("/today/applied").to_string(), format!("{} received", n("/today/received"))));
        assert_eq!(tile(&page, "Drift at the last check").0, n("/drift/members").to_string());
        assert_eq!(tile(&page, "Held and failed"), (n("/outbox/parked").to_string(), "1 member differs".to_owned()));
        assert_eq!(tile(&page, "Marketo calls today").0, n("/vendors/marketo/calls_today").to_string());
        assert_eq!(tile(&page, "Salesforce calls today").0, n("/vendors/salesforce/calls_today").to_string());
        for (name, count) in stats["ledger"].as_object().unwrap().iter().filter(|(name, _)| *name != "received") {
            let word = match name.as_str() {
                "no_op" => "No change needed".to_owned(),
                other => other[..1].to_uppercase() + &other[1..],
            };
            let row = format!("<tr><td>{word}</td><td class=\"num\">{count}</td></tr>");
            assert!(page.contains(&row), "{row} is not in {page}");
        }
    }

    async fn many_old_events_are_told_or_not_as_somebody_says_on_the_page(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(501);
        let launch = launch(&world, &database);
        let running = Running::launch(world, launch).await;
        let receiver = Receiver::good().await;
        running.subscribe(&receiver, json!({})).await;
        running.world.fall_silent();
        let visitor = Visitor::log_in(running.service.url()).await;
        for (status, action, told) in [("Attended", "discard", 0), ("Registered", "approve", 501)] {
            for n in 0..501 {
                running.world.change_in_salesforce(&format!("Bystander{n}"), status);
            }
            running.reconcile().await;
            assert!(visitor.page("/").await.contains("Many old events wait"));
            let page = visitor.page("/approvals").await;
            assert!(page.contains("501 events wait to be told"), "{page}");
            let (_, rest) = page.split_once("action=\"/catch-ups/").unwrap();
            let path = format!("/catch-ups/{}", rest.split('"').next().unwrap());
            visitor.press(&page, &path, action).await;
            assert_eq!(received(&receiver, told).await.len(), told);
            assert!(!visitor.page("/approvals").await.contains("wait to be told"));
            // Once decided, it is decided.
            visitor.press(&page, &path, "approve").await;
            assert_eq!(receiver.received().len(), told);
        }
    }
}
