//! x·weightᵀ + bias, by whichever of libtorch's two libraries is the faster on this processor.
//!
//! libtorch gives float32 products to MKL, which on processors that are not Intel's keeps to vectors
//! of 256 bits. oneDNN, which libtorch calls for convolutions, uses 512 where there are so many: twice
//! as fast on such a processor. A product is a convolution with a kernel of one cell over an image of
//! `rows` × 1 cells whose channels lie together in memory, which is how the rows lie already, so that
//! nothing is copied. Both round; the order of their sums differs.

use std::sync::OnceLock;

use tch::{Device, Kind, TchError, Tensor};

use super::clip::Pass;
use super::cpu::Cpu;

/// Who multiplies float32 matrices on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// What libtorch takes by itself.
    Blas,
    /// oneDNN, by way of a convolution.
    OneDnn,
}

/// With fewer rows oneDNN's preparation (the weights are rearranged in every call) eats the gain.
const ROWS: i64 = 256;

static CHOSEN: OnceLock<Library> = OnceLock::new();

impl Library {
    /// The faster on a processor.
    #[must_use]
    pub fn of(cpu: &Cpu) -> Self {
        let wide = cpu.simd.iter().any(|name| name == "avx512f");
        let intel = cpu.model.as_ref().is_some_and(|model| model.contains("Intel"));
        if wide && !intel { Self::OneDnn } else { Self::Blas }
    }

    /// The one in use: this processor's, unless [`Self::choose`] was first.
    pub fn chosen() -> Self {
        *CHOSEN.get_or_init(|| Self::of(&Cpu::detect()))
    }

    /// Takes this one for good. False when another is in use already. For benchmarks.
    pub fn choose(self) -> bool {
        *CHOSEN.get_or_init(|| self) == self
    }

    /// x·weightᵀ + bias: x \[rows, columns\], weight \[outputs, columns\], both contiguous.
    ///
    /// # Errors
    /// When the device fails.
    pub fn linear(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        if self == Self::Blas {
            return x.f_linear(weight, bias);
        }
        let (rows, columns) = x.size2()?;
        let outputs = weight.size2()?.0;
        let image = x.f_view([1, rows, 1, columns])?.f_permute([0, 3, 1, 2])?;
        let kernel = weight.f_view([outputs, columns, 1, 1])?;
        let y = image.f_conv2d(&kernel, bias, [1, 1], [0, 0], [1, 1], 1)?;
        y.f_permute([0, 2, 3, 1])?.f_reshape([rows, outputs])
    }
}

/// x·weightᵀ + bias in a pass: oneDNN's where that is the faster, for float32 on the CPU.
///
/// # Errors
/// When the device fails.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    pass: Pass,
) -> Result<Tensor, TchError> {
    library(x, pass)?.linear(x, weight, bias)
}

/// Who multiplies these rows in a pass. A convolution's second derivative costs far more than a
/// product's.
///
/// # Errors
/// When the tensor has no type.
pub fn library(x: &Tensor, pass: Pass) -> Result<Library, TchError> {
    let here = x.f_kind()? == Kind::Float && x.device() == Device::Cpu;
    let many = x.size2().is_ok_and(|(rows, _)| rows >= ROWS) && x.is_contiguous();
    let suits = here && many && pass != Pass::SecondOrder;
    Ok(if suits { Library::chosen() } else { Library::Blas })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(model: &str, simd: &[&str]) -> Cpu {
        let simd = simd.iter().map(|&name| name.to_owned()).collect();
        Cpu { model: Some(model.into()), simd, ..Cpu::default() }
    }

    #[test]
    fn onednn_where_mkl_leaves_half_the_processor_idle() {
        assert_eq!(Library::of(&cpu("AMD EPYC 9354", &["avx2", "avx512f"])), Library::OneDnn);
        assert_eq!(Library::of(&cpu("AMD EPYC 7763", &["avx2"])), Library::Blas);
        let intel = cpu("Intel(R) Xeon(R) Platinum 8480+", &["avx2", "avx512f"]);
        assert_eq!(Library::of(&intel), Library::Blas);
        assert_eq!(Library::of(&Cpu::default()), Library::Blas);
    }

    /// Largest difference in units of the largest element.
    fn apart(got: &Tensor, expected: &Tensor) -> f64 {
        let expected = expected.to_kind(Kind::Double);
        let largest = |x: Tensor| f64::try_from(x.abs().max()).unwrap();
        largest(got.to_kind(Kind::Double) - &expected) / largest(expected.shallow_clone())
    }

    /// Both libraries against float64: values, and gradients in all three arguments.
    #[test]
    fn both_libraries_give_the_product_and_its_gradients() {
        tch::manual_seed(1);
        for (rows, columns, outputs) in [(1, 5, 3), (ROWS, 33, 70), (1000, 128, 96)] {
            let normal = |shape: &[i64]| Tensor::randn(shape, (Kind::Double, Device::Cpu));
            let exact = [normal(&[rows, columns]), normal(&[outputs, columns]), normal(&[outputs])];
            let out = normal(&[rows, outputs]);
            let run = |kind: Kind, library: Library, bias: bool| -> Vec<Tensor> {
                let leaf = |x: &Tensor| x.to_kind(kind).detach().set_requires_grad(true);
                let [x, w, b] = exact.each_ref().map(leaf);
                let y = library.linear(&x, &w, bias.then_some(&b)).unwrap();
                assert!(y.is_contiguous() && y.size() == [rows, outputs]);
                let sum = (&y * out.to_kind(kind)).sum(kind);
                let mut inputs = vec![x, w];
                inputs.extend(bias.then_some(b));
                let mut all = Tensor::run_backward(&[sum], &inputs, false, false);
                all.push(y.detach());
                all
            };
            for bias in [true, false] {
                let expected = run(Kind::Double, Library::Blas, bias);
                for library in [Library::Blas, Library::OneDnn] {
                    let got = run(Kind::Float, library, bias);
                    for (got, expected) in got.iter().zip(&expected) {
                        let apart = apart(got, expected);
                        assert!(apart < 3e-6, "{library:?} {rows} {bias}: {apart}");
                    }
                }
            }
        }
    }

    #[test]
    fn few_rows_second_derivatives_and_other_types_stay_with_libtorch() {
        let of = |rows, kind, pass| {
            library(&Tensor::zeros([rows, 2], (kind, Device::Cpu)), pass).unwrap()
        };
        assert_eq!(of(ROWS, Kind::Float, Pass::SecondOrder), Library::Blas);
        assert_eq!(of(ROWS, Kind::BFloat16, Pass::Measure), Library::Blas);
        assert_eq!(of(ROWS - 1, Kind::Float, Pass::Measure), Library::Blas);
        for pass in [Pass::Measure, Pass::Gradient] {
            assert_eq!(of(ROWS, Kind::Float, pass), Library::of(&Cpu::detect()));
        }
    }
}
