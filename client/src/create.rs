//! Creates that take more than one request: with missing parents, or found again after a lost
//! connection.

use std::{pin::Pin, time::Duration};

use quorate_protocol::{OpCode, path};
use uuid::Uuid;

use crate::{
    call::Call,
    error::{Error, ErrorKind},
    payload::Payload,
    request::{Create, Created},
};

/// How often a create whose outcome is unknown is looked for and made again.
const ATTEMPTS: usize = 10;

/// The name of a protected node: what Apache Curator puts in front of it, the id, the name itself.
fn protected_name(id: &str, name: &str) -> String {
    format!("_c_{id}-{name}")
}

/// A create that takes more than one request: see [`protected`](Call::protected) and
/// [`with_parents`](Call::with_parents).
///
/// # Errors
/// As for a simple create. A protected one fails with [`ErrorKind::ConnectionLost`] only when the
/// connection was lost again and again.
///
/// # Cancel safety
/// Dropping the future leaves unknown how much was done. An ephemeral node that was created goes
/// with its session; a protected one can be found by its unique id only as long as somebody has it.
#[derive(Debug)]
#[must_use = "a call that is not awaited does nothing"]
pub struct ComposedCreate<'a> {
    call: Call<'a, Create<'a>>,
    protected: Option<Uuid>,
    parents: bool,
    timeout: Option<Duration>,
}

impl<'a> ComposedCreate<'a> {
    pub(crate) fn new(call: Call<'a, Create<'a>>) -> Self {
        Self { call, protected: None, parents: false, timeout: None }
    }

    /// See [`Call::protected`].
    pub fn protected(self) -> Self {
        self.protected_by(Uuid::new_v4().into_bytes())
    }

    /// As [`protected`](Self::protected), with an id of the caller's, which must be unique: who
    /// keeps it can find the node later, with [`protection_of`].
    pub fn protected_by(mut self, id: [u8; 16]) -> Self {
        self.protected = Some(Uuid::from_bytes(id));
        self
    }

    /// See [`Call::with_parents`].
    pub fn with_parents(mut self) -> Self {
        self.parents = true;
        self
    }

    /// How long all of it may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<Created, Error> {
        let path = self.call.request.path;
        let failed = |kind: ErrorKind| Error::new(kind).of(OpCode::Create2, Some(path));
        self.call.request.checked().map_err(failed)?;
        let Some(timeout) = self.timeout else { return self.create().await };
        match tokio::time::timeout(timeout, self.create()).await {
            Ok(result) => result,
            Err(_) => Err(failed(ErrorKind::Timeout).after_unknown(true)),
        }
    }

    async fn create(&self) -> Result<Created, Error> {
        let path = self.call.request.path;
        match self.protected {
            None => self.create_at(path).await,
            Some(id) => {
                let (parent, name) = path::split(path).ok_or_else(|| {
                    let kind = ErrorKind::BadArgument("the root cannot be created");
                    Error::new(kind).of(OpCode::Create2, Some(path))
                })?;
                let id = id.to_string();
                let path = join(parent, &protected_name(&id, name));
                self.create_protected(&path, parent, &id).await
            }
        }
    }

    /// Creates the node, and its parents if it must and may.
    async fn create_at(&self, path: &str) -> Result<Created, Error> {
        loop {
            let create = self.call.with(self.call.request.at(path));
            match create.await {
                Err(error) if self.parents && error.is_no_node() => self.create_parents().await?,
                done => return done,
            }
        }
    }

    /// Creates all nodes above, each if it is missing.
    async fn create_parents(&self) -> Result<(), Error> {
        let path = self.call.request.path;
        for (slash, _) in path.match_indices('/').skip(1) {
            create_container(&self.call, &path[..slash]).await?;
        }
        Ok(())
    }

    async fn create_protected(&self, path: &str, parent: &str, id: &str) -> Result<Created, Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let unknown = match self.create_at(path).await {
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionLost(_))
                        && attempts < ATTEMPTS =>
                {
                    error
                }
                done => return done,
            };
            tracing::debug!(path, error = %unknown, "looks for a node that may have been created");
            match self.find(parent, id).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => return Err(error.after_unknown(true)),
            }
        }
    }

    /// The node with the id, if it was created.
    async fn find(&self, parent: &str, id: &str) -> Result<Option<Created>, Error> {
        let client = crate::Client::new(self.call.view.clone());
        // The server asked now may not have seen what the other one did.
        let children = match client.children(parent).linearizable().await {
            Err(error) if error.is_no_node() => return Ok(None),
            children => children?,
        };
        let mine = children.names.iter().find(|name| protection_of(name) == Some(id));
        let Some(name) = mine else { return Ok(None) };
        let path = join(parent, name);
        let stat = client.exists(&path).await?;
        // One of a session that is lost is about to go.
        let mine = |stat: &quorate_protocol::Stat| {
            [quorate_protocol::SessionId::NONE, client.session_id()].contains(&stat.ephemeral_owner)
        };
        Ok(stat.filter(mine).map(|stat| Created { path, stat }))
    }
}

/// Creates a container if the node is missing; a persistent node where servers know none.
async fn create_container(like: &Call<'_, Create<'_>>, path: &str) -> Result<(), Error> {
    let create = like.with(Create::new(path, Payload::from(&[])));
    let result = create.container().repeatable().await;
    let result = match result {
        Err(error) if error.code() == Some(quorate_protocol::ErrorCode::Unimplemented) => {
            like.with(Create::new(path, Payload::from(&[]))).repeatable().await
        }
        result => result,
    };
    match result {
        Err(error) if !error.is_node_exists() => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// The unique id in a protected node's name, as text, if it has one.
pub fn protection_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("_c_")?;
    let id = rest.get(..36)?;
    (rest.as_bytes().get(36) == Some(&b'-')).then_some(id)
}

impl<'a> IntoFuture for ComposedCreate<'a> {
    type Output = Result<Created, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_protected_node_is_in_its_name() {
        let id = Uuid::nil().to_string();
        assert_eq!(protection_of(&protected_name(&id, "lock-0000000001")), Some(&*id));
        assert_eq!(protection_of(&protected_name(&id, "")), Some(&*id));
        for name in ["", "_c_", "lock-1", "_c_1-a", &format!("_c_{id}")] {
            assert_eq!(protection_of(name), None, "{name}");
        }
    }
}
