//! Strangers at the door of the real process: guesses counted by address, whatever they are guesses at; proxies that are believed
//! and others; more webhooks than the limit.

use serde_json::json;

use super::world::{KEY, TOKEN, World};
use crate::support::{Answer, Api, Service, on_both};

const PATH_TOKEN: &str = "a-path-token-of-these-tests";
const PROXY: (&str, &str) = ("server.trusted_proxies", "127.0.0.0/8");

/// As a proxy of ours would pass somebody on.
fn from(service: &Service, way: &str) -> Api {
    Api::new(service.url()).with_header("x-forwarded-for", way)
}

fn is_told_to_wait(answer: &Answer) {
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

/// A key in the form of the dashboard.
pub async fn log_in(api: &Api, key: &str) -> Answer {
    let page = api.get("/login").await.expect(200);
    let visit = page.header("set-cookie").split(';').next().unwrap().to_owned();
    let csrf = page.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let form = format!("csrf={csrf}&key={key}");
    api.with_header("cookie", &visit).post_bytes("/login", form, "application/x-www-form-urlencoded").await
}

on_both! {
    async fn who_keeps_guessing_is_not_looked_at_and_others_are(database: TestDatabase) {
        let world = World::new().await;
        let launch = world.launch(&database).set(PROXY.0, PROXY.1).set("limits.failed_attempts_per_minute", "5");
        let service = launch.set("webhooks.salesforce_path_tokens", PATH_TOKEN).start().await;
        let soap = |token: &str| format!("/webhooks/salesforce/outbound-message/{token}");

        // Each door counts for all of them. What stands to the left was written by the client itself.
        let guessing = async |n: usize| from(&service, &format!("192.0.2.{n}, 198.51.100.7"));
        guessing(1).await.with_key("cs_guess").get("mappings").await.expect(401);
        guessing(2).await.with_key("guess").post_bytes("/webhooks/marketo", "{}", "text/plain").await.expect(401);
        guessing(3).await.post_bytes("/webhooks/salesforce", "{}", "application/json").await.expect(401);
        guessing(4).await.post_bytes(&soap("guess"), "<", "text/xml").await.expect(401);
        let page = log_in(&guessing(5).await, "cs_guess").await.expect(401);
        assert!(page.text.contains("This key is not known"), "{}", page.text);

        // Now nothing is looked at any more, be it right.
        let refused = guessing(6).await.with_key(KEY).get("mappings").await.expect(429);
        assert_eq!(refused.json()["code"], "too-many-requests");
        is_told_to_wait(&refused);
        let refused = guessing(7).await.with_key(TOKEN).post_bytes("/webhooks/marketo", "{}", "text/plain").await.expect(429);
        assert_eq!(refused.json()["code"], "too-many-requests");
        is_told_to_wait(&refused);
        is_told_to_wait(&guessing(8).await.post_bytes("/webhooks/salesforce", "{}", "application/json").await.expect(429));
        let refused = guessing(9).await.post_bytes(&soap(PATH_TOKEN), "<", "text/xml").await.expect(429);
        assert!(refused.text.contains("<soapenv:Fault>"), "{}", refused.text);
        is_told_to_wait(&refused);
        let page = log_in(&guessing(10).await, KEY).await.expect(401);
        assert!(page.text.contains("Too many attempts"), "{}", page.text);

        // Others are let in; and who shares an address with them locks nobody out.
        let good = from(&service, "198.51.100.8");
        good.with_key(KEY).get("mappings").await.expect(200);
        for _ in 0..20 {
            good.with_key("cs_guess").get("mappings").await.expect(401);
        }
        good.with_key(KEY).get("mappings").await.expect(200);
        let log = service.stderr();
        assert!(log.contains("198.51.100.7") && !log.contains("cs_guess"), "{log}");
    }

    async fn a_proxy_that_is_not_ours_is_counted_itself(database: TestDatabase) {
        let world = World::new().await;
        let launch = world.launch(&database).set("server.trusted_proxies", "10.0.0.0/8");
        let service = launch.set("limits.failed_attempts_per_minute", "2").start().await;
        for n in 0..2 {
            from(&service, &format!("198.51.100.{n}")).with_key("cs_guess").get("mappings").await.expect(401);
        }
        from(&service, "198.51.100.9").with_key(KEY).get("mappings").await.expect(429);
    }

    async fn a_certificate_is_asked_for_and_believed_of_a_proxy_alone(database: TestDatabase) {
        let world = World::new().await;
        let (shown, path) = ("ab".repeat(32), format!("/webhooks/salesforce/outbound-message/{PATH_TOKEN}"));
        let launch = world.launch(&database).set("webhooks.salesforce_path_tokens", PATH_TOKEN);
        let launch = launch.set("webhooks.certificate_header", "x-client-cert").set("webhooks.salesforce_certificates", &shown);
        let ours = launch.clone().set(PROXY.0, PROXY.1).start().await;
        // Not XML: who is let in is told that, everybody else is not.
        let asked = async |service: &Service, certificate: &str| {
            let api = Api::new(service.url()).with_header("x-client-cert", certificate);
            api.post_bytes(&path, "{}", "text/xml").await.status.as_u16()
        };
        assert_eq!(asked(&ours, &shown).await, 400);
        assert_eq!(asked(&ours, &"cd".repeat(32)).await, 401);
        assert_eq!(Api::new(ours.url()).post_bytes(&path, "{}", "text/xml").await.status.as_u16(), 401);
        let (_, stopped) = ours.terminate().await;
        let other = stopped.set(PROXY.0, "10.0.0.0/8").start().await;
        assert_eq!(asked(&other, &shown).await, 401);
    }

    async fn webhooks_beyond_the_limit_are_told_to_come_back(database: TestDatabase) {
        let world = World::new().await;
        let service = world.launch(&database).set("limits.inbound_per_second", "2").start().await;
        let api = Api::new(service.url()).with_key(TOKEN);
        let body = json!({"v": 1, "event": "program_member.changed", "leadId": 1, "programId": 1});
        let mut answers = Vec::new();
        for _ in 0..40 {
            answers.push(api.post("/webhooks/marketo", &body).await);
        }
        let shed: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        assert!(!shed.is_empty() && shed.len() < answers.len(), "{} of {}", shed.len(), answers.len());
        assert!(shed.iter().all(|answer| answer.header("retry-after") == "1" && answer.json()["code"] == "unavailable"));
        assert!(answers.iter().all(|answer| answer.status == 503 || answer.status == 200));
    }
}
