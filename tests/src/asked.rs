//! What a run of the tests is asked for by variables of the environment.

use std::env;

/// The number that a variable has; `None` when it is not set.
///
/// # Panics
/// When it is no number.
pub fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}
