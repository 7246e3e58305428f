//! Names that are checked when they are read, so that ron can place the error.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

fn is_ident(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                let check: fn(&str) -> Result<(), String> = $check;
                check(&text).map_err(de::Error::custom)?;
                Ok($name(text))
            }
        }
    };
}

checked_text!(
    /// The name of something in C: letters, digits and `_`.
    ///
    /// ```
    /// # use spdk_codegen::manifest::CName;
    /// assert!(ron::from_str::<CName>("\"spdk_bdev_read\"").is_ok());
    /// assert!(ron::from_str::<CName>("\"struct spdk_bdev\"").is_err());
    /// ```
    CName,
    |text| match is_ident(text) {
        true => Ok(()),
        false => Err(format!(
            "{text:?} is not a C name; write the bare name, without `struct` or `*`"
        )),
    }
);

checked_text!(
    /// One Rust identifier, such as `BdevDesc` or `read`.
    Ident,
    |text| match is_ident(text) && syn::parse_str::<syn::Ident>(text).is_ok() {
        true => Ok(()),
        false => Err(format!("{text:?} is not a Rust identifier")),
    }
);

checked_text!(
    /// A path to something in Rust, such as `crate::bdev::on_event` or `::spdk::BdevDesc`.
    RustPath,
    |text| match syn::parse_str::<syn::Path>(text) {
        Ok(path) if path.segments.iter().all(|s| s.arguments.is_none()) => Ok(()),
        _ => Err(format!(
            "{text:?} is not a Rust path; write one like `crate::bdev::Bdev`"
        )),
    }
);

checked_text!(
    /// A type in Rust, from the root of a crate on, such as `crate::IoQueue<u8>`.
    RustType,
    |text| match syn::parse_str::<syn::TypePath>(text) {
        Ok(ty) if ty.qself.is_none() && (text.starts_with("crate::") || text.starts_with("::")) => {
            Ok(())
        }
        _ => Err(format!(
            "{text:?} is not a type with its path; write one like `crate::IoQueue<u8>`"
        )),
    }
);

checked_text!(
    /// What stands in `#[cfg(..)]`, such as `feature = "config"`.
    Cfg,
    |text| match syn::parse_str::<syn::Meta>(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is not what `#[cfg(..)]` takes")),
    }
);

checked_text!(
    /// A sentence for people: documentation, or why something is as it is. Not empty.
    Reason,
    |text| match text.trim().is_empty() {
        false => Ok(()),
        true => Err("the text is empty; write one sentence".to_owned()),
    }
);

impl RustPath {
    /// The last segment: the name itself.
    pub fn last(&self) -> &str {
        self.0.rsplit("::").next().unwrap_or(&self.0)
    }

    /// Whether the path begins in the crate that the code is generated into.
    pub fn is_local(&self) -> bool {
        self.0.starts_with("crate::")
    }
}

impl RustType {
    /// Its name, without path and arguments.
    pub fn name(&self) -> &str {
        let path = self.0.split('<').next().unwrap_or(&self.0);
        path.rsplit("::").next().unwrap_or(path)
    }
}

/// The Rust name of a function: `BdevDesc::read` for a method or an associated function of a
/// handle, `for_each_bdev` for a free function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FnPath {
    /// The handle type, if it belongs to one.
    pub owner: Option<String>,
    /// The name of the function.
    pub name: String,
}

impl fmt::Display for FnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "{owner}::{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl<'de> Deserialize<'de> for FnPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let (owner, name) = match text.split_once("::") {
            Some((owner, name)) => (Some(owner), name),
            None => (None, text.as_str()),
        };
        let ok = |part: &str| is_ident(part) && syn::parse_str::<syn::Ident>(part).is_ok();
        if !ok(name) || !owner.is_none_or(ok) {
            return Err(de::Error::custom(format!(
                "{text:?} does not name a Rust function; write `Type::function`, or `function`"
            )));
        }
        Ok(FnPath {
            owner: owner.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}
