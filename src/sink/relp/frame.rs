//! The frames of RELP: written, read from whatever bytes have come so far, and what an answer in one says. Touches no
//! connection, takes nothing larger than its bounds, and never guesses where a frame begins.
//!
//! Source: the RELP specification in librelp (`doc/relp.html`), and librelp where that leaves a choice:
//! `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

/// The highest transaction number; 1 follows it.
const TXNR_MAX: u32 = 999_999_999;
/// Digits of a transaction number and of a length at most.
const DIGITS_MAX: usize = 9;
/// Letters of a command at most.
const COMMAND_LENGTH_MAX: usize = 32;
/// Bytes of data that a peer may send in one frame: answers and offers are a few hundred.
const DATA_BYTES_MAX: usize = 16 * 1024;
/// Characters of a peer's words that are shown; the specification has 80.
const WORDS_LENGTH_MAX: usize = 80;

/// The number of a transaction: what an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sink) struct Txnr(u32);

impl Txnr {
    /// That of the first command of a session.
    pub(in crate::sink) const FIRST: Self = Self(1);
    /// That of a hint, which nobody answers.
    pub(in crate::sink) const HINT: Self = Self(0);

    /// The one after this.
    pub(in crate::sink) const fn next(self) -> Self {
        if self.0 < TXNR_MAX { Self(self.0 + 1) } else { Self::FIRST }
    }
}

impl fmt::Display for Txnr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sink) struct Frame {
    pub(in crate::sink) txnr: Txnr,
    pub(in crate::sink) command: String,
    pub(in crate::sink) data: Vec<u8>,
}

/// Bytes that are no frame, and what is wrong with them. Nothing that follows can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::sink) enum FrameError {
    /// No number of up to nine digits and a space.
    #[error("its transaction number is none")]
    Txnr,
    /// No word of up to 32 letters and a space.
    #[error("its command is none")]
    Command,
    /// No number, or one above [`DATA_BYTES_MAX`].
    #[error("its length is none, or above {DATA_BYTES_MAX} B")]
    Length,
    /// Something else where its end should be.
    #[error("it does not end where it says")]
    Trailer,
}

/// Adds a frame to the bytes that are to be sent. The data is any bytes; its length is what ends it.
pub(in crate::sink) fn write(out: &mut BytesMut, txnr: Txnr, command: &str, data: &[u8]) {
    out.extend_from_slice(format!("{txnr} {command} {}", data.len()).as_bytes());
    if !data.is_empty() {
        out.put_u8(b' ');
        out.extend_from_slice(data);
    }
    out.put_u8(b'\n');
}

/// What stands at the beginning of bytes and what follows it; none while it has not come whole.
type Cut<'a, T> = Result<Option<(T, &'a [u8])>, FrameError>;

/// Takes the first frame off these bytes; none while it is not whole.
///
/// # Errors
/// See [`FrameError`]; as soon as the bytes cannot become a frame any more.
pub(in crate::sink) fn take(bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some((frame, rest)) = read(bytes)? else { return Ok(None) };
    let size = bytes.len() - rest.len();
    bytes.advance(size);
    Ok(Some(frame))
}

fn read(bytes: &[u8]) -> Cut<'_, Frame> {
    let Some((txnr, rest)) = word(bytes, DIGITS_MAX, FrameError::Txnr, |byte| byte.is_ascii_digit(), b" ")? else {
        return Ok(None);
    };
    let letters = |byte: u8| byte.is_ascii_alphabetic();
    let Some((command, rest)) = word(&rest[1..], COMMAND_LENGTH_MAX, FrameError::Command, letters, b" ")? else {
        return Ok(None);
    };
    let length = word(&rest[1..], DIGITS_MAX, FrameError::Length, |byte| byte.is_ascii_digit(), b" \n")?;
    let Some((length, rest)) = length else { return Ok(None) };
    let length: usize = length.parse().map_err(|_| FrameError::Length)?;
    if DATA_BYTES_MAX < length {
        return Err(FrameError::Length);
    }
    let Some((data, rest)) = data(rest, length)? else { return Ok(None) };
    let txnr = Txnr(txnr.parse().map_err(|_| FrameError::Txnr)?);
    let frame = Frame { txnr, command: command.to_owned(), data: data.to_vec() };
    Ok(Some((frame, rest)))
}

/// A word of one kind of characters; what follows begins with one of `ends`.
fn word<'a>(
    bytes: &'a [u8],
    length_max: usize,
    wrong: FrameError,
    is_part: impl Fn(u8) -> bool,
    ends: &[u8],
) -> Cut<'a, &'a str> {
    let length = bytes.iter().take_while(|byte| is_part(**byte)).count();
    if length_max < length {
        return Err(wrong);
    }
    match bytes.get(length) {
        None => Ok(None),
        Some(end) if 0 < length && ends.contains(end) => {
            let text = std::str::from_utf8(&bytes[..length]).map_err(|_| wrong)?;
            Ok(Some((text, &bytes[length..])))
        }
        Some(_) => Err(wrong),
    }
}

/// The data behind its length, and what follows the frame. Where there is none, the space before it may be there or not:
/// librelp leaves it out.
fn data(bytes: &[u8], length: usize) -> Cut<'_, &[u8]> {
    let data = match (bytes.first(), length) {
        (Some(b' '), _) => &bytes[1..],
        (Some(_), 0) => bytes,
        (Some(_), _) => return Err(FrameError::Trailer),
        (None, _) => return Ok(None),
    };
    match data.get(length) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((&data[..length], &data[length + 1..]))),
        Some(_) => Err(FrameError::Trailer),
    }
}

/// What an answer says: `CODE [SP WORDS] [LF MORE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sink) struct Answer {
    /// 200 is yes, everything else no.
    pub(in crate::sink) code: u16,
    /// For people: no control characters, and no more of them than are to be shown.
    pub(in crate::sink) words: String,
    /// What follows the first line.
    pub(in crate::sink) more: String,
}

impl Answer {
    /// Whether it says yes.
    pub(in crate::sink) fn is_ok(&self) -> bool {
        self.code == 200
    }

    /// The answer in the data of a `rsp`; none where it is no answer.
    pub(in crate::sink) fn of(data: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(data);
        let (line, more) = text.split_once('\n').unwrap_or((&text, ""));
        let (code, words) = line.split_once(' ').unwrap_or((line, ""));
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let shown = words.chars().take(WORDS_LENGTH_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c });
        let code = is_code.then(|| code.parse().ok())??;
        Some(Self { code, words: shown.collect(), more: more.to_owned() })
    }

    /// The values of an offer (`NAME=VALUE,VALUE` in a line of its own) that the peer made with this answer.
    pub(in crate::sink) fn offer(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        let offers = self.more.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
        let (_, values) = offers.into_iter().find(|(offered, _)| offered.trim() == name)?;
        Some(values.split(',').map(str::trim))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.words)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The frames of a stream that comes in pieces of these sizes, and what ended it.
    fn read_all(stream: &[u8], pieces: &[usize]) -> (Vec<Frame>, Option<FrameError>) {
        let (mut frames, mut held, mut rest) = (Vec::new(), BytesMut::new(), stream);
        let mut pieces = pieces.iter().copied().cycle();
        while !rest.is_empty() {
            let size = pieces.next().unwrap_or(rest.len()).clamp(1, rest.len());
            held.extend_from_slice(&rest[..size]);
            rest = &rest[size..];
            loop {
                match take(&mut held) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
            assert!(held.len() < DATA_BYTES_MAX + 64, "what is held has a bound");
        }
        (frames, None)
    }

    fn check(stream: &str, expected: &[(u32, &str, &str)], end: Option<FrameError>) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(txnr, command, data)| Frame {
                txnr: Txnr(*txnr),
                command: (*command).to_owned(),
                data: data.as_bytes().to_vec(),
            })
            .collect();
        for pieces in [&[stream.len()][..], &[1]] {
            assert_eq!(read_all(stream.as_bytes(), pieces), (expected.clone(), end), "{stream:?}");
        }
    }

    #[test]
    fn frames_are_read_and_what_is_none_is_said() {
        check("1 rsp 6 200 OK\n", &[(1, "rsp", "200 OK")], None);
        check(
            "2 rsp 6 200\nOK\n3 rsp 0\n0 serverclose 0\n",
            &[(2, "rsp", "200\nOK"), (3, "rsp", ""), (0, "serverclose", "")],
            None,
        );
        check("3 rsp 0 \n4 rsp 1 x\n", &[(3, "rsp", ""), (4, "rsp", "x")], None);
        check("999999999 rsp 3 200\n", &[(999_999_999, "rsp", "200")], None);
        check("", &[], None);
        check("1 rsp 6 200", &[], None);
        check("1 rsp 6 200 OK", &[], None);
        check("1 rsp 6 200 OK\n1234567890", &[(1, "rsp", "200 OK")], Some(FrameError::Txnr));
        check("HTTP/1.1 400 Bad Request\r\n", &[], Some(FrameError::Txnr));
        check(" 1 rsp 0\n", &[], Some(FrameError::Txnr));
        check("1 r2 0\n", &[], Some(FrameError::Command));
        check("1  0\n", &[], Some(FrameError::Command));
        check(&format!("1 {} 0\n", "a".repeat(33)), &[], Some(FrameError::Command));
        check("1 rsp x\n", &[], Some(FrameError::Length));
        check("1 rsp -1 \n", &[], Some(FrameError::Length));
        check("1 rsp 16385 ", &[], Some(FrameError::Length));
        check("1 rsp 999999999 ", &[], Some(FrameError::Length));
        check("1 rsp 6\n", &[], Some(FrameError::Trailer));
        check("1 rsp 5 200 OK\n", &[], Some(FrameError::Trailer));
        check("1 rsp 0 x\n", &[], Some(FrameError::Trailer));
    }

    #[test]
    fn an_answer_is_a_code_and_words_and_offers() {
        let check = |data: &str, expected: Option<(u16, &str)>| {
            let answer = Answer::of(data.as_bytes());
            assert_eq!(answer.as_ref().map(|answer| (answer.code, answer.words.as_str())), expected, "{data:?}");
        };
        check("200 OK", Some((200, "OK")));
        check("200", Some((200, "")));
        check("500 no\u{1b}[31m\u{7}", Some((500, "no\u{fffd}[31m\u{fffd}")));
        check(&format!("500 {}", "é".repeat(500)), Some((500, &"é".repeat(80))));
        check("OK", None);
        check("2000 OK", None);
        check("+20 OK", None);
        check("", None);

        let open = Answer::of(b"200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0\ncommands=eventlog, syslog");
        let open = open.expect("an answer");
        let offered = |name: &str| open.offer(name).map(|values| values.map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(offered("commands"), Some(vec!["eventlog".into(), "syslog".into()]));
        assert_eq!(offered("relp_version"), Some(vec!["0".into()]));
        assert_eq!(offered("starttls"), None);
    }

    #[test]
    fn after_the_last_transaction_number_comes_the_first() {
        assert_eq!(Txnr(TXNR_MAX - 1).next(), Txnr(TXNR_MAX));
        assert_eq!(Txnr(TXNR_MAX).next(), Txnr::FIRST);
        let mut bytes = BytesMut::new();
        write(&mut bytes, Txnr(TXNR_MAX), "close", b"");
        assert_eq!(&bytes[..], b"999999999 close 0\n");
    }

    /// Bytes that are nearly frames: pieces of them, put together.
    fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: &[&str] =
            &["1 rsp 6 200 OK\n", "0 serverclose 0\n", "1 rsp ", "6", " ", "\n", "x", "999999999", "rsp", "\u{e9}"];
        proptest::collection::vec(proptest::sample::select(PIECES), 0..12).prop_map(|pieces| pieces.concat().into())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_comes(
            frames in proptest::collection::vec((1u32..=TXNR_MAX, "[a-zA-Z]{1,32}", proptest::collection::vec(any::<u8>(), 0..300)), 0..8),
            pieces in proptest::collection::vec(1usize..40, 1..8),
        ) {
            let (mut stream, mut expected) = (BytesMut::new(), Vec::new());
            for (txnr, command, data) in frames {
                write(&mut stream, Txnr(txnr), &command, &data);
                expected.push(Frame { txnr: Txnr(txnr), command, data });
            }
            prop_assert_eq!(read_all(&stream, &pieces), (expected, None));
        }

        #[test]
        fn any_bytes_read_the_same_however_they_come(
            stream in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), nearly_frames()],
            pieces in proptest::collection::vec(1usize..40, 1..8),
        ) {
            let whole = read_all(&stream, &[stream.len()]);
            for frame in &whole.0 {
                let _ = Answer::of(&frame.data);
            }
            prop_assert_eq!(read_all(&stream, &pieces), whole);
        }
    }
}
