//! The text of a request, and what an answer says.
#![allow(unsafe_code)] // Asks SPDK's own JSON parser whether it takes the text.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::ffi::c_void;
#[cfg(feature = "nvmf")]
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::bdevs;
use crate::error::{At, Error, ErrorKind, Fault, Result};
#[cfg(feature = "nvmf")]
use crate::nvmf;
use crate::{config, sys};

/// What SPDK's server reads of a request; what is longer it takes for the end of the connection.
const MAX_LENGTH: usize = 32 * 1024;
/// How many JSON values a request may have: beyond, SPDK's server closes the connection.
const MAX_VALUES: libc::ssize_t = 1024;

/// A request that SPDK's server takes, whatever its method may say to it.
pub(super) struct Message {
    pub(super) id: u64,
    pub(super) method: String,
    pub(super) text: Vec<u8>,
    /// The name in the parameters, where calls may have to wait for others of the same name.
    pub(super) subject: Option<String>,
}

impl Message {
    pub(super) fn new(method: &str, params: &(impl Serialize + ?Sized)) -> Result<Message> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let refuse =
            |reason: String| -> Error { Fault::invalid(reason).at(At::new("rpc::call", &method)) };
        let params = serde_json::to_string(params).map_err(|error| {
            refuse(format!("the parameters cannot be written as JSON: {error}"))
        })?;
        let id = NEXT.fetch_add(1, Relaxed);
        let mut text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"#);
        text += &serde_json::to_string(method).map_err(|error| refuse(error.to_string()))?;
        match params.as_bytes() {
            b"null" => {}
            [b'{' | b'[', ..] => {
                text += r#","params":"#;
                text += &params;
            }
            _ => {
                let what = "an object with the parameters, an array, or `()` for none";
                return Err(refuse(format!("the parameters are {params}; give {what}")));
            }
        }
        text.push('}');
        let text = text.into_bytes();
        check(&text).map_err(refuse)?;
        let params: LazyCell<Value, _> =
            LazyCell::new(|| serde_json::from_str(&params).unwrap_or_default());
        let (method, subject) = (method.to_owned(), bdevs::subject(method, &params));
        Ok(Message {
            id,
            method,
            text,
            subject,
        })
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

#[cfg(feature = "nvmf")]
const REMOVE_LISTENER: &str = "nvmf_subsystem_remove_listener";
#[cfg(feature = "nvmf")]
const SET_ANA_STATE: &str = "nvmf_subsystem_listener_set_ana_state";

impl Message {
    /// What a method would answer that refuses this: SPDK would do it, and not survive it. On the app thread.
    pub(super) fn refusal(&self) -> Option<Vec<u8>> {
        // Read for those methods that are looked at.
        let params = LazyCell::new(|| {
            let mut text: Value = serde_json::from_slice(&self.text).unwrap_or_default();
            text["params"].take()
        });
        let refusal = bdevs::refusal(&self.method, &params);
        #[cfg(feature = "nvmf")]
        let refusal = refusal.or_else(|| harms_ours(&self.method, &params));
        let (errno, message) = refusal?;
        let error = serde_json::json!({"code": -errno, "message": message});
        let answer = serde_json::json!({"id": self.id, "error": error});
        Some(answer.to_string().into_bytes())
    }
}

/// Whether it deletes a target of this crate, or a subsystem of one: SPDK would free what the chores of the target
/// use, and itself uses a subsystem that goes while another change of it waits. So it uses a listener that goes while
/// an ANA state is set, which those of this crate wait for. On the app thread.
#[cfg(feature = "nvmf")]
fn harms_ours(method: &str, params: &impl Deref<Target = Value>) -> Option<(libc::c_int, String)> {
    let (name, instead) = match method {
        REMOVE_LISTENER => ("tgt_name", "`NvmfSubsystem::stop_listening`"),
        SET_ANA_STATE => ("tgt_name", "`NvmfSubsystem::set_ana_state`"),
        "nvmf_delete_subsystem" => (
            "tgt_name",
            "`NvmfSubsystem::remove`, or `NvmfTarget::close`",
        ),
        "nvmf_delete_target" => ("name", "`NvmfSubsystem::remove`, or `NvmfTarget::close`"),
        _ => return None,
    };
    // Without a name SPDK takes the target that is the only one.
    let is_ours = nvmf::core::is_ours(params[name].as_str());
    is_ours.then(|| {
        (
            libc::EBUSY,
            format!("it is of an `NvmfTarget`: call {instead}"),
        )
    })
}

/// Whether SPDK's server takes the request. If not it would close the connection, which is that of all
/// the calls.
fn check(text: &[u8]) -> Result<(), String> {
    if text.len() > MAX_LENGTH {
        let length = text.len();
        return Err(format!(
            "the request has {length} bytes; SPDK takes {MAX_LENGTH}"
        ));
    }
    let mut end: *mut c_void = ptr::null_mut();
    // SAFETY: without the flag that has it decode in place the parser only reads the text, and without
    // room for values it only counts them.
    let values = unsafe {
        let text_ptr = text.as_ptr().cast_mut().cast();
        sys::spdk_json_parse(text_ptr, text.len() as _, ptr::null_mut(), 0, &mut end, 0)
    };
    match values {
        ..=0 => Err("SPDK cannot read the JSON, which may be nested too deeply".to_owned()),
        1..=MAX_VALUES => Ok(()),
        _ => Err(format!(
            "the request has {values} JSON values; SPDK takes {MAX_VALUES}"
        )),
    }
}

/// The number of the request that this line answers.
pub(super) fn id(line: &[u8]) -> Option<u64> {
    // As SPDK begins every answer. So also one is known that the server has cut off.
    let rest = line.strip_prefix(br#"{"jsonrpc":"2.0","id":"#)?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// The result in an answer, or the error in it. `params` are asked for if those are to blame.
pub(super) fn result<R: DeserializeOwned>(
    method: &str,
    line: &[u8],
    params: impl FnOnce() -> Option<Value>,
) -> Result<R> {
    let unusable = |what: &str, error: serde_json::Error| -> Error {
        let (method, reason) = (method.to_owned(), format!("{what}: {error}"));
        ErrorKind::RpcAnswer { method, reason }.into()
    };
    let answer: BTreeMap<&str, &RawValue> = serde_json::from_slice(line)
        .map_err(|error| unusable("the answer cannot be read", error))?;
    if let Some(error) = answer.get("error") {
        return Err(failure(method, error, params));
    }
    let result = answer.get("result").map_or("null", |result| result.get());
    serde_json::from_str(result).map_err(|error| {
        let what = format!(
            "the answer is not a {}, but {}",
            std::any::type_name::<R>(),
            shortened(result)
        );
        unusable(&what, error)
    })
}

fn failure(method: &str, error: &RawValue, params: impl FnOnce() -> Option<Value>) -> Error {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_str(error.get()).unwrap_or_default();
    let member = |name| members.get(name).map_or("null", |value| value.get());
    let code = serde_json::from_str(member("code")).unwrap_or(0);
    let mut message: String = serde_json::from_str(member("message"))
        .unwrap_or_else(|_| shortened(error.get()).to_owned());
    // SPDK's methods do not agree on the code for that, but few errors of others have these.
    if code <= -32_600
        && let Some(reason) = params().and_then(|params| config::explain(method, &params))
    {
        message += ": ";
        message += &reason;
    }
    let method = method.to_owned();
    ErrorKind::Rpc {
        method,
        code,
        message,
    }
    .into()
}

/// The begin of a text that may be long.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(200);
    end.map_or(text, |(end, _)| &text[..end])
}
