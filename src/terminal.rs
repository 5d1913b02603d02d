//! The terminal, and the only place that names crossterm: entering and always
//! leaving it ([`Guard`]), one atomic write per frame ([`Screen`]), keys
//! ([`listen`]).
//!
//! ```text
//! tty ──▶ listen (own thread) ──▶ Input ──▶ runtime ──▶ Screen::draw ──▶ tty
//! ```

mod frames;
mod input;
mod paint;
mod pieces;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::ThreadId;

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::style::{Attribute, SetAttribute};
use crossterm::terminal::{
    Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{Command, cursor};
use ratatui::layout::Size;

use crate::log::{self, Real};

pub use frames::{Frames, Screen};
pub use input::{Input, listen};

/// The terminal is ours: raw mode and the alternate screen are on.
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// Mouse capture is on.
static MOUSE: AtomicBool = AtomicBool::new(false);
/// Where standard output and error lead, while what others print goes to the log.
static REAL: Mutex<Option<Real>> = Mutex::new(None);
/// The thread whose panic ends the screen.
static OWNER: Mutex<Option<ThreadId>> = Mutex::new(None);

/// Holds the terminal in raw mode on the alternate screen; gives it back when
/// dropped. The panic hook gives it back before the message is printed.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Takes the terminal: raw mode, alternate screen, bracketed paste. No
    /// mouse: it would take the terminal's own selection away.
    ///
    /// # Errors
    /// When standard input or output is not a terminal, or it has gone away.
    pub fn enter() -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the screen needs a terminal on standard input and output, and one of them is \
                 redirected; use `alphascope sweep` there",
            ));
        }
        // Colours are decided by our theme: crossterm's own NO_COLOR writes
        // `ESC[;m`, which wipes bold and reverse too.
        crossterm::style::force_color_output(true);
        install_hook();
        let guard = Self(());
        take()?;
        Ok(guard)
    }

    /// Takes the terminal again, whatever happened to it meanwhile (a shell had
    /// it, as after a suspension). Everything must be drawn anew.
    ///
    /// # Errors
    /// When the terminal has gone away.
    pub fn enter_again(&self) -> io::Result<()> {
        let mouse = MOUSE.load(Ordering::SeqCst);
        if ACTIVE.swap(false, Ordering::SeqCst) {
            // crossterm takes raw mode for granted once it has set it, but a
            // shell may have changed it: start from the saved modes.
            crossterm::terminal::disable_raw_mode()?;
        }
        take()?;
        if mouse { self.mouse(true) } else { Ok(()) }
    }

    /// Gives the terminal back for a while. What others print still goes to the
    /// log: a shell's screen is no place for it either.
    pub fn leave(&self) {
        let mouse = MOUSE.load(Ordering::SeqCst);
        leave_screen();
        MOUSE.store(mouse, Ordering::SeqCst); // wanted again on return
    }

    /// Mouse capture on or off.
    ///
    /// # Errors
    /// When the terminal has gone away.
    pub fn mouse(&self, on: bool) -> io::Result<()> {
        MOUSE.store(on, Ordering::SeqCst);
        let mut bytes = String::new();
        if on {
            ansi(&mut bytes, EnableMouseCapture);
        } else {
            ansi(&mut bytes, DisableMouseCapture);
        }
        Tty::open()?.write_all(bytes.as_bytes())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
        MOUSE.store(false, Ordering::SeqCst);
    }
}

/// What is written when the terminal is taken.
#[must_use]
pub fn enter_bytes() -> String {
    let mut bytes = String::new();
    ansi(&mut bytes, EnterAlternateScreen);
    ansi(&mut bytes, EnableBracketedPaste);
    ansi(&mut bytes, cursor::Hide);
    bytes
}

/// What is written when it is given back. A synchronized update that was begun
/// is ended in every case. The alternate screen is left empty: tmux makes it as
/// small again as it was when it was entered, folds lines that are too long then,
/// and leaves what does not fit above the shell's own lines.
#[must_use]
pub fn leave_bytes(mouse: bool) -> String {
    let mut bytes = String::new();
    ansi(&mut bytes, EndSynchronizedUpdate);
    ansi(&mut bytes, SetAttribute(Attribute::Reset));
    if mouse {
        ansi(&mut bytes, DisableMouseCapture);
    }
    ansi(&mut bytes, DisableBracketedPaste);
    ansi(&mut bytes, Clear(ClearType::All));
    ansi(&mut bytes, LeaveAlternateScreen);
    ansi(&mut bytes, cursor::Show);
    bytes
}

fn ansi(bytes: &mut String, command: impl Command) {
    // Writing to a String cannot fail.
    let _ = command.write_ansi(bytes);
}

fn take() -> io::Result<()> {
    divert()?;
    crossterm::terminal::enable_raw_mode()?;
    ACTIVE.store(true, Ordering::SeqCst);
    if let Ok(mut owner) = OWNER.lock() {
        *owner = Some(std::thread::current().id());
    }
    Tty::open()?.write_all(enter_bytes().as_bytes())
}

fn real() -> MutexGuard<'static, Option<Real>> {
    REAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What libtorch, a driver or a library prints goes to the log: on the screen it
/// would stay until the next full redraw.
fn divert() -> io::Result<()> {
    let mut real = real();
    if real.is_none() {
        *real = Some(log::divert()?);
    }
    Ok(())
}

/// Gives the terminal back, and standard output and error, once: safe from any
/// thread, at any time.
pub fn restore() {
    leave_screen();
    if let Some(real) = real().take() {
        let _ = log::give_back(real);
    }
}

fn leave_screen() {
    if !ACTIVE.swap(false, Ordering::SeqCst) {
        return;
    }
    // Where the terminal has gone there is nobody left to tell.
    if let Ok(mut tty) = Tty::open() {
        let bytes = leave_bytes(MOUSE.swap(false, Ordering::SeqCst));
        let _ = tty.write_all(bytes.as_bytes());
    }
    if foreground() {
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// Log, restore, then print. A panic on another thread while the screen is up
/// is logged only: what it did is told by the run's events.
fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let trace = std::backtrace::Backtrace::force_capture();
            tracing::error!("{info}\n{trace}");
            let ours =
                OWNER.try_lock().map_or(true, |owner| *owner == Some(std::thread::current().id()));
            if ours {
                restore();
            }
            if !ACTIVE.load(Ordering::SeqCst) {
                print(info);
            }
        }));
    });
}

/// Columns and rows, by the terminal itself.
///
/// # Errors
/// When the terminal has gone away.
pub fn size() -> io::Result<Size> {
    let size = match real().as_ref() {
        Some(real) => rustix::termios::tcgetwinsize(real.out()),
        None => rustix::termios::tcgetwinsize(io::stdout()),
    }?;
    Ok(Size { width: size.ws_col, height: size.ws_row })
}

/// Standard output, wherever print leads, without std's line buffer, which would cut a frame in many
/// writes. Waits where another program has made the terminal non-blocking.
#[derive(Debug)]
pub struct Tty(File);

impl Tty {
    /// A second handle on standard output.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> io::Result<Self> {
        match real().as_ref() {
            Some(real) => real.out().try_clone().map(Self),
            None => Ok(Self(File::from(io::stdout().as_fd().try_clone_to_owned()?))),
        }
    }
}

impl Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    use rustix::event::{PollFd, PollFlags, poll};
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Some shell would notice that this job stops, and can continue it. Not so
/// where the program is a session's own, as under `ssh -t host alphascope`.
///
/// # Errors
/// When the system does not tell.
pub fn has_shell() -> io::Result<bool> {
    use rustix::process::{getpgrp, getsid};
    Ok(getsid(None)? != getpgrp())
}

/// Stops the whole job (the process group: a `make` or a script around this
/// program too) until it is continued. All at once, and with the terminal given
/// back before: a shell takes the terminal as soon as it sees the first of them
/// stop.
///
/// # Errors
/// When the signal cannot be sent.
pub fn stop_job() -> io::Result<()> {
    use rustix::process::{Signal, kill_current_process_group};
    Ok(kill_current_process_group(Signal::STOP)?)
}

/// Stops this process until it is continued.
///
/// # Errors
/// When the signal cannot be sent.
pub fn stop_self() -> io::Result<()> {
    signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)
}

/// The terminal's modes are ours to change. In the background they are the
/// shell's, and who changes them is stopped.
fn foreground() -> bool {
    let group = rustix::termios::tcgetpgrp(io::stdin());
    group.map_or(true, |group| group == rustix::process::getpgrp())
}
