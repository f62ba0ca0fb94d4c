//! Marketo's logs: activities, and deletions in a list of their own.
//!
//! Owns the tokens. A poll begins where the one before it began to end: rows that became visible behind the token meanwhile are seen once
//! more, and known by their ids. Must not know what a hint comes to.

use serde::{Deserialize, Serialize};

use super::stream::Stream;
use super::{Look, Page, Poller, Progress, read_place, write_place};
use crate::connector::ConnectorError;
use crate::connector::changes::{Activity, MarketoChange};
use crate::domain::hint::{DeliveredHint, Hint};
use crate::store::StoreError;
use crate::store::polls::Poll;

/// Tokens of Marketo.
#[derive(Debug, Deserialize, Serialize)]
struct Place {
    /// To ask with.
    next: String,
    /// To begin the following poll with.
    then: String,
}

impl Poller {
    pub(super) async fn look_at_marketo(&self, stream: Stream, poll: &Poll) -> Result<Look, StoreError> {
        if !self.store.is_any_program_mapped().await? {
            return Ok(Look::Idle);
        }
        let place = match read_place::<Place>(poll.place.as_deref())? {
            Some(place) => place,
            None => match self.marketo.log_place(self.first_place()).await {
                Ok(token) => Place { next: token.clone(), then: token },
                Err(error) => return Ok(Look::Failed { error, place: None }),
            },
        };
        let page = match stream {
            Stream::MarketoDeletions => self.marketo.deletions(&place.next).await,
            _ => self.marketo.activities(&place.next).await,
        };
        let page = match page {
            Ok(page) => page,
            Err(error) if poll.covered_at.is_some() && is_refused_token(&error) => {
                return Ok(Look::Lost(error.to_string()));
            }
            Err(error) => return Ok(Look::Failed { error, place: None }),
        };
        let stuck = page.next == place.next && page.rows.is_empty();
        let (state, place) = match page.more {
            true => {
                let state = if stuck { Progress::Stuck } else { Progress::More };
                (state, Place { next: page.next, then: place.then })
            }
            false => (Progress::End, Place { next: place.then, then: page.next }),
        };
        let found = page.rows.into_iter().flat_map(hints).collect();
        Ok(Look::Page(Page { found, place: write_place(&place)?, state }))
    }
}

/// Whether Marketo does not take the token; which code it says so with is not documented. What is said of data is about the token, since
/// nothing else is sent; a permission or a path that is missing is not.
fn is_refused_token(error: &ConnectorError) -> bool {
    matches!(error, ConnectorError::Refused { code, .. } if code.len() == 4 || code.starts_with('7'))
}

/// Who is to be looked at because of a row.
fn hints(row: Activity) -> Vec<DeliveredHint> {
    let hints = match row.change {
        // Changes to the same status are logged, and change nothing.
        MarketoChange::Member { old, new, .. } if old == new => Vec::new(),
        MarketoChange::Member { program, person, new, .. } => {
            vec![Hint::ProgramMember { program_id: program, marketo_id: person, removed: new.is_none(), status: new }]
        }
        // The winner may have got the loser's memberships, without a row for any.
        MarketoChange::Merged { winner, losers } => {
            losers.into_iter().chain([winner]).map(|marketo_id| Hint::MarketoPerson { marketo_id }).collect()
        }
        MarketoChange::Deleted { person } => vec![Hint::MarketoPerson { marketo_id: person }],
    };
    let numbered = (0_u32..).zip(hints);
    numbered.map(|(position, hint)| DeliveredHint { delivery_id: row.guid.clone(), position, hint }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Vendor;

    #[test]
    fn rows_become_hints_but_for_those_that_changed_nothing() {
        let status = |text: &str| Some(text.to_owned());
        let of = |change| hints(Activity { guid: Some("7".to_owned()), change });
        let member = |old, new| MarketoChange::Member { program: 1, person: 2, old, new };
        assert!(of(member(status("Attended"), status("Attended"))).is_empty());
        let joined = of(member(None, status("Attended")));
        let expected = Hint::ProgramMember { program_id: 1, marketo_id: 2, removed: false, status: status("Attended") };
        assert_eq!((joined.len(), &joined[0].hint, joined[0].delivery_id.as_deref()), (1, &expected, Some("7")));
        let left = of(member(status("Attended"), None));
        assert!(matches!(left[0].hint, Hint::ProgramMember { removed: true, status: None, .. }));
        let merged = of(MarketoChange::Merged { winner: 1, losers: vec![5, 6] });
        let people: Vec<_> = merged.iter().map(|row| (row.position, row.hint.clone())).collect();
        assert_eq!(people, [(0, 5), (1, 6), (2, 1)].map(|(n, marketo_id)| (n, Hint::MarketoPerson { marketo_id })));
    }

    #[test]
    fn a_missing_permission_is_no_refused_token() {
        let refused = |code: &str| ConnectorError::Refused {
            vendor: Vendor::Marketo,
            code: code.to_owned(),
            message: String::new(),
        };
        assert!(["1003", "1001", "702"].iter().all(|code| is_refused_token(&refused(code))));
        assert!(["603", "610", "605"].iter().all(|code| !is_refused_token(&refused(code))));
    }
}
