//! `xdrelay demo`: the whole thing at work against a sandbox tenant.
