//! The releases of OCSF that have the class, and what each of them knows. Checked in the tests against the schemas that the
//! project published; nothing here is by hearsay.

use std::borrow::Cow;

use serde::Serialize;

/// Characters of a `string_t` at most up to 1.3.0; later releases set no limit.
const TEXT_LENGTH_MAX: usize = 65_535;

/// A release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::format::ocsf) enum Version {
    V1_1,
    V1_2,
    V1_3,
    V1_4,
    V1_5,
    V1_6,
    V1_7,
    V1_8,
}

/// A text that fits a `string_t` of the release that it was made for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(in crate::format::ocsf) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(in crate::format::ocsf) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Version {
    /// All of them, oldest first.
    pub(in crate::format::ocsf) const ALL: [Self; 8] =
        [Self::V1_1, Self::V1_2, Self::V1_3, Self::V1_4, Self::V1_5, Self::V1_6, Self::V1_7, Self::V1_8];

    /// The name in `metadata.version` and in the configuration.
    pub(in crate::format::ocsf) const fn as_str(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1.0",
            Self::V1_2 => "1.2.0",
            Self::V1_3 => "1.3.0",
            Self::V1_4 => "1.4.0",
            Self::V1_5 => "1.5.0",
            Self::V1_6 => "1.6.0",
            Self::V1_7 => "1.7.0",
            Self::V1_8 => "1.8.0",
        }
    }

    /// The release of that name.
    pub(in crate::format::ocsf) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == name)
    }

    /// A text as this release takes it: what is too long is cut at a character.
    pub(in crate::format::ocsf) fn text<'a>(self, text: impl Into<Cow<'a, str>>) -> Text<'a> {
        let text = text.into();
        // A character has a byte at least.
        if text.len() <= TEXT_LENGTH_MAX || Self::V1_4 <= self {
            return Text(text);
        }
        let end = text.char_indices().nth(TEXT_LENGTH_MAX).map(|(end, _)| end);
        match (end, text) {
            (None, text) => Text(text),
            (Some(end), Cow::Borrowed(text)) => Text(Cow::Borrowed(&text[..end])),
            (Some(end), Cow::Owned(mut text)) => {
                text.truncate(end);
                Text(Cow::Owned(text))
            }
        }
    }

    /// A text that is worth nothing when it is cut.
    pub(in crate::format::ocsf) fn whole_text(self, text: &str) -> Option<Text<'_>> {
        Some(self.text(text)).filter(|kept| kept.as_str().len() == text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_as_many_characters_as_the_release_takes() {
        let check = |version: Version, count: usize, kept: usize| {
            let long = "é".repeat(count);
            for text in [version.text(long.as_str()), version.text(long.clone())] {
                assert_eq!(text.as_str().chars().count(), kept, "{version:?}");
            }
            assert_eq!(version.whole_text(&long).is_some(), kept == count, "{version:?}");
        };
        check(Version::V1_3, 65_535, 65_535);
        check(Version::V1_3, 65_536, 65_535);
        check(Version::V1_4, 65_536, 65_536);
    }
}
