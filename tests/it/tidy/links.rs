//! Links within the documents: the part after `#` has to be a heading of the page that the link names.
//!
//! That the page itself is there is another rule. Headings become anchors as on the usual hosts: lower case, spaces to dashes,
//! anything but letters, digits, dashes and underscores left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The lines of a document that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !(code || fence)
    })
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    headings.map(anchor).collect()
}

/// `docs/guides/../concepts.md` is `docs/concepts.md`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Links to headings that are not there, in documents by their paths.
pub fn dead_anchors(documents: &[(String, String)]) -> Vec<String> {
    let known: BTreeMap<&str, BTreeSet<String>> =
        documents.iter().map(|(file, text)| (file.as_str(), anchors(text))).collect();
    let mut dead = Vec::new();
    for (file, text) in documents {
        let dir = Path::new(file).parent().unwrap_or(Path::new(""));
        for line in prose(text) {
            let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
            for (page, heading) in links.filter(|link| !link.contains(':')).filter_map(|link| link.split_once('#')) {
                let target = if page.is_empty() { PathBuf::from(file) } else { plain(&dir.join(page)) };
                let target = target.to_str().unwrap_or_default();
                if !known.get(target).is_some_and(|anchors| anchors.contains(heading)) {
                    dead.push(format!("{file}: {page}#{heading} leads to no heading"));
                }
            }
        }
    }
    dead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_heading_that_is_gone_is_found() {
        let page = |file: &str, text: &str| (file.to_owned(), text.to_owned());
        let documents = [
            page(
                "docs/a.md",
                "# What `it` is, said\n```\n# no heading\n```\n[here](#what-it-is-said) [x](#no-heading)",
            ),
            page("docs/guides/b.md", "[a](../a.md#what-it-is-said) [b](../a.md#gone) [w](https://a.b/c#d) [c](c.md#x)"),
        ];
        assert_eq!(
            dead_anchors(&documents),
            [
                "docs/a.md: #no-heading leads to no heading",
                "docs/guides/b.md: ../a.md#gone leads to no heading",
                "docs/guides/b.md: c.md#x leads to no heading",
            ]
        );
    }
}
