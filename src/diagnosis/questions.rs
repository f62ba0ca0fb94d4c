//! Asking one vendor one thing after the other, until it fails.
//!
//! Owns which line a failure belongs to: credentials, quota or the version. What was to be asked after that is not asked, and
//! is known to be missing because of that line. Must not know what is asked.

use std::time::Duration;

use crate::connector::{ConnectorError, Vendor};
use crate::domain::clock::Clock;

use super::{CheckState, Item};

/// Longest that a vendor is asked for one checklist.
const PATIENCE: Duration = Duration::from_secs(25);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// Not asked, or asked in vain, because of this line.
    After(&'static str),
    /// This question was refused.
    Refused { code: String, message: String },
}

/// An answer, or why there is none.
pub(super) type Answer<T> = Result<T, Gap>;

/// Lines that a failing vendor shows in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub vendor: Vendor,
    pub credentials: &'static str,
    pub quota: &'static str,
}

/// What ended the questions.
#[derive(Clone, Debug)]
pub(super) struct Stopped {
    pub line: &'static str,
    item: Item,
}

/// The questions to one vendor.
pub(super) struct Questions<'a> {
    lines: Lines,
    clock: &'a Clock,
    until: Duration,
    stopped: Option<Stopped>,
}

impl<'a> Questions<'a> {
    pub(super) fn new(lines: Lines, clock: &'a Clock) -> Self {
        Self { lines, until: clock.monotonic() + PATIENCE, clock, stopped: None }
    }

    /// Asks, unless something has ended the questions.
    pub(super) async fn ask<T>(&mut self, question: impl Future<Output = Result<T, ConnectorError>>) -> Answer<T> {
        if let Some(stopped) = &self.stopped {
            return Err(Gap::After(stopped.line));
        }
        let left = self.until.saturating_sub(self.clock.monotonic());
        let outcome = tokio::time::timeout(left, question).await.unwrap_or_else(|_| {
            let detail = format!("no answer within {} s", PATIENCE.as_secs());
            Err(ConnectorError::Unavailable { vendor: self.lines.vendor, detail, retry_after: None, sent: false })
        });
        match outcome {
            Ok(answer) => Ok(answer),
            Err(ConnectorError::Refused { code, message, .. }) => Err(Gap::Refused { code, message }),
            Err(error) => {
                let item = failure(self.lines, &error);
                let line = if item.id == self.lines.quota { self.lines.quota } else { self.lines.credentials };
                self.stop(line, item);
                Err(Gap::After(line))
            }
        }
    }

    /// Ends the questions; the line says why.
    pub(super) fn stop(&mut self, line: &'static str, item: Item) {
        self.stopped.get_or_insert(Stopped { line, item });
    }

    /// What ended the questions; none when all were asked.
    pub(super) fn end(self) -> Option<Stopped> {
        self.stopped
    }
}

impl Stopped {
    /// The line that ended the questions, if it is this one.
    pub(super) fn of(stopped: Option<&Self>, line: &str) -> Option<Item> {
        stopped.filter(|stopped| stopped.line == line).map(|stopped| stopped.item.clone())
    }
}

/// A failing vendor, as a line.
fn failure(lines: Lines, error: &ConnectorError) -> Item {
    let (vendor, found) = (lines.vendor, error.to_string());
    let section = vendor;
    let minutes = |after: &Duration| after.as_secs().div_ceil(60).max(1);
    match error {
        ConnectorError::Unauthorized { .. } => Item::fail(lines.credentials, found, who_are_we(vendor)),
        ConnectorError::QuotaExhausted { retry_after, .. } => {
            let remedy = format!(
                "it mends itself in about {} minutes; to prevent it raise limits.{section}, lower the use of other integrations, or buy more calls",
                minutes(retry_after)
            );
            Item::fail(lines.quota, found, remedy)
        }
        ConnectorError::RateLimited { .. } => {
            let remedy = format!(
                "look again in a minute; if it stays, lower limits.{section} or the pace of other integrations"
            );
            Item::new(lines.quota, CheckState::Warn, found, Some(remedy))
        }
        ConnectorError::Unavailable { .. } | ConnectorError::Refused { .. } => {
            let (setting, status) = match vendor {
                Vendor::Marketo => ("marketo.base_url and marketo.identity_url", "https://status.adobe.com"),
                Vendor::Salesforce => {
                    ("salesforce.login_url and salesforce.instance_url", "https://status.salesforce.com")
                }
            };
            let remedy = format!(
                "see that {setting} are right and that this machine gets there; {status} says when the vendor is down"
            );
            Item::fail(lines.credentials, found, remedy)
        }
    }
}

fn who_are_we(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Marketo => {
            "in Marketo: Admin > LaunchPoint > the custom service > View Details; put Client Id and Client Secret into marketo.client_id and marketo.client_secret"
        }
        Vendor::Salesforce => {
            "in Salesforce: Setup > External Client App Manager > the app: client id and secret into salesforce.client_id and salesforce.client_secret, Client Credentials Flow with a Run As user (or for JWT: the certificate of salesforce.private_key and salesforce.username pre-authorised); salesforce.login_url is the My Domain"
        }
    }
}
