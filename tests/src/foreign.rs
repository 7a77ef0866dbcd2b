//! Where foreign software is: ZooKeeper's jars, its clients in other languages.
//!
//! `tests/clients/install` puts everything into `target/foreign`; tests themselves never touch the
//! network. A test whose software is missing says so and passes, unless `QUORATE_REQUIRE_FOREIGN=1`
//! demands it, as CI does.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent").to_owned()
}

/// The folder `tests/clients/install` fills.
pub fn home() -> PathBuf {
    root().join("target/foreign")
}

/// The class path of ZooKeeper's release, if it and a Java are installed.
pub fn zookeeper_class_path() -> Option<String> {
    jars("zookeeper")
}

/// The class path of the old release, if it and a Java are installed.
pub fn old_zookeeper_class_path() -> Option<String> {
    jars("zookeeper-3.5")
}

fn jars(release: &str) -> Option<String> {
    let folder = home().join(release);
    let jars = folder.join("jars");
    let complete = folder.join("complete").exists() && runs("java", &["-version"]);
    // The folder itself comes first: it may hold a logging configuration.
    complete.then(|| format!("{0}:{0}/*", jars.display()))
}

/// The class path of Debian's ZooKeeper, if it and a Java are installed.
pub fn debian_zookeeper_class_path() -> Option<String> {
    // It names what it depends on itself, but for a logger to standard error.
    let jar = "/usr/share/java/zookeeper.jar";
    let complete = Path::new(jar).exists() && runs("java", &["-version"]);
    complete.then(|| format!("{jar}:/usr/share/java/slf4j-simple.jar"))
}

/// Whether a command can be run and succeeds.
pub fn runs(program: impl AsRef<Path>, args: &[&str]) -> bool {
    Command::new(program.as_ref()).args(args).output().is_ok_and(|out| out.status.success())
}

/// Passes `found` on; when there is none, says that the test is skipped, or fails if nothing may be.
///
/// # Panics
/// When `QUORATE_REQUIRE_FOREIGN=1` and `found` is `None`.
pub fn require<T>(what: &str, found: Option<T>) -> Option<T> {
    demand(&format!("{what} is not installed (.ci/run does it)"), found)
}

/// As [`require`], for what is missing for another reason: `missing` says all of it.
///
/// # Panics
/// As [`require`].
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn demand<T>(missing: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        assert!(env::var_os("QUORATE_REQUIRE_FOREIGN").is_none_or(|v| v != "1"), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    found
}
