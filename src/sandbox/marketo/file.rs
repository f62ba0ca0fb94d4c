//! A file of the bulk API on the wire: whole, or the range of bytes that is asked for.
//!
//! Owns the `Range` header as RFC 9110 has it, for one range. Must not know what is in the file.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

/// The answer: 200 with all of it, 206 with a part, 416 when there is no such part.
pub fn answer(content_type: &'static str, bytes: &[u8], range: Option<&str>) -> Response<Body> {
    let length = bytes.len();
    let wanted = range.and_then(|range| range.strip_prefix("bytes="));
    let (status, part, place) = match wanted.map(|range| span(range, length)) {
        None => (StatusCode::OK, bytes, None),
        Some(Some((first, last))) => {
            (StatusCode::PARTIAL_CONTENT, &bytes[first..=last], Some(format!("bytes {first}-{last}/{length}")))
        }
        Some(None) => (StatusCode::RANGE_NOT_SATISFIABLE, &bytes[..0], Some(format!("bytes */{length}"))),
    };
    let mut response = Response::new(Body::from(part.to_vec()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(place) = place.and_then(|place| HeaderValue::from_str(&place).ok()) {
        headers.insert(header::CONTENT_RANGE, place);
    }
    response
}

/// First and last byte of `0-9`, `725-` or `-100`.
fn span(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.split_once('-')?;
    let end = length.checked_sub(1)?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", count) => (length.saturating_sub(count.parse().ok().filter(|count| *count > 0)?), end),
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.min(end)),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bytes() {
        for (range, expected) in [
            ("0-9", Some((0, 9))),
            ("725-999", Some((725, 999))),
            ("725-", Some((725, 999))),
            ("990-5000", Some((990, 999))),
            ("-100", Some((900, 999))),
            ("-5000", Some((0, 999))),
            ("1000-", None),
            ("9-8", None),
            ("-0", None),
            ("x-9", None),
        ] {
            assert_eq!(span(range, 1000), expected, "{range}");
        }
        assert_eq!(span("0-", 0), None);
    }
}
