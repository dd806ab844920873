//! What is on the disk: no bytes make the reading of keys, values, bodies and checkpoints panic, damage is found out, and
//! what is read is written again the same.

use xdrelay::store::fuzzing;

use crate::input::Input;

/// The first byte says what the rest is.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = input.byte();
    let rest = input.rest();
    match kind {
        b'k' => {
            if let Some(again) = fuzzing::key(rest) {
                assert_eq!(again, rest, "a key has one spelling");
            }
        }
        b'b' => check_body(rest),
        b'c' => check_checkpoint(rest),
        b's' => check_seal(rest),
        kind => check_value(kind % fuzzing::KINDS, rest),
    }
}

fn check_value(kind: u8, json: &[u8]) {
    const KEY: &[u8] = b"\x01key";
    let _ = fuzzing::value(kind, KEY, json);
    let Some(once) = fuzzing::value(kind, KEY, &fuzzing::sealed(KEY, json)) else { return };
    assert_eq!(fuzzing::value(kind, KEY, &once), Some(once), "written and read again it is another");
}

fn check_body(bytes: &[u8]) {
    let Some(once) = fuzzing::body(bytes) else { return };
    assert_eq!(fuzzing::body(&once).as_ref(), Some(&once), "written and read again it is another");
    let incident = |body: &[u8]| {
        let front = u32::from_be_bytes(*body.first_chunk().expect("a length")) as usize;
        body[4 + front..].trim_ascii().to_vec()
    };
    assert_eq!(incident(&once), incident(bytes), "the incident is not what it was");
}

/// As a file, and as the JSON in one.
fn check_checkpoint(bytes: &[u8]) {
    let _ = fuzzing::checkpoint(bytes);
    let file = fuzzing::checkpoint_of(bytes);
    let Some(once) = fuzzing::checkpoint(&file) else { return };
    assert_eq!(fuzzing::checkpoint(&once), Some(once), "written and read again it is another");
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        assert_eq!(fuzzing::checkpoint(&damaged), None, "byte {at} does not matter");
        assert_eq!(fuzzing::checkpoint(&file[..at]), None, "cut at {at} it is whole");
    }
}

/// The body comes back, and not with a bit flipped, nor under another key.
fn check_seal(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (at, bit) = (input.number(), input.below(8));
    let key = input.text();
    let body = input.rest();
    let mut value = fuzzing::sealed(key.as_bytes(), body);
    assert_eq!(fuzzing::unsealed(key.as_bytes(), &value), Some(body));
    assert_eq!(fuzzing::unsealed(&[key.as_bytes(), b"\x01"].concat(), &value), None, "under another key");
    let at = (at % value.len() as u64) as usize;
    value[at] ^= 1 << bit;
    assert_eq!(fuzzing::unsealed(key.as_bytes(), &value), None, "bit {bit} of byte {at}");
}
