//! SPDK's JSON configuration, read and checked before SPDK starts.
#![allow(unsafe_code)] // Lets SPDK's own JSON parser check the text, which takes what SPDK takes.

use std::ffi::c_void;
use std::path::Path;
use std::ptr;

use crate::error::Result;
use crate::options::refuse;
use crate::sys;

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

/// Why a method may not be in a configuration, if it may not: with one of these SPDK crashes, and waits for ever for the
/// other.
pub(crate) fn refusal(method: &[u8]) -> Option<&'static str> {
    match method {
        b"framework_start_init" => Some(
            "`framework_start_init` cannot be in a configuration, for which SPDK starts its subsystems by itself",
        ),
        b"framework_wait_init" => {
            Some("`framework_wait_init` cannot be in a configuration, for whose end it would wait")
        }
        _ => None,
    }
}

/// A method that may not be there, and where it is.
fn refused(text: &[u8], count: usize) -> Option<String> {
    let mut values = Vec::with_capacity(count);
    parse(text, &mut values);
    let bytes = |value: &sys::spdk_json_val, kind| {
        let start = (value.start as usize).saturating_sub(text.as_ptr() as usize);
        let bytes = text.get(start..start + value.len as usize)?;
        (value.type_ == kind).then_some((start, bytes))
    };
    values.windows(2).find_map(|two| {
        let (_, name) = bytes(&two[0], sys::SPDK_JSON_VAL_NAME)?;
        let (start, method) = bytes(&two[1], sys::SPDK_JSON_VAL_STRING)?;
        let reason = refusal(method).filter(|_| name == b"method")?;
        let (line, column) = place(text, start.saturating_sub(1)); // it is behind its quote
        Some(format!("{reason}, at line {line}, column {column}"))
    })
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
