//! Bulk extract of program members over the wire: the way of a job, its file in parts, its limits.
//!
//! Must not use the connectors, as all tests of the wire.

use serde_json::{Value, json};

use super::super::*;
use super::{Site, code};

const BULK: &str = "/bulk/v1/program/members/export";

impl Site {
    async fn bulk(&self, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{BULK}{path}", self.url);
        self.send(match body {
            Some(body) => self.http.post(url).json(&body),
            None => self.http.get(url),
        })
        .await
    }

    async fn job(&self, body: Value) -> String {
        let made = self.bulk("/create.json", Some(body)).await;
        made["result"][0]["exportId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    async fn status_of(&self, id: &str) -> Value {
        self.bulk(&format!("/{id}/status.json"), None).await["result"][0].clone()
    }

    async fn file(&self, id: &str, range: Option<&str>) -> (u16, String, String) {
        let mut request = self.http.get(format!("{}{BULK}/{id}/file.json", self.url)).bearer_auth(&self.token);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let answer = request.send().await.unwrap();
        let part = answer.headers().get("content-range").map(|part| part.to_str().unwrap().to_owned());
        (answer.status().as_u16(), part.unwrap_or_default(), answer.text().await.unwrap())
    }
}

#[tokio::test]
async fn a_job_waits_runs_and_leaves_a_file() {
    let site = Site::open(Options::default()).await;
    site.marketo.with(|world| world.set_status(1044, 4, "Attended")).unwrap();
    let fields = ["leadId", "email", "sfdcLeadId", "statusName", "reachedSuccess", "program"];
    let id = site.job(json!({"fields": fields, "filter": {"programId": 1044}})).await;
    assert_eq!(site.file(&id, None).await.0, 404, "no file yet");
    assert_eq!(site.bulk(&format!("/{id}/enqueue.json"), Some(json!({}))).await["result"][0]["status"], "Queued");
    for (seconds, expected) in [(59, "Queued"), (1, "Processing"), (59, "Processing"), (1, "Completed")] {
        site.clock.advance(seconds);
        let status = site.status_of(&id).await;
        assert_eq!(status["status"], expected, "{status}");
        assert_eq!(status["fileChecksum"].is_string(), expected == "Completed");
    }
    let expected = "Lead Id,email,sfdcLeadId,Status,Success,Program\n\
                    1,a@b.c,00Q000000000001AAA,Invited,false,Webinar\n4,null,null,Attended,true,Webinar\n";
    assert_eq!(site.file(&id, None).await, (200, String::new(), expected.into()));
    let length = expected.len();
    assert_eq!(site.file(&id, Some("bytes=0-6")).await, (206, format!("bytes 0-6/{length}"), "Lead Id".into()));
    assert_eq!(site.file(&id, Some("bytes=9999-")).await.0, 416);
    site.clock.advance(8 * 86_400);
    assert_eq!(site.login("sandbox-marketo-secret").await.0, 200);
    let kept = site.marketo.with(|world| world.exports.of_user("api@sandbox.example", world.now()).count());
    assert_eq!(kept, 0, "kept for seven days");
}

#[tokio::test]
async fn filters_formats_and_names_of_columns() {
    let site = Site::open(Options { export_filters_by_update: true, ..Options::default() }).await;
    site.marketo.with(|world| world.set_status(1044, 4, "Attended")).unwrap();
    let (today, tomorrow) = site.marketo.with(|world| {
        let now = world.now();
        (
            envelope::lead_date(now - jiff::SignedDuration::from_hours(1)),
            envelope::lead_date(now + jiff::SignedDuration::from_hours(1)),
        )
    });
    for (job, expected) in [
        (json!({"fields": ["leadId"], "filter": {"programIds": [1044]}}), "programId,Lead Id\n1044,1\n1044,4\n"),
        (
            json!({"fields": ["leadId"], "filter": {"programId": 1044, "statusNames": ["Attended", "No Show"]}}),
            "Lead Id\n4\n",
        ),
        (json!({"fields": ["leadId"], "filter": {"programId": 1044, "isExhausted": true}}), "Lead Id\n"),
        (json!({"fields": ["leadId"], "filter": {"programId": 1044, "nurtureCadence": "pause"}}), "Lead Id\n"),
        (
            json!({"fields": ["leadId"], "filter": {"programId": 1044, "updatedAt": {"startAt": today, "endAt": tomorrow}}}),
            "Lead Id\n1\n4\n",
        ),
        (
            json!({"fields": ["leadId", "statusName"], "format": "TSV", "columnHeaderNames": {"leadId": "Who"}, "filter": {"programId": 1044}}),
            "Who\tStatus\n1\tInvited\n4\tAttended\n",
        ),
        (
            json!({"fields": ["leadId", "statusName"], "format": "SSV", "filter": {"programId": 1044}}),
            "Lead Id;Status\n1;Invited\n4;Attended\n",
        ),
    ] {
        let id = site.job(job.clone()).await;
        site.bulk(&format!("/{id}/enqueue.json"), Some(json!({}))).await;
        site.clock.advance(120);
        assert_eq!(site.file(&id, None).await.2, expected, "{job}");
    }
    let span = json!({"startAt": "2026-01-01T00:00:00Z", "endAt": "2026-02-02T00:00:00Z"});
    for (job, expected) in [
        (json!({"filter": {"programId": 1044}}), "1002"),
        (json!({"fields": ["leadId"]}), "1002"),
        (json!({"fields": ["leadId"], "filter": {"programId": 1044, "programIds": [1044]}}), "1003"),
        (json!({"fields": ["leadId"], "filter": {"programIds": vec![1044; 11]}}), "1003"),
        (json!({"fields": ["leadId"], "filter": {"programId": 7}}), "1013"),
        (json!({"fields": ["leadId"], "filter": {"programId": 1044, "updatedAt": span}}), "1003"),
        (json!({"fields": ["leadId"], "format": "XLS", "filter": {"programId": 1044}}), "1003"),
    ] {
        assert_eq!(code(&site.bulk("/create.json", Some(job.clone())).await), expected, "{job}");
    }
}

#[tokio::test]
async fn the_queue_and_the_day_have_limits() {
    let site = Site::open(Options::default()).await;
    let job = || json!({"fields": ["leadId"], "filter": {"programId": 1044}});
    let mut ids = Vec::new();
    for _ in 0..11 {
        ids.push(site.job(job()).await);
    }
    for id in &ids[..10] {
        site.bulk(&format!("/{id}/enqueue.json"), Some(json!({}))).await;
    }
    let full = site.bulk(&format!("/{}/enqueue.json", ids[10]), Some(json!({}))).await;
    assert_eq!(full["errors"][0], json!({"code": "1029", "message": "Too many jobs in queue"}));
    let again = site.bulk(&format!("/{}/enqueue.json", ids[0]), Some(json!({}))).await;
    assert_eq!(again["errors"][0]["message"], "Job already queued");
    let cancelled = site.bulk(&format!("/{}/cancel.json", ids[9]), Some(json!({}))).await;
    assert_eq!(cancelled["result"][0]["status"], "Cancelled");
    assert_eq!(code(&site.bulk(&format!("/{}/enqueue.json", ids[10]), Some(json!({}))).await), "ok");
    site.clock.advance(60);
    let listed = site.bulk(".json?status=Processing", None).await;
    assert_eq!(listed["result"].as_array().unwrap().len(), 2, "two at a time");
    site.clock.advance(60);
    site.marketo.with(|world| world.options.export_daily_bytes = 10);
    let spent = site.bulk("/create.json", Some(job())).await;
    assert_eq!(spent["errors"][0], json!({"code": "1029", "message": "Export daily quota exceeded"}));
    let other = Service::new("other", "s", "other@acme.example");
    site.marketo.with(|world| world.identity.add(other));
    assert_eq!(site.marketo.with(|world| world.exports.find(&ids[0], "other@acme.example").unwrap_err().code), 1013);
}
