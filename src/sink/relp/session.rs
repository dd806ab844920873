//! One RELP session over one connection: signs on, sends messages within a window and hears what becomes of each, signs off.
//! Never sends anything twice, opens no second connection, and takes nothing unanswered for delivered.
//!
//! What the specification leaves open is decided as librelp does it. It wants answers in the order of the messages and says
//! elsewhere that they may come in any: each names its message, so both are understood.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, timeout, timeout_at};

use crate::core::courier::DeliverError;
use crate::model::units::Span;
use crate::sink::relp::frame::{Answer, Frame, Txnr, take, write};
use crate::sink::syslog::{failure, retry};
use crate::transport::stream::{Stream, Target};

/// What we offer. Version 0 is what librelp has and answers with, whatever the specification says of it.
const OFFERS: &str = concat!("relp_version=0\nrelp_software=xdrelay,", env!("CARGO_PKG_VERSION"), "\ncommands=syslog");
/// Bytes that wait to be written before another message is added.
const UNSENT_BYTES: usize = 64 * 1024;
/// Signing off may take this long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// How many messages may be without an answer, and how long for.
#[derive(Debug, Clone, Copy)]
pub(in crate::sink) struct Limits {
    /// Messages without an answer at most.
    pub(in crate::sink) window: usize,
    /// Without an answer for so long, a peer is gone. New messages are sent for so long in one call.
    pub(in crate::sink) timeout: Duration,
}

/// A session that is open.
pub(in crate::sink) struct Session {
    stream: Stream,
    limits: Limits,
    /// The number of the next command.
    next: Txnr,
    unsent: BytesMut,
    heard: BytesMut,
    /// What waits for its answer, oldest first: the transaction, and which of the messages.
    outstanding: VecDeque<(Txnr, usize)>,
}

impl Session {
    /// Connects and signs on. Bounded by the timeouts of the connection and that of the limits.
    ///
    /// # Errors
    /// `Retry`, and `Pause` where the peer speaks no RELP, does not take syslog, or refuses us.
    pub(in crate::sink) async fn open(target: Target<'_>, limits: Limits) -> Result<Self, DeliverError> {
        let stream = Stream::connect(target).await.map_err(failure)?;
        let (unsent, heard) = (BytesMut::new(), BytesMut::new());
        let mut session = Self { stream, limits, next: Txnr::FIRST, unsent, heard, outstanding: VecDeque::new() };
        let txnr = session.command("open", OFFERS.as_bytes());
        let answer = timeout(limits.timeout, session.answer(txnr)).await;
        let frame = answer.unwrap_or_else(|_| {
            Err(retry(format!("no answer to our `open` within {}: is it a RELP receiver?", Span(limits.timeout))))
        })?;
        match Answer::of(&frame.data) {
            Some(answer) if answer.is_ok() => welcomed(&answer).map(|()| session),
            Some(answer) => Err(pause(format!("the receiver refuses the session: {answer}"))),
            None => Err(pause("the receiver's answer to our `open` is none: is it a RELP receiver?".into())),
        }
    }

    /// Whether messages can be sent, by everything that has arrived up to now. Nothing may be outstanding.
    pub(in crate::sink) async fn is_alive(&mut self) -> bool {
        // A receiver that has closed, or says that it will, is no error while it owes us nothing; nor is one that talks
        // nonsense: the next session begins anew.
        self.stream.hear(&mut self.heard).await.is_ok() && self.heard.is_empty()
    }

    /// Sends these messages and tells `on_answer` what became of which, until all are answered or the time for new ones is
    /// over; then what was not sent is left. May be called again.
    ///
    /// # Errors
    /// The session is broken: whatever was not told is unknown.
    pub(in crate::sink) async fn carry(
        &mut self,
        messages: &[Vec<u8>],
        mut on_answer: impl FnMut(usize, Answer),
    ) -> Result<(), DeliverError> {
        let start = Instant::now();
        let (until, mut heard_at, mut rest) = (start + self.limits.timeout, start, messages.iter().enumerate());
        loop {
            while self.has_room()
                && Instant::now() < until
                && let Some((index, message)) = rest.next()
            {
                let txnr = self.command("syslog", message);
                self.outstanding.push_back((txnr, index));
            }
            if self.outstanding.is_empty() {
                return Ok(());
            }
            let patience = (heard_at + self.limits.timeout).min(until + self.limits.timeout);
            match timeout_at(patience, self.stream.exchange(&mut self.unsent, &mut self.heard)).await {
                Err(_) => return Err(retry(self.late())),
                Ok(moved) => moved.map_err(failure)?,
            }
            while let Some(frame) = self.frame()? {
                on_answer(self.answered(&frame)?, verdict(&frame)?);
                heard_at = Instant::now();
            }
        }
    }

    /// Signs off. Everything was answered, so what becomes of it is of no importance; takes 6 s at most.
    pub(in crate::sink) async fn close(mut self) {
        let txnr = self.command("close", b"");
        // librelp answers, says `serverclose` and closes; any of it will do.
        let _ = timeout(CLOSE_TIMEOUT, self.answer(txnr)).await;
        let _ = timeout(CLOSE_TIMEOUT, self.stream.finish()).await;
    }

    /// Adds a command to what is to be sent.
    fn command(&mut self, command: &str, data: &[u8]) -> Txnr {
        let txnr = self.next;
        write(&mut self.unsent, txnr, command, data);
        self.next = txnr.next();
        txnr
    }

    fn has_room(&self) -> bool {
        self.outstanding.len() < self.limits.window && self.unsent.len() < UNSENT_BYTES
    }

    /// The answer to the one command that is outstanding. Waits as long as the caller lets it.
    async fn answer(&mut self, txnr: Txnr) -> Result<Frame, DeliverError> {
        loop {
            match self.frame()? {
                Some(frame) if frame.txnr == txnr && frame.command == "rsp" => return Ok(frame),
                Some(frame) => return Err(unexpected(&frame)),
                None => self.stream.exchange(&mut self.unsent, &mut self.heard).await.map_err(failure)?,
            }
        }
    }

    /// The next frame that has come. Hints that nobody knows are passed over.
    fn frame(&mut self) -> Result<Option<Frame>, DeliverError> {
        loop {
            match take(&mut self.heard) {
                Err(error) => return Err(self.nonsense(&error.to_string())),
                Ok(Some(frame)) if frame.txnr == Txnr::HINT && frame.command == "serverclose" => {
                    return Err(retry("the receiver closes the session".into()));
                }
                Ok(Some(frame)) if frame.txnr == Txnr::HINT => {}
                Ok(frame) => return Ok(frame),
            }
        }
    }

    /// Which message a frame answers.
    fn answered(&mut self, frame: &Frame) -> Result<usize, DeliverError> {
        let is_it = |(txnr, _): &(Txnr, usize)| *txnr == frame.txnr && frame.command == "rsp";
        let position = self.outstanding.iter().position(is_it).ok_or_else(|| unexpected(frame))?;
        self.outstanding.remove(position).map(|(_, index)| index).ok_or_else(|| unexpected(frame))
    }

    /// Something that is no frame. From a peer that has not said anything right yet it is another protocol.
    fn nonsense(&self, why: &str) -> DeliverError {
        match self.next == Txnr::FIRST.next() {
            true => pause(format!("what the receiver says is no frame ({why}): is it a RELP receiver?")),
            false => retry(format!("what the receiver says is no frame: {why}")),
        }
    }

    fn late(&self) -> String {
        format!("no answer within {}, with {} messages outstanding", Span(self.limits.timeout), self.outstanding.len())
    }
}

/// Whether the offers of a receiver will do.
fn welcomed(answer: &Answer) -> Result<(), DeliverError> {
    if answer.offer("relp_version").is_none() {
        return Err(pause("the receiver names no version of RELP in its answer to our `open`".into()));
    }
    let takes_syslog = answer.offer("commands").is_some_and(|mut commands| commands.any(|name| name == "syslog"));
    match takes_syslog {
        true => Ok(()),
        false => Err(pause("the receiver does not offer to take syslog messages".into())),
    }
}

/// What an answer to a message says.
fn verdict(frame: &Frame) -> Result<Answer, DeliverError> {
    Answer::of(&frame.data).ok_or_else(|| retry(format!("the answer to transaction {} has no code", frame.txnr)))
}

fn unexpected(frame: &Frame) -> DeliverError {
    let (command, txnr) = (&frame.command, frame.txnr);
    retry(format!("the receiver says `{command}` for transaction {txnr}, of which nothing is outstanding"))
}

fn pause(why: String) -> DeliverError {
    DeliverError::Pause { why }
}
