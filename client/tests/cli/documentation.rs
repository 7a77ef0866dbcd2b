//! What `docs/cli.md` shows is what happens.

use std::{fmt::Write, path::Path};

use quorate_client::testing::TestServer;

use crate::{Cli, alike};

/// A command as it is shown, and the lines below it.
struct Example {
    command: Vec<String>,
    /// Whether the answer ends with the exit code.
    shows_code: bool,
    answer: String,
    line: usize,
}

/// The blocks of `console` in a document: lines that begin with `$ `, and what they answer.
fn examples(document: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for (number, line) in document.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            if let Some(command) = line.strip_prefix("$ quorate-cli ") {
                let (command, shows_code) = match command.strip_suffix("; echo $?") {
                    Some(command) => (command, true),
                    None => (command, false),
                };
                let (command, answer) = (words(command), String::new());
                examples.push(Example { command, shows_code, answer, line: number + 1 });
            } else {
                let example = examples.last_mut().expect("a block begins with a command");
                example.answer.push_str(line);
                example.answer.push('\n');
            }
        }
    }
    examples
}

/// As a POSIX shell cuts words, as far as the examples need it.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_are_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let document = std::fs::read_to_string(path).unwrap();
    let examples = examples(&document);
    assert!(examples.len() > 10, "the document has examples");
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let folder = tempfile::tempdir().unwrap();
    for Example { command, shows_code, answer, line } in examples {
        let arguments: Vec<_> = command.iter().map(|word| &**word).collect();
        let output = cli.command(&arguments).current_dir(folder.path()).output().unwrap();
        let mut said = String::from_utf8(output.stdout).unwrap();
        said.push_str(&String::from_utf8(output.stderr).unwrap());
        let code = output.status.code().unwrap();
        if shows_code {
            writeln!(said, "{code}").unwrap();
        } else {
            assert_eq!(code, 0, "docs/cli.md, line {line}: {said}");
        }
        assert_eq!(alike(&said), alike(&answer), "docs/cli.md, line {line}");
    }
}
