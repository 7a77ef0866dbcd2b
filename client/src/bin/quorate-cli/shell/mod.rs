//! The shell: commands from a terminal, with history and completion, or from a pipe.

mod completion;
mod line;
mod terminal;
mod words;

use std::{
    io::{self, BufRead, IsTerminal},
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use quorate_client::{Client, State};
use tokio::runtime::Runtime;

use self::{
    line::{Line, Order},
    terminal::Terminal,
};
use crate::{
    failure::{Failure, Outcome},
    output::{Screen, escape, note},
    session::{Context, Target},
    watches::{Printer, Watches},
};

/// How long the first prompt waits for the connection.
const FIRST_PROMPT: Duration = Duration::from_millis(500);
/// How many lines `history` shows.
const HISTORY: usize = 11;

/// Reads commands until the end. Gives the exit code, which is that of the last command.
pub(crate) fn run(runtime: &Runtime, target: Target, screen: &Screen) -> Outcome<u8> {
    if !io::stdin().is_terminal() {
        return run_piped(runtime, target, screen);
    }
    let mut terminal = Terminal::open(runtime.handle().clone())?;
    let mut shell = Shell::start(runtime, target, screen, terminal.printer()?)?;
    screen.line("Welcome to Quorate! `help` lists the commands.")?;
    screen.flush()?;
    shell.wait_for_first_connection();
    loop {
        terminal.complete_with(shell.context.present_client().cloned());
        let Some(line) = terminal.read(&shell.prompt())? else { break };
        if !shell.execute(&line)? {
            break;
        }
    }
    Ok(shell.end())
}

/// Without prompts, so that what is written is the answers alone.
fn run_piped(runtime: &Runtime, target: Target, screen: &Screen) -> Outcome<u8> {
    let events = screen.clone();
    let printer: Printer = Arc::new(move |text| {
        // When nobody reads any more, the next answer says so.
        let _ = events.line(&text).and_then(|()| events.flush());
    });
    let mut shell = Shell::start(runtime, target, screen, printer)?;
    let mut input = io::stdin().lock();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = input.read_until(b'\n', &mut bytes);
        if read.map_err(|error| anyhow::Error::new(error).context("read standard input"))? == 0 {
            break;
        }
        let end = bytes.trim_ascii_end().len();
        let Ok(line) = str::from_utf8(&bytes[..end]) else {
            shell.fail(&Failure::usage(
                "the line is not UTF-8; `set PATH --from-file FILE` takes any bytes",
            ));
            continue;
        };
        if !shell.execute(line)? {
            break;
        }
    }
    Ok(shell.end())
}

struct Shell<'a> {
    runtime: &'a Runtime,
    context: Context,
    screen: Screen,
    /// The lines so far; `redo` names them by their places.
    lines: Vec<String>,
    code: u8,
}

impl<'a> Shell<'a> {
    fn start(
        runtime: &'a Runtime,
        target: Target,
        screen: &Screen,
        printer: Printer,
    ) -> Outcome<Self> {
        let watches = Watches::new(printer);
        let mut context = Context::new(target.clone(), screen.clone(), Some(watches));
        runtime.block_on(context.reconnect(target))?;
        Ok(Self { runtime, context, screen: screen.clone(), lines: Vec::new(), code: 0 })
    }

    fn wait_for_first_connection(&self) {
        let Some(client) = self.context.present_client().cloned() else { return };
        // Without one the prompt says so.
        let _ = self
            .runtime
            .block_on(async { tokio::time::timeout(FIRST_PROMPT, client.wait_connected()).await });
    }

    fn prompt(&self) -> String {
        let state = self.context.present_client().map_or("CLOSED", state_name);
        let servers = escape::name(&self.context.target.servers);
        format!("[zk: {servers}({state}) {}] ", self.lines.len())
    }

    /// Does what a line says; false if it is the last. Fails when nobody reads the answers.
    fn execute(&mut self, line: &str) -> Outcome<bool> {
        if line.trim().is_empty() {
            return Ok(true);
        }
        self.lines.push(line.to_owned());
        let goes_on = self.execute_again(line);
        self.screen.flush()?;
        match goes_on {
            Ok(goes_on) => {
                self.code = 0;
                Ok(goes_on)
            }
            Err(Failure::OutputClosed) => Err(Failure::OutputClosed),
            Err(failure) => {
                self.fail(&failure);
                Ok(true)
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        if let Some(message) = failure.message() {
            note(&message);
        }
        self.code = failure.exit_code();
    }

    fn execute_again(&mut self, line: &str) -> Outcome<bool> {
        let Some(Line { output, order }) = self.parse(line)? else { return Ok(true) };
        self.context.screen = self.screen.with_format(output);
        match order {
            Order::Verb(verb) => crate::perform(self.runtime, verb, &mut self.context)?,
            Order::Quit => return Ok(false),
            Order::Close => self.runtime.block_on(self.context.close()),
            Order::Connect { server } => {
                let servers = server.unwrap_or_else(|| self.context.target.servers.clone());
                let target = self.context.target.at(&servers);
                self.runtime.block_on(self.context.reconnect(target))?;
                self.wait_for_first_connection();
            }
            Order::History => self.show_history()?,
            Order::Redo { number } => return self.redo(number),
            Order::PrintWatches { on } => self.print_watches(on)?,
        }
        Ok(true)
    }

    /// None if clap has said all there is: help, say.
    fn parse(&self, line: &str) -> Outcome<Option<Line>> {
        let words = words::split(line).map_err(Failure::usage)?;
        let words = crate::arguments::in_claps_words(
            std::iter::once("quorate-cli".into()).chain(words.into_iter().map(Into::into)),
        );
        match Line::try_parse_from(words.into_iter().skip(1)) {
            Ok(line) => Ok(Some(line)),
            Err(error) if error.use_stderr() => {
                // In the shell there is a command for it.
                let said = error.render().to_string();
                let said = said.replace("try '--help'", "try 'help'");
                Err(Failure::usage(said.trim_end()))
            }
            Err(told) => {
                self.screen.text(&told.render().to_string())?;
                Ok(None)
            }
        }
    }

    fn show_history(&self) -> Outcome {
        let first = self.lines.len().saturating_sub(HISTORY);
        for (number, line) in self.lines.iter().enumerate().skip(first) {
            self.screen.line(&format!("{number} - {}", escape::name(line)))?;
        }
        Ok(())
    }

    fn redo(&mut self, number: usize) -> Outcome<bool> {
        // The last line is this redo itself.
        let last = self.lines.len() - 1;
        if number >= last {
            return Err(Failure::usage("Command index out of range"));
        }
        let line = self.lines[number].clone();
        if words::split(&line).is_ok_and(|words| words.first().is_some_and(|word| word == "redo")) {
            return Err(Failure::usage("No redoing redos"));
        }
        self.lines[last].clone_from(&line);
        self.execute_again(&line)
    }

    fn print_watches(&mut self, on: Option<line::OnOff>) -> Outcome {
        let watches = self.context.watches.as_mut().expect("a shell has watches");
        if let Some(on) = on {
            watches.set_printing(on == line::OnOff::On);
        } else {
            let word = if watches.printing() { "on" } else { "off" };
            self.screen.line(&format!("printwatches is {word}"))?;
        }
        Ok(())
    }

    fn end(mut self) -> u8 {
        self.runtime.block_on(self.context.close());
        self.code
    }
}

/// ZooKeeper's name of a client's state.
fn state_name(client: &Client) -> &'static str {
    match client.state() {
        State::Connected | State::Reconnected => "CONNECTED",
        State::ReadOnly => "CONNECTEDREADONLY",
        State::Closed => "CLOSED",
        _ => "CONNECTING",
    }
}
