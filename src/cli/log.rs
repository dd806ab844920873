//! The log on standard error, as the configuration wants it. An event is one line, whoever wrote what is told in it.

use std::borrow::Cow;
use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

use crate::cli::output::{self, AboveProgress};
use crate::config::{Log, LogFormat};

/// Starts logging. A level that does not parse was reported by the configuration's check; here it means `info`.
pub(crate) fn start(log: &Log) {
    // sled writes errors of its own for what the store reports better.
    let level = if log.level.contains("sled") { log.level.clone() } else { format!("{},sled=off", log.level) };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = output::is_terminal() && log.format == LogFormat::Text;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || OneLine { colours });
    // A second start in one process (the tests') changes nothing.
    let _ = match log.format {
        LogFormat::Text => builder.with_target(false).with_ansi(colours).try_init(),
        LogFormat::Json => builder.json().with_current_span(false).try_init(),
    };
}

/// Writes each event as one line of text. What comes from outside is cleaned where it comes in, too; this is for what was
/// forgotten there, and for what libraries log.
struct OneLine {
    colours: bool,
}

impl Write for OneLine {
    /// An event comes whole, with its newline.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        AboveProgress.write_all(one_line(&text, self.colours).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        AboveProgress.flush()
    }
}

/// The text with whatever would end the line early, command a terminal or turn the direction of writing around as an escape,
/// which JSON understands as well. Colours stay where there are some.
fn one_line(text: &str, colours: bool) -> Cow<'_, str> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    if !line.contains(is_foreign) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 64);
    for (at, c) in line.char_indices() {
        match c {
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\x1b' if colours && is_colour(&line[at + 1..]) => clean.push(c),
            c if is_foreign(c) => clean.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => clean.push(c),
        }
    }
    clean.push_str(&text[line.len()..]);
    Cow::Owned(clean)
}

fn is_foreign(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether this is the rest of what sets a colour or a weight, and nothing else: ECMA-48 section 8.3.117.
fn is_colour(rest: &str) -> bool {
    let parameters = rest.strip_prefix('[').and_then(|rest| rest.split_once('m')).map(|(parameters, _)| parameters);
    parameters.is_some_and(|parameters| parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_commands_nothing() {
        let check = |text: &str, colours: bool, expected: &str| {
            assert_eq!(one_line(text, colours), expected, "{text:?}");
        };
        check("plain\tand ünïcode 日本\n", false, "plain\tand ünïcode 日本\n");
        check("without an end", false, "without an end");
        check("", false, "");
        check("one\ntwo\r\nthree\n", false, "one\\ntwo\\r\\nthree\n");
        check("one\n\n", false, "one\\n\n");
        check("\0\x07\x08\x7f\u{85}\u{9b}2J\n", false, "\\u0000\\u0007\\u0008\\u007f\\u0085\\u009b2J\n");
        check("a\u{2028}b\u{202e}c\u{2066}\n", false, "a\\u2028b\\u202ec\\u2066\n");
        let coloured = "\x1b[32m INFO\x1b[0m\x1b[1;3m x\x1b[m \x1b[2J\x1b]0;title\x07\x1b[31 m\x1b[";
        let erased = "\x1b[32m INFO\x1b[0m\x1b[1;3m x\x1b[m \\u001b[2J\\u001b]0;title\\u0007\\u001b[31 m\\u001b[";
        check(coloured, true, erased);
        check(coloured, false, &erased.replace('\x1b', "\\u001b"));
    }

    #[test]
    fn an_event_in_json_means_what_it_meant() {
        let said = "one\ntwo\x1b[2J\u{85}\u{2028}\u{7f}";
        let event = serde_json::json!({ "why": said }).to_string() + "\n";
        let line = one_line(&event, false);
        assert!(!line.trim_end_matches('\n').contains(is_foreign), "{line:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).expect("JSON")["why"], said);
    }
}
