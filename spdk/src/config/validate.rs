//! What is wrong with a configuration, found without starting SPDK.
#![allow(unsafe_code)] // Asks SPDK for the methods that it has registered.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;

use serde_json::{Map, Value};

use super::method::{Entry, Kind, Param};
use super::{Call, Config, Place, names, tables};
use crate::config_text::Argument;
use crate::error::{ErrorKind, Result};
use crate::{config_text, sys};

/// Something that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where: file, line and column if it was read, and else the path, such as
    /// `subsystems[0].config[2]`.
    pub place: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Problem {
    pub(super) fn at(
        file: Option<&str>,
        place: Option<Place>,
        message: impl Into<String>,
    ) -> Problem {
        let (line, column) = place.unwrap_or((1, 1));
        let place = match file {
            Some(file) => format!("{file}:{line}:{column}"),
            None => format!("line {line}, column {column}"),
        };
        let message = message.into();
        Problem { place, message }
    }
}

/// The text of an error with these problems.
pub(crate) fn describe(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Subsystems whose methods need what those of others have made.
const USES: &[(&str, &[&str])] = &[
    ("bdev", &["keyring"]),
    ("nvmf", &["keyring", "bdev"]),
    ("scsi", &["bdev"]),
    ("iscsi", &["bdev"]),
    ("nbd", &["bdev"]),
];

/// The subsystems that a Cargo feature of this crate adds, and whether it has.
const FEATURES: &[(&str, bool)] = &[
    ("fsdev", cfg!(feature = "subsystem-fsdev")),
    ("iscsi", cfg!(feature = "subsystem-iscsi")),
    ("nbd", cfg!(feature = "subsystem-nbd")),
    ("nvmf", cfg!(feature = "subsystem-nvmf")),
    ("scheduler", cfg!(feature = "subsystem-scheduler")),
    ("scsi", cfg!(feature = "subsystem-scsi")),
];

/// Whether the tables are of the SPDK that this program was built with.
const IS_OF_TABLES: bool = sys::SPDK_VERSION_MAJOR == 26 && sys::SPDK_VERSION_MINOR == 1;

impl Config {
    /// Looks for mistakes, without SPDK running and without touching a device.
    ///
    /// It finds methods that this program's SPDK has not, or that cannot be in a configuration; parameters that
    /// are unknown, of the wrong type, missing, or there twice; two bdevs of one name; a method that uses a bdev
    /// that nothing in the configuration makes; and subsystems that come before another one that they use.
    /// Parameters are known of the methods that have a struct in [`config`](crate::config).
    ///
    /// What depends on the machine it cannot know: whether a file is there, a target answers, the memory
    /// is enough. A bdev that appears later, by hotplug or by a method at run time, is missing for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with all the problems.
    pub fn validate(&self) -> Result<()> {
        let mut problems = self.mistakes();
        problems.extend(self.missing_bases());
        match problems.is_empty() {
            true => Ok(()),
            false => Err(ErrorKind::Config { problems }.into()),
        }
    }

    /// What SPDK would refuse, or do otherwise than was meant.
    pub(super) fn mistakes(&self) -> Vec<Problem> {
        let mut problems = self.wrong_order();
        problems.extend(self.odd_blocks());
        let mut made: BTreeMap<String, &str> = BTreeMap::new();
        for spot in self.spots() {
            let call = spot.call;
            if mask(&call.method).is_none() {
                problems.push(spot.problem(None, unknown(spot.subsystem, &call.method)));
                continue;
            }
            if let Some(reason) = config_text::refusal(call.method.as_bytes()) {
                problems.push(spot.problem(None, reason.to_owned()));
            }
            if let Some(entry) = tables().find(|entry| entry.method == call.method) {
                problems.extend(parameters(&spot, entry));
            }
            if let Some((param, message)) = fatal(&call.method, |name| call.params.get(name)) {
                problems.push(spot.problem(Some(param), message));
            }
            for name in names::made(call) {
                if let Some(by) = made.insert(name.clone(), &call.method) {
                    let message = format!("{by} makes a bdev called {name:?} already");
                    problems.push(spot.problem(None, message));
                }
            }
        }
        problems
    }

    /// The bdevs that are used but that nothing makes.
    pub(super) fn missing_bases(&self) -> Vec<Problem> {
        let calls = || self.subsystems.iter().flat_map(|one| &one.calls);
        let Some(made) = names::Made::by(calls()) else {
            return Vec::new(); // there may be others
        };
        let mut problems = Vec::new();
        for spot in self.spots() {
            for (param, name) in names::used(spot.call) {
                if !made.has(&name) {
                    let method = &spot.call.method;
                    let message = format!(
                        "{method} uses the bdev {name:?}, which nothing in the configuration makes"
                    );
                    problems.push(spot.problem(Some(param), message));
                }
            }
        }
        problems
    }

    /// Bdevs whose blocks have a size that SPDK loses data with, or never ends its look at.
    fn odd_blocks(&self) -> Vec<Problem> {
        let calls = || self.subsystems.iter().flat_map(|one| &one.calls);
        let sizes: BTreeMap<&str, u64> = calls()
            .filter(|call| ["bdev_malloc_create", "bdev_null_create"].contains(&&*call.method))
            .filter_map(|call| {
                let size = call.params.get("block_size")?.as_u64()?;
                Some((text(&call.params, "name")?, size))
            })
            .collect();
        let is_examined = !calls().any(|call| {
            let auto = call.params.get("bdev_auto_examine");
            call.method == "bdev_set_options" && auto == Some(&false.into())
        });
        let odd = |spot: Spot<'_>| {
            let Call { method, params, .. } = spot.call;
            let size = |base: &str| sizes.get(base).copied();
            let (param, message) = odd_blocks(method, params, is_examined, size)?;
            Some(spot.problem(Some(param), message))
        };
        self.spots().filter_map(odd).collect()
    }

    fn wrong_order(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        // What is for the start only, or for the start too, runs before all else.
        let runs_late =
            |call: &Call| mask(&call.method).is_some_and(|mask| mask & sys::SPDK_RPC_STARTUP == 0);
        for (index, subsystem) in self.subsystems.iter().enumerate() {
            let uses = USES.iter().find(|(name, _)| *name == subsystem.name);
            let (Some((name, used)), Some(call)) =
                (uses, subsystem.calls.iter().position(runs_late))
            else {
                continue;
            };
            for later in &self.subsystems[index + 1..] {
                if used.contains(&&*later.name) && later.calls.iter().any(runs_late) {
                    let spot = self.spot(index, call);
                    let message = format!(
                        "`{name}` comes before `{0}`, which it uses; put `{0}` first",
                        later.name
                    );
                    problems.push(spot.problem(None, message));
                }
            }
        }
        problems
    }

    fn spot(&self, subsystem: usize, call: usize) -> Spot<'_> {
        let of = &self.subsystems[subsystem];
        Spot {
            file: self.file.0.as_deref(),
            subsystem: &of.name,
            path: format!("subsystems[{subsystem}].config[{call}]"),
            call: &of.calls[call],
        }
    }

    fn spots(&self) -> impl Iterator<Item = Spot<'_>> {
        let subsystems = self.subsystems.iter().enumerate();
        subsystems.flat_map(move |(index, subsystem)| {
            (0..subsystem.calls.len()).map(move |call| self.spot(index, call))
        })
    }
}

/// A parameter that SPDK 26.01 takes, and does not survive; and why.
pub(crate) fn fatal<'p>(
    method: &str,
    param: impl Fn(&str) -> Option<&'p Value>,
) -> Option<(&'static str, String)> {
    config_text::fatal(method, |name| match param(name)? {
        Value::String(text) => Some(Argument::Text(text)),
        Value::Bool(is) => Some(Argument::Bool(*is)),
        value => {
            let float = || value.as_f64().map(Argument::Number);
            value.as_u64().map(Argument::integer).or_else(float)
        }
    })
}

/// Which parameter does not go with the size of the blocks, and why. `size` tells that of the data in a block of a bdev, if that is
/// known.
pub(crate) fn odd_blocks(
    method: &str,
    params: &Map<String, Value>,
    is_examined: bool,
    size: impl Fn(&str) -> Option<u64>,
) -> Option<(&'static str, String)> {
    // Also one with a point. What has more bits SPDK refuses itself.
    let number = |param| {
        let number = params.get(param)?.as_f64()?;
        (0.0..=f64::from(u32::MAX))
            .contains(&number)
            .then_some(number as u32)
    };
    // Whoever loads a blobstore of such a device reads no block of its super block, and SPDK does not end that where it splits reads.
    let never_ends = |size: u64| {
        (is_examined && size > 4096).then(|| {
            format!(
                "SPDK would never end its look at a device with an I/O boundary and blocks of {size} bytes, more than 4096; \
                 `bdev_auto_examine` of `bdev_set_options` prevents it"
            )
        })
    };
    match method {
        "bdev_malloc_create" if number("optimal_io_boundary")? != 0 => {
            let message = never_ends(number("block_size")?.into())?;
            Some(("optimal_io_boundary", message))
        }
        "bdev_raid_create" => {
            let strip = u64::from(number("strip_size_kb")?) * 1024;
            let bases = params.get("base_bdevs")?.as_array()?;
            let level = params.get("raid_level").and_then(Value::as_str);
            let has_boundary = bases.len() > 1 || !matches!(level, Some("raid0" | "0"));
            let sizes = bases.iter().filter_map(|base| size(base.as_str()?));
            let message = sizes.filter(|size| *size != 0).find_map(|size| {
                // SPDK finds the place of a block by the bits of its number. A strip of no block it refuses itself, which a
                // mirror has.
                match strip / size {
                    0 => None,
                    blocks if blocks.is_power_of_two() => {
                        has_boundary.then(|| never_ends(size)).flatten()
                    }
                    blocks => Some(format!(
                        "a strip would have {blocks} blocks of {size} bytes, which is no power of two: SPDK would lose data"
                    )),
                }
            });
            message.map(|message| ("strip_size_kb", message))
        }
        _ => None,
    }
}

/// A call, and where it is.
struct Spot<'a> {
    file: Option<&'a str>,
    subsystem: &'a str,
    path: String,
    call: &'a Call,
}

impl Spot<'_> {
    /// A problem of the call, or of one of its parameters.
    fn problem(&self, param: Option<&str>, message: String) -> Problem {
        let places = &self.call.places;
        let own = param.and_then(|param| {
            // The last, since what is there twice is wrong the second time.
            let found = places.params.iter().rev().find(|(name, _)| name == param);
            found.map(|(_, place)| *place)
        });
        match own.or(places.method) {
            Some(place) => Problem::at(self.file, Some(place), message),
            None => Problem {
                place: match param {
                    Some(param) => format!("{}.params.{param}", self.path),
                    None => self.path.clone(),
                },
                message,
            },
        }
    }
}

/// In which states of SPDK a method can be called; none if there is no such method.
fn mask(method: &str) -> Option<u32> {
    let name = CString::new(method).ok()?;
    let mut mask = 0;
    // SAFETY: the name lives during the call. SPDK's list of methods is made before `main` and not
    // changed after that, so it may be read at any time.
    let rc = unsafe { sys::spdk_rpc_get_method_state_mask(name.as_ptr(), &mut mask) };
    (rc == 0).then_some(mask)
}

fn unknown(subsystem: &str, method: &str) -> String {
    if FEATURES.contains(&(subsystem, false)) {
        return format!(
            "the subsystem `{subsystem}` is not part of this program, so SPDK skips {method}; build \
             with the feature `subsystem-{subsystem}`"
        );
    }
    let version = crate::version();
    let methods = tables().map(|entry| entry.method);
    let hint = similar(method, methods.filter(|one| mask(one).is_some()));
    format!("{version} has no method {method:?}{hint}")
}

/// The problems of a call's parameters.
fn parameters(spot: &Spot<'_>, entry: &Entry) -> Vec<Problem> {
    let Call {
        method,
        params,
        places,
    } = spot.call;
    let mut problems: Vec<Problem> = misfits(entry, params)
        .into_iter()
        .map(|(name, message)| spot.problem(name, message))
        .collect();
    for (index, (name, _)) in places.params.iter().enumerate() {
        if places.params[..index]
            .iter()
            .any(|(other, _)| other == name)
        {
            let message = format!("`{name}` of {method} is there twice");
            problems.push(spot.problem(Some(name), message));
        }
    }
    problems
}

/// What is wrong with parameters, and with which one if it is there.
fn misfits<'p>(entry: &Entry, params: &'p Map<String, Value>) -> Vec<(Option<&'p str>, String)> {
    let method = entry.method;
    let mut misfits = Vec::new();
    for (name, value) in params {
        match entry.params.iter().find(|param| param.name == name) {
            Some(param) if fits(value, param.kind) => {}
            Some(param) => {
                let message = format!("`{name}` of {method} is {}; {}", said(value), want(param));
                misfits.push((Some(&**name), message));
            }
            None if IS_OF_TABLES => {
                let hint = similar(name, entry.params.iter().map(|param| param.name));
                let message = format!("{method} has no parameter `{name}`{hint}");
                misfits.push((Some(&**name), message));
            }
            None => {}
        }
    }
    for param in entry.params {
        if param.required && !params.contains_key(param.name) {
            let message = format!("{method} needs `{}`; {}", param.name, want(param));
            misfits.push((None, message));
        }
    }
    misfits
}

/// What is wrong with parameters that SPDK did not understand, as far as the tables know.
pub(crate) fn explain(method: &str, params: &Value) -> Option<String> {
    let entry = tables().find(|entry| entry.method == method)?;
    let none = Map::new();
    let params = params.as_object().unwrap_or(&none);
    let misfits = misfits(entry, params).into_iter();
    let messages: Vec<String> = misfits.map(|(_, message)| message).collect();
    (!messages.is_empty()).then(|| messages.join("; "))
}

fn fits(value: &Value, kind: Kind) -> bool {
    match (kind, value) {
        (Kind::Bool, Value::Bool(_)) | (Kind::Text, Value::String(_)) => true,
        (Kind::Integer(min, max), Value::Number(number)) => {
            let integer = number.as_u64().map(i128::from);
            let integer = integer.or_else(|| number.as_i64().map(i128::from));
            // SPDK takes `1e3` too.
            let whole = || number.as_f64().filter(|number| number.fract() == 0.0);
            let integer = integer.or_else(|| whole().map(|number| number as i128));
            integer.is_some_and(|integer| (min..=max).contains(&integer))
        }
        (Kind::Uuid, Value::String(text)) => is_uuid(text),
        (Kind::Choice(choices), Value::String(text)) => choices.contains(&&**text),
        (Kind::Word(words), Value::String(text)) => {
            words.iter().any(|word| word.eq_ignore_ascii_case(text))
        }
        (Kind::Texts, Value::Array(values)) => values.iter().all(Value::is_string),
        _ => false,
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = |char: char| char == '-' || char.is_ascii_hexdigit();
    parts == [8, 4, 4, 4, 12] && text.chars().all(digits)
}

/// What a value is, in a message.
fn said(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("the text {text:?}"),
        other => other.to_string(),
    }
}

fn want(param: &Param) -> String {
    let what = match param.kind {
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Integer(min, max) => format!("an integer from {min} to {max}"),
        Kind::Text => "a text".to_owned(),
        Kind::Uuid => "a UUID as text".to_owned(),
        Kind::Choice(choices) | Kind::Word(choices) => {
            let choices: Vec<String> = choices.iter().map(|one| format!("{one:?}")).collect();
            format!("one of {}", choices.join(", "))
        }
        Kind::Texts => "a list of texts".to_owned(),
    };
    format!("write {what}")
}

/// A hint at what may have been meant.
fn similar(name: &str, all: impl Iterator<Item = &'static str>) -> String {
    let distances = all.map(|one| (distance(name, one), one));
    match distances.min() {
        Some((0..=4, one)) if name.len() > 3 => format!("; did you mean `{one}`?"),
        _ => String::new(),
    }
}

/// How many letters to add, remove or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let change = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

/// A parameter that is a text.
pub(super) fn text<'a>(params: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    params.get(name).and_then(Value::as_str)
}
