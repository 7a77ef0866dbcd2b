//! Encrypted connections to real servers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quorate_client::{Client, Disconnect, ErrorKind, Tls, TlsError};
use quorate_tests::{Server, Subject};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::{
    runtime,
    secure::{Authority, secure_zookeeper},
};

/// Decrypts what comes, and passes it on to a server.
async fn proxy(server: SocketAddr, (certificate, key): (String, String)) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust it breaks off.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(server).await.unwrap();
                // How either end leaves is not of interest.
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    addr
}

#[test]
fn calls_in_numbers_go_through_tls() {
    let server = Server::start(Subject::tested(), &[]);
    runtime().block_on(async {
        let authority = Authority::new();
        let addr = proxy(server.addr(), authority.identity("localhost")).await;
        let tls = Tls::with_roots(&authority.pem).unwrap();
        let hosts = format!("localhost:{}", addr.port());
        let client = Client::builder(&hosts).tls(tls).connect().await.unwrap();
        assert_eq!(client.status().borrow().server.map(|addr| addr.port()), Some(addr.port()));
        client.create("/a", vec![1; 900_000]).await.unwrap();
        let sets: Vec<_> = (0..500).map(|_| client.set("/a", vec![2; 2000]).send()).collect();
        for set in sets {
            set.await.unwrap();
        }
        assert_eq!(client.get("/a").await.unwrap().stat.version, 500);
        client.close().await.unwrap();
    });
}

/// Why a client cannot connect.
async fn refusal(hosts: &str, tls: Tls) -> Arc<Disconnect> {
    let connect = Client::builder(hosts).tls(tls).connect_timeout(Duration::from_secs(1));
    let error = connect.connect().await.unwrap_err();
    let ErrorKind::NotConnected(Some(cause)) = error.kind() else { panic!("{error:?}") };
    Arc::clone(cause)
}

#[test]
fn a_server_without_tls_or_with_another_name_is_not_used() {
    let server = Server::start(Subject::tested(), &[]);
    runtime().block_on(async {
        let authority = Authority::new();
        let tls = Tls::with_roots(&authority.pem).unwrap();
        let cause = refusal(&server.addr().to_string(), tls.clone()).await;
        let Disconnect::Tls { source, .. } = &*cause else { panic!("{cause:?}") };
        assert!(matches!(source, TlsError::Ended | TlsError::NotTls), "{source:?}");
        let addr = proxy(server.addr(), authority.identity("localhost")).await;
        let cause = refusal(&addr.to_string(), tls).await;
        let Disconnect::Tls { source, .. } = &*cause else { panic!("{cause:?}") };
        assert!(matches!(source, TlsError::WrongName { .. }), "{source:?}");
    });
}

#[test]
fn zookeeper_knows_a_client_by_its_certificate() {
    let folder = tempfile::Builder::new().prefix("quorate-test-").tempdir().unwrap();
    let authority = Authority::new();
    let Some((_server, port)) = secure_zookeeper(&authority, folder.path()) else { return };
    runtime().block_on(async {
        let (certificate, key) = authority.identity("app");
        let hosts = format!("127.0.0.1:{port}");
        let tls = Tls::with_roots(&authority.pem).unwrap();
        let known = tls.clone().identity(certificate, key).unwrap();
        let client = Client::builder(&hosts).tls(known).connect().await.unwrap();
        client.create("/a", "1").await.unwrap();
        let identities = client.whoami().await.unwrap();
        assert!(identities.iter().any(|id| id.scheme == "x509"), "{identities:?}");
        client.close().await.unwrap();

        let cause = refusal(&hosts, tls).await;
        assert!(matches!(*cause, Disconnect::Tls { .. } | Disconnect::Broken(_)), "{cause:?}");
    });
}
