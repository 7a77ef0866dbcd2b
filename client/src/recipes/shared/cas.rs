//! Conditional writes whose answer may be lost.

use quorate_protocol::Stat;

use crate::{
    Client,
    error::{Error, ErrorKind},
};

/// How often a write that was surely not done is made again.
const ATTEMPTS: usize = 10;

/// What came of a conditional write.
#[derive(Debug)]
pub(crate) enum Cas {
    /// It was done.
    Done(Stat),
    /// The node has another version, or is not there: it was not done.
    Conflict,
}

/// Replaces a node's data if it has this version. When the answer is lost and the version is still the same, the write
/// was not done and is made again; a server does not carry out anything of the lost connection any more once the
/// session has moved to another one. When the version is another, nobody can say whose write that was.
///
/// # Errors
/// [`Error::surely_not_done`] is false then.
pub(crate) async fn set_if(
    client: &Client,
    path: &str,
    data: &[u8],
    version: i32,
) -> Result<Cas, Error> {
    let client = client.in_this_session();
    let mut attempts = 1;
    loop {
        let unknown = match client.set(path, data).version(version).await {
            Ok(stat) => return Ok(Cas::Done(stat)),
            Err(error) if error.is_bad_version() || error.is_no_node() => return Ok(Cas::Conflict),
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionLost(_)) && attempts < ATTEMPTS =>
            {
                error
            }
            Err(error) => return Err(error),
        };
        attempts += 1;
        match client.exists(path).linearizable().await {
            Ok(Some(stat)) if stat.version == version => {}
            _ => return Err(unknown),
        }
    }
}
