//! Which of its two activations a CLIP was trained with: the zero-shot end measured with both on
//! the same images, and what that says.
//!
//! Tensors do not tell it, and the wrong one costs accuracy without an error.

use super::event::Level;
use super::spec::Activation;
use super::state::SweepState;
use super::stats::mcnemar;
use crate::plural::counted;

/// Above this p-value the two are not told apart.
const CHANCE: f64 = 0.01;

/// The zero-shot end with the activation that is in force and with the other one, on the same
/// images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationProbe {
    /// The one in force.
    pub used: Activation,
    /// Where it came from, as `open_clip_config.json`.
    pub source: String,
    /// The dataset's name.
    pub dataset: String,
    /// So many of its templates, of so many, went into the class weights; `None`: all, or the
    /// weights are stored.
    pub templates: Option<(usize, usize)>,
    /// Images measured.
    pub images: usize,
    /// Top-1 hits with the one in force.
    pub correct: usize,
    /// Images that are right with the other one alone.
    pub gained: usize,
    /// Images that are right with the one in force alone.
    pub lost: usize,
}

impl ActivationProbe {
    /// Adds images: whether each is right with the activation in force, and with the other one.
    pub fn add(&mut self, hits: impl IntoIterator<Item = (bool, bool)>) {
        for (ours, others) in hits {
            self.images += 1;
            self.correct += usize::from(ours);
            self.gained += usize::from(!ours && others);
            self.lost += usize::from(ours && !others);
        }
    }

    /// What a person should hear of it: a warning where the other activation does better by more
    /// than chance (McNemar's exact test, p < 0.01).
    #[must_use]
    pub fn notice(&self) -> (Level, String) {
        let other = self.used.other();
        let percent = |hits: usize| 100.0 * hits as f64 / self.images.max(1) as f64;
        let templates = match self.templates {
            Some((used, all)) => format!(" with {used} of {all} templates"),
            None => String::new(),
        };
        let measured = format!(
            "{}{}): {:.1} % of {} of `{}` at the zero-shot end{templates}; {} {:.1} %",
            opening(self.used),
            self.source,
            percent(self.correct),
            counted(self.images, "image"),
            self.dataset,
            other.label(),
            percent((self.correct + self.gained).saturating_sub(self.lost)),
        );
        if mcnemar(self.gained, self.lost) >= CHANCE {
            let text = format!("{measured}: no more than chance between them, so undecided");
            return (Level::Info, text);
        }
        if self.lost > self.gained {
            return (Level::Info, measured);
        }
        let text = format!(
            "{measured}: the other activation does better: set `checkpoints.activation = \"{}\"` \
             and begin anew, or \"{}\" if that is what the weights were trained with",
            other.name(),
            self.used.name(),
        );
        (Level::Warning, text)
    }

    /// True where nothing was measured yet, and nothing of this was said.
    #[must_use]
    pub fn is_owed(state: &SweepState) -> bool {
        let said = |text: &str| Activation::BOTH.iter().any(|it| text.starts_with(&opening(*it)));
        state.cell_ids().all(|id| state.cell(id).is_none_or(|cell| cell.done == 0))
            && !state.notices.iter().any(|(_, text)| said(text))
    }
}

/// What every such notice begins with: it is known again by that.
fn opening(used: Activation) -> String {
    format!("activation {} (", used.label())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::event::Event;

    fn probe(correct: usize, gained: usize, lost: usize) -> ActivationProbe {
        ActivationProbe {
            used: Activation::QuickGelu,
            source: "config.json".into(),
            dataset: "pets".into(),
            templates: None,
            images: 256,
            correct,
            gained,
            lost,
        }
    }

    #[test]
    fn the_right_one_is_confirmed() {
        let text = "activation QuickGELU (config.json): 64.1 % of 256 images of `pets` at the \
                    zero-shot end; GELU 12.5 %";
        assert_eq!(probe(164, 4, 136).notice(), (Level::Info, text.into()));
    }

    #[test]
    fn the_wrong_one_is_warned_of_with_what_to_do() {
        let (level, text) = probe(32, 136, 4).notice();
        assert_eq!(level, Level::Warning);
        assert!(text.contains("12.5 % of 256") && text.contains("; GELU 64.1 %"), "{text}");
        assert!(text.contains("set `checkpoints.activation = \"gelu\"`"), "{text}");
    }

    #[test]
    fn chance_decides_nothing() {
        for (gained, lost) in [(0, 0), (20, 12), (12, 20), (0, 7)] {
            let (level, text) = probe(100, gained, lost).notice();
            assert_eq!(level, Level::Info, "{text}");
            assert!(text.ends_with("so undecided"), "{text}");
        }
        assert_eq!(probe(100, 8, 0).notice().0, Level::Warning);
    }

    #[test]
    fn fewer_templates_are_said() {
        let few = ActivationProbe { templates: Some((1, 80)), ..probe(164, 4, 136) };
        assert!(few.notice().1.contains("zero-shot end with 1 of 80 templates; GELU"));
    }

    #[test]
    fn what_was_said_is_owed_no_more() {
        let mut state = SweepState::default();
        let assumed = "activation: gelu assumed (open_clip's default), nothing says otherwise";
        state.apply(&Event::notice(Level::Warning, assumed));
        assert!(ActivationProbe::is_owed(&state));
        let (level, text) = probe(32, 136, 4).notice();
        state.apply(&Event::notice(level, text));
        assert!(!ActivationProbe::is_owed(&state));
    }
}
