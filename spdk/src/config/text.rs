//! JSON text with the places of its parts, by SPDK's own parser: what that takes is taken.
#![allow(unsafe_code)] // Reads what SPDK's parser makes of a text.

use std::ffi::c_void;
use std::ptr;

use serde_json::{Map, Number, Value};

use super::Place;
use crate::config_text::{self, Broken};
use crate::sys;

/// A value, and where it begins: line and column, from 1.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) json: Json,
}

pub(super) enum Json {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

pub(super) struct Member {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) value: Node,
}

/// Why a text is not JSON, and where.
pub(super) struct NotJson {
    pub(super) place: Place,
    pub(super) what: &'static str,
}

impl Node {
    /// The value without places; a number that does not fit is returned.
    pub(super) fn value(&self) -> Result<Value, String> {
        Ok(match &self.json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(text) => {
                let number: Result<Number, _> = serde_json::from_str(text);
                Value::Number(number.map_err(|_| text.clone())?)
            }
            Json::Text(text) => Value::String(text.clone()),
            Json::Array(nodes) => {
                let values: Result<_, _> = nodes.iter().map(Node::value).collect();
                Value::Array(values?)
            }
            Json::Object(members) => {
                let member = |one: &Member| Ok((one.name.clone(), one.value.value()?));
                let members: Result<Map<_, _>, String> = members.iter().map(member).collect();
                Value::Object(members?)
            }
        })
    }
}

/// Parses a text, which may have comments as in C.
pub(super) fn parse(text: &[u8]) -> Result<Node, NotJson> {
    let broken = |Broken { offset, what }| NotJson {
        place: config_text::place(text, offset),
        what,
    };
    // The parser decodes the texts in place, each in the bytes that it took before.
    let mut copy = text.to_vec();
    let values = values(&mut copy).map_err(broken)?;
    let mut tree = Tree {
        text: &copy,
        lines: Lines::new(text),
        values: values.iter(),
    };
    Ok(tree.node())
}

/// A value of SPDK's parser: its type, where it begins in the text, and its length.
struct Token {
    kind: sys::spdk_json_val_type,
    offset: usize,
    length: usize,
}

/// The values of a text one after the other, as SPDK's parser finds them.
fn values(text: &mut [u8]) -> Result<Vec<Token>, Broken> {
    let count = config_text::count(text)?;
    let mut raw: Vec<sys::spdk_json_val> = Vec::with_capacity(count);
    let mut end: *mut c_void = ptr::null_mut();
    let comments = sys::SPDK_JSON_PARSE_FLAG_ALLOW_COMMENTS;
    let flags = comments | sys::SPDK_JSON_PARSE_FLAG_DECODE_IN_PLACE;
    let base = text.as_mut_ptr();
    // SAFETY: `text` is exclusively borrowed, and `raw` has room for as many values as is said.
    let again = unsafe {
        let values = raw.as_mut_ptr();
        sys::spdk_json_parse(
            base.cast(),
            text.len() as _,
            values,
            count as _,
            &mut end,
            flags as _,
        )
    };
    if usize::try_from(again) != Ok(count) {
        let offset = (end as usize).saturating_sub(base as usize);
        let what = "the JSON text is not valid";
        return Err(Broken { offset, what });
    }
    // SAFETY: the parser has filled as many as it counted, which is what there is room for.
    unsafe { raw.set_len(count) };
    let token = |value: &sys::spdk_json_val| Token {
        kind: value.type_,
        offset: value.start as usize - base as usize,
        length: value.len as usize,
    };
    Ok(raw.iter().map(token).collect())
}

/// Makes a tree of the values.
struct Tree<'a> {
    text: &'a [u8],
    lines: Lines<'a>,
    values: std::slice::Iter<'a, Token>,
}

impl Tree<'_> {
    /// The next value. The parser has checked that there is one, and the depth.
    fn node(&mut self) -> Node {
        let Some(token) = self.values.next() else {
            return Node {
                place: (1, 1),
                json: Json::Null,
            };
        };
        let place = self.place(token);
        let json = match token.kind {
            sys::SPDK_JSON_VAL_TRUE => Json::Bool(true),
            sys::SPDK_JSON_VAL_FALSE => Json::Bool(false),
            sys::SPDK_JSON_VAL_NUMBER => Json::Number(self.string(token)),
            sys::SPDK_JSON_VAL_STRING => Json::Text(self.string(token)),
            sys::SPDK_JSON_VAL_ARRAY_BEGIN => {
                let mut nodes = Vec::new();
                while self.goes_on(sys::SPDK_JSON_VAL_ARRAY_END) {
                    nodes.push(self.node());
                }
                Json::Array(nodes)
            }
            sys::SPDK_JSON_VAL_OBJECT_BEGIN => {
                let mut members = Vec::new();
                while self.goes_on(sys::SPDK_JSON_VAL_OBJECT_END) {
                    members.push(self.member());
                }
                Json::Object(members)
            }
            _ => Json::Null,
        };
        Node { place, json }
    }

    fn member(&mut self) -> Member {
        let (place, name) = match self.values.next() {
            Some(token) => (self.place(token), self.string(token)),
            None => ((1, 1), String::new()),
        };
        let value = self.node();
        Member { place, name, value }
    }

    /// Whether there is another value before the end, which is taken.
    fn goes_on(&mut self, end: sys::spdk_json_val_type) -> bool {
        let mut rest = self.values.clone();
        match rest.next() {
            Some(token) if token.kind == end => {
                self.values = rest;
                false
            }
            next => next.is_some(),
        }
    }

    fn string(&self, token: &Token) -> String {
        let bytes = &self.text[token.offset..token.offset + token.length];
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn place(&self, token: &Token) -> Place {
        // A text begins after its quote.
        let is_text = [sys::SPDK_JSON_VAL_STRING, sys::SPDK_JSON_VAL_NAME].contains(&token.kind);
        self.lines.place(token.offset - usize::from(is_text))
    }
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a [u8],
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8]) -> Self {
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(end, _)| end + 1));
        Lines {
            text,
            starts: starts.collect(),
        }
    }

    fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        (line, offset - self.starts[line - 1] + 1)
    }
}
