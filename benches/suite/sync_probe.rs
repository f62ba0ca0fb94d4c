//! What the disk takes to keep eight kilobytes: the least that any durable answer waits for.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

const BYTES: usize = 8_192;
/// Within a file that is there, as a log is that was emptied.
const PLACES: u64 = 256;

/// Milliseconds of so many syncs, one after the other, in a file of this directory.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn syncs(dir: &Path, count: usize) -> Vec<f64> {
    let path = dir.join("synced");
    let file = File::options().create(true).truncate(false).write(true).open(&path).unwrap();
    for place in 0..PLACES {
        file.write_all_at(&[0; BYTES], place * BYTES as u64).unwrap();
    }
    file.sync_all().unwrap();
    let mut millis = Vec::with_capacity(count);
    for n in 0..count {
        let bytes = [u8::try_from(n % 251).unwrap(); BYTES];
        let started = Instant::now();
        file.write_all_at(&bytes, (n as u64 % PLACES) * BYTES as u64).unwrap();
        file.sync_data().unwrap();
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    millis
}
