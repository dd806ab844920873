//! Whether two errors have one cause, by their words.

/// Letters of a word with a digit in it from which on it is a number of this one call, such as a tracking id, and no cause.
const NUMBER_MIN: usize = 16;
/// What stands behind a number that is a wait, which is another one each time.
const UNITS: [&str; 5] = ["s", "sec", "secs", "second", "seconds"];

/// What two errors have in common that have one cause: the words without the numbers of this one call.
pub(crate) fn cause(error: &str) -> String {
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    let is_id = |word: &str| NUMBER_MIN <= word.len() && word.contains(|c: char| c.is_ascii_digit());
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<_> = error.split_whitespace().collect();
    let unit_follows = |at: usize| words.get(at + 1).is_some_and(|next| UNITS.contains(&bare(next).as_str()));
    let of_this_call = |at: usize, word: &str| is_id(word) || (is_number(word) && unit_follows(at));
    let kept = words.iter().enumerate().filter(|(at, word)| !of_this_call(*at, &bare(word)));
    kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_one_call_are_no_cause_and_a_status_is_one() {
        let check = |one: &str, other: &str, is_same: bool| assert_eq!(cause(one) == cause(other), is_same, "{one}");
        check(
            "status 503: busy (tracking id 5a11d0b0-7e57-4000-8000-000000000001)",
            "status 503: busy (tracking id 0ca3b0d0-7e57-4000-8000-ffffffffffff)",
            true,
        );
        check("you can send requests again in 8 seconds.", "you can send requests again in 11 seconds.", true);
        check("used up for 8 s", "used up for 3600 s", true);
        check("status 503: busy", "status 500: busy", false);
        check("AADSTS7000215: no", "AADSTS7000222: no", false);
    }
}
