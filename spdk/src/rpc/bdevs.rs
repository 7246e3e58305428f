//! Calls that make bdevs, and that SPDK 26.01 does not survive.
#![allow(unsafe_code)] // Looks at bdevs on the app thread.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;

use serde_json::Value;

use crate::{config, interrupt, sys};

/// Why a call is refused, with an errno, if it is. On the app thread, where bdevs come and go.
pub(super) fn refusal(
    method: &str,
    params: &impl Deref<Target = Value>,
) -> Option<(libc::c_int, String)> {
    let fatal = config::fatal(method, |name| params.get(name));
    if let Some((_, message)) = fatal {
        return Some((libc::EINVAL, message));
    }
    match method {
        // A command as it is, with memory that nobody checks; what is there after a namespace has gone; and no answer at all.
        "bdev_nvme_send_cmd" | "bdev_nvme_get_io_paths" => {
            Some((libc::ENOTSUP, format!("SPDK does not survive `{method}`")))
        }
        "nvmf_enable_ctrl_io_stats" if params.get("trtype").is_none() => Some((
            libc::EINVAL,
            "SPDK does not answer without `trtype`".to_owned(),
        )),
        "bdev_nvme_get_path_iostat" => {
            let bdev = find(params["name"].as_str()?)?;
            // SAFETY: it was just found, on the app thread, where it goes. A bdev has a module, and that a name.
            let module = unsafe { CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev.as_ptr())) };
            let other = || (libc::ENODEV, "it is not an NVMe bdev".to_owned());
            (module != c"nvme").then(other)
        }
        // Two reactors would run it at the same time; see `MovableThread::set_cores`.
        "thread_set_cpumask" if interrupt::is_enabled() => Some((
            libc::ENOTSUP,
            "SPDK moves no spdk_thread safely in interrupt mode".to_owned(),
        )),
        // Hosts would be told the power of two below.
        "nvmf_subsystem_add_ns" => {
            let size = block_size(params["namespace"]["bdev_name"].as_str()?)?;
            (!size.is_power_of_two()).then(|| {
                let what = format!("blocks of {size} bytes, which is no power of two");
                (libc::EINVAL, what)
            })
        }
        // It leaves the bdev open.
        "bdev_enable_histogram" => {
            let name = CString::new(params["opc"].as_str()?).ok()?;
            // SAFETY: the name is read during the call.
            let io_type = unsafe { sys::spdk_bdev_get_io_type(name.as_ptr()) };
            (io_type < 0).then(|| (libc::EINVAL, "there is no such `opc`".to_owned()))
        }
        // When its bdev cannot be registered, SPDK gives back the claim of that one, and not of the one below.
        "bdev_passthru_create" | "bdev_zone_block_create" => {
            ["name", "uuid"].into_iter().find_map(|name| {
                let text = params[name].as_str()?;
                match name {
                    "uuid" => taken(&text.to_lowercase()),
                    _ => taken(text),
                }
            })
        }
        "bdev_split_create" => split(params),
        "bdev_raid_create" | "bdev_malloc_create" => {
            let params = params.as_object()?;
            let odd = config::odd_blocks(method, params, examines(), block_size);
            odd.map(|(_, message)| (libc::EINVAL, message))
        }
        _ => None,
    }
}

const ATTACH: &str = "bdev_nvme_attach_controller";
const DETACH: &str = "bdev_nvme_detach_controller";
const STOP_DISCOVERY: &str = "bdev_nvme_stop_discovery";

/// What calls of a method are about, if they may have to wait for others of the same.
pub(super) fn subject(method: &str, params: &Value) -> Option<String> {
    match method {
        ATTACH | DETACH | STOP_DISCOVERY => params["name"].as_str().map(str::to_owned),
        _ => changes_lvols(method).then(|| "lvol stores".to_owned()),
    }
}

/// SPDK looks at an lvol store for one call, and at what is there when another one has ended: memory that this has freed.
fn changes_lvols(method: &str) -> bool {
    let what = method.strip_prefix("bdev_lvol_");
    what.is_some_and(|what| !what.starts_with("get_") && !what.contains("shallow_copy"))
}

/// Whether a call is not to begin before another one of the same name has been answered.
///
/// An attach answers with the names of its bdevs, for which it waits until all bdevs have been examined; it does not look
/// whether they have gone meanwhile. And of two that stop a discovery SPDK answers the last. Those that change lvol stores
/// are one after the other.
pub(super) fn comes_after(method: &str, other: &str) -> bool {
    matches!(
        (method, other),
        (DETACH, ATTACH) | (STOP_DISCOVERY, STOP_DISCOVERY)
    ) || (changes_lvols(method) && changes_lvols(other))
}

/// The bdev of this name, or with this alias.
fn find(name: &str) -> Option<NonNull<sys::spdk_bdev>> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name is a C string, which is read during the call.
    NonNull::new(unsafe { sys::spdk_bdev_get_by_name(name.as_ptr()) })
}

fn taken(name: &str) -> Option<(libc::c_int, String)> {
    find(name).map(|_| (libc::EEXIST, format!("there is a bdev {name:?} already")))
}

/// The size of the data in a block of a bdev, if it is there.
fn block_size(name: &str) -> Option<u64> {
    let bdev = find(name)?;
    // SAFETY: it was just found, on the app thread, where it goes.
    let size = unsafe { sys::spdk_bdev_get_data_block_size(bdev.as_ptr()) };
    Some(size.into())
}

/// Whether SPDK looks at each new bdev.
fn examines() -> bool {
    let mut opts = MaybeUninit::<sys::spdk_bdev_opts>::zeroed();
    // SAFETY: zeroes are a value of it; SPDK writes at most the size that it is told.
    unsafe {
        sys::spdk_bdev_get_opts(opts.as_mut_ptr(), size_of::<sys::spdk_bdev_opts>() as _);
        opts.assume_init().bdev_auto_examine
    }
}

/// How many parts SPDK is asked for at most: it makes them all at once.
const MOST: u64 = 1 << 16;

/// With parts of no block SPDK divides by 0. With parts that are larger than the bdev it keeps that open without any, for ever.
/// And when a part cannot be registered, it frees what those before it use.
fn split(params: &Value) -> Option<(libc::c_int, String)> {
    let name = params["base_bdev"].as_str()?;
    let wrong = |what: &str| Some((libc::EINVAL, what.to_owned()));
    // Which is looked for by its name alone.
    // SAFETY: it was just found, on the app thread, where it goes, and has a name.
    let is_alias = find(name).is_some_and(|bdev| unsafe {
        CStr::from_ptr(sys::spdk_bdev_get_name(bdev.as_ptr())).to_bytes() != name.as_bytes()
    });
    if is_alias {
        return wrong("`base_bdev` is another name of the bdev; SPDK would use a null pointer");
    }
    // What has more bits SPDK refuses itself.
    let number = |param: &str| {
        let float = || {
            let number = params[param].as_f64()?;
            (number < u64::MAX as f64).then_some(number as u64)
        };
        params[param].as_u64().or_else(float)
    };
    let count = u64::from(u32::try_from(number("split_count")?).ok()?);
    if count > MOST {
        return wrong("`split_count` is more than 65,536");
    }
    let bytes = number("split_size_mb").unwrap_or(0).checked_mul(1 << 20);
    let Some(bytes) = bytes else {
        return wrong("`split_size_mb` is more than there are bytes");
    };
    let mut parts = count;
    if let Some(bdev) = find(name) {
        // SAFETY: it was just found, on the app thread, where it goes.
        let (blocks, block) = unsafe {
            (
                sys::spdk_bdev_get_num_blocks(bdev.as_ptr()),
                u64::from(sys::spdk_bdev_get_block_size(bdev.as_ptr())),
            )
        };
        let part = match bytes {
            0 => blocks.checked_div(count).unwrap_or(1),
            bytes => bytes / block.max(1),
        };
        if part == 0 || part > blocks {
            return wrong("a part would have no block, or more than the bdev has");
        }
        parts = parts.min(blocks / part);
    }
    // Of the first one it is told in order.
    (1..parts).find_map(|part| taken(&format!("{name}p{part}")))
}
