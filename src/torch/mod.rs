//! The only place that names libtorch. Everything leaves it as plain numbers.

mod activation;
pub mod clip;
pub mod cpu;
pub mod cuda;
pub mod curvature;
mod dataset_heads;
pub mod device;
pub mod engine;
pub mod error;
pub mod gpu_check;
pub mod heads;
pub mod hessian;
pub mod kept;
pub mod layer_path;
pub mod memory;
pub mod model;
pub mod path;
mod precision;
mod probing;
pub mod product;
pub mod runtime;
pub mod scores;
pub mod sharpness;
pub mod staged;
mod statistics;
pub mod threads;
pub mod weights;
