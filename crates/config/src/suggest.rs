//! The name that was probably meant.

/// The candidate nearest to what was written, if it is near enough to be a slip: a third of its
/// letters, three at most, or one contained in the other.
pub fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = written.to_lowercase();
    let distance = |candidate: &str| {
        let apart = letters_apart(&written, &candidate.to_lowercase());
        let allowed = (candidate.chars().count().div_ceil(3)).min(3);
        let contained = written.len() >= 3 && candidate.to_lowercase().contains(&written);
        (apart <= allowed || contained).then_some(apart)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(candidate)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between two texts (Damerau's
/// distance in its restricted form): a swap is the commonest slip of two hands and counts once.
fn letters_apart(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let width = right.len() + 1;
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..width).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; width];
        for j in 1..width {
            let replaced = above[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[width - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        let names = ["listen", "port", "shutdown_grace", "timezone"];
        for (written, meant) in [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("prot", Some("port")),
            ("time_zone", Some("timezone")),
            ("grace", Some("shutdown_grace")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, names), meant, "{written}");
        }
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(letters_apart("prot", "port"), 1);
        assert_eq!(letters_apart("", "abc"), 3);
        assert_eq!(letters_apart("kitten", "sitting"), 3);
    }
}
