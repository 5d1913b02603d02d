//! alphascope: robust fine-tuning of CLIP models, watched in the terminal.
//!
//! One rule: **what measures never knows the screen; the screen never knows
//! libtorch.** The features `torch` and `tui` prove it both ways.

pub mod alert;
pub mod app;
pub mod background;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod control;
pub mod dataset;
pub mod demo;
pub mod handover;
pub mod headless;
pub mod inputs;
pub mod launch;
pub mod library;
pub mod log;
mod lossy;
mod mapped;
pub mod merge;
pub mod plain;
mod plural;
pub mod priority;
mod regular;
pub mod report;
#[cfg(feature = "tui")]
pub mod runtime;
pub mod session;
pub mod sim;
pub mod sparsify;
pub mod sweep;
#[cfg(feature = "tui")]
pub mod terminal;
#[cfg(feature = "torch")]
pub mod torch;
#[cfg(feature = "tui")]
pub mod ui;
