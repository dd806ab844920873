//! Sends events to HEC and reckons what counts: what was taken, or, with `ack`, what the indexer has acknowledged without a
//! gap. Keeps nothing of an event but its position.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::core::courier::DeliverError;
use crate::model::names::Seq;
use crate::sink::partly::{Partly, reached};
use crate::sink::splunk_hec::Config;
use crate::sink::splunk_hec::ack::{Air, IN_THE_AIR_MAX, Question};
use crate::sink::splunk_hec::batch::{Batch, batches};
use crate::sink::splunk_hec::connection::Connection;
use crate::sink::splunk_hec::reply::Reply;
use crate::sink::{OpenError, Outgoing, Sink};

/// A call without acknowledgement starts no further request after this time: what is answered counts, and a slow receiver does
/// not get the same events again and again.
const REQUESTS_TIME: Duration = Duration::from_secs(30);
/// How often the indexer is asked what it has.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The longest that an answer to such a question may keep us from asking again.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(60);
/// How long a close waits for what is in the air: longer than an indexer usually takes, shorter than a close may last.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The sink.
#[derive(Debug)]
pub(super) struct Collector {
    config: Config,
    /// Its channel is a new one each time that what is in the air is forgotten: then no answer about what was sent before can
    /// be taken for one about what is sent after.
    connection: Connection,
    /// What is in the air of this channel; nothing without `ack`.
    air: Air,
    partly: Partly,
    /// Acknowledged, and not handed on yet.
    reached: Option<Seq>,
    /// Something was acknowledged with a number since the last pause, so that the token is known to have it turned on.
    is_proven: bool,
    next_question: Instant,
    /// Why the last question was not answered, if it was not.
    unanswered: Option<String>,
    /// A call is under way, or was dropped under way: then what is in the air is unknown.
    is_under_way: bool,
}

impl Collector {
    /// Reads the TLS files; connects nowhere.
    ///
    /// # Errors
    /// TLS files, the proxy or the url cannot be used.
    pub(super) fn open(config: &Config) -> Result<Self, OpenError> {
        Ok(Self {
            connection: Connection::open(config)?,
            config: config.clone(),
            air: Air::default(),
            partly: Partly::default(),
            reached: None,
            is_proven: false,
            next_question: Instant::now(),
            unanswered: None,
            is_under_way: false,
        })
    }

    async fn call(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        if !self.config.ack {
            return self.send_all(events).await;
        }
        if std::mem::replace(&mut self.is_under_way, true) {
            self.forget();
            return Err(retry("the delivery before was interrupted".into()));
        }
        let result = self.send_and_ask(events).await;
        match result {
            Err(DeliverError::Retry { .. }) => self.forget(),
            Err(DeliverError::Pause { .. }) => {
                self.forget();
                self.is_proven = false;
            }
            Ok(_) | Err(DeliverError::Refused(_) | DeliverError::RefusedBatch { .. }) => self.is_under_way = false,
        }
        result
    }

    /// Nobody knows what became of what is in the air: all of it is handed over again.
    fn forget(&mut self) {
        self.air = Air::default();
        self.reached = None;
        self.unanswered = None;
        self.is_under_way = false;
        self.connection.change_channel();
    }

    /// Without acknowledgement: request after request, in order, for as long as [`REQUESTS_TIME`] lasts. A failure after a part
    /// of them leaves its telling to the next call, and so does what is left.
    async fn send_all(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        let began = Instant::now();
        let mut taken = None;
        for Batch { events: batch, body } in batches(self.partly.rest(events), &self.config)? {
            if taken.is_some() && REQUESTS_TIME < began.elapsed() {
                break;
            }
            match self.connection.send(body).await.and_then(|reply| reply.verdict(batch)) {
                Ok(_) => {
                    self.partly.taken(batch);
                    taken = reached(events, batch).or(taken);
                }
                Err(error) if taken.is_none() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    /// With acknowledgement: all of it goes into the air or none, and then the indexer is asked, if it is time.
    async fn send_and_ask(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        let batches = batches(events, &self.config)?;
        if !batches.is_empty() {
            self.prove().await?;
            self.make_room(batches.len()).await?;
        }
        let before = self.air.len();
        for batch in batches {
            match self.send(batch).await {
                Ok(()) => {}
                Err(error @ (DeliverError::Refused(_) | DeliverError::RefusedBatch { .. })) => {
                    // Nothing of this call counts, what was in the air before it does.
                    self.air.truncate(before);
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        if self.next_question <= Instant::now() {
            self.ask().await?;
        }
        // What is acknowledged counts, though something after it is lost.
        if self.reached.is_none() {
            self.check_lost()?;
        }
        Ok(self.reached.take())
    }

    /// Asks whether anything is acknowledged at all, before anything is sent that would have to be sent again for nothing. What
    /// else may be wrong shows when events are sent.
    async fn prove(&self) -> Result<(), DeliverError> {
        if self.is_proven {
            return Ok(());
        }
        let reply = self.connection.ask(&Question::of_nothing()).await?;
        if reply.is_without_acks() { reply.acks().map(|_| ()) } else { Ok(()) }
    }

    /// Waits until so many requests more may be in the air: at most until the oldest one is acknowledged or lost.
    async fn make_room(&mut self, count: usize) -> Result<(), DeliverError> {
        while 0 < self.air.len() && IN_THE_AIR_MAX < self.air.len() + count {
            tokio::time::sleep_until(self.next_question.into()).await;
            self.ask().await?;
            self.check_lost()?;
        }
        Ok(())
    }

    async fn send(&mut self, Batch { events, body }: Batch<'_>) -> Result<(), DeliverError> {
        let reply = self.connection.send(body).await?;
        let Some(id) = reply.verdict(events)? else {
            return Err(reply.unnumbered());
        };
        if self.air.len() == 0 {
            self.next_question = Instant::now() + ASK_EVERY;
        }
        let reaches = events.last().map(Outgoing::reaches).unwrap_or_default();
        if !self.air.taken(id, reaches, Instant::now()) {
            let why = "gives the number of a request twice: it was started again, or there are several behind a balancer that \
                       does not keep us with one";
            return Err(retry(format!("{} {why}", self.connection.place())));
        }
        self.is_proven = true;
        Ok(())
    }

    /// Asks what is acknowledged. A question that finds no answer loses nothing: the same clock runs on as for one that is
    /// answered with no.
    async fn ask(&mut self) -> Result<(), DeliverError> {
        let Some(question) = self.air.question() else { return Ok(()) };
        let answer = self.connection.ask(&question).await.and_then(Reply::acks);
        let mut again = ASK_EVERY;
        match answer {
            Ok(acks) => {
                self.reached = self.air.answered(&acks).or(self.reached);
                self.unanswered = None;
            }
            Err(DeliverError::Retry { why, after }) => {
                again = after.unwrap_or(again).clamp(ASK_EVERY, ASK_AGAIN_MAX);
                self.unanswered = Some(why);
            }
            Err(error) => return Err(error),
        }
        self.next_question = Instant::now() + again;
        Ok(())
    }

    fn check_lost(&mut self) -> Result<(), DeliverError> {
        if !self.air.is_lost(Instant::now(), self.config.ack_timeout.0) {
            return Ok(());
        }
        let last = self.unanswered.take().map(|why| format!("; the last question: {why}")).unwrap_or_default();
        let why = format!("has not acknowledged events within {}; they are sent again", self.config.ack_timeout);
        Err(retry(format!("{} {why}{last}", self.connection.place())))
    }

    /// Waits a little for what is in the air, so that the next start has less to send again.
    async fn finish(&mut self) -> Result<Option<Seq>, DeliverError> {
        let mut reached = None;
        let asking = async {
            loop {
                reached = self.call(&[]).await?.or(reached);
                if self.air.len() == 0 {
                    return Ok(());
                }
                tokio::time::sleep_until(self.next_question.into()).await;
            }
        };
        match tokio::time::timeout(CLOSE_TIME, asking).await {
            Ok(Err(error)) if reached.is_none() => Err(error),
            Ok(_) | Err(_) => Ok(reached),
        }
    }
}

impl Sink for Collector {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.call(events))
    }

    /// Takes [`CLOSE_TIME`] at most.
    fn close<'a>(&'a mut self) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.finish())
    }
}

fn retry(why: String) -> DeliverError {
    DeliverError::Retry { why, after: None }
}
