//! What a command says: text, tables, JSON or YAML, to a terminal or to a program.

mod data;
pub(crate) mod escape;
mod hexdump;
mod json;
mod stat;

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use anstyle::Style;
use comfy_table::{Table, presets};
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use quorate_client::Stat;
use serde::Serialize;

pub(crate) use self::{data::DataView, hexdump::hexdump, stat::StatView};

/// In which form answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people: zkCli's lines for its commands, tables for what lists.
    Table,
    /// A JSON document.
    Json,
    /// A YAML document.
    Yaml,
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colours {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Something that is listed: a row of a table, an object in a document.
pub(crate) trait Row: Serialize {
    /// The table's header.
    const HEADER: &'static [&'static str];

    /// The cells, as many as the header has.
    fn cells(&self) -> Vec<String>;
}

/// Where answers go. Clones write to the same place.
#[derive(Clone)]
pub(crate) struct Screen {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    terminal: bool,
    colours: bool,
    format: Format,
    zone: TimeZone,
}

impl Screen {
    /// Standard output.
    pub(crate) fn stdout(format: Format, colours: Colours) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let colours = match colours {
            Colours::Auto => anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
            Colours::Always => true,
            Colours::Never => false,
        };
        let out: Box<dyn Write + Send> = Box::new(io::BufWriter::new(stdout));
        let zone = TimeZone::system();
        Self { out: Arc::new(Mutex::new(out)), terminal, colours, format, zone }
    }

    /// The same in another form.
    pub(crate) fn with_format(&self, format: Option<Format>) -> Self {
        Self { format: format.unwrap_or(self.format), ..self.clone() }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether a person sees it, so that what controls a terminal must not reach it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Text with a style, if there are colours.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Writes text as it is.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut out = self.out.lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.out.lock().write_all(bytes)
    }

    /// Brings everything to the reader.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.out.lock().flush()
    }

    /// Writes zkCli's lines of a `Stat`.
    pub(crate) fn stat(&self, stat: &Stat) -> io::Result<()> {
        self.text(&stat::stat_lines(stat, &self.zone))
    }

    /// Writes rows: as a table without rules, or as a list in a document.
    pub(crate) fn rows<R: Row>(&self, rows: &[R]) -> io::Result<()> {
        self.answer(&rows, |screen| {
            let mut table = Table::new();
            table.load_style(presets::NOTHING).set_header(R::HEADER.iter().copied());
            for row in rows {
                table.add_row(row.cells());
            }
            for column in table.column_iter_mut() {
                column.set_padding((0, 2));
            }
            for line in table.lines() {
                screen.line(line.trim_end())?;
            }
            Ok(())
        })
    }

    /// Writes an answer: by `text` for people, as a document otherwise.
    pub(crate) fn answer(
        &self,
        document: &impl Serialize,
        text: impl FnOnce(&Self) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => text(self),
            Format::Json => self.line(&json::pretty(document)?),
            Format::Yaml => self.text(&yaml(document)?),
        }
    }

    /// Writes one of many items that come over time: by `text` for people, as a line of JSON or a
    /// document of a YAML stream otherwise. It is brought to the reader at once.
    pub(crate) fn item(&self, document: &impl Serialize, text: &str) -> io::Result<()> {
        match self.format {
            Format::Table => self.line(text)?,
            Format::Json => self.line(&json::compact(document)?)?,
            Format::Yaml => self.text(&format!("---\n{}", yaml(document)?))?,
        }
        self.flush()
    }
}

fn yaml(document: &impl Serialize) -> io::Result<String> {
    let text = serde_saphyr::to_string(document).map_err(io::Error::other)?;
    // What the emitter leaves in a plain scalar would still control a terminal.
    if text.chars().all(|c| c == '\n' || !escape::is_unsafe(c)) {
        return Ok(text);
    }
    // JSON is YAML, and its strings can be escaped throughout.
    Ok(json::pretty(document)? + "\n")
}

/// Says something beside the answer, to standard error.
#[expect(clippy::print_stderr, reason = "this is where it is said")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}
