//! The log as JSON, for machines to read.

use quorate_protocol::OpCode;
use quorate_tests::{Connection, Op, Server, Subject};
use serde_json::Value;

use crate::{connect, done, wait_until_said};

#[test]
fn every_line_is_an_object_and_tells_connection_and_session() {
    let settings =
        ["quorate.log.format=json", "quorate.log.level=debug", "snapCount=2", "tickTme=1"];
    let mut server = Server::start(Subject::Quorate, &settings);
    let mut client = connect(&server);
    done(&mut client, &Op::create("/a", "\"\n\u{e9}".as_bytes(), 0));
    let session = client.session.id.to_string();
    // A frame longer than allowed ends the connection, and the log says why.
    client.send_raw(&i32::MAX.to_be_bytes()).unwrap();
    assert_eq!(client.read_to_end().unwrap(), []);
    wait_until_said(&server, "connection ended", 1);
    let mut other = Connection::with_new_session(server.addr(), 400).unwrap();
    done(&mut other, &Op::Plain(OpCode::CloseSession));
    wait_until_said(&server, "checkpoint written", 1);
    assert!(server.terminate().success());

    let said = server.said();
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in: {line}")))
        .collect();
    for line in &lines {
        for key in ["timestamp", "level", "message", "target"] {
            assert!(line[key].is_string(), "no {key} in {line}");
        }
    }
    let serving = lines.iter().find(|line| line["message"] == "serving").unwrap();
    assert_eq!(serving["clients"], server.addr().to_string());
    let ended: Vec<_> = lines.iter().filter(|line| line["message"] == "connection ended").collect();
    let of_client = ended.iter().find(|line| line["span"]["session"] == session.as_str());
    let of_client = of_client.unwrap_or_else(|| panic!("no {session} in {ended:?}"));
    assert!(of_client["span"]["conn"].is_u64(), "{of_client}");
    assert!(of_client["span"]["remote"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(of_client["reason"].is_string(), "{of_client}");
}
