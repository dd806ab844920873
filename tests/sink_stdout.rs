//! The sink on standard output, in a process of its own: lines for a reader, a pause without one.

mod outgoing;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use outgoing::several;
use xdrelay::core::courier::DeliverError;
use xdrelay::model::names::{Seq, SinkName};
use xdrelay::sink::{Config, stdout};

/// Run by the tests below; alone it does nothing.
#[tokio::test]
async fn the_writer() {
    let Ok(part) = std::env::var("XDRELAY_TEST_STDOUT") else { return };
    let mut sink = Config::Stdout(stdout::Config {}).open(&SinkName::new("out")).expect("opened");
    if part == "read" {
        assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(Some(Seq(3))));
        assert_eq!(sink.deliver(&[]).await, Ok(None));
        return;
    }
    eprintln!("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("told to begin");
    let why = match sink.deliver(&several(1..=3, 20)).await {
        Err(DeliverError::Pause { why }) => why,
        other => format!("{other:?}"),
    };
    eprintln!("paused: {why}");
}

fn writer(part: &str) -> Command {
    let mut writer = Command::new(std::env::current_exe().expect("this program"));
    writer.args(["--exact", "the_writer", "--nocapture"]).env("XDRELAY_TEST_STDOUT", part);
    writer
}

#[test]
fn every_event_is_one_line() {
    let output = writer("read").output().expect("run");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let expected: String =
        several(1..=3, 20).into_iter().map(|event| String::from_utf8(event.body).expect("UTF-8") + "\n").collect();
    assert!(output.status.success() && text.contains(&expected), "{text}");
}

#[test]
fn a_closed_pipe_pauses_and_ends_nothing() {
    let mut child =
        writer("closed").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    while !said.contains("ready") {
        assert!(0 < stderr.read_line(&mut said).expect("UTF-8"), "{said}");
    }
    drop(child.stdout.take());
    drop(child.stdin.take());
    stderr.read_to_string(&mut said).expect("UTF-8");
    child.wait().expect("ended");
    assert!(said.contains("paused: nobody reads standard output any more"), "{said}");
}
