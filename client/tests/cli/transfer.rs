//! Nodes that are copied, exported, imported, compared and edited.

use std::{fs, os::unix::fs::PermissionsExt};

use quorate_client::testing::TestServer;

use crate::Cli;

async fn planted() -> (TestServer, Cli) {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/app"]);
    cli.ok(&["create", "/app/text", "hello"]);
    cli.ok(&["create", "/app/empty", ""]);
    cli.ok(&["create", "/app/bin", "-b", "AP8="]);
    cli.ok(&["create", "/app/text/50%", "deep", "world:anyone:rw"]);
    (server, cli)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_copied_here_and_elsewhere() {
    let (_server, cli) = planted().await;
    assert_eq!(
        cli.ok(&["cp", "/app/text", "/one"]),
        "1 created, 0 replaced, 0 left as they were\n"
    );
    assert_eq!(cli.ok(&["ls", "/one"]), "[]\n");
    cli.ok(&["cp", "-r", "--acl", "/app", "/far/below/copy"]);
    assert_eq!(cli.ok(&["diff", "--acl", "/app", "/far/below/copy"]), "");
    assert!(cli.fails(4, &["cp", "-r", "/app", "/far/below/copy"]).contains("--overwrite"));
    cli.ok(&["set", "/app/text", "changed"]);
    assert_eq!(
        cli.ok(&["cp", "-r", "--skip-existing", "/app", "/far/below/copy"]),
        "0 created, 0 replaced, 5 left as they were\n"
    );
    assert_eq!(cli.ok(&["get", "/far/below/copy/text"]), "hello\n");
    cli.ok(&["cp", "-r", "--overwrite", "/app", "/far/below/copy"]);
    assert_eq!(cli.ok(&["get", "/far/below/copy/text"]), "changed\n");

    let other = TestServer::start().await.unwrap();
    let there = |path: &str| format!("zk://{}{path}", other.hosts());
    let would = cli.ok(&["cp", "-r", "--dry-run", "/app", &there("/x")]);
    assert_eq!(would, "/x\n/x/bin\n/x/empty\n/x/text\n/x/text/50%\n");
    assert_eq!(Cli::of(&other).ok(&["ls", "/"]), "[zookeeper]\n");
    // The whole tree, but for what is the ensemble's own.
    cli.ok(&["cp", "-r", "/", &there("/")]);
    assert_eq!(cli.ok(&["diff", "/", &there("/")]), "");
    cli.ok(&["cp", "-r", &there("/app"), "/back"]);
    assert_eq!(cli.ok(&["get", "/back/text/50%"]), "deep\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_told() {
    let (_server, cli) = planted().await;
    cli.ok(&["cp", "-r", "/app", "/b"]);
    cli.ok(&["set", "/b/text", "other"]);
    cli.ok(&["delete", "/b/bin"]);
    cli.ok(&["create", "/b/new", "n"]);
    let ran = cli.run(&["diff", "/app", "/b"]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.text(), @r"
    - /bin
    + /new
    ~ /text: hello -> other
    ");
    let ran = cli.run(&["diff", "--acl", "/app/text", "/b/text", "-o", "json"]);
    assert!(ran.text().contains("\"first\": \"world:anyone:rw\""), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_imported_again() {
    let (_server, cli) = planted().await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["app.json", "app.tar"] {
        let file = folder.path().join(name);
        let file = file.to_str().unwrap();
        cli.ok(&["export", "--acl", "/app", file]);
        // Data may be secret.
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let copy = format!("/from/{name}");
        assert_eq!(
            cli.ok(&["import", "--acl", file, &copy]),
            "5 created, 0 replaced, 0 left as they were\n"
        );
        assert_eq!(cli.ok(&["diff", "--acl", "/app", &copy]), "");
        cli.ok(&["import", "--overwrite", file, &copy]);
        cli.fails(4, &["import", file, &copy]);
    }
    let piped = cli.run(&["export", "--format", "tar", "/app", "-"]);
    let imported = cli.run_with_input(&["import", "-", "/piped"], &piped.out);
    assert_eq!(imported.code, 0, "{imported:?}");
    assert_eq!(cli.ok(&["diff", "/app", "/piped"]), "");
    let said = cli.run_with_input(&["import", "-", "/no"], b"{\"format\":1}");
    assert_eq!(said.code, 9, "{said:?}");
    assert!(said.err.contains("not an export"), "{said:?}");
    cli.fails(3, &["export", "/missing", folder.path().join("x").to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_nodes_are_not_copied() {
    let (server, cli) = planted().await;
    let owner = quorate_client::Client::connect(&server.hosts()).await.unwrap();
    owner.create("/app/mine", "").ephemeral().await.unwrap();
    let ran = cli.run(&["cp", "-r", "/app", "/copy"]);
    assert_eq!((ran.code, &*ran.err), (0, "1 ephemeral nodes are left out.\n"));
    cli.fails(3, &["get", "/copy/mine"]);
    assert_eq!(cli.ok(&["diff", "/app", "/copy"]), "");
    cli.fails(1, &["diff", "-e", "/app", "/copy"]);
    assert_eq!(cli.ok(&["find", "-e", "/"]), "/app/mine\n");
}

/// An editor that is a line of shell.
fn edit(cli: &Cli, script: &str, arguments: &[&str]) -> crate::Ran {
    let folder = tempfile::tempdir().unwrap();
    let editor = folder.path().join("editor");
    fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = cli.command(&[&["edit"], arguments].concat());
    crate::Ran::new(command.env("EDITOR", &editor).output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_edited_unless_somebody_else_does() {
    let (server, cli) = planted().await;
    let ran = edit(&cli, "printf ' world' >>\"$1\"", &["/app/text"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(cli.ok(&["get", "/app/text"]), "hello world\n");
    let ran = edit(&cli, "true", &["/app/text"]);
    assert_eq!((ran.code, &*ran.err), (0, "Nothing was changed.\n"));
    let ran = edit(&cli, "exit 3", &["/app/text"]);
    assert!(ran.code == 9 && ran.err.contains("nothing was written"), "{ran:?}");

    let cli_path = env!("CARGO_BIN_EXE_quorate-cli");
    let script =
        format!("{cli_path} -server {} set /app/text theirs; echo ours >\"$1\"", server.hosts());
    let ran = edit(&cli, &script, &["/app/text"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert_eq!(cli.ok(&["get", "/app/text"]), "theirs\n");
    let kept = ran.err.split("Your text is in ").nth(1).unwrap().split(".\n").next().unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "ours\n");
    fs::remove_file(kept).unwrap();

    assert_eq!(edit(&cli, "true", &["/app/new"]).code, 3);
    assert_eq!(edit(&cli, "printf x >\"$1\"", &["--create", "/app/new"]).code, 0);
    assert_eq!(cli.ok(&["get", "/app/new"]), "x\n");
}
