//! What an answer of HEC asks for: by its code where it has one, by its HTTP status where something in between answered.
//! Pure.
//!
//! Codes 0 to 22 are those of Troubleshoot HTTP Event Collector, "Possible error codes"; 23 to 27 came with later releases.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::core::courier::{DeliverError, Refusal};
use crate::sink::Outgoing;
use crate::sink::http::answer::Answer;
use crate::sink::splunk_hec::ack::{AckId, Acks};

/// From here on a code is the HTTP status once more, which Splunk's other endpoints write into their bodies.
const HTTP_CODES: u16 = 100;

/// An answer, and what HEC said in it.
#[derive(Debug)]
pub(super) struct Reply {
    answer: Answer,
    said: Said,
    acks: Option<Acks>,
    /// The body begins as no object of JSON does: no HEC wrote it.
    is_foreign: bool,
}

/// HEC's own words.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default, rename = "ackId")]
    ack_id: Option<AckId>,
    /// The first event that is wrong, counted from 0 in the request.
    #[serde(default, rename = "invalid-event-number")]
    invalid: Option<usize>,
}

/// What a code is about.
enum About {
    /// The events were taken.
    Taken,
    /// The far side's condition: it passes.
    Condition,
    /// The settings, with the remedy.
    Settings(&'static str),
    /// An event.
    Event,
    /// Nothing that we know.
    Unknown,
}

fn about(code: u16) -> About {
    match code {
        // 24 and 25 say 200 too, and that a queue is getting full.
        0 | 24 | 25 => About::Taken,
        8 | 9 | 18..=20 | 23 | 26 | 27 => About::Condition,
        1 | 22 => About::Settings("enable the token"),
        2 | 3 | 4 | 16 | 21 => {
            About::Settings("`token` is not one of its tokens; put it right, it is read anew each time")
        }
        5 => About::Settings("the request came without its body: look at what is in between"),
        7 => About::Settings("the token may not write to that index; correct `index`, or allow it for the token"),
        10 | 11 => About::Settings("the channel did not come through: look at what is in between"),
        14 => About::Settings("set `ack = false`, or turn indexer acknowledgement on for the token"),
        17 => About::Settings("that is the answer of another endpoint; correct the url"),
        6 | 12 | 13 | 15 => About::Event,
        _ => About::Unknown,
    }
}

impl Reply {
    /// `body` is what the answer's words are an excerpt of.
    pub(super) fn of(answer: Answer, body: &[u8]) -> Self {
        let is_foreign = body.trim_ascii().first().is_some_and(|first| *first != b'{');
        let said = serde_json::from_slice(body).unwrap_or_default();
        Self { answer, said, acks: serde_json::from_slice(body).ok(), is_foreign }
    }

    /// What it means that events were taken without a number.
    pub(super) fn unnumbered(&self) -> DeliverError {
        match self.said.code {
            Some(_) => self
                .pause("it acknowledges nothing: turn indexer acknowledgement on for the token, or set `ack = false`"),
            // The answer broke off, or is that of a receiver of another make.
            None => self.retry(),
        }
    }

    /// Whether it says that nothing is acknowledged with this token.
    pub(super) fn is_without_acks(&self) -> bool {
        self.said.code == Some(14)
    }

    /// What it means for the events of its request: they were taken, and under which number that may be acknowledged.
    ///
    /// # Errors
    /// They were not, or nobody knows.
    pub(super) fn verdict(&self, batch: &[Outgoing]) -> Result<Option<AckId>, DeliverError> {
        let is_success = self.answer.status.is_success();
        match self.said.code.map(about) {
            Some(About::Taken) if is_success => Ok(self.said.ack_id),
            Some(About::Settings(remedy)) => Err(self.pause(remedy)),
            Some(About::Condition) => Err(self.retry()),
            Some(About::Event) => Err(self.refusal(batch)),
            Some(About::Taken | About::Unknown) | None => self.by_status(batch),
        }
    }

    /// Whether an answer to no events says that the token is taken: then it complains of the events, and of nothing before.
    ///
    /// # Errors
    /// It is not taken: what is asked for.
    pub(super) fn takes_token(&self) -> Result<bool, String> {
        match self.said.code {
            Some(5 | 6 | 12 | 13 | 15) => Ok(true),
            Some(1 | 2 | 3 | 4 | 16 | 21 | 22) => self.verdict(&[]).map(|_| false).map_err(|error| error.to_string()),
            Some(_) | None if self.answer.status == StatusCode::UNAUTHORIZED => {
                Err(format!("{}; put `token` right", self.answer.said()))
            }
            Some(_) | None => Ok(false),
        }
    }

    /// The answer for people.
    pub(super) fn said(&self) -> String {
        self.answer.said()
    }

    /// Which requests are acknowledged.
    ///
    /// # Errors
    /// `Pause` where only another setting helps, `Retry` where nobody knows.
    pub(super) fn acks(self) -> Result<Acks, DeliverError> {
        let unheard = self.retry();
        match self.verdict(&[]) {
            Ok(_) => self.acks.ok_or(unheard),
            Err(error @ (DeliverError::Retry { .. } | DeliverError::Pause { .. })) => Err(error),
            Err(DeliverError::Refused(_) | DeliverError::RefusedBatch { .. }) => {
                Err(self.pause("it does not understand the question; set `ack = false` if it has no acknowledgement"))
            }
        }
    }

    /// What is asked for where only the HTTP status tells: something in between answered, or a later release.
    fn by_status(&self, batch: &[Outgoing]) -> Result<Option<AckId>, DeliverError> {
        let has_code = self.said.code.is_some_and(|code| code < HTTP_CODES);
        match self.answer.status {
            status if status.is_success() && (self.is_foreign || has_code) => {
                Err(self.pause("that is no answer of HTTP Event Collector to events; correct the url"))
            }
            status if status.is_success() => Ok(self.said.ack_id),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.pause("put `token` right, it is read anew each time, or look at what is in between"))
            }
            StatusCode::PAYLOAD_TOO_LARGE => Err(self.too_large(batch)),
            _ => match self.answer.verdict(batch) {
                // HEC says what it is about when it is about an event.
                Err(DeliverError::Refused(_) | DeliverError::RefusedBatch { .. }) if !has_code => {
                    Err(self.pause("that is no answer of HTTP Event Collector; correct the url"))
                }
                verdict => verdict.map(|()| self.said.ack_id),
            },
        }
    }

    /// The guilty event where HEC names it. Those before it may be indexed already; they come again with the rest.
    fn refusal(&self, batch: &[Outgoing]) -> DeliverError {
        let guilty = self.said.invalid.and_then(|number| batch.get(number));
        match guilty {
            Some(guilty) => DeliverError::Refused(vec![Refusal { seq: guilty.seq, why: self.answer.said() }]),
            None => self.answer.refusal(batch),
        }
    }

    /// A smaller request may do, a smaller event too.
    fn too_large(&self, batch: &[Outgoing]) -> DeliverError {
        let remedy = "it is more than the receiver takes at once (max_content_length); `max_event_size` reduces events";
        match self.answer.refusal(batch) {
            DeliverError::Refused(refusals) => {
                let told = refusals
                    .into_iter()
                    .map(|refusal| Refusal { why: format!("{}; {remedy}", refusal.why), ..refusal });
                DeliverError::Refused(told.collect())
            }
            other @ (DeliverError::RefusedBatch { .. } | DeliverError::Retry { .. } | DeliverError::Pause { .. }) => {
                other
            }
        }
    }

    fn retry(&self) -> DeliverError {
        DeliverError::Retry { why: self.answer.said(), after: self.answer.retry_after }
    }

    fn pause(&self, remedy: &str) -> DeliverError {
        DeliverError::Pause { why: format!("{}; {remedy}", self.answer.said()) }
    }
}
