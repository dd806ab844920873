//! Azure Arc's challenge: its agent names a file that only its group may read, and wants to be told what stands in it. Reads
//! nothing but such a file, whoever asks: anything may listen on the agent's port.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use rustix::fs::{Mode, OFlags};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::model::page::excerpt;

/// Where the agent puts these files.
pub(crate) const DIRECTORY: &str = "/var/opt/azcmagent/tokens";
/// The agent's own program. Where it is, this host has an identity of Arc's even if no variable says so.
pub(crate) const AGENT: &str = "/opt/azcmagent/bin/himds";
/// Where the agent listens if no variable says otherwise.
pub(crate) const ENDPOINT: &str = "http://localhost:40342/metadata/identity/oauth2/token";
/// Bytes of such a file at most.
const PROOF_SIZE_MAX: u64 = 4096;

/// The file that a challenge names: `WWW-Authenticate: Basic realm=/path`.
///
/// # Errors
/// It names none.
pub(crate) fn challenged(headers: &HeaderMap) -> Result<PathBuf, String> {
    let value = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = value.strip_prefix("Basic realm=").map(|path| path.trim_matches('"'));
    path.filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| "Azure Arc's challenge names no file; is its agent up to date?".to_owned())
}

/// What stands in that file, which has to be in the agent's directory, with its ending, no link, and small.
///
/// # Errors
/// It is another file, or cannot be read.
pub(crate) fn proof(path: &Path, directory: &Path) -> Result<SecretString, String> {
    // Whoever listens there has named it.
    let shown = excerpt(&path.display().to_string());
    let is_there = path.parent() == Some(directory) && path.extension().is_some_and(|ending| ending == "key");
    if !is_there {
        return Err(format!("Azure Arc's challenge names {shown}, which is no .key file in {}", directory.display()));
    }
    let unreadable = |why: &dyn std::fmt::Display| {
        format!("{shown} cannot be read: {why}; the user that xdrelay runs as has to be in the group himds")
    };
    // Opened once and then looked at, so that nobody can put a link in between; a pipe must not hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(|error| unreadable(&error))?;
    let about = file.metadata().map_err(|error| unreadable(&error))?;
    let mut text = Zeroizing::new(Vec::with_capacity(PROOF_SIZE_MAX as usize + 64));
    if about.is_file() {
        file.take(PROOF_SIZE_MAX + 1).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
    }
    if !about.is_file() || PROOF_SIZE_MAX < text.len() as u64 {
        return Err(format!("{shown} is no file of at most {PROOF_SIZE_MAX} bytes"));
    }
    let text = std::str::from_utf8(text.trim_ascii()).unwrap_or_default();
    let is_header = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_header.then(|| SecretString::from(text)).ok_or_else(|| format!("{shown} holds nothing that a header can carry"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn only_a_small_key_file_of_the_agents_own_directory_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let (tokens, elsewhere) = (dir.path().join("tokens"), dir.path().join("elsewhere"));
        for place in [&tokens, &elsewhere, &tokens.join("below"), &tokens.join("directory.key")] {
            std::fs::create_dir(place).expect("made");
        }
        let write = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).expect("written");
        write(&tokens.join("good.key"), b" canary-proof\n");
        write(&tokens.join("largest.key"), &[b'x'; 4096]);
        write(&tokens.join("large.key"), &[b'x'; 4097]);
        write(&tokens.join("empty.key"), b" \n");
        write(&tokens.join("two.key"), b"canary\r\nX-Header: 1");
        write(&tokens.join("binary.key"), b"canary\xff");
        write(&tokens.join("good.txt"), b"canary");
        write(&tokens.join("below/other.key"), b"canary");
        write(&elsewhere.join("other.key"), b"canary");
        symlink(elsewhere.join("other.key"), tokens.join("link.key")).expect("a link");
        symlink(&elsewhere, tokens.join("linked")).expect("a link");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tokens.join("pipe.key"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");

        assert_eq!(proof(&tokens.join("good.key"), &tokens).expect("a proof").expose_secret(), "canary-proof");
        assert_eq!(proof(&tokens.join("largest.key"), &tokens).expect("a proof").expose_secret().len(), 4096);
        let check = |path: PathBuf, words: &str| {
            let error = proof(&path, &tokens).expect_err(words);
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("canary"), "{error}");
        };
        for outside in [
            "good.txt",
            "../elsewhere/other.key",
            "../tokens/good.key",
            "below/other.key",
            "linked/other.key",
            ".key",
            "..",
            "",
        ] {
            check(tokens.join(outside), "no .key file in");
        }
        check(elsewhere.join("other.key"), "no .key file in");
        check("tokens/good.key".into(), "no .key file in");
        check("/etc/shadow".into(), "no .key file in");
        check(tokens.join("link.key"), "cannot be read");
        check(tokens.join("missing.key"), "the group himds");
        for other in ["large.key", "directory.key", "pipe.key"] {
            check(tokens.join(other), "no file of at most 4096 bytes");
        }
        for other in ["empty.key", "two.key", "binary.key"] {
            check(tokens.join(other), "nothing that a header can carry");
        }
    }

    #[test]
    fn a_challenge_names_a_file_or_is_none() {
        let check = |value: &str, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value.parse().expect("a value"))]);
            assert_eq!(challenged(&headers).ok(), expected.map(PathBuf::from), "{value}");
        };
        check("Basic realm=/var/opt/azcmagent/tokens/a.key", Some("/var/opt/azcmagent/tokens/a.key"));
        check("Basic realm=\"/var/opt/azcmagent/tokens/a.key\"", Some("/var/opt/azcmagent/tokens/a.key"));
        check("Basic realm=", None);
        check("Basic", None);
        check("Bearer realm=/x.key", None);
        assert!(challenged(&HeaderMap::new()).is_err());
    }
}
