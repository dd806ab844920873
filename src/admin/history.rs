//! The last hour in small numbers, for plots: one sample every fifteen seconds and nothing older. Decides nothing.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Between two samples.
pub const STEP: Duration = Duration::from_secs(15);
/// Samples of one line: an hour.
pub const KEPT: usize = 240;
/// Samples of a minute.
const MINUTE: usize = 4;

/// One line of a plot. What is not known is a gap.
#[derive(Debug, Clone, Default)]
pub struct Line(VecDeque<Option<f32>>);

impl Line {
    /// One sample more; the oldest goes where there are [`KEPT`].
    pub fn push(&mut self, value: Option<f64>) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(value.map(|value| value as f32));
    }

    /// The newest sample, as it is sent.
    pub fn newest(&self) -> Option<f64> {
        self.0.back().copied().flatten().map(rounded)
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|value| value.map(rounded)))
    }
}

/// A tenth is enough for what is small, and a whole for the rest: three hundred tenants are sent at once.
fn rounded(value: f32) -> f64 {
    let value = f64::from(value);
    if value < 10.0 { (value * 10.0).round() / 10.0 } else { value.round() }
}

/// How often something happened, from a counter that only grows.
#[derive(Debug, Clone, Default)]
pub struct Tempo {
    /// The counter at the last sample; none before the first.
    last: Option<u64>,
    steps: VecDeque<u32>,
}

impl Tempo {
    /// One sample of the counter.
    pub fn push(&mut self, counter: u64) {
        let grown = counter.saturating_sub(self.last.unwrap_or(0));
        self.last = Some(counter);
        if self.steps.len() == KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(u32::try_from(grown).unwrap_or(u32::MAX));
    }

    /// In the last minute, up to what the counter says now.
    pub fn minute(&self, counter: u64) -> u64 {
        self.steps.iter().rev().take(MINUTE - 1).map(|step| u64::from(*step)).sum::<u64>() + self.begun(counter)
    }

    /// In the last hour, up to what the counter says now.
    pub fn hour(&self, counter: u64) -> u64 {
        self.steps.iter().map(|step| u64::from(*step)).sum::<u64>() + self.begun(counter)
    }

    /// Since the last sample.
    fn begun(&self, counter: u64) -> u64 {
        counter.saturating_sub(self.last.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_hour_long_and_shows_its_gaps() {
        let mut line = Line::default();
        for value in 0..1000 {
            line.push((value % 2 == 1).then_some(f64::from(value) + 0.26));
        }
        let sent = serde_json::to_value(&line).expect("numbers");
        let sent = sent.as_array().expect("a list");
        assert_eq!(sent.len(), KEPT);
        assert!(sent[0].is_null());
        assert_eq!(sent[KEPT - 1], 999.0);
        let mut small = Line::default();
        small.push(Some(1.2345));
        assert_eq!(small.newest(), Some(1.2));
    }

    #[test]
    fn a_tempo_counts_the_last_minute_and_the_last_hour() {
        let mut tempo = Tempo::default();
        assert_eq!((tempo.minute(3), tempo.hour(3)), (3, 3), "before the first sample");
        for sample in 1..=1000 {
            tempo.push(sample * 10);
        }
        assert_eq!(tempo.minute(10_000), 30);
        assert_eq!(tempo.minute(10_007), 37);
        assert_eq!(tempo.hour(10_007), 2407);
    }
}
