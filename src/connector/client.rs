//! One vendor's line: HTTP with its bounds, behind the budget and the circuit, counted.
//!
//! Owns the connection, the time-outs, the largest answer that is read, and what outsiders may see of the traffic. Must not
//! know paths, tokens or codes: the caller reads the answer and says what it came to.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use tracing::Instrument;

use super::budget::{Budget, BudgetUse, Limits, Priority, Sharing, Wait, Withheld};
use super::circuit::{Circuit, CircuitState};
use super::deadline;
use super::errors::{Fault, Verdict};
use super::{Pace, Vendor, wire};
use crate::domain::clock::Clock;

/// Largest answer that is read. A full page of 2,000 rows is below 4 MB; anything like this is not the vendor.
const LARGEST_ANSWER: usize = 32 << 20;
/// A vendor that is up accepts a connection at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings with which no client can be made; the text says which and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSettings(pub String);

/// What is to be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Name in metrics and traces; one of a few.
    pub endpoint: &'static str,
    /// It may change something at the vendor.
    pub write: bool,
    /// It takes a slot of the budget; token calls do not count at either vendor.
    pub counted: bool,
}

impl Call {
    pub const fn read(endpoint: &'static str) -> Self {
        Self { endpoint, write: false, counted: true }
    }

    pub const fn write(endpoint: &'static str) -> Self {
        Self { endpoint, write: true, counted: true }
    }
}

/// A whole answer.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, for an error's text: never more than a line of it, since it may be anything.
    pub fn described(&self) -> String {
        match std::str::from_utf8(&self.body) {
            _ if self.body.is_empty() => format!("HTTP {} without a body", self.status),
            Ok(text) if text.trim_start().starts_with('<') => format!("HTTP {} with a web page", self.status),
            _ => format!("HTTP {} with {} bytes that are not the vendor's answer", self.status, self.body.len()),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let seconds: u64 = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds.min(3600)))
    }

    /// Calls used and granted in the vendor's day: `Sforce-Limit-Info: api-usage=18/5000`.
    pub fn api_usage(&self) -> Option<(u64, u64)> {
        let info = self.headers.get("sforce-limit-info")?.to_str().ok()?;
        let usage = info.split(';').find_map(|part| part.trim().strip_prefix("api-usage="))?;
        let (used, granted) = usage.split_once('/')?;
        Some((used.trim().parse().ok()?, granted.trim().parse().ok()?))
    }

    /// How far the vendor's clock is ahead of ours, in milliseconds; negative when it is behind. `Date` has whole seconds and
    /// was set somewhere between sending and receiving: what those explain is no difference.
    fn ahead(&self, sent: Timestamp, received: Timestamp) -> Option<i64> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_millisecond();
        let (sent, received) = (sent.as_millisecond(), received.as_millisecond());
        Some((date - received).max(0) + (date + 999 - sent).min(0))
    }
}

/// What may be shown of a vendor's line.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Calls made in the vendor's present day, by all processes that share the budget.
    pub calls_today: u64,
    pub budget: BudgetUse,
    /// The most we allow ourselves in a day, where that is known.
    pub daily_limit: Option<u64>,
    /// Calls left to the whole instance, as the vendor last said.
    pub remaining: Option<u64>,
    /// Until the vendor's day ends, as we count it.
    pub day_left: Duration,
    pub circuit: CircuitState,
    /// Milliseconds by which the vendor's clock was ahead of ours in its last answer; negative when it was behind.
    pub clock_ahead: Option<i64>,
    /// When and with what a call last failed.
    pub last_error: Option<(Timestamp, String)>,
}

/// The line to one vendor, shared by all that call it.
pub(super) struct Line {
    vendor: Vendor,
    clock: Clock,
    http: reqwest::Client,
    budget: Budget,
    circuit: Circuit,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What calls take, a moving average.
    call_millis: Option<u64>,
    remaining: Option<u64>,
    clock_ahead: Option<i64>,
    last_error: Option<(Timestamp, String)>,
}

impl Line {
    pub fn new(
        vendor: Vendor,
        limits: Limits,
        zone: TimeZone,
        clock: Clock,
        wait: Wait,
    ) -> Result<Self, InvalidSettings> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("campaign-sync/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(limits.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| InvalidSettings(format!("no HTTP client can be made: {error}")))?;
        let budget = Budget::new(limits, zone, clock.clone(), wait);
        Ok(Self { vendor, http, budget, circuit: Circuit::new(clock.clone()), clock, seen: Mutex::default() })
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Shares the budget from now on.
    pub fn share(&self, with: &Sharing) {
        self.budget.share(with.replica.clone(), with.lease);
    }

    /// Settles with those who share the budget, until told to stop.
    pub async fn keep(&self, with: &Sharing) {
        self.budget.keep(&*with.pool, &with.stop).await;
    }

    pub fn pace(&self) -> Pace {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Pace { call_millis: seen.call_millis, ..self.budget.pace_of_calls(seen.remaining) }
    }

    pub fn usage(&self) -> Usage {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Usage {
            calls_today: self.budget.calls_today(),
            budget: self.budget.in_use(),
            daily_limit: self.budget.daily_limit(),
            remaining: seen.remaining,
            day_left: self.budget.until_midnight(),
            circuit: self.circuit.shown(),
            clock_ahead: seen.clock_ahead,
            last_error: seen.last_error.clone(),
        }
    }

    /// Makes one call and has the answer read.
    pub async fn exchange<T>(
        &self,
        call: Call,
        priority: Priority,
        request: RequestBuilder,
        read: impl FnOnce(&Answer) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let span = tracing::info_span!("vendor_call", vendor = %self.vendor, endpoint = call.endpoint);
        let started = self.clock.monotonic();
        let outcome = self.guarded(call, priority, request, read).instrument(span.clone()).await;
        let label = match &outcome {
            Ok(_) => "ok",
            Err(fault) if !fault.sent => "not_sent",
            Err(fault) => match fault.verdict {
                Verdict::Refresh => "token_refused",
                Verdict::Unavailable => "unavailable",
                Verdict::Locked => "locked",
                Verdict::RateLimited(_) => "rate_limited",
                Verdict::Quota(_) => "quota",
                Verdict::Unauthorized => "unauthorized",
                Verdict::Refused => "refused",
            },
        };
        metrics::counter!("campaign_sync_vendor_calls_total",
            "vendor" => self.vendor.to_string(), "endpoint" => call.endpoint, "outcome" => label)
        .increment(1);
        let took = self.clock.monotonic().saturating_sub(started);
        tracing::debug!(parent: &span, outcome = label, millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        if let Err(fault) = &outcome {
            let text = if fault.code.is_empty() { fault.message.clone() } else { fault.code.clone() };
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.last_error = Some((self.clock.now(), format!("{}: {text}", call.endpoint)));
        }
        outcome
    }

    async fn guarded<T>(
        &self,
        call: Call,
        priority: Priority,
        request: RequestBuilder,
        read: impl FnOnce(&Answer) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // Asked twice: nobody queues for a vendor that is down, and it may go down while we queue.
        drop(self.circuit.enter().map_err(|after| self.kept_back(after))?);
        let _permit = match call.counted {
            true => Some(self.budget.acquire(priority).await.map_err(withheld)?),
            false => None,
        };
        if deadline::is_over(self.clock.monotonic()) {
            let message = "the lease ran out while the call waited: it was not sent".to_owned();
            return Err(Fault { sent: false, ..Fault::unreadable(message) });
        }
        let pass = self.circuit.enter().map_err(|after| self.kept_back(after))?;
        let (sent, began) = (self.clock.now(), self.clock.monotonic());
        let outcome = match self.send(request).await {
            Ok(answer) => {
                self.note(&answer, sent, began);
                read(&answer)
                    .map_err(|fault| Fault { retry_after: fault.retry_after.or(answer.retry_after()), ..fault })
            }
            Err(fault) => Err(fault),
        };
        pass.finish(!matches!(&outcome, Err(fault) if fault.verdict == Verdict::Unavailable));
        outcome.map_err(|fault| self.slowed(fault))
    }

    fn kept_back(&self, after: Duration) -> Fault {
        let message = format!("{} failed several times in a row; calls are held back", self.vendor);
        Fault { retry_after: Some(after), sent: false, ..Fault::unreadable(message) }
    }

    fn note(&self, answer: &Answer, sent: Timestamp, began: Duration) {
        let took = self.clock.monotonic().saturating_sub(began).as_millis();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        let usage = answer.api_usage();
        if let Some((_, granted)) = usage {
            self.budget.granted(granted);
        }
        let ahead = answer.ahead(sent, self.clock.now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Over the last ten calls or so.
        seen.call_millis = Some(seen.call_millis.map_or(took, |before| (before * 9 + took).div_ceil(10)));
        seen.remaining = usage.map(|(used, granted)| granted.saturating_sub(used)).or(seen.remaining);
        seen.clock_ahead = ahead.or(seen.clock_ahead);
    }

    /// A limit that one call met holds for all that follow.
    fn slowed(&self, fault: Fault) -> Fault {
        match fault.verdict {
            Verdict::RateLimited(after) => {
                let after = fault.retry_after.unwrap_or(after);
                self.budget.pause(after);
                Fault { retry_after: Some(after), ..fault }
            }
            Verdict::Quota(after) => {
                let after = after.unwrap_or_else(|| self.budget.until_midnight());
                self.budget.exhaust(after);
                Fault { retry_after: Some(after), ..fault }
            }
            _ => fault,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Fault> {
        let mut response = request.send().await.map_err(transport)?;
        let too_large = || Fault::unreadable("the answer is larger than 32 MiB");
        if response.content_length().is_some_and(|length| length > LARGEST_ANSWER as u64) {
            return Err(too_large());
        }
        let body = read_body(&mut response).await?.ok_or_else(too_large)?;
        let body = wire::without_nul(body);
        Ok(Answer { status: response.status().as_u16(), headers: std::mem::take(response.headers_mut()), body })
    }
}

/// The body, decompressed; none when it grows too large.
async fn read_body(response: &mut Response) -> Result<Option<Vec<u8>>, Fault> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(transport)? {
        if body.len() + piece.len() > LARGEST_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

fn withheld(why: Withheld) -> Fault {
    let (verdict, after) = match why {
        Withheld::Paused(after) => (Verdict::RateLimited(after), after),
        Withheld::Quota(after) => (Verdict::Quota(Some(after)), after),
    };
    let message = "held back until the limit allows it";
    Fault { retry_after: Some(after), sent: false, ..Fault::of(verdict, "", message) }
}

/// A failure below HTTP. The address is left out: Marketo's token call has the secret in it.
fn transport(error: reqwest::Error) -> Fault {
    let sent = !(error.is_connect() || error.is_builder());
    let what = match &error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        error if error.is_body() || error.is_decode() => "the answer was cut off",
        _ => "the connection failed",
    };
    let mut cause: &dyn std::error::Error = &error.without_url();
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Fault { sent, ..Fault::unreadable(format!("{what} ({cause})")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_time_of_the_call_does_not_explain_is_a_difference_of_clocks() {
        let answer = |date: &str| {
            let headers = HeaderMap::from_iter([(DATE, date.parse().unwrap())]);
            Answer { status: 200, headers, body: Vec::new() }
        };
        let at = |text: &str| text.parse().unwrap();
        let (sent, received) = (at("2026-11-23T12:00:00.400Z"), at("2026-11-23T12:00:02.100Z"));
        for (date, ahead) in [
            ("Mon, 23 Nov 2026 12:00:00 GMT", Some(0)),
            ("Mon, 23 Nov 2026 12:00:02 GMT", Some(0)),
            ("Mon, 23 Nov 2026 12:00:03 GMT", Some(900)),
            ("Mon, 23 Nov 2026 12:02:02 GMT", Some(119_900)),
            ("Mon, 23 Nov 2026 11:59:59 GMT", Some(-401)),
            ("yesterday", None),
        ] {
            assert_eq!(answer(date).ahead(sent, received), ahead, "{date}");
        }
    }
}
