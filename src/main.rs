//! The binary: arguments, then one file of `cli/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    xdrelay::cli::main()
}
