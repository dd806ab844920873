//! The source side against real sockets: the client of the API and the sign-in. Nothing of the program is replaced.

mod answers;
mod completion;
mod echoes;
mod graph;
mod server;
mod tokens;
