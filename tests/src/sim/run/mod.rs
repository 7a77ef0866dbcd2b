//! Runs of seeds, and what came of them.

use std::{
    any::Any,
    fmt::{Display, Formatter},
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    check::Broken,
    coverage::Coverage,
    plan::Plan,
    queue::Micros,
    world::{Factory, World},
};

/// What came of a run in which nothing was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// What has occurred.
    pub coverage: Coverage,
    /// The hash of everything that happened.
    pub trace: u64,
    /// How many transactions were delivered.
    pub delivered: usize,
    /// How much time has passed in it.
    pub took: Micros,
}

/// A run in which something was wrong.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What was wrong.
    pub broken: Broken,
    /// What happened last, as far as it was kept.
    pub text: String,
}

impl Display for Failed {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { seed, broken, text } = self;
        writeln!(f, "{text}seed {seed}: {broken}")?;
        write!(
            f,
            "run it again, with all that happens:\n    QUORATE_SIM_SEED={seed} \
             QUORATE_SIM_TRACE=100000 cargo test -p quorate-tests --test simulation replay -- \
             --nocapture"
        )
    }
}

/// Runs a plan from its beginning to its end.
pub fn run(plan: Plan, factory: Box<dyn Factory>, trace_lines: usize) -> Result<Passed, Failed> {
    let seed = plan.seed;
    let mut world = World::new(plan, factory, trace_lines);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        world.endanger()?;
        world.heal()?;
        world.checker.finish(&world.history)
    }));
    let broken = match ran {
        Ok(Ok(())) => {
            return Ok(Passed {
                trace: world.trace.hash(),
                delivered: world.checker.delivered().len(),
                took: world.now(),
                coverage: world.coverage,
            });
        }
        Ok(Err(broken)) => broken,
        Err(panic) => Broken::new("Panic", said(&*panic)),
    };
    Err(Failed { seed, broken, text: world.trace.text() })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("something that is no text").to_owned()
}

#[cfg(test)]
mod tests;
