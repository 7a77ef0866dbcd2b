//! Encrypted connections: TLS around whatever another connector makes.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, AlertDescription, CertificateError, ClientConfig, RootCertStore,
        client::ResolvesClientCert,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};

use crate::{
    error::{Error, ErrorKind},
    hosts::Host,
    io::connector::{Connecting, Connector, Transport},
};

/// How to encrypt connections: whom to trust, and what to show of oneself.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use quorate_client::{Client, Tls};
///
/// let tls = Tls::with_roots(std::fs::read("ca.pem")?)?
///     .identity(std::fs::read("client.pem")?, std::fs::read("client.key")?)?;
/// let client = Client::builder("zk1:2281,zk2:2281").tls(tls).connect().await?;
/// # Ok(())
/// # }
/// ```
///
/// TLS 1.2 and 1.3 are spoken. The server's certificate must be for the host as the connect string
/// names it, also where that is an address; [`server_name`](Self::server_name) asks for another.
/// For what is not offered here, a `rustls::ClientConfig` (of rustls 0.23) can be
/// [turned into](From) this: revocation lists, certificates that change while the client runs,
/// another provider of the algorithms.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for Tls {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Trusts whom the system trusts.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] when the system has no certificates that can be read.
    pub fn with_system_roots() -> Result<Self, Error> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "certificates of the system cannot be read");
        }
        let mut roots = RootCertStore::empty();
        // Systems have odd ones among theirs.
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        if usable == 0 {
            return Err(setup("the system has no root certificates that can be read"));
        }
        Self::trusting(roots)
    }

    /// Trusts the certificates in this PEM text, and those they vouch for.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] when it holds none, or one that cannot be read.
    pub fn with_roots(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem.as_ref(), "root certificates")? {
            roots.add(certificate).map_err(|error| setup(format!("root certificate: {error}")))?;
        }
        Self::trusting(roots)
    }

    fn trusting(roots: RootCertStore) -> Result<Self, Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config).into())
    }

    /// What to show to servers that ask who the client is: PEM text with its certificate, followed
    /// by those between it and the root, and PEM text with its key (PKCS #8, PKCS #1 or SEC 1, not
    /// encrypted).
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] when one of them cannot be read, or they do not belong together.
    pub fn identity(
        mut self,
        certificate_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
    ) -> Result<Self, Error> {
        let chain = certificates(certificate_pem.as_ref(), "client certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_ref())
            .map_err(|error| setup(format!("client key: {error}")))?;
        let provider: &CryptoProvider = self.config.crypto_provider();
        let identity = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| setup(format!("client certificate and key: {error}")))?;
        let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(identity));
        Arc::make_mut(&mut self.config).client_auth_cert_resolver = resolver;
        Ok(self)
    }

    /// The name or address that the certificates of all servers must have, in place of the one by
    /// which a server was found: where all share a certificate, or are reached through a tunnel.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] when a certificate cannot have this name.
    pub fn server_name(mut self, name: &str) -> Result<Self, Error> {
        let parsed = ServerName::try_from(name.to_owned());
        let parsed = parsed.map_err(|error| setup(format!("server name {name:?}: {error}")))?;
        self.server_name = Some(parsed);
        Ok(self)
    }
}

impl Tls {
    /// Encrypts a stream to a server that was found by `name`: a host's name or an address, without
    /// a port. For what is not a session, four-letter words say; clients do it
    /// [themselves](crate::ClientBuilder::tls).
    ///
    /// # Errors
    /// A [`TlsError`], as the error's source, when the server's certificate is not accepted or the
    /// server speaks no TLS; otherwise what the stream fails with.
    ///
    /// # Cancel safety
    /// The stream is closed when the future is dropped.
    pub async fn encrypt<T: Transport>(
        &self,
        name: &str,
        stream: T,
    ) -> io::Result<impl Transport + use<T>> {
        let server_name = match &self.server_name {
            Some(server_name) => server_name.clone(),
            None => ServerName::try_from(name.to_owned()).map_err(|_| {
                let error = TlsError::BadName(name.to_owned());
                io::Error::new(io::ErrorKind::InvalidInput, error)
            })?,
        };
        let handshake = TlsConnector::from(Arc::clone(&self.config)).connect(server_name, stream);
        handshake.await.map_err(TlsError::of_handshake)
    }
}

impl From<Arc<ClientConfig>> for Tls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self { config, server_name: None }
    }
}

fn setup(why: impl Into<Arc<str>>) -> Error {
    ErrorKind::Setup(why.into()).into()
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| setup(format!("{what}: {error}")))?;
    if found.is_empty() {
        return Err(setup(format!("{what}: there is none in the PEM text")));
    }
    Ok(found)
}

/// Why a connection could not be encrypted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificate is for others.
    #[error("the server's certificate is for {presented}, not for {name}")]
    WrongName {
        /// The name asked for.
        name: String,
        /// The names in the certificate.
        presented: String,
    },
    /// Nobody vouches for the server's certificate who is trusted.
    #[error("the server's certificate is of an unknown issuer")]
    UnknownIssuer,
    /// The server's certificate is not valid any more.
    #[error("the server's certificate has expired")]
    Expired,
    /// The server's certificate is not valid yet.
    #[error("the server's certificate is not valid yet")]
    NotYetValid,
    /// The server's certificate is of no use for another reason.
    #[error("the server's certificate cannot be accepted: {0}")]
    BadCertificate(String),
    /// The host's name cannot be that of a certificate.
    #[error("{0:?} is no name that a certificate can have")]
    BadName(String),
    /// What the server said is not TLS.
    #[error("the server does not speak TLS on this port")]
    NotTls,
    /// The server ended the connection in the middle of the handshake.
    #[error(
        "the server ended the connection during the handshake: does it speak TLS on this port?"
    )]
    Ended,
    /// The server refused the client: its certificate, or the versions and algorithms it offers.
    #[error("the server refused the handshake: {0}")]
    Refused(String),
    /// The handshake failed in another way.
    #[error("handshake: {0}")]
    Handshake(String),
}

impl TlsError {
    /// What an error of a transport says about TLS, if it comes from a handshake.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().cloned()
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                name: expected.to_str().into_owned(),
                presented: presented.join(", "),
            },
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            other => Self::BadCertificate(other.to_string()),
        }
    }

    /// An error of the handshake; one of the socket alone is passed on.
    fn of_handshake(error: io::Error) -> io::Error {
        let tls = match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(error)) => Self::of_certificate(error),
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Some(rustls::Error::AlertReceived(alert)) => Self::Refused(describe(*alert)),
            Some(other) => Self::Handshake(other.to_string()),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe => Self::Ended,
                _ => return error,
            },
        };
        io::Error::new(io::ErrorKind::InvalidData, tls)
    }
}

fn describe(alert: AlertDescription) -> String {
    format!("{alert:?}")
}

/// Encrypts what another connector makes.
pub(crate) struct Encrypted {
    inner: Arc<dyn Connector>,
    tls: Tls,
}

impl Encrypted {
    pub(crate) fn new(inner: Arc<dyn Connector>, tls: Tls) -> Self {
        Self { inner, tls }
    }
}

impl Connector for Encrypted {
    fn resolve(&self, host: &Host) -> Connecting<Vec<SocketAddr>> {
        self.inner.resolve(host)
    }

    fn connect(&self, name: Arc<str>, addr: SocketAddr) -> Connecting<Box<dyn Transport>> {
        let tls = self.tls.clone();
        let connecting = self.inner.connect(Arc::clone(&name), addr);
        Box::pin(async move {
            let stream = tls.encrypt(&name, connecting.await?).await?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}
