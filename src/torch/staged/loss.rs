//! The loss whose rise is measured: mean cross-entropy in nats, in float64.

use tch::{Kind, TchError, Tensor};

/// How logits become a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// Cross-entropy of the logits as they are.
    #[default]
    Plain,
    /// Each image's logits are centred and divided by their Euclidean length (at least 1e-10)
    /// first.
    Normalized,
}

impl Loss {
    /// Sum over images of the cross-entropy of logits \[images, classes\], as one float64 tensor
    /// that can be differentiated. `labels` is int64, \[images\].
    ///
    /// # Errors
    /// When a label is no class or the device fails.
    pub fn sum(self, logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
        let mut logits = logits.f_to_kind(Kind::Double)?;
        if self == Self::Normalized {
            let last = [-1_i64].as_slice();
            logits = logits.f_sub(&logits.f_mean_dim(last, true, Kind::Double)?)?;
            let length = logits.f_norm_scalaropt_dim(2.0, last, true)?;
            logits = logits.f_div(&length.f_clamp_min(1e-10)?)?;
        }
        logits
            .f_log_softmax(-1, Kind::Double)?
            .f_gather(1, &labels.f_unsqueeze(1)?, false)?
            .f_sum(Kind::Double)?
            .f_neg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(rule: Loss, logits: &[f32], classes: i64, labels: &[i64]) -> f64 {
        let logits = Tensor::from_slice(logits).view([-1, classes]);
        f64::try_from(rule.sum(&logits, &Tensor::from_slice(labels)).unwrap()).unwrap()
    }

    #[test]
    fn cross_entropy_by_its_definition() {
        let z = [0.5_f64, -1.25, 2.0];
        let own =
            |z: &[f64], label: usize| z.iter().map(|x| (x - z[label]).exp()).sum::<f64>().ln();
        let singles: Vec<f32> = z.iter().map(|&x| x as f32).collect();
        let got = loss(Loss::Plain, &[singles.clone(), singles.clone()].concat(), 3, &[1, 2]);
        assert!((got - own(&z, 1) - own(&z, 2)).abs() < 1e-12, "{got}");

        let mean = z.iter().sum::<f64>() / 3.0;
        let length = z.iter().map(|x| (x - mean).powi(2)).sum::<f64>().sqrt();
        let unit: Vec<f64> = z.iter().map(|x| (x - mean) / length).collect();
        let got = loss(Loss::Normalized, &singles, 3, &[0]);
        assert!((got - own(&unit, 0)).abs() < 1e-12, "{got}");
    }

    #[test]
    fn equal_logits_have_a_normalised_loss() {
        assert!((loss(Loss::Normalized, &[7.0; 4], 4, &[3]) - 4.0_f64.ln()).abs() < 1e-12);
    }
}
