//! Commanding a sweep that another process measures: a local socket, JSON lines.
//!
//! ```text
//! ← {"protocol":1,"program":"alphascope 0.1.0","process":4711}
//! → {"protocol":1,"id":1,"ask":{"command":"pause"}}
//! ← {"protocol":1,"id":1,"ok":true}
//! → {"protocol":1,"id":2,"ask":{"command":"dance"}}
//! ← {"protocol":1,"id":2,"ok":false,"error":"…"}
//! ```
//!
//! `ask` is a [`Command`](crate::sweep::command::Command) as it stands. `ok` says
//! that it was handed on; that it is in force, the journal says, which stays the
//! only way data reaches anyone. Fields that are not known come back in the reply
//! as they were. A line has a largest size, and one that is no request is
//! answered and otherwise changes nothing.
//!
//! The socket is its user's alone: mode 0600, and each side asks the kernel who is
//! at the other end.

mod client;
mod place;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::net::UnixStream;

pub use client::{AttachError, Client, Replies, attach};
pub(crate) use place::is_socket;
pub use server::Server;

/// Version of the lines.
pub const PROTOCOL: u32 = 1;
/// Bytes of a line at most, its end included.
pub const LINE: usize = 256 * 1024;

/// Who measures a run that is only watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Not known yet.
    #[default]
    Unknown,
    /// A process that takes commands from here.
    Attached,
    /// A process that does not, and why.
    Apart(String),
    /// Nobody: it has ended or was interrupted.
    Nobody,
}

/// The user at the other end; `None` where the system does not tell.
fn peer(stream: &UnixStream) -> io::Result<Option<u32>> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        Ok(Some(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw()))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        // The mode of the socket alone keeps others out.
        let _ = stream;
        Ok(None)
    }
}

/// Whether the user at the other end is this one. Nobody else, root neither: a
/// run is its user's.
fn is_same(peer: Option<u32>, own: u32) -> bool {
    peer.is_none_or(|uid| uid == own)
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}
