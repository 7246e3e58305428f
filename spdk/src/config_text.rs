//! SPDK's JSON configuration, read and checked before SPDK starts.
#![allow(unsafe_code)] // Lets SPDK's own JSON parser check the text, which takes what SPDK takes.

use std::ffi::c_void;
use std::path::Path;
use std::ptr;

use crate::CpuSet;
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

/// A parameter, as far as [`fatal`] looks at it.
pub(crate) enum Argument<'a> {
    Number(f64),
    Text(&'a str),
    Bool(bool),
}

/// The parameters that SPDK 26.01 reads with more bits than it keeps: what it keeps, and what it reads at most.
const CUT_OFF: &[(&str, &str, u32, u32)] = &[
    // It has the microseconds in 32 bits.
    (SET_NVME, "keep_alive_timeout_ms", u32::MAX / 1000, u32::MAX),
    (SET_NVME, "transport_retry_count", 255, u32::MAX),
    (SET_NVME, "arbitration_burst", 7, u32::MAX),
    (SET_NVME, "low_priority_weight", 255, u32::MAX),
    (SET_NVME, "medium_priority_weight", 255, u32::MAX),
    (SET_NVME, "high_priority_weight", 255, u32::MAX),
    // And range 0 is all of the namespace.
    ("bdev_opal_create", "locking_range_id", 255, 65_535),
];

const SET_NVME: &str = "bdev_nvme_set_options";

/// A parameter that SPDK 26.01 takes, and does not survive, or makes another one of; and why.
pub(crate) fn fatal<'a>(
    method: &str,
    param: impl Fn(&str) -> Option<Argument<'a>>,
) -> Option<(&'static str, String)> {
    let number = |name| match param(name) {
        Some(Argument::Number(number)) => Some(number),
        _ => None,
    };
    let is = |name, text| matches!(param(name), Some(Argument::Text(is)) if is == text);
    let is_within =
        |name, from: f64, to: f64| number(name).is_some_and(|n| (from..=to).contains(&n));
    let cut_off = CUT_OFF.iter().find(|(of, param, kept, read)| {
        // What has more bits still SPDK refuses itself.
        *of == method && is_within(param, f64::from(*kept) + 1.0, f64::from(*read))
    });
    if let Some((_, param, kept, _)) = cut_off {
        return Some((
            param,
            format!("`{param}` is more than {kept}, of which SPDK would make another number"),
        ));
    }
    match method {
        "bdev_null_create" | "bdev_malloc_create" if number("block_size") == Some(0.0) => Some((
            "block_size",
            "`block_size` is 0, by which SPDK divides".to_owned(),
        )),
        // One that waits for a `spdk_bdev_io` is told of those that its spdk_thread frees itself only.
        "bdev_set_options" if number("bdev_io_cache_size") == Some(0.0) => Some((
            "bdev_io_cache_size",
            "`bdev_io_cache_size` is 0; write 1 at least, since an spdk_thread that keeps no I/O may wait for ever for \
             those that others have"
                .to_owned(),
        )),
        // In the memory that it is given, which a `&DmaBuf` may have lent.
        "bdev_error_inject_error" if is("error_type", "corrupt_data") && (is("io_type", "write") || is("io_type", "all")) => Some((
            "io_type",
            "`corrupt_data` is for reads; SPDK would change what is written in the memory of the program".to_owned(),
        )),
        // `TransportId::own` writes ports so, to have controllers of its own.
        "bdev_nvme_attach_controller" if has_zeroes(param("trsvcid")) => Some((
            "trsvcid",
            "`trsvcid` has zeroes before the port; such a controller might be one of `spdk::nvme` too".to_owned(),
        )),
        // It uses the controller that tells of others when it gives up one of them, although that is gone as well.
        "bdev_nvme_start_discovery" if is_within("ctrlr_loss_timeout_sec", 1.0, f64::from(i32::MAX)) => Some((
            "ctrlr_loss_timeout_sec",
            "`ctrlr_loss_timeout_sec` is neither 0 nor -1; SPDK would crash when it gives up a controller"
                .to_owned(),
        )),
        // It takes the one who stops it, or nobody at the end of the application, for the one who waits.
        "bdev_nvme_start_discovery" => {
            let waits = matches!(param("wait_for_attach"), Some(Argument::Bool(true)));
            let has_time = is_within("attach_timeout_ms", 1.0, u64::MAX as f64);
            let param = waits.then_some("wait_for_attach");
            let param = param.or_else(|| has_time.then_some("attach_timeout_ms"))?;
            Some((
                param,
                format!("`{param}` has the call wait; SPDK would crash when the discovery is stopped meanwhile"),
            ))
        }
        "scheduler_set_options" => scheduler(number("scheduling_core"), param("isolated_core_mask")),
        _ => None,
    }
}

/// Whether a port has zeroes before it.
fn has_zeroes(port: Option<Argument<'_>>) -> bool {
    matches!(port, Some(Argument::Text(port)) if port.len() > 1 && port.starts_with('0'))
}

/// SPDK looks for the core in a set of 1,024, which it uses even if it could not read the mask.
fn scheduler(core: Option<f64>, isolated: Option<Argument<'_>>) -> Option<(&'static str, String)> {
    if let Some(core) = core.filter(|core| *core >= f64::from(sys::SPDK_CPUSET_SIZE)) {
        let highest = sys::SPDK_CPUSET_SIZE - 1;
        let reason = format!("`scheduling_core` is {core}; the highest core is {highest}");
        return Some(("scheduling_core", reason));
    }
    let Some(Argument::Text(mask)) = isolated else {
        return None;
    };
    let reason = CpuSet::read(mask).err()?;
    Some((
        "isolated_core_mask",
        format!("`isolated_core_mask` is {reason}"),
    ))
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
            sys::SPDK_JSON_VAL_NUMBER => text.parse().ok().map(Argument::Number),
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
