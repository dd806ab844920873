//! The list of all subjects, for whoever goes through them. A name here is a binary, a corpus and a dictionary too.

/// What a subject is called, and what is checked of the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, in the order of `README.md`.
pub const ALL: [Target; 8] = [
    ("page", crate::page::check),
    ("timestamp", crate::timestamp::check),
    ("answer", crate::answer::check),
    ("store", crate::store::check),
    ("config", crate::config::check),
    ("steps", crate::steps::check),
    ("record", crate::record::check),
    ("filter", crate::filter::check),
];
