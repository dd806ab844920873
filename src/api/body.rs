//! The bytes of an answer: decompressed under a cap, and made text. Never looks into the JSON.

use std::io::Read;
use std::ops::Range;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::model::page::{FetchError, excerpt};

/// Places in one body that are repaired at most. A page with more is no damaged text but another encoding.
const REPAIRS_MAX: usize = 10_000;

/// What was done to the bytes on their way. We offer gzip; the API is known to answer with deflate all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Nothing.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950 by the book (RFC 9110 section 8.4.1.2), RFC 1951 bare in practice.
    Deflate,
}

impl Encoding {
    /// What `Content-Encoding` says.
    ///
    /// # Errors
    /// One that we did not offer, or several.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, FetchError> {
        let fields: Vec<_> =
            headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let text = fields.join(", ").trim().to_ascii_lowercase();
        match text.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            other => Err(garbled(format!("it is encoded as {}, which we did not ask for", excerpt(other)))),
        }
    }
}

/// The bytes as the API wrote them, at most `size_max` of them.
///
/// # Errors
/// [`FetchError::TooLarge`] above the limit, [`FetchError::Garbled`] where they are cut, damaged or followed by others.
pub(crate) fn decoded(encoding: Encoding, bytes: Vec<u8>, size_max: u64) -> Result<Vec<u8>, FetchError> {
    match encoding {
        Encoding::Identity if size_max < bytes.len() as u64 => Err(FetchError::TooLarge { limit: size_max }),
        Encoding::Identity => Ok(bytes),
        // It reads on to the end and fails on what is no further member.
        Encoding::Gzip => capped(&mut MultiGzDecoder::new(&bytes[..]), size_max),
        Encoding::Deflate if looks_like_zlib(&bytes) => match zlib(&bytes, size_max) {
            // A bare stream can begin with the same two bytes.
            Err(FetchError::Garbled { why }) => bare(&bytes, size_max).map_err(|_| FetchError::Garbled { why }),
            answer => answer,
        },
        Encoding::Deflate => bare(&bytes, size_max),
    }
}

/// How many bytes they unpack to, as far as they are `enough`: more than that is `enough` and one. Holds none of them.
pub(crate) fn unpacked_size(encoding: Encoding, bytes: &[u8], enough: u64) -> u64 {
    let size = |decoder: &mut dyn Read| {
        let mut counted = Counted(0);
        // What breaks off has been unpacked up to there.
        let _ = std::io::copy(&mut decoder.take(enough.saturating_add(1)), &mut counted);
        counted.0
    };
    match encoding {
        Encoding::Identity => bytes.len() as u64,
        Encoding::Gzip => size(&mut MultiGzDecoder::new(bytes)),
        Encoding::Deflate if looks_like_zlib(bytes) => {
            size(&mut ZlibDecoder::new(bytes)).max(size(&mut DeflateDecoder::new(bytes)))
        }
        Encoding::Deflate => size(&mut DeflateDecoder::new(bytes)),
    }
}

/// Counts what is written to it.
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// RFC 1950 section 2.2: method 8, a window of 32 KiB at most, and a check that makes both bytes divisible by 31.
fn looks_like_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [cmf, flg, ..] => cmf & 0x0f == 8 && cmf >> 4 <= 7 && u16::from_be_bytes([*cmf, *flg]).is_multiple_of(31),
        _ => false,
    }
}

fn zlib(bytes: &[u8], size_max: u64) -> Result<Vec<u8>, FetchError> {
    let mut decoder = ZlibDecoder::new(bytes);
    let decoded = capped(&mut decoder, size_max)?;
    at_the_end(decoder.total_in(), bytes).map(|()| decoded)
}

fn bare(bytes: &[u8], size_max: u64) -> Result<Vec<u8>, FetchError> {
    let mut decoder = DeflateDecoder::new(bytes);
    let decoded = capped(&mut decoder, size_max)?;
    at_the_end(decoder.total_in(), bytes).map(|()| decoded)
}

fn at_the_end(taken: u64, bytes: &[u8]) -> Result<(), FetchError> {
    match taken == bytes.len() as u64 {
        true => Ok(()),
        false => Err(garbled("there is something after its compressed end".into())),
    }
}

fn capped(decoder: &mut dyn Read, size_max: u64) -> Result<Vec<u8>, FetchError> {
    let mut decoded = Vec::new();
    let read = decoder.take(size_max.saturating_add(1)).read_to_end(&mut decoded);
    match read {
        _ if size_max < decoded.len() as u64 => Err(FetchError::TooLarge { limit: size_max }),
        Ok(_) => Ok(decoded),
        Err(error) => Err(garbled(format!("it cannot be decompressed: {error}"))),
    }
}

fn garbled(why: String) -> FetchError {
    FetchError::Garbled { why }
}

/// A body as text, with the places where invalid UTF-8 was replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    text: String,
    /// Where each U+FFFD of ours begins, in order.
    repairs: Vec<usize>,
}

impl Text {
    /// Every invalid sequence becomes one U+FFFD (Unicode 15 section 3.9, as `String::from_utf8_lossy`).
    ///
    /// # Errors
    /// There are so many of them that it is no UTF-8 text at all.
    pub(crate) fn of(bytes: Vec<u8>) -> Result<Self, FetchError> {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => return Ok(Self { text, repairs: Vec::new() }),
            Err(error) => error.into_bytes(),
        };
        let (mut text, mut repairs) = (String::with_capacity(bytes.len()), Vec::new());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                repairs.push(text.len());
                text.push(char::REPLACEMENT_CHARACTER);
            }
            if REPAIRS_MAX < repairs.len() {
                // Nothing of it is shown: it may quote the token, in pieces too.
                return Err(garbled(format!("it is no UTF-8 text: more than {REPAIRS_MAX} places in it are none")));
            }
        }
        Ok(Self { text, repairs })
    }

    /// The JSON in it: without the byte order mark that RFC 8259 section 8.1 lets us ignore.
    pub(crate) fn json(&self) -> &str {
        self.text.strip_prefix('\u{feff}').unwrap_or(&self.text)
    }

    /// Whether something in this part of [`json`](Self::json) was replaced.
    pub(crate) fn is_repaired(&self, part: &str) -> bool {
        let Range { start, end } = part.as_bytes().as_ptr_range();
        let base = self.text.as_ptr() as usize;
        let (start, end) = (start as usize - base, end as usize - base);
        let next = self.repairs.partition_point(|&place| place < start);
        self.repairs.get(next).is_some_and(|&place| place < end)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const PLAIN: &[u8] = b"{\"value\":[]}";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes every write")
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes every write")
    }

    fn bare(bytes: &[u8], level: Compression) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes every write")
    }

    #[test]
    fn every_encoding_that_may_come_is_decoded() {
        let check = |encoding: Encoding, bytes: Vec<u8>| {
            assert_eq!(decoded(encoding, bytes, PLAIN.len() as u64).expect("decoded"), PLAIN, "{encoding:?}");
        };
        check(Encoding::Identity, PLAIN.to_vec());
        check(Encoding::Gzip, gzip(PLAIN));
        check(Encoding::Gzip, [gzip(&PLAIN[..5]), gzip(&PLAIN[5..])].concat());
        check(Encoding::Deflate, zlib(PLAIN));
        check(Encoding::Deflate, bare(PLAIN, Compression::default()));
        check(Encoding::Deflate, bare(PLAIN, Compression::none()));
    }

    #[test]
    fn a_bare_stream_that_begins_like_zlib_is_still_read() {
        // A stored block whose first byte has ignored bits set, so that it reads 0x78 0x01: length 0x....01.
        let content = [b'x'; 0x0001];
        let mut stream = vec![0x78, 0x01, 0x00, 0xfe, 0xff];
        stream.extend_from_slice(&content);
        stream.extend_from_slice(&[0x03, 0x00]);
        assert!(looks_like_zlib(&stream));
        assert_eq!(decoded(Encoding::Deflate, stream, 10).expect("decoded"), content);
    }

    #[test]
    fn what_is_cut_damaged_or_followed_by_more_is_garbled_at_every_byte() {
        let check = |encoding: Encoding, bytes: &[u8]| {
            let error = decoded(encoding, bytes.to_vec(), 1000).expect_err("no body");
            assert!(matches!(error, FetchError::Garbled { .. }), "{encoding:?} {bytes:?}: {error}");
        };
        for (encoding, whole) in [(Encoding::Gzip, gzip(PLAIN)), (Encoding::Deflate, zlib(PLAIN))] {
            for length in 1..whole.len() {
                check(encoding, &whole[..length]);
            }
            check(encoding, &[&whole[..], b"more"].concat());
            let mut damaged = whole.clone();
            let last = damaged.len() - 5;
            damaged[last] ^= 1;
            check(encoding, &damaged);
        }
        let whole = bare(PLAIN, Compression::default());
        for length in 1..whole.len() {
            check(Encoding::Deflate, &whole[..length]);
        }
    }

    #[test]
    fn the_cap_counts_what_comes_out() {
        let bomb = vec![b' '; 10_000_000];
        for (encoding, bytes) in [
            (Encoding::Identity, bomb.clone()),
            (Encoding::Gzip, gzip(&bomb)),
            (Encoding::Deflate, zlib(&bomb)),
            (Encoding::Deflate, bare(&bomb, Compression::best())),
        ] {
            assert_eq!(decoded(encoding, bytes.clone(), 9_999_999), Err(FetchError::TooLarge { limit: 9_999_999 }));
            assert_eq!(decoded(encoding, bytes, 10_000_000).expect("decoded").len(), bomb.len());
        }
    }

    #[test]
    fn the_size_is_known_before_it_is_unpacked() {
        let page = vec![b' '; 5_000];
        for (encoding, bytes) in [
            (Encoding::Identity, page.clone()),
            (Encoding::Gzip, gzip(&page)),
            (Encoding::Gzip, [gzip(&page[..3_000]), gzip(&page[3_000..])].concat()),
            (Encoding::Deflate, zlib(&page)),
            (Encoding::Deflate, bare(&page, Compression::best())),
        ] {
            assert_eq!(unpacked_size(encoding, &bytes, 5_000), 5_000, "{encoding:?}");
            assert!(4_000 < unpacked_size(encoding, &bytes, 4_000), "{encoding:?}");
        }
        let broken = gzip(&[b' '; 1 << 20]);
        assert!(unpacked_size(Encoding::Gzip, &broken[..broken.len() - 9], 1_000) == 1_001, "cut at its end");
        assert_eq!(unpacked_size(Encoding::Gzip, b"none", 1_000), 0);
    }

    #[test]
    fn an_encoding_is_read_from_its_header() {
        let check = |values: &[&str], expected: Option<Encoding>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().expect("a value"));
            }
            assert_eq!(Encoding::of(&headers).ok(), expected, "{values:?}");
        };
        check(&[], Some(Encoding::Identity));
        check(&["identity"], Some(Encoding::Identity));
        check(&["GZIP"], Some(Encoding::Gzip));
        check(&["x-gzip"], Some(Encoding::Gzip));
        check(&["deflate"], Some(Encoding::Deflate));
        check(&["br"], None);
        check(&["zstd"], None);
        check(&["gzip, gzip"], None);
        check(&["gzip", "deflate"], None);
    }

    #[test]
    fn only_the_part_that_held_invalid_utf_8_counts_as_repaired() {
        let text = Text::of(b"\xef\xbb\xbfaa|b\xffb|\xef\xbf\xbd|\xe2\x82".to_vec()).expect("text");
        assert_eq!(text.json(), "aa|b\u{fffd}b|\u{fffd}|\u{fffd}");
        let repaired: Vec<_> = text.json().split('|').map(|part| text.is_repaired(part)).collect();
        assert_eq!(repaired, [false, true, false, true], "the third was there before");
    }

    #[test]
    fn what_is_no_text_at_all_is_garbled() {
        let utf16: Vec<u8> = "\u{feff}".encode_utf16().chain([0xd83d; 20_000]).flat_map(u16::to_le_bytes).collect();
        assert!(matches!(Text::of(utf16), Err(FetchError::Garbled { .. })));
    }
}
