//! What goes wrong with a broker, as the decision that it asks for: the one table of Kafka's error codes. Names no secret.

use crate::core::courier::DeliverError;

/// What to do where a broker does not take the credential.
pub(super) const CREDENTIAL_REMEDY: &str = "correct the user or the password of `sasl`, which is read anew each time";

/// Why something did not work. The text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The network, a broker that went away, a leader that moved: later it may work.
    Retry(String),
    /// A right, a credential, a topic, a setting: somebody has to do something.
    Pause(String),
    /// These records, for good.
    Refused(String),
}

impl Fault {
    /// The same, beginning with where it happened.
    pub(super) fn at(self, place: &str) -> Self {
        match self {
            Self::Retry(why) => Self::Retry(format!("{place} {why}")),
            Self::Pause(why) => Self::Pause(format!("{place} {why}")),
            Self::Refused(why) => Self::Refused(format!("{place} {why}")),
        }
    }
}

/// A refusal becomes one of the whole batch; who knows which event it was says so instead.
impl From<Fault> for DeliverError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Retry(why) => Self::Retry { why, after: None },
            Fault::Pause(why) => Self::Pause { why },
            Fault::Refused(why) => Self::RefusedBatch { why },
        }
    }
}

/// What a broker answered about one partition, topic or request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done, and was perhaps done before (`DUPLICATE_SEQUENCE_NUMBER`).
    Done,
    /// It is not, and where things are may have changed.
    Fault(Fault),
    /// The broker does not know our numbering of batches any more: a new one is needed.
    Renumber(String),
}

/// The meaning of an error code (`org.apache.kafka.common.protocol.Errors`). What is not in the table may pass.
pub(super) fn verdict(code: i16) -> Verdict {
    let (name, remedy) = match code {
        0 | 46 => return Verdict::Done,
        45 | 47 | 49 | 59 | 90 => {
            return Verdict::Renumber(format!("does not know our producer id any more (error {code})"));
        }
        10 | 18 | 32 | 87 => return Verdict::Fault(Fault::Refused(format!("refused it: {}", refusal(code)))),
        17 => ("INVALID_TOPIC_EXCEPTION", "correct `topic`"),
        21 | 35 | 42 | 43 => ("UNSUPPORTED", "the broker is older than Kafka 1.0 or keeps an old message format"),
        29 => (
            "TOPIC_AUTHORIZATION_FAILED",
            "grant WRITE and DESCRIBE on the topic to the user of `sasl` or of the certificate",
        ),
        31 => ("CLUSTER_AUTHORIZATION_FAILED", "grant IDEMPOTENT_WRITE on the cluster, or set `idempotent = false`"),
        33 => ("UNSUPPORTED_SASL_MECHANISM", "correct `sasl.mechanism`"),
        34 => ("ILLEGAL_SASL_STATE", "the listener wants a credential (`sasl`), or none"),
        44 => ("POLICY_VIOLATION", "the broker's policy keeps us from writing there"),
        58 => ("SASL_AUTHENTICATION_FAILED", CREDENTIAL_REMEDY),
        76 => ("UNSUPPORTED_COMPRESSION_TYPE", "choose another `compression`"),
        _ => return Verdict::Fault(Fault::Retry(format!("answered {}", passing(code)))),
    };
    Verdict::Fault(Fault::Pause(format!("answered {name} (error {code}): {remedy}")))
}

const fn refusal(code: i16) -> &'static str {
    match code {
        10 | 18 => "larger than the topic's max.message.bytes; set `max_message_size` to no more than that",
        32 => "the timestamp, which is the incident's last update, is outside of what the topic takes",
        _ => "INVALID_RECORD",
    }
}

fn passing(code: i16) -> String {
    let name = match code {
        -1 => "UNKNOWN_SERVER_ERROR",
        2 => "CORRUPT_MESSAGE",
        3 => "UNKNOWN_TOPIC_OR_PARTITION",
        5 => "LEADER_NOT_AVAILABLE",
        6 => "NOT_LEADER_OR_FOLLOWER",
        7 => "REQUEST_TIMED_OUT",
        8 => "BROKER_NOT_AVAILABLE",
        9 => "REPLICA_NOT_AVAILABLE",
        13 => "NETWORK_EXCEPTION",
        14 => "COORDINATOR_LOAD_IN_PROGRESS",
        15 => "COORDINATOR_NOT_AVAILABLE",
        19 => "NOT_ENOUGH_REPLICAS",
        20 => "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        56 => "KAFKA_STORAGE_ERROR",
        89 => "THROTTLING_QUOTA_EXCEEDED",
        _ => return format!("error {code}"),
    };
    format!("{name} (error {code})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_asks_for_what_helps() {
        let check = |codes: &[i16], expected: &str| {
            for code in codes {
                let found = match verdict(*code) {
                    Verdict::Done => "done",
                    Verdict::Renumber(_) => "renumber",
                    Verdict::Fault(Fault::Retry(_)) => "retry",
                    Verdict::Fault(Fault::Pause(_)) => "pause",
                    Verdict::Fault(Fault::Refused(_)) => "refused",
                };
                assert_eq!(found, expected, "{code}");
            }
        };
        check(&[0, 46], "done");
        check(&[45, 59], "renumber");
        check(&[10, 18, 32, 87], "refused");
        check(&[17, 29, 31, 33, 58, 76], "pause");
        check(&[-1, 3, 5, 6, 7, 19, 20, 56, 89, 1234, i16::MIN, i16::MAX], "retry");
    }
}
