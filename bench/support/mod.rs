//! What benches share.

pub mod peak;
pub mod shape;
pub mod words;
