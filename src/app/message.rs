//! What reaches the screen's state, and what it asks of the world.

use std::path::PathBuf;

use crate::sweep::command::Command;
use crate::sweep::event::{Event, Level, Outcome, Progress};
use crate::sweep::ids::LayerId;

use super::contest::{Guest, RivalId};
use super::key::Key;
use super::library;
use super::live::Target;
use super::model::Link;
use super::save::{Order, Refused};
use super::setup;
use super::tab::Tab;

/// Everything that can happen to the [`super::Model`].
#[derive(Clone, Debug)]
pub enum Message {
    /// A key was pressed.
    Key(Key),
    /// Something was clicked (`ui::hit` says what; only while the mouse is
    /// on).
    Pick(Pick),
    /// The wheel turned: lines, down is positive.
    Wheel(i16),
    /// One event of the run, live or replayed.
    Event(Box<Event>),
    /// What a worker does right now; latest wins.
    Progress(Progress),
    /// The terminal has this many columns and rows.
    Resize(u16, u16),
    /// A timer of the runtime. Nothing on the screen ticks: a passing notice
    /// is taken down, nothing else.
    Tick,
    /// For the set-up screen.
    Setup(setup::Message),
    /// The session is over: how, or why not.
    Ended(Result<Outcome, String>),
    /// The session that ended could not go on with what was asked of it.
    NotResumed(String),
    /// What was asked did not reach whoever measures.
    NotTaken(String),
    /// A checkpoint was written (what it is, in lines), or not.
    Merged(Result<String, Refused>),
    /// Another run was read, to be shown beside this one.
    Guest(Result<Box<Guest>, String>),
    /// For the run library.
    Library(library::Message),
    /// Who measures the run that is watched.
    Link(Link),
    /// A line for the log pane.
    Log(Level, String),
    /// The sweep stands still until there is room to write, and why; `None`: it
    /// goes on.
    Stands(Option<String>),
}

/// What a click can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This point of the grid.
    Alpha(usize),
    /// This curve.
    Curve(Target),
    /// This layer; `None`: all of them at once.
    Layer(Option<LayerId>),
    /// This variant.
    Variant(RivalId),
    /// This screen of the run.
    Tab(Tab),
}

/// What the runtime has to do for the screen.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Ask this of the sweep (never blocks). One that has ended goes on first.
    Command(Command),
    /// Write a checkpoint of the run's ends.
    Merge(Box<Order>),
    /// Read another run.
    Guest(PathBuf),
    /// Let the sweep go on in another process, and leave.
    Detach,
    /// Something the set-up screen needs from the outside.
    Setup(setup::Effect),
    /// Something the run library needs from the outside.
    Library(library::Effect),
    /// Mouse capture on or off.
    Mouse(bool),
    /// Forget what is on the terminal and draw all of it again.
    Redraw,
    /// Give the terminal back and stop the process until `fg`.
    Suspend,
    /// Leave the screen.
    Quit,
}
