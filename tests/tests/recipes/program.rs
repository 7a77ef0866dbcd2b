//! A program in another language that is told what to do.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use tokio::task::block_in_place;

/// A program, and its side of the conversation: lines.
pub(crate) struct Program {
    child: Child,
    commands: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let commands = child.stdin.take().expect("it is piped");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, commands, said }
    }

    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the program listens");
    }

    /// The next line it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        block_in_place(|| self.said.read_line(&mut line)).expect("it is text");
        assert!(line.ends_with('\n'), "the program ended");
        line.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.line()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn end(mut self) {
        let status = block_in_place(|| self.child.wait()).expect("it ends");
        assert!(status.success(), "the program: {status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
