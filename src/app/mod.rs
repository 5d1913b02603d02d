//! Pure state of the screen, after Elm: a [`Model`] folded from [`Message`]s
//! by [`update()`], which answers with [`Effect`]s for the runtime. Nothing here
//! draws, waits, or knows a terminal.
//!
//! ```text
//! keys, events, progress ──▶ update(&mut Model, Message) ──▶ Vec<Effect> ──▶ runtime
//!                                    │
//!                             Model::settle()            once per frame
//!                                    ▼
//!                            ui::view(&Model, …)
//! ```

pub mod ask;
pub mod axis;
pub mod board;
pub mod contest;
pub mod format;
pub mod help;
pub mod key;
pub mod keymap;
pub mod layers;
pub mod library;
pub mod live;
pub mod look;
pub mod message;
pub mod model;
mod relations;
pub mod save;
pub mod setup;
pub mod sheet;
pub mod summary;
pub mod tab;
pub mod update;

pub use key::Key;
pub use look::{Charset, Depth, Look, Palette};
pub use message::{Effect, Message, Pick};
pub use model::{Link, Mode, Model, Screen};
pub use summary::summary;
pub use tab::Tab;
pub use update::update;
