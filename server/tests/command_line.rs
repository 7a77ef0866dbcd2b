//! The binary as an operator meets it before it serves. Its presence also makes `cargo test` build
//! the binary, which the tests in `tests/` start.

use std::{fs, process::Command};

#[test]
fn a_wrong_value_ends_the_start_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zoo.cfg");
    fs::write(&file, "dataDir=data\nclientPort=2181\ntickTime=soon\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_quorate-server"))
        .arg(&file)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    for part in ["zoo.cfg", "3", "tickTime", "soon"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(!dir.path().join("data").exists(), "a refused start leaves no data folder");
}

#[test]
fn the_version_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_quorate-server")).arg("--version").output();
    let output = output.unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_configuration_is_checked_and_nothing_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zoo.cfg");
    let lines = "dataDir=data\ninitLimit=5\nsyncLimit=2\nadmin.enableServer=true\npreAllocSize=9\nserver.1=a:1:2;3\n\
                 server.2=b:1:2;3\nserver.3=c:1:2:observer;3\nserver.4=d:1:2;3\nticktime=2000\n";
    fs::write(&file, lines).unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::write(dir.path().join("data/myid"), "2\n").unwrap();
    let check = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_quorate-server"))
            .args(["check", file.to_str().unwrap()])
            .args(more)
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        (output.status.code(), said.concat())
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("zoo.cfg:4: admin.enableServer=true"), "{said}");

    let (code, said) = check(&["-Dadmin.enableServer=false"]);
    assert_eq!(code, Some(0), "{said}");
    let expected = ["ticktime", "preAllocSize", "server 2 of an ensemble: 3 vote, 1 observe"];
    for part in expected {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(said.ends_with("zoo.cfg can be used\n"), "{said}");
    let left = fs::read_dir(dir.path().join("data")).unwrap().count();
    assert_eq!(left, 1, "nothing but the number is there");
}
