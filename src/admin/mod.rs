//! Eyes for the operator: `/metrics`, `/healthz`, `/readyz`, `/status`, and the Unix socket that the command line asks. It
//! reads the board and the store, and changes nothing.

pub mod board;
pub mod control;
pub mod metrics;
pub mod server;
