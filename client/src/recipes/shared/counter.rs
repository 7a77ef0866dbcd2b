//! Counters.

use quorate_protocol::{OpCode, path};

use super::cas::{Cas, set_if};
use crate::{
    Client,
    error::{Error, ErrorKind},
};

/// How a counter's number is written in its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CounterFormat {
    /// Eight bytes, big-endian: Curator's `DistributedAtomicLong`.
    #[default]
    Long,
    /// Four bytes, big-endian: Curator's `SharedCount` and `DistributedAtomicInteger`, kazoo's `Counter` with
    /// `support_curator`.
    Int,
    /// Decimal digits: kazoo's `Counter` of an `int`.
    Decimal,
}

impl CounterFormat {
    /// The number in a node's data; none at all is 0.
    fn decode(self, data: &[u8]) -> Result<i64, ErrorKind> {
        let decoded = match self {
            _ if data.is_empty() => Some(0),
            Self::Long => data.try_into().ok().map(i64::from_be_bytes),
            Self::Int => data.try_into().ok().map(|bytes| i32::from_be_bytes(bytes).into()),
            Self::Decimal => {
                std::str::from_utf8(data).ok().and_then(|text| text.trim().parse().ok())
            }
        };
        decoded.ok_or(ErrorKind::Unexpected("data in a counter's node: not a number in its format"))
    }

    fn encode(self, number: i64) -> Result<Vec<u8>, ErrorKind> {
        Ok(match self {
            Self::Long => number.to_be_bytes().into(),
            Self::Int => match i32::try_from(number) {
                Ok(number) => number.to_be_bytes().into(),
                Err(_) => {
                    return Err(ErrorKind::BadArgument("counter of four bytes would overflow"));
                }
            },
            Self::Decimal => number.to_string().into_bytes(),
        })
    }
}

/// A change of a [`Counter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterChange {
    /// What it was.
    pub before: i64,
    /// What it is.
    pub after: i64,
}

/// A number that many change: Curator's `DistributedAtomicLong`, `DistributedAtomicInteger` or `SharedCount`, kazoo's
/// `Counter`. A node that is not there counts as 0 and is created with the first change.
///
/// # Ordering
/// All changes stand in one order, each on top of the one before. [`get`](Self::get) is linearizable.
///
/// # Delivery
/// A change is made at most once. When the connection is lost in the middle of one, it is found out whether it was
/// made; only if the counter was changed meanwhile, by whomever, nobody can tell, and the call fails with an error
/// of which [`Error::surely_not_done`] is false.
///
/// # Cancel safety
/// Dropping the future of a change leaves unknown whether it was made.
#[derive(Debug, Clone)]
pub struct Counter {
    client: Client,
    path: String,
    format: CounterFormat,
}

impl Counter {
    /// A counter of [`CounterFormat::Long`] at a path.
    ///
    /// # Errors
    /// When the path is none.
    pub fn new(client: &Client, path: &str) -> Result<Self, Error> {
        path::validate(path)?;
        let (client, path) = (client.clone(), path.to_owned());
        Ok(Self { client, path, format: CounterFormat::default() })
    }

    /// The same in another format. All who share it must use the same.
    #[must_use]
    pub fn format(mut self, format: CounterFormat) -> Self {
        self.format = format;
        self
    }

    /// The number.
    ///
    /// # Errors
    /// When the node's data is no number.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn get(&self) -> Result<i64, Error> {
        match self.client.get(&self.path).linearizable().await {
            Ok(node) => self.decoded(&node.data),
            Err(error) if error.is_no_node() => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Adds to the number, or subtracts with a negative `delta`.
    ///
    /// # Errors
    /// When the sum does not fit; nothing is changed then.
    pub async fn add(&self, delta: i64) -> Result<CounterChange, Error> {
        let overflow = ErrorKind::BadArgument("counter would overflow");
        self.update(|number| number.checked_add(delta).ok_or_else(|| overflow.clone())).await
    }

    /// Replaces the number, whatever it is.
    ///
    /// # Errors
    /// When it does not fit.
    pub async fn set(&self, number: i64) -> Result<CounterChange, Error> {
        self.update(|_| Ok(number)).await
    }

    /// Replaces the number if it is `expected`. If not, nothing is changed, and `before` and `after` are what it is.
    ///
    /// # Errors
    /// When it does not fit.
    pub async fn compare_and_set(
        &self,
        expected: i64,
        number: i64,
    ) -> Result<CounterChange, Error> {
        self.update(|found| Ok(if found == expected { number } else { found })).await
    }

    /// Makes a change on top of the newest number, again and again until nobody comes between.
    async fn update(
        &self,
        change: impl Fn(i64) -> Result<i64, ErrorKind>,
    ) -> Result<CounterChange, Error> {
        loop {
            let (before, version) = match self.client.get(&self.path).await {
                Ok(node) => (self.decoded(&node.data)?, Some(node.stat.version)),
                Err(error) if error.is_no_node() => (0, None),
                Err(error) => return Err(error),
            };
            let after = change(before).map_err(|kind| self.failed(kind))?;
            if after == before && version.is_some() {
                // It must be what it is for the others too.
                let newest = self.get().await?;
                if newest == before {
                    return Ok(CounterChange { before, after });
                }
                continue;
            }
            let data = self.format.encode(after).map_err(|kind| self.failed(kind))?;
            let done = match version {
                Some(version) => set_if(&self.client, &self.path, &data, version).await?,
                None => self.create(&data).await?,
            };
            if let Cas::Done(_) = done {
                return Ok(CounterChange { before, after });
            }
        }
    }

    async fn create(&self, data: &[u8]) -> Result<Cas, Error> {
        match self.client.create(&self.path, data).with_parents().await {
            Ok(created) => Ok(Cas::Done(created.stat)),
            Err(error) if error.is_node_exists() => Ok(Cas::Conflict),
            Err(error) => Err(error),
        }
    }

    fn decoded(&self, data: &[u8]) -> Result<i64, Error> {
        self.format
            .decode(data)
            .map_err(|kind| Error::new(kind).of(OpCode::GetData, Some(&self.path)))
    }

    fn failed(&self, kind: ErrorKind) -> Error {
        Error::new(kind).of(OpCode::SetData, Some(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_curator_and_kazoo_do() {
        use CounterFormat::{Decimal, Int, Long};
        for (format, number, bytes) in [
            (Long, 1, &[0, 0, 0, 0, 0, 0, 0, 1][..]),
            (Long, -2, &[255, 255, 255, 255, 255, 255, 255, 254]),
            (Int, 258, &[0, 0, 1, 2]),
            (Int, -1, &[255; 4]),
            (Decimal, -42, b"-42"),
        ] {
            assert_eq!(format.encode(number).unwrap(), bytes);
            assert_eq!(format.decode(bytes).unwrap(), number);
        }
        for format in [Long, Int, Decimal] {
            assert_eq!(format.decode(b"").unwrap(), 0);
            assert!(format.decode(b"abc").is_err());
        }
        assert!(Int.encode(1 << 31).is_err());
    }
}
