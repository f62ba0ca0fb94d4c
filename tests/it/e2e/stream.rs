//! Server-sent events: as they happen, and from where a reader left off.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use super::running::Running;
use super::subscriber::running;
use super::world::{KEY, SOON};
use crate::support::{Tables, eventually, on_both};

/// Somebody who listens.
struct Reader {
    response: reqwest::Response,
    text: String,
}

impl Reader {
    async fn open(running: &Running, query: &str, last_seen: Option<&str>) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/v1/trigger-events/stream{query}", running.service.url());
        let mut request = client.get(url).bearer_auth(KEY);
        if let Some(id) = last_seen {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// Reads until there is this text, or the stream ends; all that came.
    async fn until(&mut self, enough: impl Fn(&str) -> bool) -> &str {
        let reading = async {
            while !enough(&self.text) {
                match self.response.chunk().await {
                    Ok(Some(piece)) => self.text += std::str::from_utf8(&piece).unwrap(),
                    Ok(None) | Err(_) => break,
                }
            }
        };
        assert!(tokio::time::timeout(SOON, reading).await.is_ok(), "the stream has brought {}", self.text);
        &self.text
    }

    /// Positions of the first events, of which there may be many: what has come is gone through once.
    async fn positions(&mut self, count: usize) -> Vec<usize> {
        let mut read = Vec::new();
        let reading = async {
            while read.len() < count {
                let Ok(Some(piece)) = self.response.chunk().await else { break };
                self.text += std::str::from_utf8(&piece).unwrap();
                let whole = self.text.rfind("\n\n").map_or(0, |end| end + 2);
                let rest = self.text.split_off(whole);
                let of_line = |line: &str| line.strip_prefix("id:").map(|id| id.trim().parse::<usize>().unwrap());
                read.extend(std::mem::replace(&mut self.text, rest).lines().filter_map(of_line));
            }
        };
        assert!(tokio::time::timeout(SOON * 2, reading).await.is_ok(), "the stream has brought {} events", read.len());
        read
    }

    /// The first events: id, type, body.
    async fn events(&mut self, count: usize) -> Vec<(String, String, Value)> {
        let text = self.until(|text| text.matches("\ndata: ").count() >= count && text.ends_with("\n\n")).await;
        let blocks = text.split("\n\n").filter(|block| block.contains("data: "));
        let field = |block: &str, name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        let read = |block: &str| {
            let body = serde_json::from_str(&field(block, "data:")).unwrap();
            (field(block, "id:"), field(block, "event:"), body)
        };
        blocks.map(read).collect()
    }
}

on_both! {
    async fn events_come_as_they_happen_and_from_where_a_reader_left_off(database: TestDatabase) {
        let running = running(&database).await;
        running.told_of("Before", &["Invited"]).await;
        let mut now = Reader::open(&running, "", None).await;
        let mut from_the_start = Reader::open(&running, "?since=0", None).await;
        let mut added = Reader::open(&running, "?since=0&type=campaign.member.added&new_status=Invited", None).await;
        running.told_of("Lovelace", &["Invited", "Attended"]).await;
        let listed = running.all_events().await;
        let bodies = |events: Vec<(String, String, Value)>| events.into_iter().map(|event| event.2).collect::<Vec<_>>();
        let all = from_the_start.events(3).await;
        assert_eq!(all.iter().map(|event| event.0.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(all[2].1, "campaign.member.status_changed");
        assert_eq!(bodies(all), listed);
        assert_eq!(bodies(now.events(2).await), listed[1..]);
        assert_eq!(bodies(added.events(2).await), listed[..2]);
        // Whoever comes back goes on; what is asked for beside that does not count.
        drop(now);
        running.told_of("Hopper", &["Invited"]).await;
        let mut back = Reader::open(&running, "?since=0", Some("2")).await;
        assert_eq!(bodies(back.events(2).await), running.all_events().await[2..]);
        for bad in ["x", "-1", ""] {
            let api = running.api.with_header("last-event-id", bad);
            api.get("trigger-events/stream").await.expect(422);
        }
        running.api.get("trigger-events/stream?status_=x").await.expect(422);
    }

    async fn who_reads_slowly_costs_a_page_and_misses_nothing(database: TestDatabase) {
        const EVENTS: usize = 20_000;
        let running = running(&database).await;
        // More than sockets hold, as after years.
        let log = format!(
            "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {EVENTS})
             INSERT INTO trigger_events (position, id, type, campaign_id, member_id, sequence, body, created_at)
             SELECT i, 'e' || i, 'campaign.member.added', '7015g0000000001AAA', 'm', i, '{{\"n\":' || i || ',\"pad\":\"{}\"}}', 0 FROM n;
             UPDATE event_log SET last_position = {EVENTS} WHERE id = 1",
            "x".repeat(1000)
        );
        Tables::open(&database.url).await.execute(&log).await;
        let before = running.service.resident();
        let mut slow = join_all((0..20).map(|_| Reader::open(&running, "?since=0", None))).await;
        // Beside them somebody who reads as fast as it comes is served, and so is what happens now.
        let mut fast = Reader::open(&running, "?since=0", None).await;
        assert_eq!(fast.positions(EVENTS).await, (1..=EVENTS).collect::<Vec<_>>());
        running.world.add_in_salesforce(running.world.lead("Meanwhile"), "Invited");
        assert_eq!(fast.positions(1).await, [EVENTS + 1]);
        let grown = running.service.resident().saturating_sub(before);
        eprintln!("twenty slow readers and a fast one: {} KiB", grown >> 10);
        assert!(grown < 64 << 20, "twenty slow readers and a fast one cost {} MiB", grown >> 20);
        // Whoever was slow has missed nothing, neither at once nor from where it was cut off.
        let mut one = slow.pop().unwrap();
        assert_eq!(one.positions(EVENTS + 1).await, (1..=EVENTS + 1).collect::<Vec<_>>());
        drop(slow);
        let mut back = Reader::open(&running, "", Some("19990")).await;
        assert_eq!(back.positions(11).await, (19_991..=EVENTS + 1).collect::<Vec<_>>());
    }

    async fn it_beats_while_nothing_happens_and_ends_when_the_service_stops(database: TestDatabase) {
        let running = running(&database).await;
        // Whoever never reads is there as well, and holds up neither the others nor the end.
        let deaf = join_all((0..3).map(|_| Reader::open(&running, "?since=0", None))).await;
        let mut reader = Reader::open(&running, "", None).await;
        let begun = std::time::Duration::from_secs(15);
        let beat = tokio::time::timeout(begun * 3, reader.until(|text| text.contains(": heartbeat\n"))).await;
        assert!(beat.is_ok());
        let Running { service, .. } = running;
        let (status, _) = service.terminate().await;
        assert_eq!(status.code(), Some(0));
        let ended = eventually("the stream to end", Duration::from_secs(10), async || reader.response.chunk().await.map_or(Some(()), |piece| piece.is_none().then_some(())));
        ended.await;
        drop(deaf);
    }
}
