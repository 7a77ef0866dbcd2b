//! Servers of Java that want to know who their clients are: by certificates, or by passwords.

use std::{fs, path::Path};

use quorate_tests::{Server, Subject, free_port};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// One that vouches for others.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for this name, and its key.
    pub(crate) fn identity(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.extended_key_usages = both.into();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A ZooKeeper that takes encrypted connections of clients with certificates only.
pub(crate) fn secure_zookeeper(authority: &Authority, folder: &Path) -> Option<(Server, u16)> {
    if !Subject::ZooKeeper.is_installed() {
        return None;
    }
    let (certificate, key) = authority.identity("127.0.0.1");
    let (keys, trusted) = (folder.join("server.pem"), folder.join("ca.pem"));
    fs::write(&keys, key + &certificate).unwrap();
    fs::write(&trusted, &authority.pem).unwrap();
    let port = free_port();
    let settings = [
        &*format!("secureClientPort={port}"),
        "secureClientPortAddress=127.0.0.1",
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        &*format!("ssl.keyStore.location={}", keys.display()),
        "ssl.keyStore.type=PEM",
        &*format!("ssl.trustStore.location={}", trusted.display()),
        "ssl.trustStore.type=PEM",
        "ssl.clientAuth=need",
        // The names of clients' addresses would be looked up.
        "ssl.hostnameVerification=false",
    ];
    Some((Server::start(Subject::ZooKeeper, &settings), port))
}

/// A ZooKeeper that knows bob, and the folder of its configuration.
pub(crate) fn zookeeper_with_bob() -> Option<(Server, tempfile::TempDir)> {
    if !Subject::ZooKeeper.is_installed() {
        return None;
    }
    let folder = tempfile::Builder::new().prefix("quorate-test-").tempdir().unwrap();
    let jaas = folder.path().join("jaas.conf");
    let users = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required \
                 user_bob=\"bob's secret\"; };\n";
    fs::write(&jaas, users).unwrap();
    let settings = [
        &*format!("java.security.auth.login.config={}", jaas.display()),
        "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        // It is on by default, and has no MD5.
        "fips-mode=false",
    ];
    Some((Server::start(Subject::ZooKeeper, &settings), folder))
}
