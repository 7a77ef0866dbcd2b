//! How connections are encrypted, and identities proved on them: from files that operators name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use quorate_client::{Tls, sasl::DigestMd5};

use crate::failure::{Failure, Outcome};

/// Whom to trust and what to show, by the files that hold it, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Certificates that are trusted; without, those of the system.
    pub(crate) trusted: Option<PathBuf>,
    /// The client's certificate.
    pub(crate) certificate: Option<PathBuf>,
    /// The key of it; without, it is in the certificate's file.
    pub(crate) key: Option<PathBuf>,
    /// The name in the servers' certificates, if it is not that of the host.
    pub(crate) server_name: Option<String>,
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn load(&self) -> Outcome<Tls> {
        let mut tls = match &self.trusted {
            None => Tls::with_system_roots()?,
            Some(file) => about(file, Tls::with_roots(read_pem(file)?))?,
        };
        if let Some(certificate) = &self.certificate {
            let key = self.key.as_ref().unwrap_or(certificate);
            let (certificates, secret) = (read_pem(certificate)?, read_pem(key)?);
            tls = about(key, tls.identity(certificates, secret))?;
        }
        match &self.server_name {
            None => Ok(tls),
            Some(name) => Ok(tls.server_name(name)?),
        }
    }
}

/// A failure that names the file it comes from.
fn about(file: &Path, tls: Result<Tls, quorate_client::Error>) -> Outcome<Tls> {
    tls.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

fn read_pem(file: &Path) -> Outcome<Vec<u8>> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let name = file.display();
    if !text.contains("-----BEGIN ") {
        let kind = match &*bytes {
            [0xfe, 0xed, 0xfe, 0xed, ..] => "a keystore of Java (JKS)",
            // Both are DER, of which all begins with a sequence.
            [0x30, 0x80..=0xff, ..] => "a PKCS #12 keystore, or a certificate in DER",
            _ => "no PEM text",
        };
        return Err(Failure::usage(format!(
            "{name} is {kind}; PEM is needed, which these make of a keystore: \
             `keytool -importkeystore -srckeystore {name} -destkeystore store.p12 -deststoretype \
             PKCS12`, `openssl pkcs12 -in store.p12 -nodes -out store.pem`"
        )));
    }
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
    {
        return Err(Failure::usage(format!(
            "the key in {name} is encrypted by a password, which cannot be read; `openssl pkey -in \
             {name} -out plain.key` decrypts it: keep that from others, and name it by --tls-key"
        )));
    }
    Ok(bytes)
}

/// The identity of a user whose password is in a file or, if none is named, in the environment.
pub(crate) fn digest_md5(
    user: &str,
    file: Option<&Path>,
    environment: Option<String>,
) -> Outcome<DigestMd5> {
    let password = match file {
        Some(file) => {
            let text = fs::read_to_string(file);
            let text = text.with_context(|| format!("read the password in {}", file.display()))?;
            // Editors put a line feed behind it.
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
        None => environment.ok_or_else(|| {
            Failure::usage(
                "--sasl takes the password from --sasl-password-file, or from the variable \
                 QUORATE_CLI_SASL_PASSWORD",
            )
        })?,
    };
    Ok(DigestMd5::new(user, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, bytes).unwrap();
        let files = TlsFiles { trusted: Some(file.path().to_owned()), ..TlsFiles::default() };
        let said = files.load().unwrap_err().message().unwrap();
        assert!(said.contains(&*file.path().display().to_string()), "{said}");
        said
    }

    #[test]
    fn what_is_not_pem_is_named_with_a_way_out() {
        assert!(refused(b"\xfe\xed\xfe\xed\0\0").contains("(JKS); PEM is needed"));
        assert!(refused(&[0x30, 0x82, 1, 1]).contains("PKCS #12"));
        assert!(refused(b"words").contains("no PEM text"));
        assert!(refused(b"-----BEGIN ENCRYPTED PRIVATE KEY-----").contains("openssl pkey"));
        assert!(refused(b"-----BEGIN CERTIFICATE-----\n").contains("root certificates"));
    }

    #[test]
    fn a_password_comes_from_a_file_or_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "pass word\r\n").unwrap();
        assert!(digest_md5("u", Some(file.path()), None).is_ok());
        assert!(digest_md5("u", None, Some("p".into())).is_ok());
        assert_eq!(digest_md5("u", None, None).unwrap_err().exit_code(), 2);
        assert_eq!(digest_md5("u", Some(Path::new("/missing")), None).unwrap_err().exit_code(), 9);
    }
}
