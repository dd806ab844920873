//! The addresses of syslog and RELP receivers as people write them. Resolves nothing.

use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Where a message stream or a datagram goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `tcp://` or `tls://`.
    Stream {
        /// A name or an address, IPv6 without brackets.
        host: String,
        /// The port; left out: 514, and 6514 for TLS (RFC 5425 section 4.1).
        port: u16,
        /// `tls://`.
        is_tls: bool,
    },
    /// `udp://`.
    Udp {
        /// As above.
        host: String,
        /// The port; left out: 514 (RFC 5426 section 3.3).
        port: u16,
    },
    /// `unix://`: the path of a datagram socket.
    Unix(PathBuf),
}

impl Address {
    /// The address of a stream of another protocol than syslog, with the port that is customary there.
    ///
    /// # Errors
    /// What would be right.
    pub fn stream(text: &str, port_default: u16) -> Result<Self, String> {
        let has_port = text.parse::<Url>().is_ok_and(|url| url.port().is_some());
        match text.parse() {
            Ok(Self::Stream { host, is_tls, .. }) if !has_port => Ok(Self::Stream { host, port: port_default, is_tls }),
            Ok(address @ Self::Stream { .. }) => Ok(address),
            Ok(Self::Udp { .. } | Self::Unix(_)) | Err(_) => {
                Err(format!("{text:?} is none of tcp://HOST:PORT, tls://HOST:PORT"))
            }
        }
    }
}

/// The error says what would be right.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is none of udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH");
        if let Some(path) = text.strip_prefix("unix://") {
            return path.starts_with('/').then(|| Self::Unix(path.into())).ok_or_else(wrong);
        }
        let url: Url = text.parse().map_err(|_| wrong())?;
        let host = match url.host().ok_or_else(wrong)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let is_bare = matches!(url.path(), "" | "/") && url.query().or(url.fragment()).is_none();
        if host.is_empty() || !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong());
        }
        let port = |default| url.port().unwrap_or(default);
        match url.scheme() {
            "udp" => Ok(Self::Udp { port: port(514), host }),
            "tcp" => Ok(Self::Stream { port: port(514), host, is_tls: false }),
            "tls" => Ok(Self::Stream { port: port(6514), host, is_tls: true }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_ports() {
        let check = |text: &str, expected: Address| assert_eq!(text.parse(), Ok(expected), "{text}");
        let stream = |host: &str, port, is_tls| Address::Stream { host: host.into(), port, is_tls };
        check("tls://siem.example.net", stream("siem.example.net", 6514, true));
        check("tls://10.0.0.1:1/", stream("10.0.0.1", 1, true));
        check("tcp://[::1]:601", stream("::1", 601, false));
        check("tcp://h", stream("h", 514, false));
        check("udp://h", Address::Udp { host: "h".into(), port: 514 });
        check("unix:///dev/log", Address::Unix("/dev/log".into()));
    }

    #[test]
    fn a_stream_has_the_port_of_its_protocol() {
        let check = |text: &str, expected: (&str, u16, bool)| {
            let (host, port, is_tls) = expected;
            assert_eq!(Address::stream(text, 20514), Ok(Address::Stream { host: host.into(), port, is_tls }), "{text}");
        };
        check("tls://siem.example.net", ("siem.example.net", 20514, true));
        check("tcp://[::1]", ("::1", 20514, false));
        check("tcp://h:514", ("h", 514, false));
        for text in ["udp://h", "unix:///dev/log", "h:1", "tcp://", "tls://u@h"] {
            let error = Address::stream(text, 1).expect_err(text);
            assert!(error.ends_with("is none of tcp://HOST:PORT, tls://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_an_error_that_shows_one() {
        for text in [
            "",
            "h",
            "h:514",
            "tls://",
            "tls://:6514",
            "tls://h/path",
            "tls://h?a",
            "tls://u@h",
            "tls://u:p@h",
            "http://h",
            "unix://dev/log",
            "tls://h:99999",
            "tls://a b",
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.ends_with("unix:///PATH"), "{error}");
        }
    }
}
