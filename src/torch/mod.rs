//! The only place that names libtorch. Everything leaves it as plain numbers.

pub mod clip;
pub mod cpu;
pub mod cuda;
pub mod error;
pub mod path;
pub mod runtime;
pub mod scores;
