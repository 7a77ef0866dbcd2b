//! What lists, in its forms.

use quorate_client::testing::TestServer;

use crate::{Cli, alike};

async fn planted() -> (TestServer, Cli) {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let lines = "create /app\ncreate /app/config 'port=1,name=x'\ncreate /app/a-b one\n\
                 create /app/config/db url=jdbc\ncreate /app/config/log level=INFO\n";
    let ran = cli.run_with_input(&[], lines.as_bytes());
    assert_eq!((ran.code, &*ran.err), (0, ""));
    (server, cli)
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_are_drawn() {
    let (_server, cli) = planted().await;
    insta::assert_snapshot!(cli.ok(&["tree", "/app"]), @r"
    /app
    ├── a-b
    └── config
        ├── db
        └── log
    ");
    insta::assert_snapshot!(cli.ok(&["tree", "--data", "-d", "1", "/app"]), @r"
    /app
    ├── a-b: one
    └── config [2 below]: port=1,name=x
    ");
    insta::assert_snapshot!(cli.ok(&["tree", "-d", "1", "-o", "yaml", "/app/config"]), @r"
    path: /app/config
    ephemeral: false
    num_children: 2
    children:
    - path: /app/config/db
      ephemeral: false
      num_children: 0
      children: []
    - path: /app/config/log
      ephemeral: false
      num_children: 0
      children: []
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_found_by_name_and_data() {
    let (_server, cli) = planted().await;
    assert_eq!(cli.ok(&["find", "/app", "config/"]), "/app/config/db\n/app/config/log\n");
    assert_eq!(cli.ok(&["find", "-i", "/app", "A-B$"]), "/app/a-b\n");
    assert_eq!(cli.fails(1, &["find", "/app", "nothing"]), "");
    assert_eq!(cli.fails(1, &["find", "-e", "/app"]), "");
    assert_eq!(cli.ok(&["grep", "/app", "level=.*"]), "/app/config/log:1: level=INFO\n");
    assert_eq!(cli.ok(&["grep", "-il", "/app", "LEVEL|URL"]), "/app/config/db\n/app/config/log\n");
    assert_eq!(
        cli.ok(&["--color", "always", "grep", "/app/a-b", "n"]),
        "\u{1b}[35m/app/a-b\u{1b}[0m:1: o\u{1b}[1m\u{1b}[31mn\u{1b}[0me\n"
    );
    assert_eq!(cli.fails(1, &["grep", "/app", "absent"]), "");
    assert!(cli.fails(2, &["grep", "/app", "("]).contains("regex parse error"));
    cli.fails(3, &["find", "/missing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_no_text_is_found_and_not_shown() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/binary", "-b", "//8Kd29yZHMKd29yZHM="]);
    assert_eq!(cli.ok(&["grep", "/", "words"]), "/binary: binary data matches\n");
    let found: serde_json::Value =
        serde_json::from_str(&cli.ok(&["grep", "/", "words", "-o", "json"])).unwrap();
    assert_eq!(found[0]["text"], serde_json::Value::Null);
    assert_eq!(found[0]["path"], "/binary");
    // Every answer is a document.
    for arguments in [&["version"][..], &["sync", "/"]] {
        let answer = cli.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str::<serde_json::Value>(&answer).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_added_up() {
    let (_server, cli) = planted().await;
    insta::assert_snapshot!(cli.ok(&["du", "/app"]), @r"
    BYTES  NODES  PATH
    34     5      /app
    3      1      /app/a-b
    31     3      /app/config
    ");
    insta::assert_snapshot!(cli.ok(&["du", "-S", "-d", "1", "-o", "json", "/app/config"]), @r#"
    [
      {
        "path": "/app/config",
        "nodes": 3,
        "bytes": 31
      },
      {
        "path": "/app/config/log",
        "nodes": 1,
        "bytes": 10
      },
      {
        "path": "/app/config/db",
        "nodes": 1,
        "bytes": 8
      }
    ]
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_zkcli_have_documents_too() {
    let (_server, cli) = planted().await;
    insta::assert_snapshot!(alike(&cli.ok(&["-o", "json", "get", "/app/a-b"])), @r#"
    {
      "path": "/app/a-b",
      "data": "one",
      "stat": {
        "czxid": "0xN",
        "ctime": "TIME",
        "mzxid": "0xN",
        "mtime": "TIME",
        "pzxid": "0xN",
        "cversion": 0,
        "version": 0,
        "aversion": 0,
        "ephemeral_owner": null,
        "data_length": 3,
        "num_children": 0
      }
    }
    "#);
    insta::assert_snapshot!(cli.ok(&["ls", "/app", "-o", "json"]), @r#"
    {
      "path": "/app",
      "children": [
        "a-b",
        "config"
      ]
    }
    "#);
    insta::assert_snapshot!(cli.ok(&["getAcl", "/app", "-o", "yaml"]), @r"
    path: /app
    acl:
    - scheme: world
      id: anyone
      perms: cdrwa
    ");
    assert_eq!(cli.ok(&["create", "/z", "-o", "json"]), "{\n  \"created\": \"/z\"\n}\n");
}
