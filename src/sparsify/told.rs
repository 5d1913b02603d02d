//! Counted zeros, in words.

use crate::plural::either;
use crate::sweep::zeros::Sum;

/// What is zero among so many weights: `512 of 1024 weights are 0 (50.0 %), 3 stay zero-shot
/// (0.3 %)`; what is none of them is left out. `count` spells whole numbers.
#[must_use]
pub fn told(sum: &Sum, count: impl Fn(u64) -> String) -> String {
    let Sum { total, weights, differences } = *sum;
    let whole = count(total);
    let are = either(&weights, "is", "are");
    let stay = either(&differences, "stays", "stay");
    let part = |n: u64| (count(n), percent(n, total));
    match (weights, differences) {
        _ if total == 0 => "no weight is edited".into(),
        (0, 0) => format!("none of {whole} weights is 0 or stays zero-shot"),
        (n, 0) => {
            let (n, share) = part(n);
            format!("{n} of {whole} weights {are} 0 ({share})")
        }
        (0, n) => {
            let (n, share) = part(n);
            format!("{n} of {whole} weights {stay} zero-shot ({share})")
        }
        (zero, still) => {
            let ((zero, share), (still, second)) = (part(zero), part(still));
            format!(
                "{zero} of {whole} weights {are} 0 ({share}), {still} {stay} zero-shot ({second})"
            )
        }
    }
}

/// One decimal; all and none are said of all and none alone.
fn percent(part: u64, whole: u64) -> String {
    let text = format!("{:.1}", 100.0 * part as f64 / whole.max(1) as f64);
    match text.as_str() {
        "100.0" if part < whole => "over 99.9 %".into(),
        "0.0" if part > 0 => "under 0.1 %".into(),
        _ => format!("{text} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_not_rounded_to_all_or_none() {
        let told = |total, weights, differences| {
            super::told(&Sum { total, weights, differences }, |n| n.to_string())
        };
        assert_eq!(told(1024, 512, 0), "512 of 1024 weights are 0 (50.0 %)");
        assert_eq!(told(1024, 0, 1024), "1024 of 1024 weights stay zero-shot (100.0 %)");
        assert_eq!(
            told(100_000, 99_999, 1),
            "99999 of 100000 weights are 0 (over 99.9 %), 1 stays zero-shot (under 0.1 %)"
        );
        assert_eq!(told(8, 0, 0), "none of 8 weights is 0 or stays zero-shot");
        assert_eq!(told(0, 0, 0), "no weight is edited");
    }
}
