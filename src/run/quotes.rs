//! What a far side says of a batch may quote it, and what is in an incident stands in no log above DEBUG and on no page. Takes the
//! quotes out of the words, and knows nothing of what either is about.

use std::collections::HashSet;

/// Bytes in a row that are no accident: longer than the names of most members, shorter than most of what identifies anybody.
const QUOTE_MIN: usize = 12;
/// What stands for a quote.
const LEFT_OUT: &str = "[…]";

/// The words without what they have in common with any of the records.
pub(crate) fn without<'a>(words: &str, records: impl Iterator<Item = &'a [u8]>) -> String {
    let bytes = words.as_bytes();
    let windows: HashSet<&[u8]> = bytes.windows(QUOTE_MIN).collect();
    let mut begins = [false; 1 << 8];
    windows.iter().for_each(|window| begins[usize::from(window[0])] = true);
    let is_of_words = |window: &&[u8]| begins[usize::from(window[0])] && windows.contains(window);
    let found: HashSet<&[u8]> = records.flat_map(|record| record.windows(QUOTE_MIN)).filter(is_of_words).collect();
    if found.is_empty() {
        return words.to_owned();
    }
    let mut is_quoted = vec![false; bytes.len()];
    for (at, window) in bytes.windows(QUOTE_MIN).enumerate() {
        if found.contains(window) {
            is_quoted[at..at + QUOTE_MIN].fill(true);
        }
    }
    let mut left = String::with_capacity(words.len());
    for (at, c) in words.char_indices() {
        match is_quoted[at..at + c.len_utf8()].contains(&true) {
            false => left.push(c),
            true if left.ends_with(LEFT_OUT) => {}
            true => left.push_str(LEFT_OUT),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_of_a_record_is_left_out_and_the_words_around_it_stay() {
        let records = [
            r#"{"incidentName":"Malware on PAYROLL-07","tags":["Ünruhe bei der Buchhaltung"]}"#.as_bytes(),
            b"{\"incidentName\":\"another\"}".as_slice(),
        ];
        let check = |words: &str, expected: &str| assert_eq!(without(words, records.into_iter()), expected);
        check("status 500: no room", "status 500: no room");
        check("status 400: cannot take 'Malware on PAYROLL-07' there", "status 400: cannot take '[…]' there");
        check("preview: 'Malware on PAY…", "preview: '[…]…");
        check("Ünruhe bei der Buchhaltung: no", "[…]: no");
        check("echo {\"incidentName\":\"another\"} end", "echo […] end");
        check("short", "short");
        check("", "");
        assert_eq!(without("status 500: no room", std::iter::empty()), "status 500: no room");
    }
}
