//! Standard output for results, and the one line of progress on a terminal that log lines do not run into.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Clears the line that the cursor is on.
const CLEAR: &str = "\r\x1b[2K";

/// The line at the bottom of the terminal.
static LINE: Mutex<String> = Mutex::new(String::new());

/// Writes one line of results.
pub(crate) fn line(text: impl std::fmt::Display) -> std::io::Result<()> {
    let bottom = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    if !bottom.is_empty() {
        std::io::stderr().write_all(CLEAR.as_bytes())?;
    }
    writeln!(out, "{text}")?;
    out.flush()?;
    std::io::stderr().write_all(bottom.as_bytes())
}

/// Replaces the line of progress; an empty one takes it away. Only on a terminal.
pub(crate) fn progress(text: &str) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mut bottom = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    text.clone_into(&mut bottom);
    // Progress that nobody can see is no loss.
    let _ = write!(std::io::stderr(), "{CLEAR}{text}");
}

/// Whether standard error is a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Where log lines go: standard error, above the line of progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AboveProgress;

impl Write for AboveProgress {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let bottom = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut err = std::io::stderr().lock();
        if bottom.is_empty() {
            return err.write(text);
        }
        err.write_all(CLEAR.as_bytes())?;
        err.write_all(text)?;
        err.write_all(bottom.as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
