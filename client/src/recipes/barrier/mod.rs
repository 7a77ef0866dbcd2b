//! Barriers: some wait until somebody lets them pass, or until all are there.

mod double;
mod gate;

pub use self::{
    double::{DoubleBarrier, Entered},
    gate::Barrier,
};
