//! Finds out by halving for which of many names a read fails, so that the others are read.
//!
//! For reads by name alone, which may be repeated at once. Must not know what is read.

use std::collections::HashMap;
use std::hash::Hash;

use super::sync::may_be_one;
use crate::connector::ConnectorError;

/// Calls in a row that brought nothing, after which it is not one of the names that they fail for.
const IN_VAIN: usize = 12;

/// Why somebody could not be read, and whether that was they alone.
#[derive(Clone)]
pub(super) struct Failure {
    pub error: ConnectorError,
    pub alone: bool,
}

/// What is still to be asked for, and what failed.
pub(super) struct Halves<'a, K> {
    parts: Vec<&'a [K]>,
    in_vain: usize,
    answered: bool,
    failed: HashMap<K, Failure>,
}

impl<'a, K: Clone + Eq + Hash> Halves<'a, K> {
    pub(super) fn of(names: &'a [K]) -> Self {
        let parts = if names.is_empty() { Vec::new() } else { vec![names] };
        Self { parts, in_vain: 0, answered: false, failed: HashMap::new() }
    }

    /// Who is to be asked for next, in one call.
    pub(super) fn next(&mut self) -> Option<&'a [K]> {
        self.parts.pop()
    }

    /// The call for these was answered.
    pub(super) fn answered(&mut self) {
        (self.in_vain, self.answered) = (0, true);
    }

    /// The call for these failed as a whole: its halves are asked for, until one stands alone or nothing is answered any more.
    pub(super) fn failed(&mut self, part: &'a [K], error: &ConnectorError) {
        self.in_vain += 1;
        if part.len() > 1 && self.in_vain < IN_VAIN && may_be_one(error) {
            let (first, second) = part.split_at(part.len() / 2);
            self.parts.extend([second, first]);
            return;
        }
        let failure = Failure { alone: part.len() == 1, error: error.clone() };
        self.failed.extend(part.iter().map(|name| (name.clone(), failure.clone())));
    }

    /// Those who could not be read. Nobody is to blame alone where nothing was answered.
    pub(super) fn end(mut self) -> HashMap<K, Failure> {
        self.failed.values_mut().for_each(|failure| failure.alone &= self.answered);
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Vendor;

    fn refused(code: &str) -> ConnectorError {
        ConnectorError::Refused { vendor: Vendor::Marketo, code: code.to_owned(), message: String::new() }
    }

    /// Who fails, and in how many calls that was found out.
    fn read(names: &[u32], error: &ConnectorError, bad: impl Fn(u32) -> bool) -> (Vec<(u32, bool)>, usize) {
        let (mut halves, mut calls) = (Halves::of(names), 0);
        while let Some(part) = halves.next() {
            calls += 1;
            if part.iter().any(|name| bad(*name)) { halves.failed(part, error) } else { halves.answered() }
        }
        let mut failed: Vec<_> = halves.end().into_iter().map(|(name, failure)| (name, failure.alone)).collect();
        failed.sort_unstable();
        (failed, calls)
    }

    #[test]
    fn one_of_many_is_found_in_few_calls_and_an_outage_is_nobodys_fault() {
        let names: Vec<u32> = (0..300).collect();
        let (failed, calls) = read(&names, &refused("1003"), |name| name == 123);
        assert_eq!(failed, [(123, true)]);
        assert!(calls < 25, "{calls}");
        let (failed, calls) = read(&names, &refused("1003"), |_| true);
        assert_eq!((failed.len(), failed.iter().any(|one| one.1)), (300, false));
        assert!(calls <= 2 * IN_VAIN, "{calls}");
        let held = ConnectorError::RateLimited {
            vendor: Vendor::Marketo,
            detail: String::new(),
            retry_after: std::time::Duration::ZERO,
        };
        assert_eq!(read(&names, &held, |name| name == 123).1, 1, "who says when to come back is not asked again");
        assert_eq!(read(&[], &held, |_| true), (vec![], 0));
    }
}
