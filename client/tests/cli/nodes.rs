//! zkCli's commands on nodes.

use quorate_client::testing::TestServer;

use crate::{Cli, alike};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_created_read_changed_and_deleted() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    assert_eq!(cli.ok(&["create", "/a", "first"]), "Created /a\n");
    assert_eq!(cli.ok(&["get", "/a"]), "first\n");
    cli.ok(&["set", "/a", "second"]);
    insta::assert_snapshot!(alike(&cli.ok(&["get", "-s", "/a"])), @r"
    second
    cZxid = 0xN
    ctime = TIME
    mZxid = 0xN
    mtime = TIME
    pZxid = 0xN
    cversion = 0
    dataVersion = 1
    aclVersion = 0
    ephemeralOwner = 0xN
    dataLength = 6
    numChildren = 0
    ");
    assert!(cli.ok(&["set", "-s", "-v", "1", "/a", "third"]).contains("dataVersion = 2"));
    let said = cli.fails(5, &["set", "-v", "1", "/a", "late"]);
    assert!(said.contains("version No is not valid : /a"), "{said}");
    cli.fails(5, &["delete", "-v", "0", "/a"]);
    cli.ok(&["delete", "-v", "2", "/a"]);
    assert_eq!(cli.fails(3, &["get", "/a"]), "Node does not exist: /a\n");
    assert_eq!(cli.fails(3, &["stat", "/a"]), "Node does not exist: /a\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_nodes_are_created() {
    let server = TestServer::start_with(&["extendedTypesEnabled=true"]).await.unwrap();
    let cli = Cli::of(&server);
    assert_eq!(cli.ok(&["create", "/k"]), "Created /k\n");
    assert_eq!(cli.ok(&["get", "/k"]), "null\n");
    assert_eq!(cli.ok(&["create", "-s", "/k/s-", "x"]), "Created /k/s-0000000000\n");
    cli.ok(&["create", "-c", "/k/c"]);
    cli.ok(&["create", "-t", "60000", "/k/t", ""]);
    cli.ok(&["create", "-e", "/k/e"]);
    // The ephemeral node has gone with its session.
    assert_eq!(cli.ok(&["ls", "/k"]), "[c, s-0000000000, t]\n");
    assert_eq!(cli.ok(&["ls", "-R", "/k"]), "/k\n/k/c\n/k/s-0000000000\n/k/t\n");
    assert_eq!(cli.ok(&["getAllChildrenNumber", "/k"]), "3\n");
    cli.fails(4, &["create", "/k"]);
    cli.fails(3, &["create", "/missing/x"]);
    cli.ok(&["create", "--parents", "/missing/x", "deep"]);
    assert!(cli.fails(4, &["delete", "/k"]).contains("Node not empty: /k"));
    cli.ok(&["deleteall", "/k", "-b", "2"]);
    cli.fails(3, &["ls", "/k"]);
    cli.fails(2, &["deleteall", "/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn access_is_granted_and_refused() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let me = ["--auth", "digest:user:password"];
    let with_me = |arguments: &[&'static str]| [&me[..], arguments].concat();
    cli.ok(&with_me(&["create", "/mine", "secret", "auth::cdrwa"]));
    assert_eq!(
        cli.ok(&with_me(&["getAcl", "/mine"])),
        "'digest,'user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=\n: cdrwa\n"
    );
    assert_eq!(cli.fails(6, &["get", "/mine"]), "Insufficient permission : /mine\n");
    assert_eq!(cli.ok(&with_me(&["get", "/mine"])), "secret\n");
    assert!(cli.ok(&with_me(&["whoami"])).contains("digest: user\n"));
    cli.ok(&with_me(&["setAcl", "-R", "/mine", "world:anyone:r"]));
    assert_eq!(cli.ok(&["get", "/mine"]), "secret\n");
    assert!(cli.fails(2, &["setAcl", "/mine", "world:anyone:x"]).contains("Unknown perm type"));
    let said = cli.fails(2, &["--auth", "password", "get", "/mine"]);
    assert!(said.contains("scheme:auth") && !said.contains("password: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_set_shown_and_removed() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    cli.ok(&["create", "/q"]);
    cli.ok(&["create", "/q/in", "12345"]);
    cli.ok(&["setquota", "-n", "10", "/q"]);
    cli.ok(&["setquota", "-B", "5000", "/q"]);
    let listed = cli.ok(&["listquota", "/q"]);
    assert!(
        listed.contains(
            "Output quota for /q count=10,bytes=-1=;byteHardLimit=5000;countHardLimit=-1"
        ),
        "{listed}"
    );
    assert!(cli.fails(1, &["setquota", "-n", "1", "/q/in"]).contains("has a parent /q which"));
    cli.ok(&["delquota", "-n", "/q"]);
    assert!(cli.ok(&["listquota", "/q"]).contains("quota for /q count=-1"));
    cli.ok(&["delquota", "/q"]);
    assert_eq!(cli.ok(&["ls", "/zookeeper/quota"]), "[]\n");
    assert!(cli.fails(1, &["listquota", "/q"]).contains("quota for /q does not exist."));
    cli.ok(&["setquota", "-n", "10", "/q/in"]);
    assert!(cli.fails(1, &["setquota", "-n", "1", "/q"]).contains("has a child /q/in which"));
    cli.fails(3, &["setquota", "-n", "1", "/nobody"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_words_of_zkcli_are_answered() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    assert_eq!(cli.ok(&["sync", "/"]), "Sync is OK\n");
    assert_eq!(cli.ok(&["getEphemerals"]), "[]\n");
    assert!(cli.ok(&["version"]).starts_with("quorate-cli version: "));
    assert!(cli.ok(&["whoami"]).starts_with("Auth scheme: User\nip: 127.0.0.1\n"));
    cli.ok(&["config"]);
    assert!(cli.ok(&["--help"]).contains("getAllChildrenNumber"));
    assert!(cli.ok(&["get", "/", "watch", "-w"]).ends_with('\n'));
    assert!(cli.fails(2, &["get", "//"]).contains("empty name"));
    let said = cli.fails(2, &["gte", "/"]);
    assert!(said.contains("gte"), "{said}");
    assert!(cli.fails(1, &["removewatches", "/"]).contains("No watch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_what_was_wrong() {
    let settings = ["extendedTypesEnabled=true", "enforceQuota=true"];
    let server = TestServer::start_with(&settings).await.unwrap();
    let cli = Cli::of(&server);
    for (code, arguments, said) in [
        (2, &["getEphemerals", "a"][..], "Path must start with /"),
        (2, &["create", "-t", "0", "/a"], "ttl must be positive"),
        (2, &["create", "-t", "-1", "/a"], "cannot be larger than: 1099511627775"),
        (2, &["create", "-t", "1099511627776", "/a"], "cannot be larger than: 1099511627775"),
        (2, &["setquota", "-n", "-5", "/"], "invalid value '-5'"),
        (1, &["deleteall", "/zookeeper/config"], "Arguments are not valid : /zookeeper/config"),
        (6, &["addauth", "no-scheme", "x"], "The server refused the identity"),
        (6, &["--auth", "no-scheme:x", "ls", "/"], "The server refused the identity"),
    ] {
        let message = cli.fails(code, arguments);
        assert!(message.contains(said), "{arguments:?}: {message}");
    }

    // Hard limits.
    cli.ok(&["create", "/q"]);
    cli.ok(&["setquota", "-N", "2", "/q"]);
    cli.ok(&["create", "/q/1"]);
    assert_eq!(cli.fails(1, &["create", "/q/2"]).trim(), "Quota has exceeded : /q/2");
    cli.ok(&["delquota", "-N", "/q"]);
    cli.ok(&["create", "/q/2"]);
    cli.ok(&["setquota", "-B", "5", "/q"]);
    cli.fails(1, &["set", "/q", "123456"]);
    cli.ok(&["setquota", "-b", "3", "/q"]);
    cli.ok(&["set", "/q", "1234"]);
    let listed = cli.ok(&["listquota", "/q"]);
    assert!(listed.contains("bytes=3=;byteHardLimit=5;countHardLimit=-1"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_changed_below_is() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    for path in ["/a", "/a/1", "/a/2", "/a/3"] {
        cli.ok(&["create", path]);
    }
    cli.ok(&["setAcl", "/a/1", "world:anyone:r"]);
    cli.ok(&["setAcl", "/a/2", "world:anyone:r"]);
    let said = cli.fails(6, &["setAcl", "-R", "/a", "world:anyone:ra"]);
    for path in ["/a/1", "/a/2"] {
        assert!(said.contains(&format!("Insufficient permission : {path}\n")), "{said}");
    }
    for path in ["/a", "/a/3"] {
        assert!(cli.ok(&["getAcl", path]).contains(": ra"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_in_front_that_is_not_there_is_told() {
    let server = TestServer::start().await.unwrap();
    let below = Cli { hosts: format!("{}/missing", server.hosts()) };
    let said = below.fails(3, &["create", "/x"]);
    assert!(said.contains("All paths are below /missing"), "{said}");
    Cli::of(&server).ok(&["create", "/missing"]);
    assert_eq!(below.ok(&["create", "/x", "words"]), "Created /x\n");
    assert!(!below.fails(3, &["get", "/y"]).contains("below"));
    below.ok(&["config"]);
    assert!(below.fails(2, &["config", "-w"]).contains("connect without one"));
}
