//! Servers that are not there, readers that have gone, things that are wrong in themselves.

use quorate_client::testing::TestServer;

use crate::{Cli, program};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_said_to_be() {
    let mut server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    server.kill().unwrap();
    let said = cli.fails(7, &["get", "/"]);
    assert!(said.contains("No session with 127.0.0.1:"), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    let ran = cli.run(&["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.text().contains("DOWN"), "{ran:?}");
    assert!(ran.err.contains("No server leads"), "{ran:?}");
    let doctor = cli.run(&["doctor"]);
    assert_eq!(doctor.code, 1);
    assert!(doctor.text().contains("cannot be reached"), "{doctor:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_outlives_its_server() {
    let mut server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    server.kill().unwrap();
    let ran = cli.run_with_input(&[], b"version\nget /\nclose\nget /\n");
    assert_eq!(ran.code, 7);
    assert!(ran.text().starts_with("quorate-cli version"), "{ran:?}");
    assert!(ran.err.contains("Not connected"), "{ran:?}");
}

#[test]
fn what_is_wrong_in_itself_is_named() {
    for (arguments, said) in [
        (&["-server", "h:x", "get", "/"][..], "\"h:x\" has a port that is no number"),
        (&["set", "/a"], "takes data"),
        (&["set", "/a", "--from-file", "/missing/file"], "read /missing/file"),
        (&["cp", "/a", "/a/b"], "below itself"),
        (&["cp", "a", "/b"], "not a /path or zk://"),
        (&["bench", "--mix", "got=1"], "is no operation"),
        (&["-timeout", "x", "get", "/"], "--timeout"),
        (&["-client-configuration", "/missing", "get", "/"], "read the client configuration"),
    ] {
        let output = program().args(arguments).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(output.status.code(), Some(2 | 7 | 9)), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_is_no_error_to_talk_about() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    // More than fits into a pipe.
    let lines: Vec<_> = (0..3000).map(|i| format!("create /{i:0>40}")).collect();
    assert_eq!(cli.run_with_input(&[], lines.join("\n").as_bytes()).code, 0);
    let (child, out, first) = cli.start(&["ls", "-R", "/"]);
    assert_eq!(first, "/\n");
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
