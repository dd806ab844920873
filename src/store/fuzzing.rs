//! The way into the private parts of this module for `fuzz/`. Nothing else may use it, and it touches no disk.
//!
//! What can be read is answered as the program would write it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::courier::{Progress, Refusal};
use crate::core::quota::QuotaState;
use crate::model::names::Seq;
use crate::store::checkpoint::{self, Checkpoint};
use crate::store::keys::Key;
use crate::store::values::{self, Entry, Read, Remembered, Totals, Version};

/// The bytes of a key.
pub fn key(bytes: &[u8]) -> Option<Vec<u8>> {
    Key::decode(bytes).map(|key| key.encode())
}

/// Kinds of [`value`].
pub const KINDS: u8 = 9;

/// A value of a kind, with its checksum.
pub fn value(kind: u8, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    fn again<T: Serialize + DeserializeOwned>(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        values::decode::<T>(key, value).ok().map(|read| values::encode(key, &read))
    }
    match kind {
        0 => again::<Version>(key, value),
        1 => again::<Totals>(key, value),
        2 => again::<Read>(key, value),
        3 => again::<u64>(key, value),
        4 => again::<QuotaState>(key, value),
        5 => again::<Remembered>(key, value),
        6 => again::<Entry>(key, value),
        7 => again::<Progress>(key, value),
        _ => again::<Refusal>(key, value),
    }
}

/// A checksum and a body.
pub fn sealed(key: &[u8], body: &[u8]) -> Vec<u8> {
    values::seal(key, body)
}

/// The body behind a checksum that is right.
pub fn unsealed<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    values::unseal(key, value).ok()
}

/// The decompressed body of an event.
pub fn body(bytes: &[u8]) -> Option<Vec<u8>> {
    values::read_body(Seq(1), bytes.to_vec()).ok().map(|event| values::write_body(&event))
}

/// A checkpoint file.
pub fn checkpoint(bytes: &[u8]) -> Option<Vec<u8>> {
    Checkpoint::decode(bytes).map(|checkpoint| checkpoint.encode())
}

/// The file of a checkpoint's JSON, whatever that says.
pub fn checkpoint_of(json: &[u8]) -> Vec<u8> {
    [checkpoint::header(json).as_bytes(), json].concat()
}
