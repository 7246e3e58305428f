//! Checks and conversions of the options that the builders share.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result, interior_nul};

pub(crate) fn refuse(option: &'static str, reason: impl Into<String>) -> Error {
    let reason = reason.into();
    ErrorKind::Option { option, reason }.into()
}

pub(crate) fn text(option: &'static str, value: &str) -> Result<CString> {
    if value.is_empty() {
        return Err(refuse(option, "it is empty"));
    }
    CString::new(value).map_err(|error| refuse(option, interior_nul("the text", &error)))
}

pub(crate) fn optional_text(option: &'static str, value: Option<&str>) -> Result<Option<CString>> {
    value.map(|value| text(option, value)).transpose()
}

pub(crate) fn memory(mem_size_mb: i32) -> Result<i32> {
    if mem_size_mb <= 0 {
        return Err(refuse(
            "mem_size_mb",
            format!("{mem_size_mb} MB; it must be at least 1"),
        ));
    }
    Ok(mem_size_mb)
}

/// Ordinary memory has a size; of hugepages DPDK takes what there is.
pub(crate) fn no_huge(no_huge: bool, mem_size_mb: Option<i32>) -> Result<()> {
    if no_huge && mem_size_mb.is_none() {
        let reason = "it takes ordinary memory; say how much with `mem_size_mb`";
        return Err(refuse("no_huge", reason));
    }
    Ok(())
}

/// What SPDK's log lacks when DPDK, which writes to stderr itself, is why there is no environment.
pub(crate) fn dpdk(reason: &str, no_huge: bool) -> &'static str {
    match (reason.contains("initialize DPDK"), no_huge) {
        (false, _) => "",
        (true, true) => "; DPDK's messages on stderr say more",
        (true, false) => {
            "; DPDK's messages on stderr say more. It takes hugepages that are free, and root; `no_huge` with \
             `mem_size_mb`, and `no_pci`, do without"
        }
    }
}

/// Checks a core mask and that this machine has its cores.
pub(crate) fn cores(option: &'static str, mask: &str) -> Result<CString> {
    let cores = parse_cores(mask).map_err(|reason| {
        let ways = "write a hexadecimal mask such as 0x3 or a list such as [0,2-3]";
        refuse(
            option,
            format!("{mask:?} is not a core mask: {reason}; {ways}"),
        )
    })?;
    let missing: Vec<String> = cores
        .iter()
        .filter(|core| !Path::new(&format!("/sys/devices/system/cpu/cpu{core}")).exists())
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let missing = missing.join(", ");
        return Err(refuse(
            option,
            format!(
                "{mask:?} names core {missing}, which this machine has not; it offers {count} cores"
            ),
        ));
    }
    text(option, mask.trim())
}

/// Checks that the main core is one of the mask's; without a mask SPDK uses core 0.
pub(crate) fn main_core(core: Option<i32>, mask: Option<&str>) -> Result<()> {
    let mask = mask.unwrap_or("0x1");
    match (core, parse_cores(mask)) {
        (Some(core), Ok(cores)) if !cores.iter().any(|one| i64::from(*one) == i64::from(core)) => {
            let reason = format!("core {core} is not one of the cores of {mask:?}");
            Err(refuse("main_core", reason))
        }
        _ => Ok(()),
    }
}

fn parse_cores(mask: &str) -> Result<BTreeSet<u32>, String> {
    let cores = parse_set(mask)?;
    if cores.is_empty() {
        return Err("it names no core".into());
    }
    Ok(cores)
}

/// The cores of a mask or a list. SPDK's own parser takes the begin of a number that is too large, and of what it does not
/// understand, for another set.
pub(crate) fn parse_set(mask: &str) -> Result<BTreeSet<u32>, String> {
    let mask = mask.trim();
    match mask.strip_prefix('[') {
        Some(list) => parse_list(list.strip_suffix(']').ok_or("the `]` is missing")?),
        None => parse_mask(mask),
    }
}

fn parse_mask(mask: &str) -> Result<BTreeSet<u32>, String> {
    let digits = mask.strip_prefix("0x").or_else(|| mask.strip_prefix("0X"));
    let digits = digits.unwrap_or(mask);
    if digits.is_empty() {
        return Err("it has no digits".into());
    }
    let mut cores = BTreeSet::new();
    for (position, digit) in digits.chars().rev().enumerate() {
        let value = digit
            .to_digit(16)
            .ok_or_else(|| format!("{digit:?} is not a hexadecimal digit"))?;
        let low = u32::try_from(position * 4).map_err(|_| "it is too long")?;
        cores.extend(
            (0..4)
                .filter(|bit| value >> bit & 1 == 1)
                .map(|bit| low + bit),
        );
    }
    Ok(cores)
}

fn parse_list(list: &str) -> Result<BTreeSet<u32>, String> {
    let number = |text: &str| {
        let text = text.trim();
        text.parse::<u32>()
            .ok()
            .filter(|core| *core < 4096)
            .ok_or_else(|| format!("{text:?} is not a core number"))
    };
    let mut cores = BTreeSet::new();
    for part in list.split(',') {
        match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(format!("the range {part} goes backwards"));
                }
                cores.extend(first..=last);
            }
            None => {
                cores.insert(number(part)?);
            }
        }
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::{cores, parse_cores};

    fn ok(mask: &str) -> Vec<u32> {
        match parse_cores(mask) {
            Ok(cores) => cores.into_iter().collect(),
            Err(reason) => panic!("{mask}: {reason}"),
        }
    }

    #[test]
    fn masks_and_lists_name_the_same_cores() {
        assert_eq!(ok("0x1"), [0]);
        assert_eq!(ok("F"), [0, 1, 2, 3]);
        assert_eq!(ok("0x100"), [8]);
        assert_eq!(ok("[0,2-3]"), [0, 2, 3]);
        assert_eq!(ok("[ 1 ]"), [1]);
    }

    #[test]
    fn what_names_no_core_is_refused() {
        for bad in [
            "", "0x", "0x0", "0xZZ", "[]", "[1", "[3-1]", "[a]", "[99999]",
        ] {
            assert!(parse_cores(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_core_that_the_machine_lacks_is_named() {
        let text = match cores("reactor_mask", "[0,4000]") {
            Err(error) => error.to_string(),
            Ok(_) => panic!("a machine with 4001 cores?"),
        };
        assert!(text.contains("core 4000"), "{text}");
        assert!(text.contains("reactor_mask"), "{text}");
    }
}
