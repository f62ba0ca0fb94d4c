//! What vendors answer, broken: through the whole of each client, over real connections.
//!
//! The recorded answers are the samples, each for every call of the client. An answer that is taken or refused is all the same; a
//! client that panics or hangs is not, nor one that tells what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fuzz;
use crate::connector::marketo::{MarketoClient, MarketoSettings};
use crate::connector::salesforce::{SalesforceClient, SalesforceSettings};
use crate::connector::{ConnectorError, Marketo, PersonKey, Salesforce};
use crate::domain::clock::Clock;
use crate::domain::ids::SalesforceId;

/// Answers every call but those for a token with what it is given.
struct Server {
    url: String,
    answer: Arc<Mutex<(u16, Vec<u8>)>>,
}

impl Server {
    fn new(token: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer: Arc<Mutex<(u16, Vec<u8>)>> = Arc::default();
        let kept = answer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let answer = kept.clone();
                std::thread::spawn(move || serve(stream, token, &answer));
            }
        });
        Self { url, answer }
    }
}

/// One connection, a call after another.
fn serve(stream: TcpStream, token: &str, answer: &Mutex<(u16, Vec<u8>)>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if path.is_empty() {
                line.clone_into(&mut path);
            }
            if let Some((_, value)) =
                line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim().parse().ok()?;
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink()).ok()?;
        let (status, body) = match path.contains("/oauth") && path.contains("token") {
            true => (200, token.as_bytes().to_vec()),
            false => answer.lock().unwrap().clone(),
        };
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        // In one piece, or each answer would wait for the one before to be acknowledged.
        writer.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

/// Which of so many calls, and the status of its answer: drawn from the answer itself, so that the same one is tried alike.
fn drawn(bytes: &[u8], calls: usize) -> (usize, u16) {
    let sum = bytes.iter().fold(bytes.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let status = [200, 200, 200, 200, 201, 204, 400, 401, 403, 404, 429, 500, 503][sum / calls % 13];
    (sum % calls, status)
}

/// What is told has no address in it, whatever was sent.
fn told(outcome: Result<(), ConnectorError>) -> bool {
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(!text.contains("@people.example"), "{text}");
    }
    outcome.is_ok()
}

#[test]
fn answers_of_marketo_are_read_or_refused() {
    let server = Server::new(r#"{"access_token":"t","token_type":"bearer","expires_in":3599,"scope":"a@b.c"}"#);
    let clock = Clock::manual("2026-11-23T20:05:01Z".parse().unwrap());
    let settings = MarketoSettings {
        base_url: server.url.parse().unwrap(),
        identity_url: format!("{}/identity", server.url).parse().unwrap(),
        client_id: "our-id".into(),
        client_secret: "our-secret".into(),
        salesforce_lead_field: "sfdcLeadId".into(),
        salesforce_contact_field: "sfdcContactId".into(),
        limits: MarketoSettings::usual_limits(),
    };
    let marketo = MarketoClient::new(settings, clock.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    fuzz("marketo_answer", &["fixtures/marketo"], |bytes| {
        let (call, status) = drawn(bytes, 9);
        *server.answer.lock().unwrap() = (if status == 201 { 200 } else { status }, bytes.to_vec());
        // Whatever an answer before has closed is open again.
        clock.advance(Duration::from_secs(48 * 3600));
        told(runtime.block_on(async {
            match call {
                0 => marketo.program(1044).await.map(drop),
                1 => marketo.program_page(0).await.map(drop),
                2 => marketo.channel("Webinar").await.map(drop),
                3 => marketo.members(1044, &[1789, 1790]).await.map(drop),
                4 => marketo.member_page(1044, None).await.map(drop),
                5 => marketo.people(&[1789]).await.map(drop),
                6 => marketo.people_by(PersonKey::Email, &["ada@people.example".into()]).await.map(drop),
                7 => marketo.remove_members(1044, &[1789]).await.map(drop),
                _ => marketo.set_status(1044, "Attended", &[1789, 1790]).await.map(drop),
            }
        }))
    });
}

#[test]
fn answers_of_salesforce_are_read_or_refused() {
    let server = Server::new(r#"{"access_token":"t","token_type":"Bearer"}"#);
    let id = |text: &str| text.parse::<SalesforceId>().unwrap();
    let clock = Clock::manual("2026-11-23T20:05:01Z".parse().unwrap());
    let settings = SalesforceSettings {
        login_url: server.url.parse().unwrap(),
        instance_url: Some(server.url.parse().unwrap()),
        client_id: "our-id".into(),
        client_secret: Some("our-secret".into()),
        username: None,
        private_key: None,
        api_version: "60.0".into(),
        organization_id: None,
        person_external_id_field: None,
        auto_assign: false,
        limits: SalesforceSettings::usual_limits(),
    };
    let salesforce = SalesforceClient::new(settings, clock.clone()).unwrap();
    let (campaign, lead, member) = (id("7014S00000097HcQAI"), id("00Q4S000002sSacUAE"), id("00v4S000001VKQ1QAO"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    fuzz("salesforce_answer", &["fixtures/salesforce", "corpus/fuzz/salesforce_token"], |bytes| {
        let (call, status) = drawn(bytes, 10);
        *server.answer.lock().unwrap() = (status, bytes.to_vec());
        clock.advance(Duration::from_secs(48 * 3600));
        told(runtime.block_on(async {
            match call {
                0 => salesforce.identity().await.map(drop),
                1 => salesforce.campaigns(std::slice::from_ref(&campaign)).await.map(drop),
                2 => salesforce.members(std::slice::from_ref(&campaign), std::slice::from_ref(&lead)).await.map(drop),
                3 => salesforce.member_page(&campaign, None).await.map(drop),
                4 => salesforce.member_counts(&campaign).await.map(drop),
                5 => salesforce.people(std::slice::from_ref(&lead)).await.map(drop),
                6 => salesforce.people_by_email(&["ada@people.example".into()]).await.map(drop),
                7 => salesforce.update_members(&[(member.clone(), "Attended".into())]).await.map(drop),
                8 => salesforce.delete_members(std::slice::from_ref(&member)).await.map(drop),
                _ => salesforce.campaign_fields().await.map(drop),
            }
        }))
    });
}
