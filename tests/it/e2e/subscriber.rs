//! What the cases of deliveries share: subscribing, looking at deliveries, and having signatures verified by others.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::running::Running;
use super::world::{SOON, World};
use crate::support::{Launch, Received, Receiver, TestDatabase, eventually};

/// The service, permitted to deliver to this machine.
pub fn launch(world: &World, database: &TestDatabase) -> Launch {
    world.launch(database).set("limits.allow_private_targets", "true")
}

/// The same, running.
pub async fn running(database: &TestDatabase) -> Running {
    let world = World::new().await;
    world.bystanders(8);
    let launch = launch(&world, database);
    Running::launch(world, launch).await
}

impl Running {
    /// Subscribes a receiver, with more in the body; the id and the secret.
    pub async fn subscribe(&self, receiver: &Receiver, more: Value) -> (String, String) {
        let mut body = json!({"url": receiver.url});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.api.post("subscriptions", &body).await.expect(201).json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }

    pub async fn subscription(&self, id: &str) -> Value {
        self.api.get(&format!("subscriptions/{id}")).await.expect(200).json()
    }

    /// Deliveries of a subscription, oldest first.
    pub async fn deliveries(&self, id: &str) -> Vec<Value> {
        let page = self.api.get(&format!("subscriptions/{id}/deliveries?limit=500")).await.expect(200).json();
        let mut deliveries = page["data"].as_array().unwrap().clone();
        deliveries.reverse();
        deliveries
    }

    /// Waits until all deliveries of a subscription are in one of these states; those deliveries.
    pub async fn all_deliveries_are(&self, id: &str, count: usize, states: &[&str]) -> Vec<Value> {
        eventually(&format!("{count} deliveries to be {states:?}"), SOON, async || {
            let deliveries = self.deliveries(id).await;
            let done = |delivery: &Value| states.contains(&delivery["state"].as_str().unwrap());
            (deliveries.len() == count && deliveries.iter().all(done)).then_some(deliveries)
        })
        .await
    }

    /// A member who passes these statuses in Salesforce, each of them told.
    pub async fn told_of(&self, name: &str, statuses: &[&str]) {
        for (n, status) in statuses.iter().enumerate() {
            if n == 0 {
                self.world.add_in_salesforce(self.world.lead(name), status);
            } else {
                self.world.change_in_salesforce(name, status);
            }
            eventually(&format!("{name} to be told of as {status}"), SOON, async || {
                (self.transitions_of(name).await.len() == n + 1).then_some(())
            })
            .await;
        }
    }
}

/// Waits until a receiver has got so many.
pub async fn received(receiver: &Receiver, count: usize) -> Vec<Received> {
    eventually(&format!("{count} deliveries to arrive"), SOON, async || {
        let received = receiver.received();
        (received.len() >= count).then_some(received)
    })
    .await
}

/// Whether the official libraries take a delivery for ours: Python's and JavaScript's, each asked in its own language. None when
/// they are not installed and not required.
pub fn verified(secret: &str, delivery: &Received) -> Option<[bool; 2]> {
    let Verifiers { python, node } = Verifiers::installed("standardwebhooks")?;
    let given = json!({"secret": secret, "headers": headers(delivery), "body": delivery.body});
    let of_python = asked(python, vec![script("verify.py")], &given, delivery.header("webhook-id"));
    Some([of_python, asked("node".into(), vec![script("verify.mjs"), node], &given, delivery.header("webhook-id"))])
}

/// Whether the official SDK of CloudEvents takes a delivery for an event, and its JSON schema the body. None as above.
pub fn is_cloud_event(delivery: &Received) -> Option<bool> {
    let Verifiers { node, .. } = Verifiers::installed("cloudevents")?;
    let given = json!({"headers": headers(delivery), "body": delivery.body});
    Some(asked("node".into(), vec![script("event.mjs"), node], &given, delivery.header("webhook-id")))
}

/// Where scripts/test has put what judges us.
struct Verifiers {
    python: PathBuf,
    node: PathBuf,
}

impl Verifiers {
    /// Those of Python and JavaScript, with this package.
    fn installed(package: &str) -> Option<Self> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/verifiers");
        let (python, node) = (installed.join("python/bin/python"), installed.join("node"));
        if python.exists() && node.join("node_modules").join(package).exists() {
            return Some(Self { python, node });
        }
        let required = ["REQUIRE_VERIFIERS", "CI"].into_iter().any(|name| std::env::var_os(name).is_some());
        assert!(!required, "{package} is not in {}: run scripts/test", installed.display());
        eprintln!("SKIPPED: {package} is not installed; scripts/test does so");
        None
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifiers").join(name)
}

fn headers(delivery: &Received) -> Value {
    delivery.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
}

/// Whether a script takes what it is given, and says the id that it should.
fn asked(program: PathBuf, args: Vec<PathBuf>, given: &Value, id: &str) -> bool {
    let mut child = Command::new(program);
    let child = child.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.success() {
        true => assert_eq!(said.trim(), id),
        // A library that is broken refuses everything, for another reason.
        false => assert!(complained.contains("refused:"), "{complained}"),
    }
    output.status.success()
}
