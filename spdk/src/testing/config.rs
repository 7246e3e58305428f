//! The configuration of a test, made of RPC calls.

use std::fmt::{self, Write};

/// The subsystem whose devices are looked at.
const BDEV: &str = "bdev";

/// One RPC call.
#[derive(Debug)]
pub struct Call {
    /// The subsystem that it belongs to.
    pub subsystem: &'static str,
    /// The RPC.
    pub method: &'static str,
    /// Its parameters.
    pub parameters: Vec<(&'static str, Value)>,
}

/// A parameter's value.
#[derive(Debug)]
pub enum Value {
    /// An integer of any size that JSON-RPC methods take.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list.
    Array(Vec<Value>),
}

macro_rules! from {
    ($variant:ident: $($type:ty),*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Value::$variant(value.into())
            }
        })*
    };
}

from!(Integer: u8, u16, u32, u64, i8, i16, i32, i64);
from!(Float: f32, f64);
from!(Bool: bool);
from!(Text: &str, &String, String);

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::Integer(value as i128)
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(values: [T; N]) -> Self {
        Value::Array(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Value::Array(values.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Text(text) => quote(f, text),
            Value::Array(values) => list(f, "[", values, "]", |f, value| write!(f, "{value}")),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"method\":\"{}\"", self.method)?;
        if !self.parameters.is_empty() {
            f.write_str(",\"params\":")?;
            list(f, "{", &self.parameters, "}", |f, (name, value)| {
                write!(f, "\"{name}\":{value}")
            })?;
        }
        f.write_str("}")
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    open: &str,
    items: &[T],
    close: &str,
    each: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(open)?;
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            f.write_str(",")?;
        }
        each(f, item)?;
    }
    f.write_str(close)
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' | '\\' => write!(f, "\\{char}")?,
            char if char < ' ' => write!(f, "\\u{:04x}", char as u32)?,
            char => f.write_char(char)?,
        }
    }
    f.write_char('"')
}

/// SPDK's JSON configuration of the calls: the subsystems in the order they first occur in, and the
/// calls of each in the order given.
///
/// It ends with a wait for the modules that look at each new bdev, as the configurations do that SPDK
/// itself saves: what they find is there when the test begins, and they have closed the rest.
pub fn config(mut calls: Vec<Call>) -> String {
    if calls.iter().any(|call| call.subsystem == BDEV) {
        calls.push(Call {
            subsystem: BDEV,
            method: "bdev_wait_for_examine",
            parameters: Vec::new(),
        });
    }
    let mut names: Vec<&str> = Vec::new();
    for call in &calls {
        if !names.contains(&call.subsystem) {
            names.push(call.subsystem);
        }
    }
    let subsystems: Vec<String> = names
        .iter()
        .map(|name| {
            let of_one = calls.iter().filter(|call| call.subsystem == *name);
            let of_one: Vec<String> = of_one.map(Call::to_string).collect();
            format!(
                "{{\"subsystem\":\"{name}\",\"config\":[{}]}}",
                of_one.join(",")
            )
        })
        .collect();
    format!("{{\"subsystems\":[{}]}}", subsystems.join(","))
}

#[cfg(test)]
mod tests {
    use super::{Call, Value, config};

    #[test]
    fn calls_of_one_subsystem_are_together_and_in_order() {
        let call = |subsystem, method, parameters| Call {
            subsystem,
            method,
            parameters,
        };
        let text = config(vec![
            call(
                "bdev",
                "first",
                vec![("name", Value::from("a\"\\\n")), ("n", 1.into())],
            ),
            call("iobuf", "other", vec![]),
            call(
                "bdev",
                "second",
                vec![("list", ["x", "y"].into()), ("on", true.into())],
            ),
        ]);
        assert_eq!(
            text,
            concat!(
                r#"{"subsystems":[{"subsystem":"bdev","config":["#,
                r#"{"method":"first","params":{"name":"a\"\\\u000a","n":1}},"#,
                r#"{"method":"second","params":{"list":["x","y"],"on":true}},"#,
                r#"{"method":"bdev_wait_for_examine"}]},"#,
                r#"{"subsystem":"iobuf","config":[{"method":"other"}]}]}"#,
            )
        );
    }
}
