//! Eyes for the operator: `/metrics`, `/healthz`, `/readyz`, `/status`, and the Unix socket that the command line asks. It
//! reads the board and the store, and changes nothing but what a command on that socket asks for.

pub mod board;
pub mod control;
pub mod metrics;
pub mod refused;
pub mod replay;
pub mod server;
