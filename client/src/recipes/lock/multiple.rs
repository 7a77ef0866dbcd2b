//! Several locks at once.

use futures_util::future::select_all;

use super::{Acquire, Guard, Mutex};
use crate::{
    Call, Client,
    error::{Error, ErrorKind},
    recipes::Loss,
    request,
};

/// Several [`Mutex`]es, acquired together or not at all. Those who use the same ones do not block
/// each other for ever: all acquire them in the order of their folders. Cheap to clone.
///
/// `Compat:` each is Apache Curator's `InterProcessMutex`; its `InterProcessMultiLock` acquires in
/// the order given.
#[derive(Debug, Clone)]
pub struct MultiLock {
    mutexes: Vec<Mutex>,
}

/// Several locks that were acquired. Dropping it releases them in the background.
#[derive(Debug)]
#[must_use = "dropping the guard releases the locks"]
pub struct MultiGuard {
    /// In the order of their folders.
    guards: Vec<Guard>,
}

impl MultiLock {
    /// The locks with these folders. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is none, two are the same, or one is no path or the root.
    pub fn new<'f>(
        client: &Client,
        folders: impl IntoIterator<Item = &'f str>,
    ) -> Result<Self, Error> {
        let mutexes = folders.into_iter().map(|folder| Mutex::new(client, folder));
        let mut mutexes = mutexes.collect::<Result<Vec<_>, _>>()?;
        mutexes.sort_by(|a, b| a.folder().cmp(b.folder()));
        if mutexes.is_empty() {
            return Err(ErrorKind::BadArgument("a lock of none").into());
        }
        if mutexes.windows(2).any(|two| two[0].folder() == two[1].folder()) {
            return Err(ErrorKind::BadArgument("the same lock twice").into());
        }
        Ok(Self { mutexes })
    }

    /// Acquires all locks, one after the other.
    pub fn acquire(&self) -> Acquire<'_, MultiGuard> {
        Acquire::new(async {
            loop {
                let mut guards = Vec::with_capacity(self.mutexes.len());
                for mutex in &self.mutexes {
                    guards.push(mutex.acquire().await?);
                }
                if in_one_session(&guards) {
                    return Ok(MultiGuard { guards });
                }
            }
        })
    }

    /// Acquires all locks if nobody holds or waits for any of them.
    ///
    /// # Errors
    /// As the client's calls.
    ///
    /// # Cancel safety
    /// Dropping the future gives up.
    pub async fn try_acquire(&self) -> Result<Option<MultiGuard>, Error> {
        let mut guards = Vec::with_capacity(self.mutexes.len());
        for mutex in &self.mutexes {
            match mutex.try_acquire().await? {
                Some(guard) => guards.push(guard),
                None => return Ok(None),
            }
        }
        Ok(in_one_session(&guards).then_some(MultiGuard { guards }))
    }
}

/// Whether no session was lost between the first guard and the last.
fn in_one_session(guards: &[Guard]) -> bool {
    let session = |guard: &Guard| guard.client().view().session();
    guards.windows(2).all(|two| session(&two[0]) == session(&two[1]))
}

impl MultiGuard {
    /// The guards of the single locks, in the order of their folders.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// A transaction that is done only if all locks are held: it begins with as many checks as
    /// there are locks. See [`Guard::multi`].
    pub fn multi(&self) -> Call<'_, request::Multi> {
        let (first, others) = self.guards.split_first().expect("there is at least one lock");
        others.iter().fold(first.multi(), |multi, guard| multi.check(guard.path(), request::ANY))
    }

    /// Waits until one of the locks may be lost, and tells why. See [`Guard::lost`].
    ///
    /// # Cancel safety
    /// It may be called again and again.
    pub async fn lost(&self) -> Loss {
        let losses = self.guards.iter().map(|guard| Box::pin(guard.lost()));
        select_all(losses).await.0
    }

    /// Releases all locks, the last first, and waits until that is sure.
    ///
    /// # Errors
    /// The first error of a single release; the others are released all the same.
    ///
    /// # Cancel safety
    /// Dropping the future releases the locks in the background.
    pub async fn release(self) -> Result<(), Error> {
        let mut result = Ok(());
        for guard in self.guards.into_iter().rev() {
            result = result.and(guard.release().await);
        }
        result
    }
}
