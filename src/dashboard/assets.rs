//! Files that pages refer to, embedded.
//!
//! Owns their names and how long browsers keep them. `assets/VENDORED.md` says where the foreign ones are from.

use std::fmt::Write;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const FILES: [(&str, &str, &str); 5] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("dashboard.js", "text/javascript; charset=utf-8", include_str!("assets/dashboard.js")),
    ("htmx.min.js", "text/javascript; charset=utf-8", include_str!("assets/htmx.min.js")),
    ("uPlot.iife.min.js", "text/javascript; charset=utf-8", include_str!("assets/uPlot.iife.min.js")),
    ("uPlot.min.css", "text/css; charset=utf-8", include_str!("assets/uPlot.min.css")),
];

/// Of all files together: a new build is asked for anew.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut context = digest::Context::new(&digest::SHA256);
    FILES.iter().for_each(|(.., text)| context.update(text.as_bytes()));
    hex(&context.finish().as_ref()[..6])
});

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The address of a file.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{name}?v={}", *VERSION)
}

pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let Some((_, kind, text)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, *text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_files_are_those_that_are_noted() {
        let notes = include_str!("assets/VENDORED.md");
        for (name, _, text) in FILES.iter().filter(|(name, ..)| name.contains(".min.")) {
            let hash = hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
            assert!(notes.contains(&hash), "{name} has the SHA-256 {hash}, which assets/VENDORED.md does not have");
        }
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for (name, _, text) in FILES.iter().filter(|(name, ..)| !name.contains(".min.")) {
            assert!(!text.contains("https://") && !text.contains("@import"), "{name}");
        }
    }
}
