//! Far sides for the tests of sinks. No test is in here.

pub(crate) mod http;
pub(crate) mod tls;
