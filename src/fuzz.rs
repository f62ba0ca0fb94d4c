//! Samples broken on purpose, for whatever reads bytes from outside.
//!
//! Owns the samples (`tests/corpus/fuzz`, beside recorded answers in `tests/fixtures`), how they are broken, and how often: a few
//! thousand times in every run of the tests, `FUZZ=n` for n times. Each input that was found to break something stays among the
//! samples, and they are all read as they are first. A failing input is made as small as it gets before it is shown.

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::domain::clock::Clock;

/// Inputs of each reader in every run.
const USUALLY: u32 = 2_000;
/// Longest input: beyond that only time is found.
const LONGEST: usize = 256 * 1024;
/// No input may keep a reader for this long, on a machine that does something else as well.
const SOON: Duration = Duration::from_secs(10);

/// What means something to one reader or another.
const PIECES: [&[u8]; 44] = [
    b"\"",
    b"\"\"",
    b"{{",
    b"}}",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"true",
    b"1e999",
    b"-1",
    b"9223372036854775808",
    b"18446744073709551616",
    b"00000000000000000000",
    b"<",
    b"</",
    b"/>",
    b">",
    b"&#0;",
    b"&amp;",
    b"&a;",
    b"<![CDATA[",
    b"<!DOCTYPE a [<!ENTITY a \"b\">]>",
    b"<?xml?>",
    b"xmlns:a=\"b\"",
    b"\xc3",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
    b"\r\n",
    b"'",
    b"(",
    b")",
    b" AND ",
    b" OR ",
    b"v1,",
    b"=",
    b"%",
];

/// One way of breaking: what, where, how much, with what.
type Break = (u8, Index, u8, Index, u8);

fn broken(mut bytes: Vec<u8>, others: &[Vec<u8>], breaks: &[Break]) -> Vec<u8> {
    for (what, at, length, piece, byte) in breaks {
        let at = at.index(bytes.len() + 1);
        let to = (at + usize::from(*length)).min(bytes.len());
        match what {
            0 => drop(bytes.drain(at..to)),
            1 | 2 => drop(bytes.splice(at..at, PIECES[piece.index(PIECES.len())].iter().copied())),
            3 => bytes.truncate(at),
            4 => {
                // Over and over: what nests, or has to be looked for among its like.
                let part = bytes[at..to].repeat(usize::from(*byte) * 4);
                drop(bytes.splice(at..at, part));
            }
            5 => {
                let other = &others[piece.index(others.len())];
                let from = usize::from(*byte) * other.len() / 256;
                let until = (from + usize::from(*length) * 4).min(other.len());
                drop(bytes.splice(at..to, other[from..until].iter().copied()));
            }
            6 => bytes[at..to].iter_mut().for_each(|found| *found ^= byte),
            _ => {
                if let Some(found) = bytes.get_mut(at) {
                    *found = *byte;
                }
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

/// Shown so that it can be put among the samples.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// The samples of a reader, by the folders that have them.
fn samples(folders: &[&str]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for folder in folders {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        files.sort();
        found.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
    }
    assert!(!found.is_empty(), "no samples in {folders:?}");
    found
}

/// Hands broken samples to `read`, which panics where something is wrong and says whether it took the input. Were all refused,
/// nothing behind the first check would have been tried.
#[expect(clippy::print_stdout, reason = "how often is the result of a fuzzer")]
pub(crate) fn fuzz(reader: &str, folders: &[&str], read: impl Fn(&[u8]) -> bool) {
    let samples = samples(folders);
    let clock = Clock::system();
    let (count, taken) = (Cell::new(0_u64), Cell::new(0_u64));
    let one = |bytes: &[u8]| {
        let began = clock.monotonic();
        count.set(count.get() + 1);
        taken.set(taken.get() + u64::from(read(bytes)));
        let took = clock.monotonic() - began;
        assert!(took < SOON, "{reader} took {took:?} for {} bytes", bytes.len());
    };
    samples.iter().for_each(|sample| one(sample));
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let config = Config {
        cases: number("FUZZ").unwrap_or(USUALLY),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number("FUZZ_SEED").unwrap_or(20_261_127).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let one_break = (0..8_u8, any::<Index>(), any::<u8>(), any::<Index>(), any::<u8>());
    let input = (any::<Index>(), vec(one_break, 0..6)).prop_map(|(sample, breaks)| {
        let sample = samples[sample.index(samples.len())].clone();
        Input(broken(sample, &samples, &breaks))
    });
    let outcome = runner.run(&input, |Input(bytes)| {
        one(&bytes);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{reader}: {error}");
    }
    println!("{reader}: {} executions, {} taken", count.get(), taken.get());
    assert!(taken.get() > 0, "{reader} has taken nothing");
}

mod answers;
mod readers;
