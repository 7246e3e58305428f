//! What a method of a configuration is, and the language of the tables that define them.
//!
//! A table says once what there is to say of a method: its name, its parameters with their types, and
//! what it answers. The struct with its setters, its parameters as JSON, the call at run time and what
//! [`Config::validate`](super::Config::validate) knows of it are made from that.

use serde_core::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use crate::error::Result;
use crate::rpc;

/// A JSON-RPC method with its parameters, for [`Config::with`](super::Config::with).
///
/// The structs of this module implement it, and no others can.
pub trait Method: Table {
    /// The parameters that are set.
    fn params(&self) -> Map<String, Value>;
}

/// What a table says of a method.
pub trait Table {
    #[doc(hidden)]
    const TABLE: Entry;
}

/// What is known of a method without its values.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub method: &'static str,
    pub subsystem: &'static str,
    pub params: &'static [Param],
}

/// A parameter of a method.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// What a parameter can be.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    /// An integer between these.
    Integer(i128, i128),
    Text,
    Uuid,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// One of these texts, in small or capital letters.
    Word(&'static [&'static str]),
    /// A list of texts.
    Texts,
}

/// The type of a parameter.
pub(super) trait Field {
    const KIND: Kind;
    fn json(self) -> Value;
}

macro_rules! fields {
    ($($type:ty: $kind:expr;)*) => {
        $(impl Field for $type {
            const KIND: Kind = $kind;
            fn json(self) -> Value {
                self.into()
            }
        })*
    };
}

fields! {
    bool: Kind::Bool;
    u8: Kind::Integer(0, u8::MAX as i128);
    u16: Kind::Integer(0, u16::MAX as i128);
    u32: Kind::Integer(0, u32::MAX as i128);
    u64: Kind::Integer(0, u64::MAX as i128);
    i32: Kind::Integer(i32::MIN as i128, i32::MAX as i128);
    String: Kind::Text;
    Names: Kind::Texts;
    Uuid: Kind::Uuid;
}

/// Names of bdevs and the like.
pub(super) type Names = Vec<String>;

/// A UUID as text, such as `0f2b1c5e-7d5e-4b0a-9d0b-3c8a3a8a5a11`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uuid(pub(super) String);

impl From<Uuid> for Value {
    fn from(uuid: Uuid) -> Self {
        uuid.0.into()
    }
}

/// What a method answers, as a Rust value.
pub(super) trait Answer: Sized {
    type Json: DeserializeOwned;
    fn of(json: Self::Json) -> Self;
}

impl Answer for () {
    type Json = IgnoredAny;
    fn of(_: IgnoredAny) {}
}

impl Answer for String {
    type Json = String;
    fn of(json: String) -> String {
        json
    }
}

impl Answer for Names {
    type Json = Names;
    fn of(json: Names) -> Names {
        json
    }
}

/// Sets a parameter.
pub(super) fn set(params: &mut Map<String, Value>, name: &str, value: Value) {
    params.insert(name.to_owned(), value);
}

/// Runs a method of the running application.
///
/// One for all methods with the same answer, and not one for each, which would be as many futures.
pub(super) async fn run<A: Answer>(entry: Entry, params: Map<String, Value>) -> Result<A> {
    // Some methods without parameters refuse an empty object.
    let params = match entry.params {
        [] => Value::Null,
        _ => Value::Object(params),
    };
    let json = rpc::call::<A::Json>(entry.method, &params).await?;
    Ok(A::of(json))
}

/// Runs a method whose only parameter is a name.
pub(super) async fn run_named(method: &str, key: &str, name: &str) -> Result<()> {
    let mut params = Map::new();
    params.insert(key.to_owned(), name.into());
    rpc::call::<IgnoredAny>(method, &Value::Object(params))
        .await
        .map(drop)
}

/// Defines the methods of a subsystem. `new` takes what is in parentheses, also what SPDK could do
/// without:
///
/// ```text
/// /// What it does.
/// "its_method" => Struct(required: type, known [optional]: type, ...) {
///     /// What it means, with its unit and its default.
///     optional: type,
///     /// A required one that SPDK has no default for.
///     other: type = |set| default,
/// }
/// call create -> Answer;         // the Rust function that calls it; none if it is for the start only
/// delete delete = "its_delete"(key);
/// ```
macro_rules! methods {
    (
        $table:ident, $subsystem:literal:
        $(
            $(#[$doc:meta])*
            $method:literal => $name:ident($($req:ident $([$spare:ident])?: $req_type:ident),*) {
                $($(#[$opt_doc:meta])* $opt:ident: $opt_type:ident $(= $default:expr)?,)*
            }
            $(call $call:ident -> $answer:ty;)?
            $(delete $delete:ident = $delete_method:literal($key:literal);)?
        )*
    ) => {
        $(
            $(#[$doc])*
            #[doc = ""]
            #[doc = concat!("The method `", $method, "`.")]
            #[doc(alias = $method)]
            #[derive(Clone, Debug, PartialEq)]
            #[must_use = "it does nothing until it is part of a configuration, or called"]
            pub struct $name {
                /// Those that are set, so that all these structs share their code.
                params: Map<String, Value>,
            }

            impl $name {
                /// With the parameters that the method needs; the others have SPDK's defaults.
                #[allow(clippy::new_without_default, clippy::too_many_arguments)]
                pub fn new($($req: $crate::config::method::argument!($req_type)),*) -> Self {
                    #[allow(unused_mut)]
                    let mut params = Map::new();
                    $(
                        let value: $req_type = $crate::config::method::value!($req_type, $req);
                        $crate::config::method::set(&mut params, stringify!($req), value.json());
                    )*
                    $name { params }
                }

                $(
                    $(#[$opt_doc])*
                    pub fn $opt(mut self, $opt: $crate::config::method::argument!($opt_type)) -> Self {
                        let value: $opt_type = $crate::config::method::value!($opt_type, $opt);
                        $crate::config::method::set(&mut self.params, stringify!($opt), value.json());
                        self
                    }
                )*

                $(
                    /// Calls the method in the running application.
                    ///
                    /// # Errors
                    ///
                    /// As for [`rpc::call`](crate::rpc::call), of which this is one: whatever the method
                    /// refuses is an [`ErrorKind::Rpc`](crate::ErrorKind::Rpc).
                    ///
                    /// # Cancellation
                    ///
                    /// The method runs on when the future is dropped, as with
                    /// [`rpc::call`](crate::rpc::call).
                    #[doc(alias = $method)]
                    pub fn $call(&self) -> impl Future<Output = $crate::Result<$answer>> + use<> {
                        $crate::config::method::run(
                            <Self as $crate::config::method::Table>::TABLE,
                            self.params(),
                        )
                    }
                )?

                $(
                    #[doc = concat!(
                        "Undoes it in the running application: `", $delete_method, "` with this `",
                        $key, "`.",
                    )]
                    ///
                    /// # Errors
                    ///
                    /// As for [`rpc::call`](crate::rpc::call). `ENODEV` as a rule if there is none of
                    /// this name.
                    ///
                    /// # Cancellation
                    ///
                    /// The method runs on when the future is dropped, as with
                    /// [`rpc::call`](crate::rpc::call).
                    #[doc(alias = $delete_method)]
                    pub async fn $delete(name: &str) -> $crate::Result<()> {
                        $crate::config::method::run_named($delete_method, $key, name).await
                    }
                )?
            }

            impl $crate::config::method::Table for $name {
                const TABLE: Entry = Entry {
                    method: $method,
                    subsystem: $subsystem,
                    params: &[
                        $(Param {
                            name: stringify!($req),
                            kind: <$req_type as Field>::KIND,
                            required: $crate::config::method::needed!($($spare)?),
                        },)*
                        $(Param {
                            name: stringify!($opt),
                            kind: <$opt_type as Field>::KIND,
                            required: $crate::config::method::given!($($default)?),
                        },)*
                    ],
                };
            }

            impl Method for $name {
                fn params(&self) -> Map<String, Value> {
                    #[allow(unused_mut)]
                    let mut params = self.params.clone();
                    $($(
                        if !params.contains_key(stringify!($opt)) {
                            let default: fn(&Map<String, Value>) -> Value = $default;
                            let value = default(&params);
                            $crate::config::method::set(&mut params, stringify!($opt), value);
                        }
                    )?)*
                    params
                }
            }
        )*

        /// The methods of this file, with those that undo them.
        pub(super) const $table: &[Entry] = &[
            $(
                <$name as $crate::config::method::Table>::TABLE,
                $(Entry {
                    method: $delete_method,
                    subsystem: $subsystem,
                    params: &[Param { name: $key, kind: Kind::Text, required: true }],
                },)?
            )*
        ];
    };
}

/// How a function takes a parameter of this type.
macro_rules! argument {
    (String) => { impl Into<String> };
    (Uuid) => { impl Into<String> };
    (Names) => { impl IntoIterator<Item = impl Into<String>> };
    ($type:ident) => { $type };
}

macro_rules! value {
    (String, $value:ident) => {
        $value.into()
    };
    (Uuid, $value:ident) => {
        $crate::config::method::Uuid($value.into())
    };
    (Names, $value:ident) => {
        $value.into_iter().map(Into::into).collect()
    };
    ($type:ident, $value:ident) => {
        $value
    };
}

macro_rules! given {
    () => {
        false
    };
    ($default:expr) => {
        true
    };
}

macro_rules! needed {
    () => {
        true
    };
    (optional) => {
        false
    };
}

/// Defines a parameter that is one of some texts: a `Choice` or a `Word`, or a `Text` if SPDK takes
/// others too. Those after `or` mean the same to SPDK.
macro_rules! choices {
    ($(
        $(#[$doc:meta])*
        $name:ident: $kind:ident { $($(#[$one_doc:meta])* $one:ident = $text:literal $(or $other:literal)*,)* }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[non_exhaustive]
            pub enum $name {
                $($(#[$one_doc])* $one,)*
            }

            impl Field for $name {
                const KIND: Kind = $crate::config::method::kind!($kind, [$($text, $($other,)*)*]);
                fn json(self) -> Value {
                    match self {
                        $($name::$one => $text.into(),)*
                    }
                }
            }
        )*
    };
}

macro_rules! kind {
    (Text, [$($text:literal,)*]) => { Kind::Text };
    ($kind:ident, [$($text:literal,)*]) => { Kind::$kind(&[$($text,)*]) };
}

pub(super) use {argument, choices, given, kind, methods, needed, value};
