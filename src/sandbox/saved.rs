//! Both worlds as one document, to be kept, compared and loaded again.
//!
//! Owns what holds them together: the time at which they were saved, which the clock of whoever loads them is not behind. What each
//! vendor keeps of itself is its own (`marketo::Saved`, `salesforce::Saved`).

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clock::Clock;
use super::marketo::{self, Marketo};
use super::salesforce::{self, Salesforce};

/// The key by which a file is known as a saved state and not as a seed.
pub const MARK: &str = "saved_at";

/// Both worlds at one time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    pub saved_at: Timestamp,
    marketo: marketo::Saved,
    salesforce: salesforce::Saved,
}

/// Both worlds and their time.
#[derive(Clone)]
pub struct Worlds {
    pub marketo: Arc<Marketo>,
    pub salesforce: Arc<Salesforce>,
    pub clock: Clock,
}

impl Worlds {
    /// Both as they are now. Nobody acts between the one and the other.
    #[must_use]
    pub fn save(&self) -> Saved {
        self.marketo.with(|world| {
            let (saved_at, marketo) = (self.clock.now(), world.save());
            Saved { saved_at, marketo, salesforce: self.salesforce.with(|org| org.save()) }
        })
    }

    /// Puts both in the place of what there is; nothing is changed when either cannot be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self, saved: Saved) -> Result<(), String> {
        self.marketo.with(|world| {
            self.salesforce.with(|org| org.load(saved.salesforce))?;
            world.restore(saved.marketo);
            Ok::<_, String>(())
        })?;
        self.clock.reach(saved.saved_at);
        Ok(())
    }

    /// `GET` and `PUT` of both.
    pub fn control(&self) -> Router {
        Router::new()
            .route("/", get(save).put(load))
            // Saved worlds may be large.
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone())
    }
}

async fn save(State(worlds): State<Worlds>) -> Json<Saved> {
    Json(worlds.save())
}

async fn load(State(worlds): State<Worlds>, Json(saved): Json<Value>) -> Response {
    let loaded = serde_json::from_value(saved).map_err(|error| error.to_string()).and_then(|saved| worlds.load(saved));
    match loaded {
        Ok(()) => Json(json!({"ok": true})).into_response(),
        Err(message) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"message": message}))).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{EmulateOptions, Emulators, start};

    /// What people and a client do in both worlds, by the control API and by both vendors' own.
    async fn play(emulators: &Emulators) {
        let http = reqwest::Client::new();
        let control = async |method: &str, path: &str, body: Value| {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let answer =
                http.request(method, format!("{}{path}", emulators.control_url)).json(&body).send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
            answer.json::<Value>().await.unwrap()
        };
        let statuses = json!([{"name": "Invited", "step": 10}, {"name": "Attended", "step": 20, "success": true}]);
        control("POST", "/marketo/channels", json!({"name": "Webinar", "statuses": statuses})).await;
        let program =
            control("POST", "/marketo/programs", json!({"name": "Spring", "channel": "Webinar"})).await["id"].clone();
        let mut people = Vec::new();
        for n in 0..3 {
            let person = json!({"email": format!("p{n}@x.example"), "lastName": format!("P{n}")});
            people.push(control("POST", "/marketo/people", person).await["id"].clone());
        }
        let campaign = control("POST", "/salesforce/records/Campaign", json!({"Name": "Spring"})).await["id"].clone();
        for n in 0..3 {
            let lead = json!({"LastName": format!("P{n}"), "Company": "X", "Email": format!("p{n}@x.example")});
            let lead = control("POST", "/salesforce/records/Lead", lead).await["id"].clone();
            let member = json!({"CampaignId": campaign, "LeadId": lead, "Status": "Sent"});
            control("POST", "/salesforce/records/CampaignMember", member).await;
        }
        control("POST", "/clock", json!({"advance_seconds": 90})).await;
        control(
            "POST",
            &format!("/marketo/programs/{program}/members"),
            json!({"lead_ids": people, "status": "Invited"}),
        )
        .await;

        let token = format!("{}/identity/oauth/token", emulators.marketo_url);
        let login = [
            ("grant_type", "client_credentials"),
            ("client_id", emulators.marketo_client_id.as_str()),
            ("client_secret", emulators.marketo_client_secret.as_str()),
        ];
        let token: Value = http.get(token).query(&login).send().await.unwrap().json().await.unwrap();
        let url = format!("{}/rest/v1/programs/{program}/members/status.json", emulators.marketo_url);
        let body = json!({"statusName": "Attended", "input": [{"leadId": people[1]}]});
        let written =
            http.post(url).bearer_auth(token["access_token"].as_str().unwrap()).json(&body).send().await.unwrap();
        assert_eq!(written.json::<Value>().await.unwrap()["result"][0]["status"], "updated");
        control(
            "POST",
            &format!("/marketo/people/{}/merge", people[0].as_i64().unwrap()),
            json!({"losers": [people[2]]}),
        )
        .await;
    }

    async fn emulators(seed: Option<std::path::PathBuf>) -> Emulators {
        start(EmulateOptions { seed, ..EmulateOptions::default() }).await.unwrap()
    }

    async fn saved(emulators: &Emulators) -> String {
        reqwest::get(format!("{}/saved", emulators.control_url)).await.unwrap().text().await.unwrap()
    }

    #[tokio::test]
    async fn the_same_script_makes_the_same_worlds_which_are_saved_and_loaded_whole() {
        let folder = tempfile::tempdir().unwrap();
        let seed = folder.path().join("seed.json");
        std::fs::write(&seed, r#"{"clock": {"stopped_at": "2031-01-06T08:00:00Z"}}"#).unwrap();
        let (one, two) = (emulators(Some(seed.clone())).await, emulators(Some(seed)).await);
        play(&one).await;
        play(&two).await;
        let text = saved(&one).await;
        assert_eq!(text, saved(&two).await);
        // Not because nothing is in it.
        for there in ["2031-01-06T08:01:30Z", "p1@x.example", "\"New Status\",\"Attended\"", "\"LastName\""] {
            assert!(text.contains(there), "{there} is not in {text}");
        }

        let path = folder.path().join("worlds.json");
        std::fs::write(&path, &text).unwrap();
        let three = emulators(Some(path)).await;
        let saved_at: Timestamp = "2031-01-06T08:01:30Z".parse().unwrap();
        assert!(three.clock.now() >= saved_at, "the clock is behind its records");
        let at = |text: &str| {
            let mut value: Value = serde_json::from_str(text).unwrap();
            value[MARK] = Value::Null;
            value
        };
        assert_eq!(at(&saved(&three).await), at(&text));
        // And both go on alike.
        let next = |emulators: &Emulators| {
            let lead = emulators.salesforce.with(|org| org.add_lead("N", "N", "n@x.example", "X").unwrap());
            (lead, emulators.marketo.with(|world| world.add_person(marketo::NewPerson::default())))
        };
        assert_eq!(next(&one), next(&three));

        let url = format!("{}/saved", two.control_url);
        let refused =
            reqwest::Client::new().put(&url).json(&json!({MARK: "2031-01-06T08:00:00Z"})).send().await.unwrap();
        assert_eq!(refused.status(), 422);
        assert_eq!(saved(&two).await, text, "changed by what was refused");
        let fresh = emulators(None).await;
        let url = format!("{}/saved", fresh.control_url);
        let loaded = reqwest::Client::new()
            .put(&url)
            .body(text.clone())
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap();
        assert_eq!(loaded.status(), 200);
        assert_eq!(at(&saved(&fresh).await), at(&text));
    }
}
