//! Cuts a list of values into calls.
//!
//! Owns the arithmetic of addresses: both vendors refuse a long one (Marketo above 8 KB, Salesforce above 16,384 bytes), and
//! percent-encoding triples commas and quotes.

/// Length of a text inside a query string.
pub(super) fn encoded_len(text: &str) -> usize {
    url::form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum()
}

/// Runs of at most `count` values whose encoded lengths, with `overhead` for each value's quotes and comma, stay within
/// `bytes`. A value that is longer than that alone gets a run of its own.
pub(super) fn runs<T: AsRef<str>>(values: &[T], count: usize, bytes: usize, overhead: usize) -> Vec<&[T]> {
    let mut out = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (at, value) in values.iter().enumerate() {
        let size = encoded_len(value.as_ref()) + overhead;
        if at > start && (at - start == count || used + size > bytes) {
            out.push(&values[start..at]);
            (start, used) = (at, 0);
        }
        used += size;
    }
    if start < values.len() {
        out.push(&values[start..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_keep_to_count_and_bytes_and_lose_nothing() {
        let values: Vec<String> = (0..1000).map(|n| format!("p{n}@example.com")).collect();
        let cut = runs(&values, 300, 2000, 3);
        assert!(cut.iter().all(|run| run.len() <= 300));
        assert!(cut.iter().all(|run| run.iter().map(|v| encoded_len(v) + 3).sum::<usize>() <= 2000));
        assert_eq!(cut.concat(), values);
        assert_eq!(encoded_len("a@b"), 5);
    }

    #[test]
    fn full_runs_are_used_before_a_new_one_begins() {
        let values: Vec<String> = (0..601).map(|n| n.to_string()).collect();
        assert_eq!(runs(&values, 300, 8000, 3).iter().map(|r| r.len()).collect::<Vec<_>>(), [300, 300, 1]);
        assert!(runs::<String>(&[], 300, 8000, 3).is_empty());
    }
}
