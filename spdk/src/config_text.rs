//! SPDK's JSON configuration, read and checked before SPDK starts.
#![allow(unsafe_code)] // Lets SPDK's own JSON parser check the text, which takes what SPDK takes.

mod refusals;

use std::ffi::c_void;
use std::path::Path;
use std::ptr;

use crate::error::Result;
use crate::options::refuse;
use crate::sys;

pub(crate) use refusals::{Argument, fatal, refusal};

/// The configuration's text, from a file or as it was given.
pub(crate) fn load(file: Option<&Path>, inline: Option<&str>) -> Result<Option<Vec<u8>>> {
    let (option, text) = match (file, inline) {
        (Some(_), Some(_)) => {
            let reason = "a configuration file and `json_data` are both set; set one of them";
            return Err(refuse("config_file", reason));
        }
        (None, None) => return Ok(None),
        (None, Some(json)) => ("json_data", json.as_bytes().to_vec()),
        (Some(path), None) => {
            let read = std::fs::read(path).map_err(|error| {
                refuse(
                    "config_file",
                    format!("cannot read {}: {error}", path.display()),
                )
            })?;
            ("config_file", read)
        }
    };
    match check(&text) {
        Ok(()) => Ok(Some(text)),
        Err(reason) => {
            let place = file.map_or_else(String::new, |path| format!("{}: ", path.display()));
            Err(refuse(option, format!("{place}{reason}")))
        }
    }
}

/// Whether SPDK can parse the text as a configuration.
fn check(text: &[u8]) -> std::result::Result<(), String> {
    match count(text) {
        Ok(count) if content(text).first() == Some(&b'{') => {
            refused(text, count).map_or(Ok(()), Err)
        }
        Ok(_) => Err("it is not a JSON object; it should be {\"subsystems\": [...]}".into()),
        Err(Broken { offset, what }) => {
            let (line, column) = place(text, offset);
            Err(format!("{what}, at line {line}, column {column}"))
        }
    }
}

/// What may not be there, and where it is.
fn refused(text: &[u8], count: usize) -> Option<String> {
    let mut values = Vec::with_capacity(count);
    parse(text, &mut values);
    let all = Values {
        text,
        values: &values,
    };
    (0..values.len()).find_map(|object| {
        let at = all.member(object, "method")?;
        let (start, method) = all.text(at)?;
        let param = |name: &str| {
            let at = all.member(all.member(object, "params")?, name)?;
            all.param(at)
        };
        let fatal = || {
            let method = std::str::from_utf8(method).ok()?;
            fatal(method, param).map(|(_, reason)| format!("{method}: {reason}"))
        };
        let reason = refusal(method).map(str::to_owned).or_else(fatal)?;
        let (line, column) = place(text, start.saturating_sub(1)); // it is behind its quote
        Some(format!("{reason}, at line {line}, column {column}"))
    })
}

/// A text that SPDK has parsed.
struct Values<'a> {
    text: &'a [u8],
    values: &'a [sys::spdk_json_val],
}

impl<'a> Values<'a> {
    /// The bytes of a value, and where they begin.
    fn bytes(&self, at: usize) -> Option<(usize, &'a [u8])> {
        let value = self.values.get(at)?;
        let start = (value.start as usize).saturating_sub(self.text.as_ptr() as usize);
        Some((start, self.text.get(start..start + value.len as usize)?))
    }

    /// Those of a string.
    fn text(&self, at: usize) -> Option<(usize, &'a [u8])> {
        let is_text = self.values.get(at)?.type_ == sys::SPDK_JSON_VAL_STRING;
        is_text.then(|| self.bytes(at)).flatten()
    }

    fn param(&self, at: usize) -> Option<Argument<'a>> {
        let text = std::str::from_utf8(self.bytes(at)?.1).ok()?;
        match self.values.get(at)?.type_ {
            sys::SPDK_JSON_VAL_NUMBER => {
                let float = |_| text.parse().map(Argument::Number);
                text.parse().map(Argument::integer).or_else(float).ok()
            }
            sys::SPDK_JSON_VAL_STRING => Some(Argument::Text(text)),
            sys::SPDK_JSON_VAL_TRUE => Some(Argument::Bool(true)),
            _ => None,
        }
    }

    /// The value of this name in an object; the last one, which SPDK takes, if there are more.
    fn member(&self, object: usize, name: &str) -> Option<usize> {
        let is_begin = |at: usize| {
            let kind = self.values.get(at).map(|value| value.type_);
            matches!(
                kind,
                Some(sys::SPDK_JSON_VAL_OBJECT_BEGIN | sys::SPDK_JSON_VAL_ARRAY_BEGIN)
            )
        };
        if self.values.get(object)?.type_ != sys::SPDK_JSON_VAL_OBJECT_BEGIN {
            return None;
        }
        let end = object + 1 + self.values[object].len as usize;
        let (mut at, mut found) = (object + 1, None);
        while at < end {
            if self.bytes(at)?.1 == name.as_bytes() {
                found = Some(at + 1);
            }
            // The name, the value, and if it is one with others, those and its end.
            at += 2;
            if is_begin(at - 1) {
                at += self.values[at - 1].len as usize + 1;
            }
        }
        found
    }
}

/// Why SPDK cannot parse a text, and where.
pub(crate) struct Broken {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

/// Has SPDK parse a text, into as many values as there is room for. Returns what it says, and where it has come to.
fn parse(text: &[u8], values: &mut Vec<sys::spdk_json_val>) -> (isize, usize) {
    let mut end: *mut c_void = ptr::null_mut();
    // SAFETY: without the flag that has it decode in place the parser only reads the text. It returns how many values there
    // are, of which it has filled those that there is room for.
    unsafe {
        let rc = sys::spdk_json_parse(
            text.as_ptr().cast_mut().cast(),
            text.len() as _,
            values.as_mut_ptr(),
            values.capacity() as _,
            &mut end,
            sys::SPDK_JSON_PARSE_FLAG_ALLOW_COMMENTS as _,
        );
        values.set_len(usize::try_from(rc).unwrap_or(0).min(values.capacity()));
        (rc, (end as usize).saturating_sub(text.as_ptr() as usize))
    }
}

/// How many JSON values there are in a text, which may have comments as in C.
pub(crate) fn count(text: &[u8]) -> std::result::Result<usize, Broken> {
    let (rc, mut offset) = parse(text, &mut Vec::new());
    let what = match rc {
        1.. => {
            let more = content(text.get(offset..).unwrap_or_default());
            if more.is_empty() {
                return Ok(rc as usize);
            }
            offset = text.len() - more.len();
            "there is more text after the JSON object, which SPDK would ignore"
        }
        -2 => "the JSON text ends too early",
        -3 => "the JSON text is nested too deeply",
        _ => "the JSON text is not valid",
    };
    Err(Broken { offset, what })
}

/// The line and the column of a byte, from 1.
pub(crate) fn place(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n');
    let start = start.map_or(0, |at| at + 1);
    (line, before.len() - start + 1)
}

/// What begins with the first byte that is not white space or in a comment.
fn content(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let end = if text.starts_with(b"//") {
            text.iter().position(|byte| *byte == b'\n')
        } else if text.starts_with(b"/*") {
            let end = text.windows(2).position(|two| two == b"*/");
            end.map(|at| at + 2)
        } else {
            return text;
        };
        text = &text[end.unwrap_or(text.len())..];
    }
}
