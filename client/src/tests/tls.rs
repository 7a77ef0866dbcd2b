//! Encrypted connections, and servers that cannot be trusted.

use std::{sync::Arc, time::Duration};

use quorate_protocol::{OpCode, SessionId, Stat};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
        sign::CertifiedKey,
    },
    server::TlsStream,
};

use super::peer::{Listener, Peer, builder};
use crate::{ClientBuilder, Disconnect, Error, ErrorKind, Tls, TlsError};

/// One that vouches for others.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn identity(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.extended_key_usages = both.into();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// What a server with this certificate accepts; with `clients`, only clients these vouch for.
fn acceptor(identity: &Identity, clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let shown = Always(Arc::new(CertifiedKey::from_der(chain, key, &provider).unwrap()));
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    Arc::new(config.with_cert_resolver(Arc::new(shown))).into()
}

async fn accept(
    listener: &mut Listener,
    acceptor: &TlsAcceptor,
) -> std::io::Result<TlsStream<DuplexStream>> {
    acceptor.accept(listener.stream().await).await
}

/// Why a client cannot connect that gives up after a few attempts.
async fn refusal(builder: ClientBuilder) -> Arc<Disconnect> {
    let error = builder.connect_timeout(Duration::from_secs(2)).connect().await.unwrap_err();
    let ErrorKind::NotConnected(Some(cause)) = error.kind() else { panic!("{error:?}") };
    Arc::clone(cause)
}

/// Why a client that trusts `authority` cannot use a server with this certificate.
async fn refused(authority: &Authority, identity: &Identity) -> TlsError {
    let (builder, mut listener) = builder(1 << 16);
    let acceptor = acceptor(identity, None);
    let serve = async {
        loop {
            // The client breaks off.
            let _ = accept(&mut listener, &acceptor).await;
        }
    };
    let tls = Tls::with_roots(&authority.pem).unwrap();
    let cause = tokio::select! {
        cause = refusal(builder.tls(tls)) => cause,
        () = serve => unreachable!("it serves for ever"),
    };
    let Disconnect::Tls { server, source } = &*cause else { panic!("{cause:?}") };
    assert_eq!(server, "server (127.0.0.1:1)");
    source.clone()
}

#[tokio::test(start_paused = true)]
async fn calls_and_answers_go_through_an_encrypted_connection() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority.identity("server", |_| {}), None);
    // So small that records come in pieces.
    let (builder, mut listener) = builder(100);
    let tls = Tls::with_roots(&authority.pem).unwrap();
    let client = builder.tls(tls).connect_lazily().unwrap();
    let large = client.set("/large", vec![1; 500_000]).send();
    for attempt in 0..2 {
        let mut peer = Peer::on(accept(&mut listener, &acceptor).await.unwrap());
        peer.greet(SessionId(7), 6000).await;
        if attempt == 1 {
            let (xid, body) = peer.expect(OpCode::SetData).await;
            assert!(body.len() > 500_000);
            peer.answer(xid, 0, &Stat { version: 3, ..Stat::default() }).await;
            assert_eq!(large.await.unwrap().version, 3);
            break;
        }
        // It did not leave wholly, so it goes out again.
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_shows_its_certificate_to_a_server_that_asks() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority.identity("other", |_| {}), Some(&authority));
    let shown = authority.identity("client", |_| {});
    let (builder, mut listener) = builder(1 << 16);
    let tls = Tls::with_roots(&authority.pem).unwrap();
    let tls = tls.identity(&shown.certificate, &shown.key).unwrap().server_name("other").unwrap();
    let client = builder.tls(tls).connect_lazily().unwrap();
    let stream = accept(&mut listener, &acceptor).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap().len(), 1);
    let mut peer = Peer::on(stream);
    peer.greet(SessionId(7), 6000).await;
    client.wait_connected().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_certificate_is_told_that_one_is_wanted() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority.identity("server", |_| {}), Some(&authority));
    let (builder, mut listener) = builder(1 << 16);
    let serve = async {
        loop {
            accept(&mut listener, &acceptor).await.unwrap_err();
        }
    };
    let tls = Tls::with_roots(&authority.pem).unwrap();
    let cause = tokio::select! {
        cause = refusal(builder.tls(tls)) => cause,
        () = serve => unreachable!("it serves for ever"),
    };
    // TLS 1.3 lets the client talk before the server has looked at its certificate.
    let Disconnect::Broken(error) = &*cause else { panic!("{cause:?}") };
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn servers_that_cannot_be_trusted_are_not_used() {
    let authority = Authority::new();
    let wrong_name = refused(&authority, &authority.identity("elsewhere", |_| {})).await;
    let TlsError::WrongName { name, presented } = &wrong_name else { panic!("{wrong_name:?}") };
    assert!(name == "server" && presented.contains("elsewhere"), "{wrong_name}");
    let unknown = refused(&authority, &Authority::new().identity("server", |_| {})).await;
    assert!(
        matches!(unknown, TlsError::UnknownIssuer | TlsError::BadCertificate(_)),
        "{unknown:?}"
    );
    let old = authority.identity("server", |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    assert!(matches!(refused(&authority, &old).await, TlsError::Expired));
    let young = authority.identity("server", |params| {
        params.not_before = date_time_ymd(3001, 1, 1);
        params.not_after = date_time_ymd(3002, 1, 1);
    });
    assert!(matches!(refused(&authority, &young).await, TlsError::NotYetValid));
}

#[tokio::test(start_paused = true)]
async fn servers_that_do_not_speak_tls_are_told_apart() {
    let tls = Tls::with_roots(Authority::new().pem).unwrap();

    // It says something else.
    let (talking, mut listener) = builder(1 << 16);
    let serve = async {
        loop {
            let mut stream = listener.stream().await;
            let _ = stream.write_all(b"Zookeeper version: 3.9.5\n").await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    let cause = tokio::select! {
        cause = refusal(talking.tls(tls.clone())) => cause,
        () = serve => unreachable!("it serves for ever"),
    };
    assert!(matches!(&*cause, Disconnect::Tls { source: TlsError::NotTls, .. }), "{cause:?}");

    // It takes the first bytes for the length of a frame.
    let (closing, mut listener) = builder(1 << 16);
    let serve = async {
        loop {
            let mut stream = listener.stream().await;
            let _ = stream.read(&mut [0; 4]).await;
        }
    };
    let cause = tokio::select! {
        cause = refusal(closing.tls(tls.clone())) => cause,
        () = serve => unreachable!("it serves for ever"),
    };
    assert!(matches!(&*cause, Disconnect::Tls { source: TlsError::Ended, .. }), "{cause:?}");

    // It says nothing at all.
    let (silent, mut listener) = builder(1 << 16);
    let serve = async {
        let mut streams = Vec::new();
        loop {
            streams.push(listener.stream().await);
        }
    };
    let cause = tokio::select! {
        cause = refusal(silent.tls(tls).session_timeout(Duration::from_secs(1))) => cause,
        () = serve => unreachable!("it serves for ever"),
    };
    assert!(matches!(&*cause, Disconnect::Slow(_)), "{cause:?}");
}

#[test]
fn certificates_and_keys_that_are_none_are_named() {
    let authority = Authority::new();
    let (one, other) = (authority.identity("a", |_| {}), authority.identity("b", |_| {}));
    let tls = || Tls::with_roots(&authority.pem).unwrap();
    let said = |result: Result<Tls, Error>| {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Setup(_)));
        error.to_string()
    };
    let swapped = tls().identity(&one.key, &one.certificate);
    for (result, part) in [
        (Tls::with_roots(""), "root certificates: there is none"),
        (Tls::with_roots("-----BEGIN CERTIFICATE-----\n!\n"), "root certificates: "),
        (swapped, "client certificate: there is none"),
        (tls().identity(&one.certificate, ""), "client key: "),
        (tls().identity(&one.certificate, &other.key), "client certificate and key: "),
        (tls().server_name("a b"), "server name \"a b\": "),
    ] {
        let said = said(result);
        assert!(said.starts_with(part), "{said}");
    }
    let shown = format!("{:?}", tls().identity(&one.certificate, &one.key).unwrap());
    assert_eq!(shown, "Tls { server_name: None, .. }");
}
