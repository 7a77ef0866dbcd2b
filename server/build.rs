//! Tells the code when it was built, which ZooKeeper's version line says too.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // A build that must be reproducible says which time it is.
    let built_at = env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| {
        #[expect(clippy::disallowed_methods, reason = "a build script decides nothing")]
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        seconds.to_string()
    });
    println!("cargo::rustc-env=QUORATE_BUILT_AT={built_at}");
}
