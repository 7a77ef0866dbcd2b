//! The files in which operators find the servers of an ensemble whose configuration changes.
//!
//! As ZooKeeper leaves them, so that either kind of server can be started from what the other has
//! left: `<file>.dynamic.<version>` has the configuration in force, `<file>.dynamic.next` one that
//! may come, and the file itself says in `dynamicConfigFile` which one counts. They are a copy: what
//! counts for a server with data is its log.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::properties;
use crate::zab::{Configs, Configuration, ServerId};

/// Makes the files say what these configurations say.
///
/// # Errors
/// When one of them cannot be written; the message names it.
pub fn write(file: &Path, me: ServerId, configs: &Configs) -> io::Result<()> {
    let in_force = configs.in_force();
    // Compat: what comes from the file itself stays there until it has a version.
    if in_force.version > 0 {
        let dynamic = beside(file, &format!(".dynamic.{:x}", in_force.version));
        let lines = lines_of(in_force);
        if fs::read_to_string(&dynamic).ok().as_ref() != Some(&lines) {
            replace(&dynamic, &lines)?;
        }
        edit(file, &dynamic, in_force, me)?;
    }
    let next = beside(file, ".dynamic.next");
    match configs.last_seen() {
        // Compat: this one keeps its version.
        Some(last_seen) => replace(&next, &format!("{last_seen}\n")),
        None => match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(&next, &error)),
            _ => Ok(()),
        },
    }
}

/// The lines of a configuration without its version, which is in the file's name.
fn lines_of(configuration: &Configuration) -> String {
    let text = configuration.to_string();
    let lines = text.split_inclusive('\n').filter(|line| !line.starts_with("version="));
    lines.collect()
}

/// Has the file name the dynamic one, and say nothing itself of what is in there.
fn edit(file: &Path, dynamic: &Path, in_force: &Configuration, me: ServerId) -> io::Result<()> {
    let text = fs::read_to_string(file).map_err(|error| named(file, &error))?;
    let has_client = in_force.servers.get(&me).is_some_and(|own| own.client.is_some());
    let Some(edited) = edited(&text, dynamic, has_client) else { return Ok(()) };
    let names_one = text.lines().any(|line| line.trim_start().starts_with("dynamicConfigFile"));
    if !names_one {
        // Compat: what an operator has written himself is kept.
        replace(&beside(file, ".bak"), &text)?;
    }
    replace(file, &edited)
}

/// The file's text as it is to be; `None` if it is so.
fn edited(text: &str, dynamic: &Path, has_client: bool) -> Option<String> {
    let is_moved = |key: &str| {
        let of_clients = has_client && matches!(key, "clientPort" | "clientPortAddress");
        let families = ["server.", "group.", "weight."];
        let of_servers = families.iter().any(|family| key.starts_with(family));
        of_clients || of_servers || matches!(key, "version" | "peerType" | "dynamicConfigFile")
    };
    let reference = format!("dynamicConfigFile={}", dynamic.display());
    let properties = properties::parse(text.as_bytes()).unwrap_or_default();
    let mut moved = properties.iter().filter(|property| is_moved(&property.key)).peekable();
    let is_so = text.lines().any(|line| line == reference)
        && properties.iter().filter(|property| is_moved(&property.key)).count() == 1;
    if is_so {
        return None;
    }
    let mut edited = String::new();
    let mut is_left_out = false;
    for (line, number) in text.lines().zip(1..) {
        let continues = std::mem::take(&mut is_left_out);
        let begins = moved.next_if(|property| property.line == number).is_some();
        if begins || continues {
            is_left_out = line.ends_with('\\');
        } else {
            edited.push_str(line);
            edited.push('\n');
        }
    }
    Some(edited + &reference + "\n")
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a file as a whole, or leaves it as it is.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let write = || {
        let temporary = beside(path, ".tmp");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# ours\ntickTime=200\nclientPort=2181\nserver.1=a:1:2\nserver.2=b:1:2\n";

    #[test]
    fn the_file_names_the_dynamic_one_and_keeps_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zoo.cfg");
        fs::write(&file, OLD).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
        let first = Configuration::parse("server.1=a:1:2\nserver.2=b:1:2").unwrap();

        write(&file, ServerId(1), &Configs::new(first.clone(), true)).unwrap();
        assert_eq!(read("zoo.cfg").unwrap(), OLD, "it has no version yet");

        let text = "server.1=a:1:2:participant;2181\nserver.2=b:1:2:participant\n";
        let next = Configuration::parse(&format!("{text}version=10000000a")).unwrap();
        let mut configs = Configs::new(first, true);
        configs.told(&next);
        write(&file, ServerId(1), &configs).unwrap();
        assert_eq!(read("zoo.cfg.dynamic.next").unwrap(), format!("{next}\n"));

        configs.activate();
        for _ in 0..2 {
            write(&file, ServerId(1), &configs).unwrap();
            let name = folder.path().join("zoo.cfg.dynamic.10000000a");
            let edited = format!("# ours\ntickTime=200\ndynamicConfigFile={}\n", name.display());
            assert_eq!(read("zoo.cfg").unwrap(), edited);
            let lines = text.replace(";2181", ";0.0.0.0:2181");
            assert_eq!(read("zoo.cfg.dynamic.10000000a").unwrap(), lines);
            assert_eq!(read("zoo.cfg.bak").unwrap(), OLD);
            assert_eq!(read("zoo.cfg.dynamic.next"), None);
        }
    }

    #[test]
    fn lines_that_go_on_go_as_a_whole() {
        let text = "server.1=a:\\\n  1:2\ninitLimit=\\\n5\nversion=3\n";
        let edited = edited(text, Path::new("/x"), false).unwrap();
        assert_eq!(edited, "initLimit=\\\n5\ndynamicConfigFile=/x\n");
    }
}
