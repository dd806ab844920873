//! `xdrelay check`: everything that is wrong with the configuration at once; then each tenant and each sink for real.
