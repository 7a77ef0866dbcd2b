//! DIGEST-MD5 (RFC 2831), as ZooKeeper's servers speak it: authentication alone, one round.

use std::fmt;

use md5::{Digest, Md5};
use uuid::Uuid;

use super::{Exchange, Mechanism, SaslError};

/// The longest token that RFC 2831 allows a server.
const TOKEN_LIMIT: usize = 2048;

/// The first request that is made with a nonce; there are no others.
const NONCE_COUNT: &str = "00000001";

/// A user and a password, proved by DIGEST-MD5. The password does not cross the wire, but whoever
/// listens can try out passwords: use it over TLS.
///
/// ```no_run
/// # async fn example() -> Result<(), quorate_client::Error> {
/// use quorate_client::{Client, sasl::DigestMd5};
///
/// let client = Client::builder("h1,h2").sasl(DigestMd5::new("app", "secret")).connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "it proves nothing by itself"]
pub struct DigestMd5 {
    user: String,
    password: String,
    uri: String,
}

impl fmt::Debug for DigestMd5 {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, uri, .. } = self;
        f.debug_struct("DigestMd5").field("user", user).field("uri", uri).finish_non_exhaustive()
    }
}

impl DigestMd5 {
    /// A user and a password.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        // `Compat:` all servers have the same name.
        let uri = "zookeeper/zk-sasl-md5".to_owned();
        Self { user: user.into(), password: password.into(), uri }
    }

    /// The service and the server's name that both sides put into the proof, `zookeeper` and
    /// `zk-sasl-md5` unless servers were told otherwise.
    pub fn service(mut self, service: &str, server: &str) -> Self {
        self.uri = format!("{service}/{server}");
        self
    }

    /// The answer to the server's challenge, and the proof the server owes for it.
    fn respond(&self, challenge: &[u8], cnonce: &str) -> Result<(Vec<u8>, String), SaslError> {
        let Self { user, password, uri } = self;
        let Challenge { realm, nonce, utf8 } = Challenge::parse(challenge)?;
        let realm_hashed = realm.as_deref().unwrap_or(b"");
        let user_hashed = encoded(user, utf8)?;
        let password = encoded(password, utf8)?;
        let secret = hash(&[&user_hashed, b":", realm_hashed, b":", &password]);
        let a1 = hex(&hash(&[&secret, b":", &nonce, b":", cnonce.as_bytes()]));
        let proof = |method: &str| {
            let a2 = hex(&hash(&[method.as_bytes(), b":", uri.as_bytes()]));
            let count = NONCE_COUNT.as_bytes();
            let (a1, cnonce, a2) = (a1.as_bytes(), cnonce.as_bytes(), a2.as_bytes());
            hex(&hash(&[a1, b":", &nonce, b":", count, b":", cnonce, b":auth:", a2]))
        };

        let mut response = Vec::new();
        if utf8 {
            response.extend_from_slice(b"charset=utf-8,");
        }
        // On the wire it is in the character set of the challenge, whatever was hashed.
        let user_sent = if utf8 { user.as_bytes() } else { &user_hashed };
        put_quoted(&mut response, "username", user_sent);
        if let Some(realm) = &realm {
            put_quoted(&mut response, "realm", realm);
        }
        put_quoted(&mut response, "nonce", &nonce);
        put_quoted(&mut response, "cnonce", cnonce.as_bytes());
        put_quoted(&mut response, "digest-uri", uri.as_bytes());
        let client_proof = proof("AUTHENTICATE");
        let rest = format!("nc={NONCE_COUNT},response={client_proof},qop=auth");
        response.extend_from_slice(rest.as_bytes());
        Ok((response, proof("")))
    }
}

impl Mechanism for DigestMd5 {
    fn begin(&self) -> Box<dyn Exchange> {
        // A version 4 UUID has 122 random bits of the system.
        let cnonce = Uuid::new_v4().simple().to_string();
        Box::new(DigestExchange { credentials: self.clone(), cnonce, owed: None })
    }
}

struct DigestExchange {
    credentials: DigestMd5,
    cnonce: String,
    /// The server's proof; none before its challenge.
    owed: Option<String>,
}

impl Exchange for DigestExchange {
    fn first(&mut self) -> Result<Vec<u8>, SaslError> {
        Ok(Vec::new())
    }

    fn answer(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        if token.len() > TOKEN_LIMIT {
            return Err(SaslError::BadToken("longer than 2048 bytes"));
        }
        if let Some(owed) = &self.owed {
            let directives = directives(token)?;
            let shown = directives.iter().find(|(name, _)| name == "rspauth");
            let proven = shown.is_some_and(|(_, proof)| proof == owed.as_bytes());
            return if proven { Ok(None) } else { Err(SaslError::ServerUnproven) };
        }
        let (response, owed) = self.credentials.respond(token, &self.cnonce)?;
        self.owed = Some(owed);
        Ok(Some(response))
    }
}

/// What a server says first.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    /// The first it offers.
    realm: Option<Vec<u8>>,
    nonce: Vec<u8>,
    utf8: bool,
}

impl Challenge {
    fn parse(text: &[u8]) -> Result<Self, SaslError> {
        let (mut realm, mut nonce, mut algorithm) = (None, None, None);
        let (mut utf8, mut authenticates) = (false, true);
        for (name, value) in directives(text)? {
            match name.as_str() {
                "realm" if realm.is_none() => realm = Some(value),
                "nonce" if nonce.is_some() => return Err(SaslError::BadToken("two nonces")),
                "nonce" => nonce = Some(value),
                "algorithm" => algorithm = Some(value),
                "charset" => utf8 = value.eq_ignore_ascii_case(b"utf-8"),
                "qop" => {
                    let mut offered = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
                    authenticates = offered.any(|qop| qop.eq_ignore_ascii_case(b"auth"));
                }
                _ => {}
            }
        }
        let nonce = nonce.filter(|nonce| !nonce.is_empty());
        let nonce = nonce.ok_or(SaslError::BadToken("no nonce"))?;
        if !algorithm.is_some_and(|algorithm| algorithm.eq_ignore_ascii_case(b"md5-sess")) {
            return Err(SaslError::BadToken("the algorithm is not md5-sess"));
        }
        if !authenticates {
            return Err(SaslError::BadToken("authentication alone is not offered"));
        }
        Ok(Self { realm, nonce, utf8 })
    }
}

/// Cuts `name=value,name="value"` into its parts; names become lower case.
fn directives(text: &[u8]) -> Result<Vec<(String, Vec<u8>)>, SaslError> {
    let mut found = Vec::new();
    let mut rest = text.trim_ascii_start();
    while let Some(&first) = rest.first() {
        // Elements of such a list may be empty.
        if first == b',' {
            rest = rest[1..].trim_ascii_start();
            continue;
        }
        let end = rest.iter().position(|&byte| byte == b'=');
        let end = end.ok_or(SaslError::BadToken("a name without a value"))?;
        let name = rest[..end].trim_ascii().to_ascii_lowercase();
        let name = String::from_utf8(name).map_err(|_| SaslError::BadToken("a name that is none"));
        let (value, behind) = match rest[end + 1..].trim_ascii_start() {
            [b'"', quoted @ ..] => unquote(quoted)?,
            plain => {
                let end = plain.iter().position(|&byte| byte == b',').unwrap_or(plain.len());
                (plain[..end].trim_ascii().to_vec(), &plain[end..])
            }
        };
        found.push((name?, value));
        rest = behind.trim_ascii_start();
        if !matches!(rest.first(), None | Some(b',')) {
            return Err(SaslError::BadToken("text behind a value"));
        }
    }
    Ok(found)
}

/// The value up to the closing quote, and what is behind it.
fn unquote(text: &[u8]) -> Result<(Vec<u8>, &[u8]), SaslError> {
    let mut value = Vec::new();
    let mut position = 0;
    loop {
        match text.get(position..) {
            Some([b'"', behind @ ..]) => return Ok((value, behind)),
            Some([b'\\', escaped, ..]) => {
                value.push(*escaped);
                position += 2;
            }
            Some([plain, ..]) if *plain != b'\\' => {
                value.push(*plain);
                position += 1;
            }
            _ => return Err(SaslError::BadToken("a quote that is not closed")),
        }
    }
}

/// Appends `name="value",`.
fn put_quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.extend_from_slice(b"\",");
}

/// A user or password as it is hashed: in ISO 8859-1 if that has all its characters, otherwise in
/// UTF-8 if the server knows it.
fn encoded(text: &str, utf8: bool) -> Result<Vec<u8>, SaslError> {
    let latin: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    match latin {
        Ok(latin) => Ok(latin),
        Err(_) if utf8 => Ok(text.as_bytes().to_vec()),
        Err(_) => Err(SaslError::Mechanism(
            "the user or password has characters that the server's character set has not".into(),
        )),
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    md5.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    /// The examples of RFC 2831, section 4.
    #[test]
    fn the_examples_of_the_standard() {
        for (service, nonce, cnonce, response, rspauth) in [
            (
                "imap",
                "OA6MG9tEQGm2hh",
                "OA6MHXh6VqTrRk",
                "d388dad90d4bbd760a152321f2143af7",
                "ea40f60335c427b5527b84dbabcdfffd",
            ),
            (
                "acap",
                "OA9BSXrbuRhWay",
                "OA9BSuZWMSpW8m",
                "6084c6db3fede7352c551284490fd0fc",
                "2f0b3d7c3c2e486600ef710726aa2eae",
            ),
        ] {
            let challenge = format!(
                "realm=\"elwood.innosoft.com\",nonce=\"{nonce}\",qop=\"auth\",\
                 algorithm=md5-sess,charset=utf-8"
            );
            let chris = DigestMd5::new("chris", "secret").service(service, "elwood.innosoft.com");
            let (said, owed) = chris.respond(challenge.as_bytes(), cnonce).unwrap();
            let expected = format!(
                "charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\",nonce=\"{nonce}\",\
                 cnonce=\"{cnonce}\",digest-uri=\"{service}/elwood.innosoft.com\",nc=00000001,\
                 response={response},qop=auth"
            );
            assert_eq!(text(&said), expected);
            assert_eq!(owed, rspauth);
        }
    }

    #[test]
    fn an_exchange_ends_with_the_servers_proof() {
        let challenge = b"nonce=\"abc\", algorithm=md5-sess";
        let mechanism = DigestMd5::new("u", "p");
        let mut exchange = mechanism.begin();
        assert_eq!(exchange.first().unwrap(), b"");
        let said = exchange.answer(challenge).unwrap().unwrap();
        let said = directives(&said).unwrap();
        let cnonce = text(&said.iter().find(|(name, _)| name == "cnonce").unwrap().1).to_owned();
        let (_, owed) = mechanism.respond(challenge, &cnonce).unwrap();
        assert_eq!(exchange.answer(b"rspauth=00"), Err(SaslError::ServerUnproven));
        assert_eq!(exchange.answer(b""), Err(SaslError::ServerUnproven));
        assert_eq!(exchange.answer(format!("rspauth={owed}").as_bytes()), Ok(None));
    }

    #[test]
    fn quotes_spaces_and_empty_elements_are_understood() {
        let challenge = br#", realm="a \"b\" \\c" ,,nonce="n,=",realm="second" , QOP="auth-conf, auth",algorithm=MD5-sess,cipher=x"#;
        let parsed = Challenge::parse(challenge).unwrap();
        let realm = Some(br#"a "b" \c"#.to_vec());
        assert_eq!(parsed, Challenge { realm, nonce: b"n,=".to_vec(), utf8: false });
        let (said, _) = DigestMd5::new("q\"", "p").respond(challenge, "c").unwrap();
        let begin = r#"username="q\"",realm="a \"b\" \\c",nonce="n,=","#;
        assert!(text(&said).starts_with(begin), "{}", text(&said));
    }

    #[test]
    fn characters_beyond_latin_need_a_server_that_knows_them() {
        assert_eq!(encoded("\u{e9}", true).unwrap(), [0xe9]);
        assert_eq!(encoded("\u{20ac}", true).unwrap(), "\u{20ac}".as_bytes());
        assert!(encoded("\u{20ac}", false).is_err());
    }

    #[test]
    fn challenges_that_are_none_are_refused() {
        let long = format!("nonce=\"{}\",algorithm=md5-sess", "x".repeat(3000));
        for (challenge, why) in [
            ("", "no nonce"),
            ("nonce=\"\",algorithm=md5-sess", "no nonce"),
            ("nonce=\"a\",nonce=\"b\",algorithm=md5-sess", "two nonces"),
            ("nonce=\"a\"", "the algorithm is not md5-sess"),
            ("nonce=\"a\",algorithm=md5-sess,qop=\"auth-int\"", "alone is not offered"),
            ("nonce=\"a", "not closed"),
            ("nonce=\"a\\", "not closed"),
            ("nonce=\"a\"b", "text behind a value"),
            ("nonce", "without a value"),
            (&long, "longer than"),
        ] {
            let refused = DigestMd5::new("u", "p").begin().answer(challenge.as_bytes());
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(why), "{challenge:?}: {error}");
        }
    }

    /// Whatever a server says, there is an answer or an error.
    #[test]
    fn any_token_is_answered_or_refused() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|token| {
            let mut exchange = DigestMd5::new("u", "p").begin();
            if let Ok(Some(said)) = exchange.answer(token) {
                directives(&said).expect("what is said can be understood");
            }
        });
    }
}
