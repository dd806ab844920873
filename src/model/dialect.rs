//! Which of Microsoft's two APIs speaks: the same incidents, under other names. What the names are is `content`'s business, and
//! which URLs belong to them is `api`'s.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A dialect of the incidents API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `/api/incidents` of Microsoft Defender XDR.
    #[default]
    Defender,
    /// `/v1.0/security/incidents` of Microsoft Graph.
    Graph,
}

impl Dialect {
    /// Both, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Defender, Self::Graph];

    /// The name in the configuration and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Defender => "defender",
            Self::Graph => "graph",
        }
    }

    /// Rows of a page at most; a larger `$top` is answered with 400.
    pub const fn page_size_max(self) -> u32 {
        match self {
            Self::Defender => 100,
            Self::Graph => 50,
        }
    }

    /// Whether a page can be asked for without the alerts of its incidents, and these by calls of their own.
    pub const fn lists_alerts_apart(self) -> bool {
        match self {
            Self::Defender => false,
            Self::Graph => true,
        }
    }
}
