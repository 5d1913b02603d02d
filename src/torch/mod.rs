//! The only place that names libtorch. Everything leaves it as plain numbers.

pub mod cpu;
pub mod cuda;
pub mod runtime;
