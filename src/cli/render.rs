//! `xdrelay render`: what an incident looks like in an output format, or as a sink of the configuration would get it. Asks nobody.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde_json::value::RawValue;

use crate::cli::exit::{self, Exit};
use crate::cli::{Files, output};
use crate::config::sink::Sink;
use crate::core::seen::{self, Verdict};
use crate::format::fit::fit;
use crate::format::split::split;
use crate::format::{Format, Style};
use crate::model::event::{Event, Kind};
use crate::model::incident::Row;
use crate::model::names::{SinkName, TenantName};
use crate::run::clock;

/// Bytes of an incident that are read at most.
const SIZE_MAX: u64 = 64 << 20;

/// Write one incident in an output format.
///
/// The incident is JSON as Defender's API or Graph returns it, such as `xdrelay get` prints it. It is written as if it were seen for
/// the first time.
#[derive(Debug, Args)]
pub(crate) struct Render {
    /// json, cef, leef, ecs or ocsf, with the settings that it has where nobody sets any
    #[arg(long, value_name = "NAME", required_unless_present = "sink", conflicts_with = "sink", value_parser = format)]
    format: Option<Format>,
    /// As this sink of the configuration gets it: its format with its settings, its filter, its parts, its size
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// What happened to it: created, updated, resolved, reopened or redirected [default: what its times and status tell]
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<Kind>,
    /// The name of its tenant
    #[arg(long, value_name = "NAME", default_value = "example")]
    tenant: String,
    #[command(flatten)]
    files: Files,
    /// A file with one incident; left out: standard input
    file: Option<PathBuf>,
}

fn format(name: &str) -> Result<Format, String> {
    let known = || Format::ALL.iter().map(|format| format.as_str()).collect::<Vec<_>>().join(", ");
    let found = Format::ALL.iter().copied().find(|format| format.as_str() == name);
    found.ok_or_else(|| format!("one of {}", known()))
}

fn kind(name: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    Kind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| format!("one of {}", known()))
}

impl Render {
    pub(crate) fn run(self) -> Result<(), Exit> {
        let event = self.event()?;
        let Some(name) = &self.sink else {
            let style = Style::of(self.format.unwrap_or_default());
            return print(&style.render(&event));
        };
        let config = self.files.parse()?;
        let sink = config.sinks.get(&SinkName::new(name.clone())).ok_or_else(|| {
            let known: Vec<&str> = config.sinks.keys().map(SinkName::as_str).collect();
            Exit::new(
                exit::USAGE,
                format!("there is no sink {name:?} in the configuration; there are: {}", known.join(", ")),
            )
        })?;
        as_sink(event, sink)
    }

    fn event(&self) -> Result<Event, Exit> {
        let (text, place) = self.text()?;
        let wrong = |why: String| Exit::new(exit::DATA, format!("{place}: {why}"));
        let raw: Box<RawValue> = serde_json::from_str(&text).map_err(|error| wrong(format!("not JSON: {error}")))?;
        if !raw.get().starts_with('{') {
            return Err(wrong("not one incident: a JSON object is wanted, as `xdrelay get` prints it".into()));
        }
        let is_page = crate::model::parts::Parts::of(raw.get())
            .is_some_and(|parts| parts.get("value").is_some() && parts.get("incidentId").or(parts.get("id")).is_none());
        if is_page {
            return Err(wrong("a list of incidents: take one element out of its `value`".into()));
        }
        let row = Row::new(raw);
        let now = clock::Clock::start().now();
        match seen::judge(None, &row, None, now) {
            Verdict::New(news) => {
                let event = news.event(row, &TenantName::new(self.tenant.clone()), 1, now);
                Ok(Event { kind: self.kind.unwrap_or(event.kind), ..event })
            }
            Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Noted(_) => {
                Err(wrong("nothing to say of it".into()))
            }
        }
    }

    fn text(&self) -> Result<(String, String), Exit> {
        let place = self.file.as_ref().map_or("standard input".to_owned(), |path| path.display().to_string());
        let fail = |error: std::io::Error| Exit::new(exit::NO_INPUT, format!("{place} cannot be read: {error}"));
        let mut text = String::new();
        let size = match &self.file {
            Some(path) => std::fs::File::open(path).and_then(|file| file.take(SIZE_MAX + 1).read_to_string(&mut text)),
            None => std::io::stdin().take(SIZE_MAX + 1).read_to_string(&mut text),
        };
        match size.map_err(fail)? as u64 {
            size if SIZE_MAX < size => {
                Err(Exit::new(exit::DATA, format!("{place}: larger than {} MiB", SIZE_MAX >> 20)))
            }
            _ => Ok((text, place)),
        }
    }
}

fn as_sink(event: Event, sink: &Sink) -> Result<(), Exit> {
    let event = match &sink.filter {
        None => event,
        Some(filter) => filter
            .pass(event)
            .ok_or_else(|| Exit::new(exit::DATA, "the filter of this sink keeps it away".to_owned()))?,
    };
    let parts = match sink.split {
        None => vec![event],
        Some(by) => split(event, by),
    };
    for part in parts {
        let fitted = fit(part, &sink.style, sink.record_limit());
        let (_, record) = fitted.map_err(|error| Exit::new(exit::DATA, error.to_string()))?;
        print(&record)?;
    }
    Ok(())
}

fn print(record: &[u8]) -> Result<(), Exit> {
    Ok(output::line(String::from_utf8_lossy(record))?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        render: Render,
    }

    fn event(name: &str) -> Event {
        let path = format!("{}/testdata/incidents/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let line = Line::try_parse_from(["render", "--format", "cef", &path]).expect("a command line");
        line.render.event().unwrap_or_else(|exit| panic!("{name}: {exit:?}"))
    }

    #[test]
    fn an_incident_of_either_api_is_read() {
        for (defender, graph) in [("defender_padded", "graph"), ("redirected", "graph_redirected")] {
            let (of_defender, of_graph) = (event(defender), event(graph));
            assert_eq!(
                (of_graph.kind, &of_graph.incident_id, of_graph.last_update, &of_graph.severity),
                (of_defender.kind, &of_defender.incident_id, of_defender.last_update, &of_defender.severity)
            );
            assert_eq!(of_graph.notes, of_defender.notes);
        }
    }
}
