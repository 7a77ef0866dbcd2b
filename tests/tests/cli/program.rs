//! The program, which cargo builds for the tests of the whole workspace.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use quorate_tests::{Server, foreign};

pub(crate) struct Cli {
    program: PathBuf,
    servers: String,
    /// What stands in front of every command.
    options: Vec<String>,
}

impl Cli {
    /// The program, if it is built.
    pub(crate) fn path() -> Option<PathBuf> {
        let beside = env::current_exe().ok()?.parent()?.parent()?.join("quorate-cli");
        let program = env::var_os("QUORATE_CLI").map_or(beside, PathBuf::from);
        let what = "quorate-cli is not built (cargo build -p quorate-client --features cli)";
        foreign::demand(what, program.exists().then_some(program))
    }

    /// The program at a server.
    pub(crate) fn at(server: &Server) -> Option<Self> {
        Self::at_all([server])
    }

    /// The program at several servers.
    pub(crate) fn at_all<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Option<Self> {
        let addresses: Vec<_> =
            servers.into_iter().map(|server| server.addr().to_string()).collect();
        Self::path().map(|program| Self {
            program,
            servers: addresses.join(","),
            options: Vec::new(),
        })
    }

    /// The same at other servers, named as a connect string does.
    pub(crate) fn of(&self, servers: &str) -> Self {
        let Self { program, options, .. } = self;
        Self { program: program.clone(), servers: servers.to_owned(), options: options.clone() }
    }

    /// The same with these options in front of every command.
    pub(crate) fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(ToString::to_string));
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("QUORATE_") || name_text == "NO_COLOR" {
                command.env_remove(&name);
            }
        }
        command.args(["-server", &self.servers]).args(&self.options).args(arguments);
        command.env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// Runs a command: its exit code, its answer and what it says besides.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        told(self.command(arguments).output().expect("run quorate-cli"))
    }

    /// Runs a command that must succeed, and gives its answer.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let (code, answer, said) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {answer} {said}");
        answer
    }

    /// Runs a command that must fail so, and gives what it says.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let (ended, answer, said) = self.run(arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {answer} {said}");
        said
    }
}

/// What came of a program.
pub(crate) fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("what it writes is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}
