//! Encrypted connections and proofs of identity, at servers of Java that ask for them.

use std::{fs, path::Path, process::Command};

use crate::{
    program::{Cli, told},
    zookeepers::{Authority, secure_zookeeper, zookeeper_with_bob},
};

fn written(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    fs::write(&file, text).expect("write a file");
    file.to_str().expect("UTF-8").to_owned()
}

#[test]
fn zookeeper_is_talked_to_by_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let Some((server, port)) = secure_zookeeper(&authority, folder.path()) else { return };
    let Some(plain) = Cli::at(&server) else { return };
    let cli = || plain.of(&format!("127.0.0.1:{port}"));
    let (certificate, key) = authority.identity("app");
    let ca = written(folder.path(), "client-ca.pem", &authority.pem);
    let cert = written(folder.path(), "client.pem", &certificate);
    let key_file = written(folder.path(), "client.key", &key);
    let both = written(folder.path(), "both.pem", &format!("{key}{certificate}"));

    let known = cli().with(&["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key_file]);
    assert!(known.ok(&["whoami"]).contains("x509: CN=app"));
    known.ok(&["create", "/a", "words"]);
    // Four-letter words go the same way.
    assert!(known.ok(&["status"]).contains("standalone"));
    known.ok(&["doctor", "--probe"]);
    known.ok(&["bench", "--for", "200ms", "-c", "1"]);

    // The files of a Java client, and its certificate and key in one.
    let properties = format!(
        "zookeeper.client.secure=true\nzookeeper.ssl.keyStore.location={both}\n\
         zookeeper.ssl.keyStore.type=PEM\nzookeeper.ssl.trustStore.location={ca}\n\
         zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty\n"
    );
    let java = written(folder.path(), "client.cfg", &properties);
    assert_eq!(cli().with(&["-client-configuration", &java]).ok(&["get", "/a"]), "words\n");

    // Who shows no certificate, trusts nobody who vouches for it, or does not encrypt.
    let strict = ["--tls-ca", &*ca];
    cli().with(&strict).fails(7, &["get", "/a"]);
    let other = written(folder.path(), "other.pem", &Authority::new().pem);
    let said = cli().with(&["--tls-ca", &other]).fails(7, &["get", "/a"]);
    assert!(said.contains("the server's certificate"), "{said}");
    let said = cli().with(&strict).with(&["--tls-server-name", "zk"]).fails(7, &["get", "/a"]);
    assert!(said.contains("not for zk"), "{said}");
    cli().fails(7, &["get", "/a"]);
    let said = plain.of(&server.addr().to_string()).with(&strict).fails(7, &["get", "/a"]);
    assert!(said.contains("TLS"), "{said}");

    // A keystore of Java, made by Java.
    let store = folder.path().join("store.jks");
    let made = Command::new("keytool")
        .args(["-genkeypair", "-storetype", "JKS", "-alias", "a", "-keyalg", "RSA"])
        .args(["-dname", "CN=a", "-storepass", "secret", "-keypass", "secret", "-keystore"])
        .arg(&store)
        .output()
        .expect("Java has a keytool");
    assert_eq!(told(made).0, Some(0));
    let store = store.to_str().expect("UTF-8");
    let jks = written(folder.path(), "jks.cfg", &properties.replace(&both, store));
    let said = cli().with(&["-client-configuration", &jks]).fails(2, &["get", "/a"]);
    assert!(said.contains(store) && said.contains("openssl pkcs12"), "{said}");
}

#[test]
fn zookeeper_is_shown_who_asks_by_sasl() {
    let Some((server, folder)) = zookeeper_with_bob() else { return };
    let Some(plain) = Cli::at(&server) else { return };
    let bob = || plain.of(&server.addr().to_string()).with(&["--sasl", "bob"]);
    let right = written(folder.path(), "password", "bob's secret\n");
    let by_file = bob().with(&["--sasl-password-file", &right]);
    assert!(by_file.ok(&["whoami"]).contains("sasl: bob"));
    by_file.ok(&["create", "/bobs", "words", "sasl:bob:cdrwa"]);
    plain.fails(6, &["get", "/bobs"]);

    let mut command = bob().command(&["get", "/bobs"]);
    let output = command.env("QUORATE_CLI_SASL_PASSWORD", "bob's secret").output();
    assert_eq!(told(output.expect("run quorate-cli")).1, "words\n");

    let wrong = written(folder.path(), "wrong", "guess");
    let said = bob().with(&["--sasl-password-file", &wrong]).fails(6, &["get", "/bobs"]);
    assert!(said.contains("--sasl") && !said.contains("guess"), "{said}");
    let said = bob().fails(2, &["get", "/bobs"]);
    assert!(said.contains("QUORATE_CLI_SASL_PASSWORD"), "{said}");
}
