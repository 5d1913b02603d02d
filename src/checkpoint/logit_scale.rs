//! The factor of zero-shot logits, exp(`logit_scale`), along the path.
//!
//! `logit_scale` is a parameter of the checkpoint like any other and moves with α where the two
//! files differ in it. It never changes which class wins, but every loss and sharpness; a spec that
//! sets it holds it fixed, so that losses at different α can be compared.

use super::arch::Overrides;
use super::error::CheckpointError;
use super::file::Checkpoint;
use crate::sparsify::path::interpolate;
use crate::sweep::ids::Alpha;

/// The factor used where a file has no `logit_scale`: what CLIP's is clipped to, and reached by
/// every published model.
pub const DEFAULT: f64 = 100.0;

/// exp(`logit_scale`) at both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitScale {
    /// At α = 0.
    pub zeroshot: f64,
    /// At α = 1.
    pub finetuned: f64,
}

impl LogitScale {
    /// The same everywhere.
    #[must_use]
    pub fn fixed(scale: f64) -> Self {
        Self { zeroshot: scale, finetuned: scale }
    }

    /// True when it differs from point to point.
    #[must_use]
    pub fn moves(self) -> bool {
        self.zeroshot.to_bits() != self.finetuned.to_bits()
    }

    /// At θ(α): exp of the logarithm that [`interpolate`] gives, in float32 as in the files. The ends
    /// are the files' own.
    #[must_use]
    pub fn at(self, alpha: Alpha) -> f64 {
        let Self { zeroshot, finetuned } = self;
        if !self.moves() || alpha == Alpha::ZERO_SHOT {
            return zeroshot;
        }
        if alpha == Alpha::FINE_TUNED {
            return finetuned;
        }
        let [zero, one] = [zeroshot, finetuned].map(|scale| [scale.ln() as f32]);
        let mut log = [0.0];
        interpolate(&zero, &one, alpha, &mut log);
        f64::from(log[0]).exp()
    }

    /// Of two files: each end's own, the other's where one has none, [`DEFAULT`] where both have
    /// none; of the overrides where they set it. What a person should know goes to `notices`.
    ///
    /// # Errors
    /// When the override is not a positive number, or a file's value is not the logarithm of one.
    pub(super) fn of(
        zeroshot: &Checkpoint,
        finetuned: &Checkpoint,
        overrides: &Overrides,
        stored_at_both: bool,
        notices: &mut Vec<String>,
    ) -> Result<Self, CheckpointError> {
        if let Some(scale) = overrides.logit_scale {
            return if scale.is_finite() && scale > 0.0 {
                Ok(Self::fixed(scale))
            } else {
                Err(CheckpointError::Override {
                    field: "logit_scale",
                    message: format!("expected a positive number (as 100.0), got {scale}"),
                })
            };
        }
        if stored_at_both {
            // Never used: stored heads have their scale in their weights.
            return Ok(Self::fixed(own(zeroshot).ok().flatten().unwrap_or(DEFAULT)));
        }
        let (zero, one) = (own(zeroshot)?, own(finetuned)?);
        match (zero, one) {
            (Some(zero), Some(one)) if (zero - one).abs() > 1e-3 * zero => notices.push(format!(
                "logit scales differ ({zero:.2} zero-shot, {one:.2} fine-tuned): it moves along \
                 the path, and losses with it; `checkpoints.logit_scale` holds it fixed"
            )),
            (None, Some(one)) => notices.push(format!(
                "logit scale {one:.2} taken from the fine-tuned file: the zero-shot file has none"
            )),
            (None, None) => notices.push(format!(
                "logit scale {DEFAULT} assumed: no file has one; set `logit_scale` if it is not"
            )),
            _ => {}
        }
        let either = zero.or(one).unwrap_or(DEFAULT);
        Ok(Self { zeroshot: either, finetuned: one.unwrap_or(either) })
    }
}

/// exp of a file's `logit_scale`; `None` where it has none.
///
/// # Errors
/// When it is not the logarithm of one positive number.
pub(crate) fn own(file: &Checkpoint) -> Result<Option<f64>, CheckpointError> {
    let Some(tensor) = file.get("logit_scale") else { return Ok(None) };
    let wrong = |message: String| CheckpointError::Tensor {
        path: file.path().into(),
        tensor: "logit_scale".into(),
        message: format!("{message}; set `logit_scale` in the spec or repair the file"),
    };
    let &[log] = tensor.to_f32().as_slice() else {
        return Err(wrong(format!("expected one number, got shape {:?}", tensor.shape())));
    };
    let scale = f64::from(log).exp();
    if scale.is_finite() && scale > 0.0 {
        Ok(Some(scale))
    } else {
        Err(wrong(format!("expected the logarithm of a positive number, got {log}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_moves_in_a_straight_line() {
        let point = |alpha| Alpha::new(alpha).unwrap();
        let scale = LogitScale { zeroshot: 20.0, finetuned: 80.0 };
        assert!(scale.moves());
        assert_eq!((scale.at(point(0.0)), scale.at(point(1.0))), (20.0, 80.0));
        assert!((scale.at(point(0.5)) - 40.0).abs() < 1e-4, "the geometric mean");
        assert!((scale.at(point(2.0)) - 320.0).abs() < 1e-2, "beyond the end");
        let fixed = LogitScale::fixed(100.0);
        assert!(!fixed.moves());
        assert_eq!(fixed.at(point(0.3)), 100.0);
    }
}
