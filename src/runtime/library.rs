//! The run library's questions to the disk, each on a thread of its own: a slow
//! or full folder never holds the screen.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::host::{Tell, aside};
use super::{Incoming, follow};
use crate::app::library::{Effect, Message};
use crate::library;
use crate::session::Waker;
use crate::sweep::plan::Shard;

/// Does what is asked; [`Effect::Open`] answers as session `id`.
pub(super) fn ask(tell: &Tell, waker: &Waker, id: u64, effect: Effect) {
    let say = |message| Incoming::Library(Box::new(message));
    match effect {
        Effect::List(number, folder) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            let each = Arc::clone(tell);
            let list = move || {
                let cache = crate::config::cache_dir().map(|dir| dir.join("runs.json"));
                let told = |run| {
                    each(say(Message::Run(number, Box::new(run))));
                    true
                };
                library::scan(&folder, cache.as_deref(), told).map_err(|error| error.to_string())
            };
            aside(tell, "runs", list, move |result| say(Message::Listed(number, now, result)));
        }
        Effect::Open(path) => {
            let waker = Arc::clone(waker);
            let open = move || follow::watch(&path, waker).map_err(|error| error.to_string());
            aside(tell, "watch", open, move |result| Incoming::Session(id, result));
        }
        Effect::GoOn(path) => {
            let again = vec!["--resume".to_string()];
            let start = move || {
                crate::background::start(&path, Shard::whole(), &again)
                    .map_err(|error| error.to_string())
            };
            aside(tell, "go on", start, move |result| say(Message::GoesOn(result)));
        }
        Effect::Rename(folder, name, new) => {
            let rename = move || {
                library::rename(&folder, &name, &new).map_err(|error| error.to_string())?;
                Ok((name, Some(new)))
            };
            aside(tell, "rename", rename, move |result| say(Message::Changed(result)));
        }
        Effect::Delete(folder, name) => {
            let delete = move || {
                library::delete(&folder, &name).map_err(|error| error.to_string())?;
                Ok((name, None))
            };
            aside(tell, "delete", delete, move |result| say(Message::Changed(result)));
        }
        Effect::Close => {}
    }
}
