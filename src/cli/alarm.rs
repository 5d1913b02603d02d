//! How a person wants to be told: flags, then configuration.

use std::path::PathBuf;

use anyhow::Context;

use super::{Args, Config};
use crate::alert::{Alerts, Notify};

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Alerts, when a sweep ends, fails, or shows a success or failure")]
pub struct Alarm {
    /// Ring the terminal's bell
    #[arg(long, global = true)]
    bell: bool,
    /// Ask the terminal for a notification: osc9, osc777 or off
    #[arg(long, global = true, value_name = "HOW")]
    notify: Option<String>,
    /// Start this program; ALPHASCOPE_ALERT, _TEXT, _RUN, _GAIN and _BEST_ALPHA tell it what
    #[arg(long, global = true, value_name = "PROGRAM")]
    alert: Option<PathBuf>,
}

impl Alarm {
    /// # Errors
    /// When a word is none that is known, or the program's path cannot be used.
    pub fn alerts(&self, config: &Config) -> anyhow::Result<Alerts> {
        let mut typed = Vec::new();
        if self.bell {
            typed.push("--bell".to_string());
        }
        if let Some(how) = &self.notify {
            typed.extend(["--notify".to_string(), how.clone()]);
        }
        let mut command = config.alert.clone().unwrap_or_default();
        if let Some(program) = &self.alert {
            // A name is looked for in PATH; a path is meant from here.
            let path = match program.components().count() {
                1 => program.clone(),
                _ => std::path::absolute(program)
                    .with_context(|| format!("cannot use the alert {}", program.display()))?,
            };
            let path = path.to_str().context("the alert's path is not UTF-8: rename it")?;
            typed.extend(["--alert".to_string(), path.to_string()]);
            command = vec![path.to_string()];
        }
        let notify = self.notify.as_ref().or(config.notify.as_ref());
        let notify = notify.map_or(Some(Notify::Off), |name| Notify::from_name(name));
        let notify = notify.context("unknown way to notify: expected osc9, osc777 or off")?;
        Ok(Alerts { bell: self.bell || config.bell.unwrap_or(false), notify, command, typed })
    }
}
