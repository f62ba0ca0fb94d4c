//! The endpoints from outside: every answer, the order of the checks, and that a refusal leaves no trace.

mod apex;
mod mutated;
mod templates;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt;

use super::*;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
const OLD_SECRET: &str = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4";
const NOW: i64 = 1_795_000_000;
const MARKETO: &str = "/webhooks/marketo";
const SALESFORCE: &str = "/webhooks/salesforce";
const SOAP: &str = "/webhooks/salesforce/outbound-message/path-token";
const MARKETO_BODY: &str = r#"{"v":1,"event":"program_member.changed","leadId":318592,"programId":1044}"#;
const SALESFORCE_BODY: &str = r#"{"object":"CampaignMember","operation":"update","orgId":"00D5w000004qGTOEA2","records":[{"Id":"00v4S000001VKQ1QAO"}]}"#;
const SOAP_BODY: &str = r#"<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00D5w000004qGTOEA2</OrganizationId><Notification><Id>04l5w00005286hAAAQ</Id><sObject xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>00v4S000001VKQ1QAO</sf:Id></sObject></Notification></notifications></e:Body></e:Envelope>"#;

/// A router whose door answers each delivery with `receipt`, or with nothing; what came through is kept.
struct Doorway {
    router: Router,
    clock: Clock,
    stored: Arc<Mutex<Vec<Delivery>>>,
}

fn config(toml: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    Config::load(Some(file.path()), std::iter::empty()).unwrap()
}

fn settings(more: &str) -> Config {
    config(&format!(
        "[webhooks]\nmarketo_tokens = [\"new\", \"old\"]\nsalesforce_secrets = [\"{SECRET}\", \"{OLD_SECRET}\"]\n\
         salesforce_path_tokens = [\"path-token\"]\n[salesforce]\norganization_id = \"00D5w000004qGTOEA2\"\n{more}"
    ))
}

fn doorway(config: &Config, receipt: Option<Receipt>) -> Doorway {
    let (ingest, mut waiting) = Ingest::channel(Duration::from_secs(5));
    let stored = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&stored);
    tokio::spawn(async move {
        while let Some((delivery, answer)) = waiting.recv().await {
            kept.lock().unwrap().push(delivery);
            if let Some(receipt) = receipt {
                answer.send(receipt).unwrap();
            }
        }
    });
    let clock = Clock::manual(Timestamp::from_second(NOW).unwrap());
    Doorway {
        router: router(WebhookState::new(config, Arc::new(Attempts::new(3)), ingest, clock.clone())),
        clock,
        stored,
    }
}

const ONE: Option<Receipt> = Some(Receipt { events: 1, ignored: 0 });

/// A call that is as it should be, unless changed.
#[derive(Clone)]
struct Call {
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn signed(secret: &str, timestamp: i64, body: &str) -> Call {
    let timestamp = timestamp.to_string();
    let signature = verify::sign(secret, "msg_1", &timestamp, body.as_bytes());
    let headers =
        vec![("webhook-id", "msg_1".to_owned()), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
    Call { path: SALESFORCE, headers, body: body.into() }
}

fn marketo(header: &'static str, token: &str, body: &str) -> Call {
    Call { path: MARKETO, headers: vec![(header, token.to_owned())], body: body.into() }
}

fn soap(path: &'static str, body: &str) -> Call {
    Call { path, headers: Vec::new(), body: body.into() }
}

impl Doorway {
    async fn send(&self, method: Method, call: Call, body: Body) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(call.path);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let response: Response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn post(&self, call: Call) -> (StatusCode, HeaderMap, String) {
        let body = Body::from(call.body.clone());
        self.send(Method::POST, call, body).await
    }

    fn stored(&self) -> usize {
        self.stored.lock().unwrap().len()
    }

    /// The refusal, in the form of its endpoint, and that nothing was stored.
    async fn check(&self, call: Call, status: u16, part: &str) {
        let path = call.path;
        let before = self.stored();
        let (found, headers, body) = self.post(call).await;
        assert_eq!(found.as_u16(), status, "{path} {body}");
        assert!(body.contains(part), "{path}: {part:?} not in {body}");
        assert_eq!(self.stored(), before, "{path} {body}");
        let content_type = headers["content-type"].to_str().unwrap();
        if path.contains("outbound-message") {
            assert_eq!(content_type, "text/xml; charset=utf-8");
            let blame = if status == 503 { "Server" } else { "Client" };
            assert!(
                body.contains(&format!("<soapenv:Fault><faultcode>soapenv:{blame}</faultcode><faultstring>")),
                "{body}"
            );
        } else {
            assert_eq!(content_type, "application/problem+json");
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], status);
            assert_eq!(
                problem["type"],
                format!("https://campaign-sync.dev/problems/{}", problem["code"].as_str().unwrap())
            );
            assert_eq!(problem["request_id"], headers["x-request-id"].to_str().unwrap());
            assert_eq!(problem["errors"].as_array().unwrap().is_empty(), status != 422);
        }
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        assert_eq!(headers.get("retry-after").map(HeaderValue::as_bytes), (status == 503).then_some(&b"1"[..]));
    }
}

#[tokio::test]
async fn accepted_deliveries_are_answered_after_they_were_stored() {
    let door = doorway(&settings(""), ONE);
    for call in [
        marketo("authorization", "Bearer new", MARKETO_BODY),
        marketo("authorization", "bearer old", MARKETO_BODY),
        marketo("x-webhook-token", "new", MARKETO_BODY),
        Call {
            headers: vec![("x-webhook-token", "new".into()), ("content-type", "text/csv".into())],
            ..marketo("x-webhook-token", "", MARKETO_BODY)
        },
    ] {
        let (status, _, body) = door.post(call).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"accepted":true,"events":1}"#));
    }
    for call in [signed(SECRET, NOW, SALESFORCE_BODY), signed(OLD_SECRET, NOW - 300, SALESFORCE_BODY)] {
        let (status, _, body) = door.post(call).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"accepted":true,"events":1,"ignored":0}"#));
    }
    let (status, headers, body) = door.post(soap(SOAP, SOAP_BODY)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/xml; charset=utf-8");
    assert_eq!(
        body,
        r#"<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>"#
    );
    let stored = door.stored.lock().unwrap();
    let ids: Vec<_> = stored.iter().map(|delivery| delivery.records[0].delivery_id.as_deref()).collect();
    assert_eq!(ids, [None, None, None, None, Some("msg_1"), Some("msg_1"), Some("04l5w00005286hAAAQ")]);
}

#[tokio::test]
async fn untracked_records_are_told_as_such() {
    let door = doorway(&settings(""), Some(Receipt { events: 0, ignored: 1 }));
    let (status, _, body) = door.post(marketo("x-webhook-token", "new", MARKETO_BODY)).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"accepted":false,"reason":"unmapped"}"#));
    let (status, _, body) = door.post(signed(SECRET, NOW, SALESFORCE_BODY)).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"accepted":true,"events":0,"ignored":1}"#));
    // An object that we do not handle is acknowledged, or Salesforce would send it for 24 hours.
    let (status, _, body) = door.post(soap(SOAP, &SOAP_BODY.replace("00v4S000001VKQ1QAO", "0064S000001VKQ1"))).await;
    assert!(status == StatusCode::OK && body.contains("<Ack>true</Ack>"));
}

#[tokio::test]
async fn refusals_come_in_order_and_leave_no_trace() {
    let door = doorway(&settings(""), ONE);
    let large = " ".repeat(1_100_000);
    let changed =
        Call { body: SALESFORCE_BODY.replace("update", "delete").into(), ..signed(SECRET, NOW, SALESFORCE_BODY) };
    let unsigned = Call { headers: Vec::new(), ..signed(SECRET, NOW, SALESFORCE_BODY) };
    let unknown_path = "/webhooks/salesforce/outbound-message/other";
    for (call, status, part) in [
        // 413 before 401.
        (marketo("x-webhook-token", "wrong", &large), 413, "body-too-large"),
        (signed(OLD_SECRET, 0, &large), 413, "1048576 bytes"),
        (soap(unknown_path, &large), 413, "1048576 bytes"),
        // 401 before 400.
        (marketo("x-webhook-token", "wrong", "{"), 401, "unauthorized"),
        (marketo("x-webhook-token", "", MARKETO_BODY), 401, "unauthorized"),
        (marketo("authorization", "Basic new", MARKETO_BODY), 401, "unauthorized"),
        (marketo("authorization", "new", MARKETO_BODY), 401, "unauthorized"),
        (marketo("x-other", "new", MARKETO_BODY), 401, "unauthorized"),
        (unsigned, 401, "unauthorized"),
        (changed, 401, "unauthorized"),
        (signed("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NOW, "{"), 401, "unauthorized"),
        (signed(SECRET, NOW - 301, SALESFORCE_BODY), 401, "unauthorized"),
        (signed(SECRET, NOW + 301, SALESFORCE_BODY), 401, "unauthorized"),
        (soap(unknown_path, "<"), 401, "not known"),
        (soap("/webhooks/salesforce/outbound-message/%ff", SOAP_BODY), 401, "not known"),
        // 400 before 422.
        (marketo("x-webhook-token", "new", "{"), 400, "malformed-body"),
        (marketo("x-webhook-token", "new", ""), 400, "malformed-body"),
        (signed(SECRET, NOW, "{"), 400, "malformed-body"),
        (soap(SOAP, "{}"), 400, "not XML"),
        (soap(SOAP, &SOAP_BODY.replace("?>", "?><!DOCTYPE a>")), 400, "DOCTYPE"),
        // 422.
        (marketo("x-webhook-token", "new", r#"{"event":"x"}"#), 422, "program_member.removed"),
        (signed(SECRET, NOW, r#"{"object":"Task","operation":"update","records":[]}"#), 422, "CampaignMemberStatus"),
        (
            signed(SECRET, NOW, &SALESFORCE_BODY.replace("00D5w000004qGTOEA2", "00D4S000000oz4e")),
            422,
            "other-organization",
        ),
        (soap(SOAP, &SOAP_BODY.replace("00D5w000004qGTOEA2", "00D4S000000oz4e")), 422, "another organisation"),
    ] {
        door.check(call, status, part).await;
    }
    assert_eq!(door.stored(), 0);
}

#[tokio::test]
async fn a_body_without_a_length_is_counted() {
    let door = doorway(&settings("[limits]\nmax_body_bytes = 100\n"), ONE);
    let chunks = |n: usize| {
        Body::from_stream(
            futures_util::stream::iter(vec![[b' '; 25]; n]).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())),
        )
    };
    let call = marketo("x-webhook-token", "new", "");
    assert_eq!(door.send(Method::POST, call.clone(), chunks(5)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(door.send(Method::POST, call.clone(), chunks(4)).await.0, StatusCode::BAD_REQUEST);
    let broken = futures_util::stream::iter([Ok(vec![b'{']), Err(std::io::Error::other("cut"))]);
    assert_eq!(door.send(Method::POST, call, Body::from_stream(broken)).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_strangers_send_is_kept_up_to_a_bound_and_not_at_all_where_that_is_known_before() {
    let door = Arc::new(doorway(&settings("[limits]\nmax_body_bytes = 100\n"), ONE));
    let endless = || {
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b' '; 100])]);
        Body::from_stream(begun.chain(futures_util::stream::pending()))
    };
    let mut held = tokio::task::JoinSet::new();
    let hold = |call: Call, held: &mut tokio::task::JoinSet<()>| {
        let (door, body) = (door.clone(), endless());
        held.spawn(async move { drop(door.send(Method::POST, call, body).await) });
    };
    // Without the token, nothing of it is kept, however many there are.
    for _ in 0..BODIES * 2 {
        hold(marketo("x-webhook-token", "guess", ""), &mut held);
        hold(soap("/webhooks/salesforce/outbound-message/guess", ""), &mut held);
    }
    let settled = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    settled().await;
    let signed_one = || signed(SECRET, NOW, SALESFORCE_BODY.get(..40).unwrap());
    assert_eq!(door.post(signed_one()).await.0, StatusCode::BAD_REQUEST);
    // Whose a signed one is, is known when all of it is there.
    for _ in 0..BODIES {
        hold(signed(SECRET, NOW, ""), &mut held);
    }
    settled().await;
    let (status, headers, body) = door.post(signed_one()).await;
    assert_eq!((status, headers.contains_key("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, true), "{body}");
    // Nobody who shows a token is turned away for strangers: Marketo never sends again.
    let short = r#"{"event":"person.deleted","leadId":7}"#;
    assert_eq!(door.post(marketo("x-webhook-token", "new", short)).await.0, StatusCode::OK);
    held.shutdown().await;
    assert_eq!(door.post(signed_one()).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nobody_comes_in_while_nothing_is_configured() {
    let door = doorway(&config(""), ONE);
    door.check(marketo("x-webhook-token", "", MARKETO_BODY), 401, "unauthorized").await;
    door.check(marketo("authorization", "Bearer ", MARKETO_BODY), 401, "unauthorized").await;
    door.check(signed(SECRET, NOW, SALESFORCE_BODY), 401, "unauthorized").await;
    door.check(soap(SOAP, SOAP_BODY), 401, "not known").await;
}

#[tokio::test]
async fn senders_are_told_to_come_back() {
    // Nobody reads the queue: it fills up, and the next one is turned away at once.
    let (ingest, waiting) = Ingest::channel(Duration::from_secs(5));
    let clock = Clock::manual(Timestamp::from_second(NOW).unwrap());
    let unlimited = settings("[limits]\ninbound_per_second = 0\n");
    let router = router(WebhookState::new(&unlimited, Arc::new(Attempts::new(3)), ingest.clone(), clock.clone()));
    let door = Doorway { router, clock, stored: Arc::default() };
    let delivery = Delivery { source: crate::domain::hint::Source::Marketo, records: Vec::new() };
    let mut full = Vec::new();
    for _ in 0..5_000 {
        let mut one = Box::pin(ingest.accept(delivery.clone()));
        if futures_util::poll!(&mut one).is_pending() {
            full.push(one);
        }
    }
    for call in
        [marketo("x-webhook-token", "new", MARKETO_BODY), signed(SECRET, NOW, SALESFORCE_BODY), soap(SOAP, SOAP_BODY)]
    {
        door.check(call, 503, "too many deliveries are waiting").await;
    }
    // 422 before 503.
    door.check(marketo("x-webhook-token", "new", "{}"), 422, "unknown-event").await;
    drop((full, waiting));
    let uncommitted = doorway(&settings(""), None);
    let (status, headers, body) = uncommitted.post(marketo("x-webhook-token", "new", MARKETO_BODY)).await;
    assert_eq!((status, headers["retry-after"].as_bytes()), (StatusCode::SERVICE_UNAVAILABLE, &b"1"[..]));
    assert!(body.contains("could not be stored"), "{body}");
}

#[tokio::test]
async fn more_than_the_limit_per_second_is_shed() {
    let door = doorway(&settings("[limits]\ninbound_per_second = 2\n"), ONE);
    let call = || marketo("x-webhook-token", "new", MARKETO_BODY);
    for _ in 0..2 {
        assert_eq!(door.post(call()).await.0, StatusCode::OK);
    }
    door.check(call(), 503, "too many deliveries per second").await;
    // What is refused anyway costs nothing.
    door.check(marketo("x-webhook-token", "wrong", MARKETO_BODY), 401, "unauthorized").await;
    door.clock.advance(std::time::Duration::from_millis(500));
    assert_eq!(door.post(call()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn request_ids_and_methods() {
    let door = doorway(&settings(""), ONE);
    for (given, echoed) in [("trace-7", true), ("two words", false)] {
        let mut call = marketo("x-webhook-token", "new", MARKETO_BODY);
        call.headers.push(("x-request-id", given.to_owned()));
        let (_, headers, _) = door.post(call).await;
        assert_eq!(headers["x-request-id"] == given, echoed);
    }
    for path in [MARKETO, SALESFORCE, SOAP] {
        let (status, headers, body) = door.send(Method::GET, soap(path, ""), Body::empty()).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers["allow"], "POST");
        assert!(body.contains("deliveries are posted"), "{body}");
    }
}
