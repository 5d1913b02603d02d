//! The seeded order in which images are visited.
//!
//! Each image gets the rank of a keyed hash of (seed, dataset name, image key),
//! so the order is the same on every machine and in every version, does not
//! depend on how the files are listed, and its first *n* are a random subset.

/// Says which hash this is; a change of the order needs a new name.
const CONTEXT: &str = "alphascope 2026-11 image visiting order v1";

/// All indices of `keys`, in the order of the seed.
///
/// A dataset's `limit` takes the first so many of them.
#[must_use]
pub fn visit_order<'a>(
    seed: u64,
    dataset: &str,
    keys: impl IntoIterator<Item = &'a str>,
) -> Vec<usize> {
    let mut start = blake3::Hasher::new_derive_key(CONTEXT);
    start.update(&seed.to_le_bytes());
    start.update(&(dataset.len() as u64).to_le_bytes());
    start.update(dataset.as_bytes());
    let mut ranked: Vec<([u8; 32], usize)> = keys
        .into_iter()
        .enumerate()
        .map(|(index, key)| (*start.clone().update(key.as_bytes()).finalize().as_bytes(), index))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64, name: &str, n: usize) -> Vec<usize> {
        let keys: Vec<String> = (0..n).map(|i| format!("s{i:07}")).collect();
        visit_order(seed, name, keys.iter().map(String::as_str))
    }

    #[test]
    fn every_image_once() {
        let mut all = order(0, "a", 1000);
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_never_changes() {
        // Runs are resumed across versions: this list is a promise.
        assert_eq!(order(0, "demo", 8), FROZEN);
    }

    const FROZEN: [usize; 8] = [2, 5, 4, 1, 6, 7, 0, 3];

    #[test]
    fn seed_and_name_matter() {
        assert_ne!(order(0, "a", 100), order(1, "a", 100));
        assert_ne!(order(0, "a", 100), order(0, "b", 100));
    }

    #[test]
    fn a_new_image_leaves_the_others_in_order() {
        let few = order(7, "a", 99);
        let many: Vec<usize> = order(7, "a", 100).into_iter().filter(|&i| i != 99).collect();
        assert_eq!(few, many);
    }
}
