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
