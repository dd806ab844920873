//! The name of a setting: the path of its tables. It never holds the setting's value.

use std::fmt;

/// Words in a key whose value is nobody's business, whatever it turns out to be.
const SECRET_WORDS: [&str; 8] = ["secret", "passw", "pwd", "token", "key", "credential", "auth", "header"];
/// Ends of keys whose values have room for a password, or stand next to where the secret belongs.
const CLOSED_ENDS: [&str; 5] = ["url", "address", "client_id", "tenant_id", "proxy"];
/// Characters of one part that are shown; a longer one is cut, so that no text of a stranger fills the screen.
const PART_SHOWN_MAX: usize = 64;

/// Where a setting is: `tenants`, `contoso`, `client_id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Key(Vec<String>);

impl Key {
    /// The file itself, outside all tables.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// The key with these parts.
    pub(crate) fn of<S: Into<String>>(parts: impl IntoIterator<Item = S>) -> Self {
        Self(parts.into_iter().map(Into::into).collect())
    }

    /// One table further in.
    pub(crate) fn child(&self, part: &str) -> Self {
        self.join([part])
    }

    /// Several tables further in.
    pub(crate) fn join<S: Into<String>>(&self, parts: impl IntoIterator<Item = S>) -> Self {
        Self(self.0.iter().cloned().chain(parts.into_iter().map(Into::into)).collect())
    }

    /// The table around it; none around the file itself.
    pub(crate) fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, around)| Self(around.to_vec()))
    }

    /// Its parts, outermost first.
    pub(crate) fn parts(&self) -> &[String] {
        &self.0
    }

    /// Its value is never shown, in no message.
    pub(crate) fn is_secret(&self) -> bool {
        let last = self.0.last().map_or("", String::as_str);
        CLOSED_ENDS.iter().any(|end| last.ends_with(end)) || self.0.iter().any(|part| looks_secret(part))
    }
}

/// A name that people give to secrets.
pub(crate) fn looks_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| text.contains(word))
}

/// TOML's bare key: what needs no quotes.
pub(crate) fn is_bare(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            let shown: String = part.chars().take(PART_SHOWN_MAX).collect();
            let cut = if shown.len() < part.len() { "…" } else { "" };
            match is_bare(part) {
                true => write!(f, "{dot}{shown}{cut}")?,
                false => write!(f, "{dot}{shown:?}{cut}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_toml_writes_it() {
        let check = |parts: &[&str], shown: &str| assert_eq!(Key::of(parts.iter().copied()).to_string(), shown);
        check(&[], "");
        check(&["tenants", "contoso", "client_id"], "tenants.contoso.client_id");
        check(&["sinks", "a.b"], "sinks.\"a.b\"");
        check(&["\u{1b}[31m"], "\"\\u{1b}[31m\"");
    }

    #[test]
    fn what_may_hold_a_secret_is_known_by_its_name() {
        let check = |key: &str, secret: bool| assert_eq!(Key::of(key.split('.')).is_secret(), secret, "{key}");
        check("tenants.contoso.client_secret", true);
        check("tenants.contoso.credential.file", true);
        check("sinks.hook.auth.token", true);
        check("sinks.hook.headers.x-trace", true);
        check("API_KEY", true);
        check("sinks.hook.url", true);
        check("tenants.contoso.login_url", true);
        check("poll.page_size", false);
        check("sinks.hook.keep", false);
    }
}
