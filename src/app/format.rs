//! Numbers as people read them. Unicode here; the theme spells it in ASCII
//! where it must.

use super::board::{Board, Verdict};
pub use crate::sweep::ids::spelled as alpha;
pub use crate::sweep::stats::signed;

/// One decimal: `45.8`.
#[must_use]
pub fn percent(value: f64) -> String {
    format!("{value:.1}")
}

/// Decimals that tell the points of a grid from each other and from both ends: three
/// mostly, up to six.
#[must_use]
pub fn decimals(alphas: &[f64]) -> usize {
    let mut all: Vec<f64> = alphas.iter().copied().chain([0.0, 1.0]).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    let apart = |decimals: &usize| {
        let shown: Vec<String> = all.iter().map(|it| alpha(*it, *decimals)).collect();
        shown.windows(2).all(|pair| pair[0] != pair[1])
    };
    (3..6).find(apart).unwrap_or(6)
}

/// Three digits that mean something, as short as they are: `0.0321`, `1.23`,
/// `0.2`, `412`, `4.5e-5`.
#[must_use]
pub fn significant(value: f64) -> String {
    let text = aligned(value);
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if text.contains('.') && !text.contains('e') { short.to_string() } else { text }
}

/// A value and its error with the same decimals: `0.0321 ±0.0010`.
#[must_use]
pub fn with_error(value: f64, error: Option<f64>) -> String {
    let text = aligned(value);
    let Some(error) = error.filter(|it| it.is_finite()) else { return text };
    // A value lost in its error is told in the error's decimals.
    if text.contains('e') && value.abs() < 0.001 && (5e-5..1.0).contains(&error.abs()) {
        return format!("{} ±{error:.4}", minus(&format!("{value:.4}")));
    }
    match text.split_once('.') {
        Some((_, decimals)) if !text.contains('e') => {
            let digits = decimals.len();
            let least = 10f64.powi(-i32::try_from(digits).unwrap_or(0));
            if error > 0.0 && error < least / 2.0 {
                format!("{text} ±<{least:.digits$}")
            } else {
                format!("{text} ±{error:.digits$}")
            }
        }
        _ => format!("{text} ±{}", aligned(error)),
    }
}

/// Three digits that mean something, ending zeros kept, so that numbers under
/// each other line up: `0.0320`, `1.20`, `412`, `4.5e-5`.
#[must_use]
pub fn aligned(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if !value.is_finite() => return "?".to_string(),
        0.0 => return "0".to_string(),
        v if !(0.001..99_999.5).contains(&v) => return minus(&format!("{value:.1e}")),
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    minus(&format!("{value:.digits$}"))
}

/// A true minus in front.
fn minus(text: &str) -> String {
    text.strip_prefix('-').map_or_else(|| text.to_string(), |rest| format!("−{rest}"))
}

/// A coefficient between −1 and 1: `+0.35`, `−1.00`, `0.00`.
#[must_use]
pub fn coefficient(value: f64) -> String {
    match format!("{value:+.2}").as_str() {
        "+0.00" | "-0.00" => "0.00".to_string(),
        text => minus(text),
    }
}

/// Parameters: `512`, `38.5k`, `7.1M`.
#[must_use]
pub fn amount(n: u64) -> String {
    let short = |value: f64, unit: &str| {
        if value < 99.95 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
    };
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => short(n as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => short(n as f64 / 1e6, "M"),
        _ => short(n as f64 / 1e9, "G"),
    }
}

/// Thousands apart: `12 345`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Images a second, with two or three digits that mean something: `8.3`,
/// `412`, `1.2k`.
#[must_use]
pub fn rate(value: f64) -> String {
    match value {
        v if !v.is_finite() || v < 0.0 => "?".to_string(),
        v if v < 9.95 => format!("{v:.1}"),
        v if v < 999.5 => format!("{v:.0}"),
        v if v < 9_950.0 => format!("{:.1}k", v / 1e3),
        v => format!("{:.0}k", v / 1e3),
    }
}

/// Time left in steps, so that it changes seldom: `5 s`, `40 s`, `3 min`,
/// `1 h 20 min`, `2 d 4 h`.
#[must_use]
pub fn left(seconds: f64) -> String {
    let up = |seconds: f64, to: f64| ((seconds / to).ceil() * to) as u64;
    match seconds {
        // Over a hundred days it is no estimate.
        s if !(0.0..8_640_000.0).contains(&s) => "?".to_string(),
        s if s <= 20.0 => format!("{} s", up(s, 5.0)),
        s if s <= 60.0 => format!("{} s", up(s, 10.0)),
        s if s <= 3_600.0 => format!("{} min", up(s, 60.0) / 60),
        s if s <= 86_400.0 => {
            let minutes = up(s, 600.0) / 60;
            match (minutes / 60, minutes % 60) {
                (h, 0) => format!("{h} h"),
                (h, m) => format!("{h} h {m} min"),
            }
        }
        s => {
            let hours = up(s, 3_600.0) / 3_600;
            format!("{} d {} h", hours / 24, hours % 24)
        }
    }
}

/// Whole percent, rounded down: 100 only when all is done.
#[must_use]
pub fn whole_percent(done: u64, total: u64) -> u64 {
    done.min(total).saturating_mul(100).checked_div(total).unwrap_or(0)
}

/// The verdict in words: what it is, and why.
#[must_use]
pub fn verdict(board: &Board) -> (&'static str, &str) {
    let word = match board.verdict() {
        Verdict::Undecided if board.done < board.total => "undecided yet",
        verdict => verdict.words(),
    };
    (word, board.judgement.as_ref().map_or("nothing is measured yet", |it| it.reason.as_str()))
}

/// Words into lines of at most `columns`; longer words are cut.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word: String = word.chars().take(columns.max(1)).collect();
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            *line = word;
        } else if line.chars().count() + 1 + word.chars().count() <= columns {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(signed(3.94), "+3.9");
        assert_eq!(signed(-0.04), "0.0");
        assert_eq!(signed(-0.06), "−0.1");
        assert_eq!(alpha(0.30000000000000004, 3), "0.3");
        assert_eq!(alpha(1.0, 3), "1");
        assert_eq!(alpha(-0.25, 3), "−0.25");
        assert_eq!(alpha(-0.0001, 3), "0");
        assert_eq!(significant(0.03214), "0.0321");
        assert_eq!(significant(-1.239), "−1.24");
        assert_eq!(significant(0.000_045), "4.5e-5");
        assert_eq!(significant(0.2), "0.2");
        assert_eq!(significant(1234.0), "1234");
        assert_eq!(significant(f64::NAN), "?");
        assert_eq!((aligned(0.0020), aligned(1.2)), ("0.0020".into(), "1.20".into()));
        assert_eq!(with_error(0.018_4, Some(9.7e-4)), "0.0184 ±0.0010");
        assert_eq!(with_error(0.4, Some(1e-9)), "0.400 ±<0.001");
        assert_eq!(with_error(4.5e-5, Some(1e-6)), "4.5e-5 ±1.0e-6");
        assert_eq!(with_error(-2.3e-4, Some(0.0031)), "−0.0002 ±0.0031");
        assert_eq!(with_error(0.4, None), "0.400");
        assert_eq!(coefficient(-0.001), "0.00");
        assert_eq!(coefficient(-0.5), "−0.50");
        assert_eq!(
            (amount(7_077_888), amount(38_456), amount(3)),
            ("7.1M".into(), "38.5k".into(), "3".into())
        );
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(count(12), "12");
        assert_eq!(rate(8.34), "8.3");
        assert_eq!(rate(1234.0), "1.2k");
        assert_eq!(rate(f64::NAN), "?");
        assert_eq!(whole_percent(999, 1000), 99);
        assert_eq!(whole_percent(0, 0), 0);
    }

    #[test]
    fn no_two_points_of_a_grid_look_alike() {
        let thirds = [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0];
        assert_eq!((decimals(&[]), decimals(&thirds)), (3, 3));
        assert_eq!(decimals(&[0.3, 0.3001, 0.5]), 4);
        assert_eq!(decimals(&[0.5, 0.500_01]), 5);
        // From the ends too, in the grid or not.
        assert_eq!((decimals(&[0.0001]), decimals(&[0.999_999])), (4, 6));
    }

    #[test]
    fn time_left_moves_in_steps() {
        assert_eq!(left(0.0), "0 s");
        assert_eq!(left(3.0), "5 s");
        assert_eq!(left(33.0), "40 s");
        assert_eq!(left(61.0), "2 min");
        assert_eq!(left(4_700.0), "1 h 20 min");
        assert_eq!(left(3_601.0), "1 h 10 min");
        assert_eq!(left(100_000.0), "1 d 4 h");
        for nonsense in [f64::INFINITY, f64::NAN, -1.0, 1e300, 1e9] {
            assert_eq!(left(nonsense), "?");
        }
    }
}
