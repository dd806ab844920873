//! The binary: arguments, then one file of `cli/`.

fn main() {}
