//! Bad weather: every kind of fault, for a share of all calls, drawn from a seed.
//!
//! Owns what may happen to whom. Where `fault` lists what shall happen to the next call, this is for whole test suites: each vendor's
//! own words for "later", tokens that are refused, answers that are late, cut, lost, or lost although the call was carried out.
//! Nothing here outlasts the call that it meets; the daily quota is not among it, since that lasts until midnight.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fault::{Action, Vendor};

/// How much of it, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    pub seed: u64,
    /// Calls out of 1,000 that something happens to.
    pub per_mille: u64,
}

const MARKETO: [(u16, &str); 8] = [
    (601, "Access token invalid"),
    (602, "Access token expired"),
    (604, "Request timed out"),
    (606, "Max rate limit '100' exceeded with in '20' secs"),
    (608, "API Temporarily Unavailable"),
    (611, "System error"),
    (615, "Concurrent access limit '10' reached"),
    (713, "Transient Error"),
];

const SALESFORCE: [(u16, &str, &str); 3] = [
    (401, "INVALID_SESSION_ID", "Session expired or invalid"),
    (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"),
    (503, "SERVER_UNAVAILABLE", "Server is unavailable or too busy"),
];

impl Storm {
    /// What happens to the call, if anything. The seed moves with every call, so that the same calls in the same order fare alike.
    pub fn draw(&mut self, vendor: Vendor, path: &str) -> Option<Action> {
        if self.next() % 1000 >= self.per_mille {
            return None;
        }
        let (kind, detail) = (self.next() % 100, self.next());
        Some(match kind {
            0..35 => Action::Delay { ms: 1 + detail % 150 },
            35..45 => Action::Drop,
            45..60 => Action::AppliedButLost,
            60..68 => Action::Truncate { bytes: usize::try_from(detail % 200).unwrap_or(0) },
            68..78 => {
                let status = if detail.is_multiple_of(2) { 502 } else { 503 };
                Action::Answer { status, content_type: "text/html".into(), body: "<h1>Bad Gateway</h1>".into() }
            }
            _ if path.contains("/oauth") => Action::Delay { ms: 1 + detail % 150 },
            _ => own_words(vendor, detail),
        })
    }

    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

fn own_words(vendor: Vendor, detail: u64) -> Action {
    let (status, body) = match vendor {
        Vendor::Marketo => {
            let (code, message) = MARKETO[usize::try_from(detail % 8).unwrap_or(0)];
            let errors = json!([{"code": code.to_string(), "message": message}]);
            (200, json!({"requestId": "e42b#14272d07d78", "success": false, "errors": errors}))
        }
        Vendor::Salesforce => {
            let (status, code, message) = SALESFORCE[usize::try_from(detail % 3).unwrap_or(0)];
            (status, json!([{"message": message, "errorCode": code}]))
        }
    };
    Action::Answer { status, content_type: "application/json;charset=UTF-8".into(), body: body.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_weather() {
        let weather = |seed, per_mille| {
            let mut storm = Storm { seed, per_mille };
            (0..1000).map(|_| storm.draw(Vendor::Marketo, "/rest/v1/leads.json")).collect::<Vec<_>>()
        };
        assert_eq!(weather(7, 100), weather(7, 100));
        assert_ne!(weather(7, 100), weather(8, 100));
        let met = weather(7, 100).into_iter().flatten().count();
        assert!((60..140).contains(&met), "about a tenth: {met}");
        assert_eq!(weather(7, 0).into_iter().flatten().count(), 0);
        let mut storm = Storm { seed: 1, per_mille: 1000 };
        let of_token: Vec<_> =
            (0..500).filter_map(|_| storm.draw(Vendor::Salesforce, "/services/oauth2/token")).collect();
        assert!(!of_token.iter().any(|action| matches!(action, Action::Answer { status: 400 | 401, .. })));
    }
}
