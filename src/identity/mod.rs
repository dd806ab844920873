//! Signing in: tokens for the source, one file per kind of credential.
