//! How one event looks: one line, whatever stands in it, for people, for machines or for the journal.

use std::fmt;

use serde_json::Value;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::log::fields::Fields;
use crate::config::LogFormat;
use crate::format::plain::is_treacherous;

/// Where standard error leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// People look at it now.
    Terminal,
    /// systemd's journal, which has a time of its own and wants to know how grave it is (sd-daemon(3)).
    Journal,
    /// A file, a pipe.
    Elsewhere,
}

/// The look of every line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) format: LogFormat,
    pub(super) place: Place,
}

/// What the journal strips from the beginning of a line, to file it by.
pub(super) const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

impl<S> FormatEvent<S, JsonFields> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let fields = Fields::of(context, event);
        let level = *event.metadata().level();
        let target = fields.target.as_deref().unwrap_or_else(|| event.metadata().target());
        if self.place == Place::Journal {
            writer.write_str(priority(level))?;
        }
        match self.format {
            LogFormat::Text => self.text(&mut writer, level, target, &fields)?,
            LogFormat::Json => json(&mut writer, level, target, &fields)?,
        }
        writer.write_char('\n')
    }
}

impl Line {
    /// Time, level, words, values. Who says it is of interest only where somebody looks for it.
    fn text(&self, writer: &mut Writer<'_>, level: Level, target: &str, fields: &Fields) -> fmt::Result {
        if self.place != Place::Journal {
            let mut time = String::new();
            SystemTime.format_time(&mut Writer::new(&mut time))?;
            self.dim(writer, &time)?;
            self.level(writer, level)?;
            writer.write_char(' ')?;
        }
        if Level::INFO < level {
            self.dim(writer, &format!("{target}: "))?;
        }
        writer.write_str(&harmless(&fields.message))?;
        for (name, value) in &fields.values {
            writer.write_char(' ')?;
            self.dim(writer, &format!("{name}="))?;
            writer.write_str(&shown(value))?;
        }
        Ok(())
    }

    fn level(&self, writer: &mut Writer<'_>, level: Level) -> fmt::Result {
        let colour = match level {
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            Level::DEBUG | Level::TRACE => "\x1b[34m",
        };
        match self.place {
            Place::Terminal => write!(writer, " {colour}{level:>5}\x1b[0m"),
            Place::Journal | Place::Elsewhere => write!(writer, " {level:>5}"),
        }
    }

    fn dim(&self, writer: &mut Writer<'_>, text: &str) -> fmt::Result {
        match self.place {
            Place::Terminal => write!(writer, "\x1b[2m{text}\x1b[0m"),
            Place::Journal | Place::Elsewhere => writer.write_str(text),
        }
    }
}

/// One flat object. The names of ours come first, and no value takes their place.
fn json(writer: &mut Writer<'_>, level: Level, target: &str, fields: &Fields) -> fmt::Result {
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    let own =
        [("timestamp", time.as_str()), ("level", level.as_str()), ("target", target), ("message", &fields.message)];
    for (at, (name, text)) in own.iter().enumerate() {
        let between = if at == 0 { '{' } else { ',' };
        write!(writer, "{between}{}:{}", quoted(name), quoted(text))?;
    }
    for (name, value) in fields.values.iter().filter(|(name, _)| !own.iter().any(|(of_ours, _)| of_ours == name)) {
        let value = match value {
            Value::String(text) => quoted(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        write!(writer, ",{}:{value}", quoted(name))?;
    }
    writer.write_char('}')
}

/// A string of JSON that ends no line and steers no terminal, whoever reads it.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut units = [0; 2];
    json.chars().fold(String::with_capacity(json.len()), |mut all, c| {
        match is_treacherous(c) {
            true => c.encode_utf16(&mut units).iter().for_each(|unit| all.push_str(&format!("\\u{unit:04x}"))),
            false => all.push(c),
        }
        all
    })
}

/// A value for people: bare where it is one word, quoted where one could not see its end.
fn shown(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let is_word = |c: char| !c.is_whitespace() && !is_treacherous(c) && !matches!(c, '"' | '=' | '\\');
    match !text.is_empty() && text.chars().all(is_word) {
        true => text.clone(),
        false => format!("\"{}\"", harmless(&text.replace('\\', "\\\\").replace('"', "\\\""))),
    }
}

fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut all, c| {
        match is_treacherous(c) {
            true => all.extend(c.escape_default()),
            false => all.push(c),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const HOSTILE: &str = "a\nb\r\n\x1b[2Jc\u{2028}d\u{202e}e\u{85}f\0\"\\";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What stands on standard error after this was said.
    fn written(format: LogFormat, place: Place, say: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Line { format, place });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), say);
        let bytes = kept.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("a text")
    }

    fn say() {
        let tenant = tracing::error_span!("reading", tenant = %"contoso", reader = "tail");
        tenant.in_scope(|| {
            tracing::warn!(failures = 3, error = "status 503: busy", reader = "sweep", "cannot read incidents");
        });
    }

    #[test]
    fn people_read_a_line_with_its_values_and_those_of_its_spans_each_once() {
        let line = written(LogFormat::Text, Place::Elsewhere, say);
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        let expected =
            " WARN cannot read incidents reader=sweep tenant=contoso failures=3 error=\"status 503: busy\"\n";
        assert_eq!(rest, expected);
        let line =
            written(LogFormat::Text, Place::Elsewhere, || tracing::debug!(target: "xdrelay::api", rows = 2, "call"));
        assert!(line.ends_with(" DEBUG xdrelay::api: call rows=2\n"), "{line}");
        let line = written(LogFormat::Text, Place::Terminal, say);
        assert!(line.contains("\x1b[33m WARN\x1b[0m cannot read"), "{line:?}");
    }

    #[test]
    fn the_journal_gets_how_grave_it_is_and_no_time() {
        let check = |say: fn(), expected: &str| assert_eq!(written(LogFormat::Text, Place::Journal, say), expected);
        check(|| tracing::error!("a"), "<3>a\n");
        check(|| tracing::warn!(count = 1, "a"), "<4>a count=1\n");
        check(|| tracing::info!("a"), "<6>a\n");
        check(|| tracing::debug!(target: "t", "a"), "<7>t: a\n");
        check(|| tracing::trace!(target: "t", "a"), "<7>t: a\n");
        let json = written(LogFormat::Json, Place::Journal, say);
        assert!(json.starts_with("<4>{\"timestamp\":"), "{json}");
    }

    #[test]
    fn machines_read_one_flat_object() {
        let line = written(LogFormat::Json, Place::Elsewhere, say);
        let mut read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let time = read.as_object_mut().expect("an object").remove("timestamp").expect("a time");
        assert!(time.as_str().expect("a text").parse::<jiff::Timestamp>().is_ok(), "{time}");
        let expected = serde_json::json!({
            "level": "WARN", "target": module_path!(), "message": "cannot read incidents",
            "tenant": "contoso", "reader": "sweep", "failures": 3, "error": "status 503: busy",
        });
        assert_eq!(read, expected);
        let line = written(LogFormat::Json, Place::Elsewhere, || {
            tracing::info!(level = "none", ratio = 0.5, none = f64::NAN, is_it = true, left = -3, "a");
        });
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&read["level"], &read["ratio"], &read["none"]), (&"INFO".into(), &0.5.into(), &Value::Null));
        assert_eq!((&read["is_it"], &read["left"]), (&true.into(), &(-3).into()));
    }

    #[test]
    fn one_event_is_one_line_whatever_stands_in_it() {
        for place in [Place::Elsewhere, Place::Journal] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let text = written(format, place, || {
                    tracing::error_span!("hostile", span = HOSTILE).in_scope(
                        || tracing::warn!(value = HOSTILE, shown = %HOSTILE, debug = ?[HOSTILE], "{HOSTILE}"),
                    );
                });
                let lines: Vec<_> = text.split_inclusive('\n').collect();
                assert_eq!(lines.len(), 1, "{text:?}");
                assert!(!text.trim_end_matches('\n').contains(is_treacherous), "{text:?}");
            }
        }
        let json = written(LogFormat::Json, Place::Elsewhere, || tracing::warn!(value = HOSTILE, "{HOSTILE}"));
        let read: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&read["message"], &read["value"]), (&HOSTILE.into(), &HOSTILE.into()), "machines get it as it is");
    }

    #[test]
    fn no_mark_of_direction_is_left_as_it_is() {
        // Unicode's Bidi_Control, all of it.
        let marks = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter();
        for mark in marks.chain('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            for format in [LogFormat::Text, LogFormat::Json] {
                let text = format!("a{mark}b");
                let line = written(format, Place::Elsewhere, || tracing::warn!(value = text, "{text}"));
                assert!(!line.contains(mark), "{line:?}");
                assert_eq!(
                    line.matches(&format!("{:04x}", u32::from(mark)).trim_start_matches('0')).count(),
                    2,
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn a_value_is_quoted_where_its_end_could_not_be_seen() {
        let check = |text: &str, expected: &str| assert_eq!(shown(&text.into()), expected);
        check("127.0.0.1:9464", "127.0.0.1:9464");
        check("", "\"\"");
        check("a b", "\"a b\"");
        check("a=b", "\"a=b\"");
        check("say \"no\"", "\"say \\\"no\\\"\"");
        check("c:\\x", "\"c:\\\\x\"");
        check("a\nb", "\"a\\nb\"");
        let long = "ä".repeat(5000);
        let line = written(LogFormat::Text, Place::Journal, || tracing::info!(long, "a"));
        assert!(line.len() < 4200 && line.ends_with("…\n"), "{}", line.len());
    }
}
