//! What a parameter of a C function means.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{CName, Reason};

/// What one parameter means.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Role {
    /// Passed by value. The default of scalars, and of nothing else.
    Value,
    /// A handle that the call uses, and that an operation keeps alive until C is done.
    Held,
    /// An I/O channel of the device that the parameter `of` has open. A channel of another device
    /// is refused.
    Channel {
        /// The parameter with the device.
        of: String,
    },
    /// A handle that the call takes over: the wrapper takes it by value.
    Consumed(Consumed),
    /// Memory that C writes: `buf: &mut DmaBuf`.
    Fill {
        /// The parameter with its length.
        len: String,
        /// The method of the handle that says how many bytes one unit of `len` has:
        /// `fn(&self) -> Result<u32, Fault>`, written by hand. Without it `len` counts bytes, and
        /// the wrapper takes it from the buffer.
        #[serde(default)]
        unit: Option<super::Ident>,
        /// What the length in bytes is a multiple of, where C would round it down. Without `unit` only.
        #[serde(default)]
        multiple: Option<u32>,
    },
    /// Memory that C reads: `buf: &DmaBuf`.
    Drain {
        /// As in [`Role::Fill`].
        len: String,
        /// As in [`Role::Fill`].
        #[serde(default)]
        unit: Option<super::Ident>,
        /// What the length in bytes is a multiple of, where C would round it down. Without `unit` only.
        #[serde(default)]
        multiple: Option<u32>,
    },
    /// An iovec array whose memory C writes: `bufs: &mut [DmaBuf]`.
    FillVec {
        /// The parameter with the number of elements.
        count: String,
        /// The parameter with the length of all of them.
        len: String,
        /// As in [`Role::Fill`].
        #[serde(default)]
        unit: Option<super::Ident>,
    },
    /// An iovec array whose memory C reads: `bufs: &[DmaBuf]`.
    DrainVec {
        /// As in [`Role::FillVec`].
        count: String,
        /// As in [`Role::FillVec`].
        len: String,
        /// As in [`Role::Fill`].
        #[serde(default)]
        unit: Option<super::Ident>,
    },
    /// The callback that resets a scatter list, whose memory C writes: `bufs: &mut [DmaBuf]`.
    FillSgl {
        /// As in [`Role::Fill`].
        len: String,
        /// As in [`Role::Fill`]; it is needed here.
        unit: super::Ident,
    },
    /// The callback that resets a scatter list, whose memory C reads: `bufs: &[DmaBuf]`.
    DrainSgl {
        /// As in [`Role::Fill`].
        len: String,
        /// As in [`Role::Fill`]; it is needed here.
        unit: super::Ident,
    },
    /// The callback that steps through the scatter list of the same call.
    NextSge,
    /// Memory that C reads or writes, which a command of the same call decides, or NULL:
    /// `Option<&mut DmaBuf>`.
    ReadOrWrite {
        /// The parameter with its length in bytes.
        len: String,
    },
    /// Bytes that C reads: `&[u8]`; an operation keeps a copy of them.
    Bytes {
        /// The parameter with the length.
        len: String,
    },
    /// Text that ends with NUL: `&str`; an operation keeps a copy of it.
    Text,
    /// [`Role::Text`], or NULL: `Option<&str>`.
    TextOrNull,
    /// A declared option struct: `&BdevOpenOpts`.
    Options,
    /// [`Role::Options`], or NULL: `Option<&BdevOpenOpts>`.
    OptionsOrNull,
    /// [`Role::Options`] whose field `field` is memory of the same call, or NULL: the wrapper takes
    /// that as one more `Option<&mut DmaBuf>` or `Option<&DmaBuf>`, named as the field.
    OptionsAnd {
        /// The field.
        field: CName,
        /// What C does with the memory.
        does: Transfer,
        /// As in [`Role::Fill`].
        len: String,
        /// As in [`Role::Fill`]; it is needed here.
        unit: super::Ident,
        /// The method of the handle that may refuse a call without the memory: `fn(&self, &BdevOpenOpts) -> Result<(), Fault>`,
        /// written by hand.
        #[serde(default)]
        without: Option<super::Ident>,
    },
    /// A struct that C copies during the call, and does not change: a reference to this Rust type, which is written by
    /// hand and makes the C struct by `fn to_c(&self)`.
    Copied(super::RustPath),
    /// An array of such structs: a slice of this Rust type, as for [`Role::Copied`].
    CopiedVec {
        /// The Rust type.
        of: super::RustPath,
        /// The parameter with the number of elements.
        count: String,
        /// How many there can be, where C would cut off the number.
        #[serde(default)]
        most: Option<u16>,
    },
    /// An array of texts that end with NUL: `&[&str]`.
    Texts {
        /// The parameter with the number of texts.
        count: String,
    },
    /// Where C writes a result, which the wrapper returns: a scalar, an enum, a handle or a
    /// [`Record`](super::Record).
    Out,
    /// An array that C fills with [`Record`](super::Record)s, which the wrapper returns as a `Vec`.
    OutVec {
        /// The parameter with the number of elements.
        len: String,
    },
    /// The context of the callback, or of all of them.
    Ctx,
    /// The context of the callback that this parameter holds, where a call has several.
    CtxOf(String),
    /// A callback without a typedef: the [`Callback`](super::Callback) entry that describes it.
    Callback(CName),
    /// Always NULL, and why.
    Null(Reason),
    /// Always this number, and why.
    Const(i64, Reason),
}

/// The direction of memory that a struct names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Transfer {
    /// C writes it.
    Fill,
    /// C reads it.
    Drain,
}

/// When a call takes over the handle it is given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum Consumed {
    /// Whatever happens.
    Always,
    /// When the callback's status is one of these. On another one the caller keeps the handle.
    OnStatus(Vec<super::Rc>),
    /// When the call returns one of these. On another one the caller keeps the handle.
    OnRc(Vec<super::Rc>),
}

/// The roles of parameters, by C name.
///
/// A name that occurs twice is refused.
#[derive(Clone, Debug, Default)]
pub struct Roles(pub Vec<(String, Role)>);

impl Roles {
    /// The role of `name`, if one is written.
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, role)| role)
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Roles;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from parameter names to roles, such as { \"cb_arg\": Ctx }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Roles, A::Error> {
                let mut roles = Roles::default();
                while let Some(name) = map.next_key::<String>()? {
                    if roles.get(&name).is_some() {
                        return Err(de::Error::custom(format!(
                            "parameter {name:?} has two roles; keep one"
                        )));
                    }
                    roles.0.push((name, map.next_value()?));
                }
                Ok(roles)
            }
        }
        from.deserialize_map(Read)
    }
}
