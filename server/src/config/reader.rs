//! Reads typed values out of what was written, and collects what is wrong with it.
//!
//! A wrong value does not end the reading: its default stands in, so that one start-up reports
//! everything there is to repair.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use super::keys::{self, Standing};
use super::value::Expected;
use super::written::{Entry, Origin, Written};

/// One thing that keeps the server from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written; `None` for what should have been and was not.
    pub origin: Option<Origin>,
    /// The key.
    pub key: String,
    /// The value, unless it is secret.
    pub value: Option<String>,
    /// What is wrong, or what was expected.
    pub what: Cow<'static, str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, "={value}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What an operator should read once the log is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Something probably not meant.
    Warning(String),
    /// Something that is as it should be, yet without effect.
    Info(String),
}

/// Reads values by key.
pub(super) struct Reader<'a> {
    written: &'a Written,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<Note>,
    /// The keys of the table that were read.
    read: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    /// Judges all that was written by the table of keys; what is honoured is left to be read.
    pub(super) fn new(written: &'a Written) -> Self {
        let notes = written.warnings.iter().cloned().map(Note::Warning).collect();
        let mut reader = Self { written, problems: Vec::new(), notes, read: BTreeSet::new() };
        let mut entries: Vec<_> = written.iter().collect();
        entries.sort_by_key(|(_, entry)| &entry.origin);
        for (name, entry) in entries {
            reader.judge(name, entry);
        }
        reader
    }

    fn judge(&mut self, name: &str, entry: &Entry) {
        let origin = &entry.origin;
        let Some(key) = keys::find(name) else {
            let nearest = keys::nearest(name)
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            let note = format!("{origin}: unknown key {name} has no effect{nearest}");
            self.notes.push(Note::Warning(note));
            return;
        };
        match key.standing {
            Standing::Honoured => {}
            Standing::NoEffect => {
                let note = format!("{origin}: {name} has no effect: {}", key.text);
                self.notes.push(Note::Info(note));
            }
            Standing::NotBuilt(harmless) => {
                if !harmless.iter().any(|value| value.eq_ignore_ascii_case(&entry.value)) {
                    let remedy = match harmless.first() {
                        Some(value) => format!("{}; remove the key or set it to {value}", key.text),
                        None => format!("{}; remove the key", key.text),
                    };
                    self.problem(name, remedy);
                }
            }
        }
    }

    /// The value of a key that has a default.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> T {
        let default = keys::find(name).expect("a key of the table").default;
        self.optional(name, &parse)
            .unwrap_or_else(|| parse(default).expect("the table's defaults are valid"))
    }

    /// The value of a key, if it was written and can be read.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        self.read.insert(name);
        let text = &self.written.get(name)?.value;
        parse(text).map_err(|expected| self.problem(name, format!("expected {expected}"))).ok()
    }

    /// What was written for the names of a family: the part of the name behind the family's, and
    /// the value.
    pub(super) fn family(&mut self, name: &'static str) -> Vec<(&'a str, &'a str)> {
        self.read.insert(name);
        let family = keys::find(name).and_then(keys::Key::family).expect("a family of the table");
        self.written
            .iter()
            .filter_map(|(key, entry)| Some((key.strip_prefix(family)?, entry.value.as_str())))
            .collect()
    }

    /// What is wrong, in the order in which it was written, and what was noted.
    pub(super) fn into_problems(mut self) -> (Vec<Problem>, Vec<Note>) {
        self.problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        (self.problems, self.notes)
    }

    /// Whether the key was written at all.
    pub(super) fn is_written(&self, name: &str) -> bool {
        self.written.get(name).is_some()
    }

    /// Reports what is wrong with a key's value, or with its absence.
    pub(super) fn problem(&mut self, key: &str, what: impl Into<Cow<'static, str>>) {
        let entry = self.written.get(key);
        let value = entry.map(|entry| keys::shown(key, &entry.value).to_owned());
        let origin = entry.map(|entry| entry.origin.clone());
        self.problems.push(Problem { origin, key: key.to_owned(), value, what: what.into() });
    }

    /// Reports something probably not meant.
    pub(super) fn warn(&mut self, warning: String) {
        self.notes.push(Note::Warning(warning));
    }

    /// The keys of the table that are called honoured and that nobody read.
    #[cfg(test)]
    pub(super) fn unread(&self) -> Vec<&'static str> {
        keys::all()
            .filter(|key| key.standing == Standing::Honoured && !self.read.contains(key.name))
            .map(|key| key.name)
            .collect()
    }
}
