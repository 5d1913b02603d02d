//! The signals the screen answers to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// As ctrl-c from the keyboard: ask whether to stop (SIGINT).
    Ask,
    /// End after the batch in hand (SIGTERM, SIGUSR1, SIGQUIT).
    Stop,
    /// The terminal has hung up (SIGHUP).
    Gone,
    /// Give the terminal back and stop (SIGTSTP).
    Suspend,
    /// Go on (SIGCONT).
    Continue,
    /// The terminal has another size (SIGWINCH).
    Resize,
}

/// All of them, listened to.
pub struct Signals([(Asked, Signal); 8]);

impl Signals {
    /// Starts to listen: from here on none of them has its default effect.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> io::Result<Self> {
        let on = |asked, kind| signal(kind).map(|signal| (asked, signal));
        Ok(Self([
            on(Asked::Stop, SignalKind::terminate())?,
            on(Asked::Ask, SignalKind::interrupt())?,
            on(Asked::Stop, SignalKind::user_defined1())?,
            on(Asked::Stop, SignalKind::quit())?,
            on(Asked::Gone, SignalKind::hangup())?,
            on(Asked::Suspend, SignalKind::from_raw(signal_hook::consts::SIGTSTP))?,
            on(Asked::Continue, SignalKind::from_raw(signal_hook::consts::SIGCONT))?,
            on(Asked::Resize, SignalKind::window_change())?,
        ]))
    }

    /// Waits for the next one. Many of a kind in short time are one.
    pub async fn next(&mut self) -> Asked {
        let [a, b, c, d, e, f, g, h] = &mut self.0;
        tokio::select! {
            _ = a.1.recv() => a.0,
            _ = b.1.recv() => b.0,
            _ = c.1.recv() => c.0,
            _ = d.1.recv() => d.0,
            _ = e.1.recv() => e.0,
            _ = f.1.recv() => f.0,
            _ = g.1.recv() => g.0,
            _ = h.1.recv() => h.0,
        }
    }
}
