//! SPDK versions.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A release of SPDK that is supported: `"24.05"`, `"24.09"`, `"25.05"`, `"25.09"`, `"26.01"` or
/// `"26.05"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Year, since 2000.
    pub major: u8,
    /// Month.
    pub minor: u8,
}

impl Version {
    /// The releases that one manifest serves, oldest first.
    pub const SUPPORTED: [Version; 6] = [
        Version::new(24, 5),
        Version::new(24, 9),
        Version::new(25, 5),
        Version::new(25, 9),
        Version::new(26, 1),
        Version::new(26, 5),
    ];

    const fn new(major: u8, minor: u8) -> Self {
        Version { major, minor }
    }

    /// The version that `text` names, if it is supported.
    pub fn parse(text: &str) -> Option<Self> {
        Self::SUPPORTED.into_iter().find(|v| v.to_string() == text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.major, self.minor)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Version::parse(&text).ok_or_else(|| {
            let known: Vec<_> = Self::SUPPORTED.iter().map(Version::to_string).collect();
            de::Error::custom(format!(
                "{text:?} is not a supported SPDK version; they are {}",
                known.join(", ")
            ))
        })
    }
}
