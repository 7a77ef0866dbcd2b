//! Files of ZooKeeper's Java clients (`-client-configuration`), `key=value` a line.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;

use crate::{
    failure::{Failure, Outcome},
    output::{escape, note},
    security::TlsFiles,
};

/// What such a file says, as far as it means something here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientConfiguration {
    pub(crate) max_buffer: Option<usize>,
    pub(crate) request_timeout: Option<Duration>,
    /// The files of TLS, if it is asked for.
    pub(crate) tls: Option<TlsFiles>,
}

/// Reads a file.
pub(crate) fn read(file: &Path) -> Outcome<ClientConfiguration> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("read the client configuration {}", file.display()))?;
    let mut found = ClientConfiguration::default();
    let (mut secure, mut tls) = (false, TlsFiles::default());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let place = format!("{}, line {}", file.display(), number + 1);
        let wrong = |what: &str| Failure::usage(format!("{place}: {what}"));
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("not key=value"))?;
        let (key, value) = (key.trim(), value.trim());
        match key {
            "jute.maxbuffer" => {
                found.max_buffer =
                    Some(value.parse().map_err(|_| wrong("jute.maxbuffer is no number of bytes"))?);
            }
            "zookeeper.request.timeout" => {
                let ms = value.parse().map_err(|_| wrong("the timeout is no number of ms"))?;
                found.request_timeout = (ms > 0).then(|| Duration::from_millis(ms));
            }
            "zookeeper.client.secure" => secure = value.eq_ignore_ascii_case("true"),
            "zookeeper.ssl.trustStore.location" => tls.trusted = Some(value.into()),
            "zookeeper.ssl.keyStore.location" => tls.certificate = Some(value.into()),
            "zookeeper.ssl.hostnameVerification" if value.eq_ignore_ascii_case("false") => {
                note(&format!(
                    "{place}: servers' names are checked all the same; --tls-server-name says which \
                     name their certificates have"
                ));
            }
            // What a store is, is seen in the file; which socket is used is Java's own matter.
            "zookeeper.ssl.trustStore.type"
            | "zookeeper.ssl.keyStore.type"
            | "zookeeper.ssl.hostnameVerification"
            | "zookeeper.clientCnxnSocket" => {}
            _ => {
                note(&format!("{place}: {} has no meaning here and is ignored", escape::name(key)));
            }
        }
    }
    found.tls = secure.then_some(tls);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_java_clients_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read_text = |text: &str| {
            fs::write(&file, text).unwrap();
            read(file.path())
        };
        let found = read_text("# c\njute.maxbuffer = 4096\nzookeeper.request.timeout=250\n");
        let found = found.unwrap();
        assert_eq!(found.max_buffer, Some(4096));
        assert_eq!(found.request_timeout, Some(Duration::from_millis(250)));
        assert_eq!(found.tls, None);
        let stores = "zookeeper.ssl.keyStore.location=/k.pem\nzookeeper.ssl.keyStore.type=PEM\n\
                      zookeeper.ssl.trustStore.location=/t.pem\n";
        assert_eq!(read_text(stores).unwrap().tls, None);
        let found = read_text(&format!("{stores}zookeeper.client.secure=true\n")).unwrap();
        let tls = found.tls.unwrap();
        assert_eq!(tls.trusted.as_deref(), Some(Path::new("/t.pem")));
        assert_eq!(tls.certificate.as_deref(), Some(Path::new("/k.pem")));
        for (text, said) in [("nothing", "not key=value"), ("jute.maxbuffer=x", "no number")] {
            let message = read_text(&format!("\n{text}\n")).unwrap_err().message().unwrap();
            assert!(message.contains("line 2") && message.contains(said), "{message}");
        }
    }
}
