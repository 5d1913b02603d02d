//! How far a curve falls below the straight line between its ends: what barriers
//! are made of, of a path and of a layer's own.

/// Of a curve with a value at each of `alphas`, 0 first and 1 last: by how much each
/// point between lies below (1−α)·first + α·last.
pub(super) fn below(alphas: &[f64], curve: &[f64]) -> Vec<f64> {
    let last = curve.len() - 1;
    let depth = |point: usize| line(alphas[point], curve[0], curve[last]) - curve[point];
    (1..last).map(depth).collect()
}

/// The same in every draw: `[point][draw]`.
pub(super) fn drawn_below(alphas: &[f64], draws: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let last = draws.len() - 1;
    let depths = |point: usize| -> Vec<f64> {
        let ends = draws[0].iter().zip(&draws[last]);
        let each = ends.zip(&draws[point]);
        each.map(|((&first, &end), value)| line(alphas[point], first, end) - value).collect()
    };
    (1..last).map(depths).collect()
}

fn line(alpha: f64, first: f64, last: f64) -> f64 {
    (1.0 - alpha) * first + alpha * last
}

/// Index and depth of the point that lies deepest (the first of equals); `None`
/// where none is below the line.
pub(super) fn deepest(depths: &[f64]) -> Option<(usize, f64)> {
    let all = depths.iter().copied().enumerate();
    all.reduce(|best, it| if it.1 > best.1 { it } else { best }).filter(|(_, depth)| *depth > 0.0)
}

/// In each draw, the highest of several quantities `[quantity][draw]`.
pub(super) fn highest(draws: &[Vec<f64>]) -> Vec<f64> {
    let mut all = draws.iter();
    let mut highest = all.next().cloned().unwrap_or_default();
    for draws in all {
        highest.iter_mut().zip(draws).for_each(|(best, &value)| *best = best.max(value));
    }
    highest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_point_is_below_the_line_by_hand() {
        let alphas = [0.0, 0.25, 0.5, 1.0];
        let curve = [0.8, 0.6, 0.45, 0.4];
        let depths = below(&alphas, &curve);
        let expected = [0.1, 0.15];
        assert!(depths.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{depths:?}");
        let (at, depth) = deepest(&depths).unwrap();
        assert!(at == 1 && (depth - 0.15).abs() < 1e-12);
        assert_eq!(deepest(&[0.0, -0.1]), None);
        assert_eq!(deepest(&[0.1, 0.3, 0.3]), Some((1, 0.3)));
        assert_eq!(deepest(&[]), None);
        let draws: Vec<Vec<f64>> = curve.iter().map(|&it| vec![it, 0.0]).collect();
        let drawn = drawn_below(&alphas, &draws);
        assert_eq!(drawn, [vec![depths[0], 0.0], vec![depths[1], 0.0]]);
        assert_eq!(highest(&[vec![1.0, 5.0], vec![2.0, 4.0]]), [2.0, 5.0]);
        assert!(highest(&[]).is_empty());
    }
}
