//! Bytes that are no text, and text that is no friend of terminals.

use quorate_client::testing::TestServer;

use crate::Cli;

const BINARY: &[u8] = b"\x00\xff\xfe\n\x1b[2J";

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_go_in_and_come_out() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let created = cli.run_with_input(&["create", "/bin", "--from-file", "-"], BINARY);
    assert_eq!(created.code, 0, "{created:?}");
    assert_eq!(cli.run(&["get", "--raw", "/bin"]).out, BINARY);
    // As zkCli: the bytes, and a line feed.
    assert_eq!(cli.run(&["get", "/bin"]).out, [BINARY, b"\n"].concat());
    assert_eq!(cli.ok(&["get", "-b", "/bin"]), "AP/+ChtbMko=\n");
    cli.ok(&["set", "/bin", "-b", "AAEC"]);
    assert_eq!(cli.run(&["get", "--raw", "/bin"]).out, [0, 1, 2]);
    assert!(cli.ok(&["get", "-x", "/bin"]).contains("|00000000| 00 01 02 "));
    let json = cli.ok(&["get", "/bin", "-o", "json"]);
    assert!(json.contains("\"data\": \"\\u0000\\u0001\\u0002\""), "{json}");
    cli.ok(&["set", "/bin", "-b", "/w=="]);
    assert!(cli.ok(&["get", "/bin", "-o", "json"]).contains("\"data_base64\": \"/w==\""));
    assert!(cli.fails(2, &["set", "/bin", "-b", "%"]).contains("not base64"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_nothing_that_a_terminal_obeys() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/a\u{202e}gpj", "\u{1b}[31mred\u{9b}2J"]);
    for arguments in [
        &["ls", "/"][..],
        &["ls", "-R", "/"],
        &["tree", "--data", "/"],
        &["find", "/"],
        &["grep", "/", "red"],
        &["du", "/"],
        &["-o", "json", "ls", "/"],
        &["-o", "yaml", "ls", "/"],
        &["-o", "yaml", "tree", "--data", "/"],
        &["-o", "yaml", "get", "/a\u{202e}gpj"],
        &["-o", "json", "get", "/a\u{202e}gpj"],
        &["-o", "json", "grep", "/", "red"],
        &["diff", "/", "/zookeeper"],
    ] {
        let ran = cli.run(arguments);
        let unsafe_char =
            |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}');
        assert!(!ran.text().chars().any(unsafe_char), "{arguments:?}: {:?}", ran.text());
    }
    // What does not exist is named safely, too.
    let said = cli.fails(3, &["get", "/\u{202e}x"]);
    assert_eq!(said, "Node does not exist: /\\u{202e}x\n");
    let said = cli.fails(2, &["get", "/\u{1b}[31m"]);
    assert!(said.contains("\\x1b[31m") && !said.contains('\u{1b}'), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_are_not_utf8_are_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let mut command = cli.command(&["get"]);
    let ran = crate::Ran::new(command.arg(OsStr::from_bytes(b"/\xff")).output().unwrap());
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("UTF-8"), "{ran:?}");
}
