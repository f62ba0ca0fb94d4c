//! Webhooks of the emulated org, received by a real listener.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::super::outbound::sign;
use super::super::{Id, Options, Salesforce, Webhooks, envelope};
use super::clock;

const ACK: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">
 <soapenv:Body>
  <notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>
 </soapenv:Body>
</soapenv:Envelope>"#;

type Received = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// Refuses the first call, as a bad day would, and acknowledges the rest.
async fn receive(State(received): State<Received>, headers: HeaderMap, body: String) -> impl IntoResponse {
    let mut received = received.lock().unwrap();
    received.push((headers, body));
    let answer = if received.len() == 1 { "<Ack>true</Ack>" } else { ACK };
    (StatusCode::OK, [("content-type", "text/xml")], answer)
}

async fn receiver() -> (String, Received) {
    let received = Received::default();
    let app = axum::Router::new().fallback(receive).with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, received)
}

#[expect(clippy::disallowed_methods, reason = "the sender works in real time")]
async fn wait_for(received: &Received, count: usize) -> Vec<(HeaderMap, String)> {
    for _ in 0..200 {
        if received.lock().unwrap().len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    received.lock().unwrap().clone()
}

fn hooks(value: Value) -> Webhooks {
    serde_json::from_value(value).unwrap()
}

#[test]
fn only_the_exact_acknowledgement_counts() {
    assert!(envelope::is_ack(ACK));
    for bad in [
        ACK.replace(">true<", ">false<"),
        ACK.replace("2005/09/outbound", "2005/09/inbound"),
        ACK.replace("Ack>", "ack>"),
        "<Ack>true</Ack>".into(),
        "ok".into(),
        String::new(),
    ] {
        assert!(!envelope::is_ack(&bad), "{bad}");
    }
}

#[test]
fn signatures_follow_standard_webhooks() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = r#"{"test": 2432232314}"#;
    let signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn an_apex_trigger_tells_of_direct_changes_once_and_signed() {
    let (url, received) = receiver().await;
    let org = Salesforce::new(Options::default(), clock().1);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    org.set_webhooks(hooks(json!({"json": {"url": url, "secret": secret}})));
    let sender = org.start();
    let (lead, member) = org.with(|w| {
        let campaign = w.add_campaign("C", "Webinar").unwrap();
        let lead = w.add_lead("A", "B", "a@x.example", "X").unwrap();
        (lead, w.add_member(campaign, lead, None).unwrap())
    });
    org.with(|w| w.set_member_status(member, "Responded").unwrap());
    org.with(|w| w.delete(&w.as_person(), lead).unwrap());
    let calls = wait_for(&received, 3).await;
    sender.abort();
    let bodies: Vec<Value> = calls.iter().map(|(_, b)| serde_json::from_str(b).unwrap()).collect();
    let told: Vec<_> =
        bodies.iter().map(|b| (b["object"].as_str().unwrap(), b["operation"].as_str().unwrap())).collect();
    assert_eq!(told, [("CampaignMember", "insert"), ("CampaignMember", "update"), ("Lead", "delete")]);
    assert_eq!(bodies[1]["records"][0]["Id"], json!(member));
    assert_eq!(bodies[1]["records"][0]["OldStatus"], "Sent");
    assert_eq!(bodies[1]["records"][0]["SystemModstamp"], "2026-11-23T20:05:00.000+0000");
    assert_eq!(bodies[1]["orgId"], "00D4S000000oz4eUAA");
    let (headers, body) = &calls[0];
    let header = |name: &str| headers[name].to_str().unwrap();
    let time = header("webhook-timestamp").parse().unwrap();
    assert_eq!(header("webhook-signature"), sign(secret, header("webhook-id"), time, body));
}

#[tokio::test]
async fn an_outbound_message_is_repeated_with_the_latest_data_until_acknowledged() {
    let (url, received) = receiver().await;
    let org = Salesforce::new(Options::default(), clock().1);
    org.set_webhooks(hooks(json!({"outbound_message": {"url": url, "retry_base_millis": 20}})));
    let member = org.with(|w| {
        let campaign = w.add_campaign("C", "Webinar").unwrap();
        let lead = w.add_lead("A", "B", "a@x.example", "X").unwrap();
        w.add_member(campaign, lead, None).unwrap()
    });
    org.with(|w| w.set_member_status(member, "Responded").unwrap());
    let sender = org.start();
    let calls = wait_for(&received, 2).await;
    sender.abort();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].1, calls[1].1, "the same notification again");
    let body = &calls[1].1;
    assert_eq!(body.matches("<Notification>").count(), 1, "coalesced");
    assert!(body.contains(&format!("<sf:Id>{member}</sf:Id>")) && body.contains("<sf:Status>Responded</sf:Status>"));
    assert!(body.contains("<sf:SystemModstamp>2026-11-23T20:05:00.000Z</sf:SystemModstamp>"));
    assert!(!body.contains("sf:ContactId"), "nulls are left out");
    assert!(body.contains("<OrganizationId>00D4S000000oz4eUAA</OrganizationId>"));
    assert_eq!(calls[1].0["soapaction"], "\"\"");
    let notification = body.split("<Notification>\n    <Id>").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(Id::parse(notification).unwrap().prefix(), "04l");
}
