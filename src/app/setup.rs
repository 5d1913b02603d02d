//! State of the set-up screen.

use crate::sweep::spec::Spec;

use super::key::Key;

/// What the set-up screen knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {}

/// What reaches the set-up screen besides keys.
#[derive(Clone, Debug)]
pub enum Message {}

/// What the set-up screen asks of the world.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Start a session on this.
    Start(Box<Spec>),
}

/// A key on the set-up screen; `None`: not for it, so the global table
/// decides.
pub fn key(_state: &mut State, _key: Key) -> Option<Vec<Effect>> {
    None
}

/// Anything else for the set-up screen.
pub fn update(_state: &mut State, message: Message) -> Vec<Effect> {
    match message {}
}
