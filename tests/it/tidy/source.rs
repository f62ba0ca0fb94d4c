//! Just enough of Rust's grammar to read sources: comments and literals away, paths resolved, use trees spread out.
//!
//! Owns no rule. Macros are read as they are written, not expanded.

/// The code with comments and the contents of literals blanked; lines stay where they were.
pub fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn skipped(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    let found = |from: usize, end: &[char]| {
        let hit = rest[from..].windows(end.len()).position(|window| window == end);
        at + hit.map_or(rest.len(), |hit| from + hit + end.len())
    };
    match rest {
        ['/', '/', ..] => found(2, &['\n']) - usize::from(rest.contains(&'\n')),
        ['/', '*', ..] => found(2, &['*', '/']),
        ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] if !in_word => {
            let start = 1 + usize::from(rest[0] == 'b');
            let hashes = rest[start..].iter().take_while(|c| **c == '#').count();
            // `r#type` is an identifier.
            if rest.get(start + hashes) != Some(&'"') {
                return at;
            }
            let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            found(start + hashes + 1, &end)
        }
        ['"', ..] => at + closed(rest, '"'),
        // A character, and not a lifetime.
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => at + closed(rest, '\''),
        _ => at,
    }
}

/// Length of a literal with escapes, quotes included.
fn closed(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += 1 + usize::from(rest[at] == '\\');
    }
    (at + 1).min(rest.len())
}

/// The code without its test module, which by convention is the last item of a file.
pub fn without_tests(code: &str) -> &str {
    let mut from = 0;
    while let Some(hit) = code[from..].find("#[cfg(test)]") {
        let at = from + hit;
        from = at + "#[cfg(test)]".len();
        if code[from..].trim_start().starts_with("mod ") {
            return &code[..at];
        }
    }
    code
}

/// Identifiers, `::`, and single characters of anything else.
pub fn tokens(code: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        out.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    out
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Every path that is named, from the crate's root or a foreign crate: `crate::store::Store`, `sqlx::query`.
///
/// `file` is relative to the package, and tells what `self` and `super` are.
pub fn paths(file: &str, code: &str) -> Vec<Vec<String>> {
    let module = module_of(file);
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let continues = at > 1 && tokens[at - 1] == "::" && (is_word(tokens[at - 2]) || tokens[at - 2] == ">");
        // `use<>` in a return type is no import.
        if tokens[at] == "use" && tokens.get(at + 1) != Some(&"<") {
            at = use_tree(&tokens, at + 1, &[], &mut found);
        } else if is_word(tokens[at]) && tokens.get(at + 1) == Some(&"::") && !continues {
            let mut path = vec![tokens[at].to_owned()];
            while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|next| is_word(next)) {
                path.push(tokens[at + 2].to_owned());
                at += 2;
            }
            found.push(path);
            at += 1;
        } else {
            at += 1;
        }
    }
    found.into_iter().filter(|path| !path.is_empty()).map(|path| resolved(&module, path)).collect()
}

/// Spreads `a::{b, c::d}` into its leaves; returns where the tree ends.
fn use_tree(tokens: &[&str], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    while at < tokens.len() {
        match tokens[at] {
            "{" => {
                at += 1;
                while at < tokens.len() && !matches!(tokens[at], "}" | ";") {
                    at = use_tree(tokens, at, &path, found);
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            "as" => at += 2,
            "," | "}" | ";" => break,
            word => {
                if is_word(word) && (word != "self" || path.is_empty()) {
                    path.push(word.to_owned());
                }
                at += 1;
            }
        }
    }
    found.push(path);
    at
}

/// `src/store/outbox.rs` is `crate::store::outbox`; what is not in `src/` is a crate of its own.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or_default().trim_end_matches(".rs");
    let parts = inner.split('/').filter(|part| !matches!(*part, "" | "mod" | "lib" | "main"));
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

fn resolved(module: &[String], path: Vec<String>) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "super" => [&module[..module.len().saturating_sub(ups).max(1)], &path[ups..]].concat(),
        "self" => [module, &path[1..]].concat(),
        "campaign_sync" => [&["crate".to_owned()][..], &path[1..]].concat(),
        _ => path,
    }
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = "a /* sqlx */ \"sqlx\\\"\" r#\"sq\"lx\"# '\"' b'\\'' // sqlx\nfn f<'a>(r: &'a str, r#type: u8) {}";
    let code = code(text);
    assert!(!code.contains("sqlx") && !code.contains("lx"), "{code}");
    assert!(code.contains("\nfn f<'a>(r: &'a str, r#type: u8) {}"), "{code}");
}

#[test]
fn paths_are_found_in_uses_and_in_place() {
    let code =
        "pub use crate::{store::{self, Store as S}, http}; use super::super::worker; use ::axum; use {super::x as y};
        fn f() -> impl Iterator + use<> { sqlx::query::<Db>(self::x::y); Vec::<u8>::new(); a.await; <T as b::C>::d() }";
    let found: Vec<String> = paths("src/connector/marketo.rs", code).iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::store",
        "crate::store::Store",
        "crate::http",
        "crate::worker",
        "axum",
        "crate::connector::x",
        "sqlx::query",
        "crate::connector::marketo::x::y",
        "Vec",
        "b::C",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_test_module_is_not_part_of_the_product() {
    let code = "#[cfg(test)]\nuse a::b;\nfn f() {}\n#[cfg(test)]\nmod tests {}";
    assert_eq!(without_tests(code), "#[cfg(test)]\nuse a::b;\nfn f() {}\n");
}
