//! Eyes for the operator: `/metrics`, `/healthz`, `/readyz`, `/status`, and the Unix socket that the command line asks. It
//! reads the board and the store, and changes nothing but what a command on that socket asks for.

pub mod board;
pub mod control;
pub mod diagnosis;
mod doorway;
mod gate;
pub mod history;
mod labels;
pub mod live;
mod login;
pub mod metrics;
mod page;
pub mod refused;
pub mod replay;
mod series;
pub mod server;
pub mod status;
pub mod token;
mod tries;
mod view;
