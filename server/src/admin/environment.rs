//! What the server is and where it runs: its version, and the answer to `envi`.

use std::env;
use std::ffi::CStr;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::{process, system};

/// The release of ZooKeeper whose behaviour this server has; clients make decisions on it.
pub const ZOOKEEPER_VERSION: &str = "3.9.5";

/// What `envi` says of what is not there or cannot be found out, as ZooKeeper does.
const NOT_AVAILABLE: &str = "<NA>";

/// The version in ZooKeeper's form, as in `3.9.5-quorate-0.1.0, built on 2026-11-21 08:40 UTC`.
pub fn full_version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let built = env!("QUORATE_BUILT_AT").parse().expect("the build script wrote a number");
        let built = Timestamp::from_second(built).unwrap_or(Timestamp::UNIX_EPOCH);
        let (own, built) = (env!("CARGO_PKG_VERSION"), built.strftime("%Y-%m-%d %H:%M UTC"));
        format!("{ZOOKEEPER_VERSION}-quorate-{own}, built on {built}")
    });
    &VERSION
}

/// Where the server runs, as found when it started.
#[derive(Debug, Clone)]
pub struct Environment {
    /// What `envi` answers, in its order, but for the memory.
    entries: Vec<(&'static str, String)>,
    /// In which dates are shown.
    pub(super) time_zone: TimeZone,
}

impl Environment {
    /// Looks at the process and the system.
    ///
    /// Compat: the keys are ZooKeeper's, so that what parses its answer parses ours. There is
    /// nothing to say for those of the Java virtual machine.
    pub fn collect() -> Self {
        let uname = system::uname();
        let text = |text: &CStr| text.to_string_lossy().into_owned();
        let path = |path: Option<PathBuf>| {
            path.map_or_else(not_available, |path| path.to_string_lossy().into_owned())
        };
        let entries = vec![
            ("zookeeper.version", full_version().to_owned()),
            ("host.name", text(uname.nodename())),
            ("java.version", not_available()),
            ("java.vendor", not_available()),
            ("java.home", not_available()),
            ("java.class.path", not_available()),
            ("java.library.path", not_available()),
            ("java.io.tmpdir", path(Some(env::temp_dir()))),
            ("java.compiler", not_available()),
            ("os.name", text(uname.sysname())),
            ("os.arch", text(uname.machine())),
            ("os.version", text(uname.release())),
            ("user.name", user_name()),
            ("user.home", env::var("HOME").unwrap_or_else(|_| not_available())),
            ("user.dir", path(env::current_dir().ok())),
        ];
        Self { entries, time_zone: TimeZone::system() }
    }

    /// What `envi` answers, with the memory as it is now.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (*key, value.as_str()))
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self {
            entries: vec![("zookeeper.version", "3.9.5-x".to_owned()), ("os.name", "Linux".into())],
            time_zone: TimeZone::UTC,
        }
    }
}

/// The system's memory, in the form of `envi`: free, most that can be had, and all there is.
pub(super) fn memory() -> [String; 3] {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    ["MemFree", "MemAvailable", "MemTotal"].map(|wanted| {
        info.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| *name == wanted)
            .and_then(|(_, value)| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .map_or_else(not_available, |kib| format!("{}MB", kib >> 10))
    })
}

/// The name of the user the process runs as, from the list of users; else what it was started
/// with.
fn user_name() -> String {
    let id = process::getuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    name.or_else(|| env::var("USER").ok()).unwrap_or(id)
}

fn not_available() -> String {
    NOT_AVAILABLE.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_has_the_form_that_clients_parse() {
        let version = full_version();
        // kazoo takes the digits and dots at the beginning.
        let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap();
        assert_eq!(&version[..end], "3.9.5");
        let (name, date) = version.split_once(", built on ").unwrap();
        assert_eq!(name, concat!("3.9.5-quorate-", env!("CARGO_PKG_VERSION")));
        let shape: String =
            date.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99 99:99 UTC");
    }

    #[test]
    fn the_environment_has_the_keys_of_zookeeper() {
        let environment = Environment::collect();
        let keys: Vec<_> = environment.entries().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 15);
        assert!(environment.entries().all(|(_, value)| !value.contains('\n')));
    }
}
