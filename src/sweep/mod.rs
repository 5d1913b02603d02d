//! The core, pure: what is asked, in which order it is measured, what came
//! out. Knows neither libtorch nor the screen.

pub mod activation;
pub mod command;
pub mod doctor;
pub mod drive;
pub mod engine;
pub mod event;
pub mod ids;
pub mod journal;
pub mod lock;
pub mod plan;
pub mod probe;
pub mod spec;
pub mod state;
pub mod stats;
pub mod zeros;
