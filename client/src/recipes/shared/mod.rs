//! Values that many see and change: counters, and data of any kind.

mod cas;
mod counter;
mod value;

pub use self::{
    counter::{Counter, CounterChange, CounterFormat},
    value::{SharedValue, TrySet, Value, Values},
};
