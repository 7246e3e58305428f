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
        Ok(_) if first_byte(text) == Some(b'{') => Ok(()),
        Ok(_) => Err("it is not a JSON object; it should be {\"subsystems\": [...]}".into()),
        Err(Broken { offset, what }) => {
            let (line, column) = place(text, offset);
            Err(format!("{what}, at line {line}, column {column}"))
        }
    }
}

/// Why SPDK cannot parse a text, and where.
pub(crate) struct Broken {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

/// How many JSON values there are in a text, which may have comments as in C.
pub(crate) fn count(text: &[u8]) -> std::result::Result<usize, Broken> {
    let mut end: *mut c_void = ptr::null_mut();
    let flags = sys::SPDK_JSON_PARSE_FLAG_ALLOW_COMMENTS;
    // SAFETY: without the flag that has it decode in place the parser only reads the text, and without
    // room for values it only counts them.
    let rc = unsafe {
        sys::spdk_json_parse(
            text.as_ptr().cast_mut().cast(),
            text.len() as _,
            ptr::null_mut(),
            0,
            &mut end,
            flags as _,
        )
    };
    let what = match rc {
        1.. => return Ok(rc as usize),
        -2 => "the JSON text ends too early",
        -3 => "the JSON text is nested too deeply",
        _ => "the JSON text is not valid",
    };
    let offset = (end as usize).saturating_sub(text.as_ptr() as usize);
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

/// The first byte that is not white space or in a comment.
fn first_byte(mut text: &[u8]) -> Option<u8> {
    loop {
        text = text.trim_ascii_start();
        if text.starts_with(b"//") {
            let end = text.iter().position(|byte| *byte == b'\n')?;
            text = &text[end..];
        } else if text.starts_with(b"/*") {
            let end = text.windows(2).position(|two| two == b"*/")?;
            text = &text[end + 2..];
        } else {
            return text.first().copied();
        }
    }
}
