//! Tells the code when it was built, which ZooKeeper's version line says too.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rustc-env=QUORATE_BUILT_AT={}", built_at());
}

/// Seconds since 1970; a build that must be reproducible says them.
fn built_at() -> u64 {
    if let Ok(seconds) = env::var("SOURCE_DATE_EPOCH") {
        return seconds.parse().expect("SOURCE_DATE_EPOCH is a number of seconds");
    }
    #[expect(clippy::disallowed_methods, reason = "a build script decides nothing")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
