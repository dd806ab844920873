//! The known word that somebody probably meant.

/// The nearest of the known words, where one is near enough that it is hardly a coincidence: at most one slip of the finger
/// in three letters, and three in all.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = spelled(word);
    // A longer word is no slip of a known one, and the table below grows with it.
    let slips_max = (word.len() / 3).clamp(1, 3);
    known
        .iter()
        .filter(|known| known.len().abs_diff(word.len()) <= slips_max)
        .map(|known| (slips(&word, &spelled(known)), *known))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, known)| known)
}

/// `Page-Size` is `page_size`.
fn spelled(word: &str) -> Vec<char> {
    word.chars().map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() }).collect()
}

/// Letters to insert, to drop, to change or to swap with their neighbour (optimal string alignment).
fn slips(one: &[char], other: &[char]) -> usize {
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=other.len()).collect();
    for i in 1..=one.len() {
        for j in 1..=other.len() {
            let changed = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if 1 < i && 1 < j && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["interval", "page_size", "overlap", "url", "path"];
        let check = |word: &str, expected: Option<&str>| assert_eq!(nearest(word, &known), expected, "{word}");
        check("pgae_size", Some("page_size"));
        check("page-size", Some("page_size"));
        check("PageSize", Some("page_size"));
        check("intervall", Some("interval"));
        check("uri", Some("url"));
        check("client_secret", None);
        check("", None);
        check(&"x".repeat(100_000), None);
    }
}
