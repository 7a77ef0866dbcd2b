//! The benchmark.

use quorate_client::testing::TestServer;

use crate::Cli;

#[tokio::test(flavor = "multi_thread")]
async fn load_is_measured_and_cleared_away() {
    let server = TestServer::start().await.unwrap();
    let cli = Cli::of(&server);
    let mix = "get=4,set=2,exists=1,ls=1,create=1,delete-create=1,sync=1";
    let answer = cli.ok(&[
        "bench", "--mix", mix, "--for", "500ms", "-c", "2", "-i", "8", "-n", "50", "-s", "16",
        "-o", "json",
    ]);
    let lines: Vec<serde_json::Value> = serde_json::from_str(&answer).unwrap();
    let names: Vec<_> = lines.iter().map(|line| line["operation"].as_str().unwrap()).collect();
    assert_eq!(names, ["get", "set", "exists", "ls", "create", "delete-create", "sync", "all"]);
    for line in &lines {
        assert_eq!(line["errors"], 0, "{line}");
        let at = |key: &str| line[key].as_f64().unwrap();
        assert!(at("count") > 0.0 && at("per_second") > 0.0, "{line}");
        assert!(at("p50") <= at("p99") && at("p99") <= at("p999") && at("p999") <= at("max"));
    }
    assert_eq!(cli.ok(&["ls", "/"]), "[zookeeper]\n");
    cli.ok(&["create", "/quorate-bench"]);
    assert!(cli.fails(4, &["bench"]).contains("choose another --path"));
}

#[tokio::test(flavor = "multi_thread")]
async fn load_that_is_spread_stays_below_the_chroot() {
    let server = TestServer::start().await.unwrap();
    Cli::of(&server).ok(&["create", "/app"]);
    let cli = Cli { hosts: format!("{0},{0}/app", server.hosts()) };
    let options = ["--spread", "--mix", "set=1", "--for", "50ms", "-c", "2", "-n", "5"];
    let answer = cli.ok(&[&["bench", "-o", "json"], &options[..]].concat());
    let lines: Vec<serde_json::Value> = serde_json::from_str(&answer).unwrap();
    assert_eq!(lines[0]["errors"], 0, "{}", lines[0]);
}
