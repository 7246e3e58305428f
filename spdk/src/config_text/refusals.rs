//! What SPDK takes in a configuration or a call, and does not survive.

use crate::{CpuSet, sys};

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

impl Argument<'_> {
    /// What has no exact `f64` is rounded down: 2^64 is another number to SPDK, which it refuses itself.
    pub(crate) fn integer(number: u64) -> Self {
        match number >> f64::MANTISSA_DIGITS {
            0 => Argument::Number(number as f64),
            _ => Argument::Number((number >> 11 << 11) as f64),
        }
    }
}

/// The parameters that SPDK 26.01 reads with more bits than it keeps: what it keeps, and what it reads at most.
const CUT_OFF: &[(&str, &str, u64, u64)] = &[
    // It has the microseconds in 32 bits.
    (SET_NVME, "keep_alive_timeout_ms", U32 / 1000, U32),
    (SET_NVME, "transport_retry_count", 255, U32),
    (SET_NVME, "arbitration_burst", 7, U32),
    (SET_NVME, "low_priority_weight", 255, U32),
    (SET_NVME, "medium_priority_weight", 255, U32),
    (SET_NVME, "high_priority_weight", 255, U32),
    // And range 0 is all of the namespace.
    ("bdev_opal_create", "locking_range_id", 255, 65_535),
    // It has the bytes in 64 bits.
    ("bdev_lvol_create", "size_in_mib", u64::MAX >> 20, u64::MAX),
    ("bdev_lvol_resize", "size_in_mib", u64::MAX >> 20, u64::MAX),
    ("bdev_null_resize", "new_size", u64::MAX >> 20, u64::MAX),
];

const U32: u64 = u32::MAX as u64;

/// What has more bits SPDK refuses itself.
const TOO_LARGE: f64 = u64::MAX as f64;

/// The bytes of a name of a volume or an lvol store.
const LVOL_NAME: usize = 63;

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
        let is_between = |n: f64| *kept as f64 + 1.0 <= n && n <= *read as f64 && n < TOO_LARGE;
        *of == method && number(param).is_some_and(is_between)
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
        "bdev_nvme_attach_controller" | "bdev_nvme_start_discovery" if has_zeroes(param("trsvcid")) => Some((
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
            let time = number("attach_timeout_ms");
            let has_time = time.is_some_and(|time| (1.0..TOO_LARGE).contains(&time));
            let param = waits.then_some("wait_for_attach");
            let param = param.or_else(|| has_time.then_some("attach_timeout_ms"))?;
            Some((
                param,
                format!("`{param}` has the call wait; SPDK would crash when the discovery is stopped meanwhile"),
            ))
        }
        // It multiplies them, and gets as much memory as 64 bits of that.
        "bdev_malloc_create" => {
            let size = number("num_blocks").filter(|blocks| *blocks < TOO_LARGE)?
                * (number("block_size").unwrap_or(0.0) + number("md_size").unwrap_or(0.0));
            (size >= i64::MAX as f64).then(|| {
                ("num_blocks", format!("`num_blocks` and `block_size` make {size} bytes, of which SPDK would make fewer"))
            })
        }
        // Nobody can read the lvol store any more whose volume has a longer one, and that of a store is cut off.
        "bdev_lvol_rename" | "bdev_lvol_rename_lvstore" => match param("new_name") {
            Some(Argument::Text(name)) if name.len() > LVOL_NAME => Some((
                "new_name",
                format!("`new_name` has {} bytes, more than {LVOL_NAME}", name.len()),
            )),
            _ => None,
        },
        "accel_set_options" if number("sequence_count") == Some(0.0) => Some((
            "sequence_count",
            "`sequence_count` is 0; SPDK would wait for one for ever".to_owned(),
        )),
        "bdev_ftl_load" if param("uuid").is_some_and(is_nil) => Some((
            "uuid",
            "`uuid` is all zeroes; SPDK would make a new device, and overwrite both".to_owned(),
        )),
        "bdev_set_qos_limit" => qos(number),
        "scheduler_set_options" => scheduler(number("scheduling_core"), param("isolated_core_mask")),
        _ => None,
    }
}

/// Whether a port has zeroes before it.
fn has_zeroes(port: Option<Argument<'_>>) -> bool {
    matches!(port, Some(Argument::Text(port)) if port.len() > 1 && port.starts_with('0'))
}

fn is_nil(uuid: Argument<'_>) -> bool {
    matches!(uuid, Argument::Text(uuid) if uuid.bytes().all(|byte| matches!(byte, b'0' | b'-')))
}

/// SPDK has the share of a slice in 32 bits.
fn qos<'p>(number: impl Fn(&'p str) -> Option<f64>) -> Option<(&'static str, String)> {
    const LIMITS: [(&str, u32); 4] = [
        ("rw_ios_per_sec", 1),
        ("rw_mbytes_per_sec", 1 << 20),
        ("r_mbytes_per_sec", 1 << 20),
        ("w_mbytes_per_sec", 1 << 20),
    ];
    let slice = number("timeslice_in_usecs").filter(|slice| *slice != 0.0);
    let slice = slice.unwrap_or(1000.0);
    LIMITS.iter().find_map(|(limit, unit)| {
        let value = number(limit).filter(|value| *value < TOO_LARGE)?;
        let share = value * f64::from(*unit) * slice / 1e6;
        (share > f64::from(u32::MAX) && slice < TOO_LARGE).then(|| {
            let what = format!("`{limit}` is {value}, which is {share} in each slice of {slice} us; SPDK would make fewer of it");
            (*limit, what)
        })
    })
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
