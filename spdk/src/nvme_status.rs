//! The status of a completed NVMe command, with the names of the NVMe specification.
#![allow(unsafe_code)] // Asks SPDK for the specification's text of a status: two pure table look-ups.

use std::ffi::CStr;
use std::fmt;

use crate::sys;

/// The status of a completed command: status code type (SCT), status code (SC) and what came with
/// it.
///
/// Devices that are not NVMe report through it too: SPDK maps their errors to generic statuses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct NvmeStatus {
    /// The status code type: 0 generic, 1 command specific, 2 media and data integrity, 3 path,
    /// 7 vendor specific.
    pub sct: u8,
    /// The status code within its type.
    pub sc: u8,
    /// "Do not retry": whether the same command would fail again. `None` where SPDK does not pass
    /// it on, as the bdev layer does not.
    pub dnr: Option<bool>,
    /// Whether the error log of the controller has more about it. `None` as for `dnr`.
    pub more: Option<bool>,
    /// Command specific result, dword 0 of the completion.
    pub cdw0: u32,
}

impl NvmeStatus {
    /// A status as the bdev layer reports it.
    pub(crate) fn of_bdev_io(sct: i32, sc: i32, cdw0: u32) -> Self {
        // The bdev layer widens two fields of 3 and 8 bits to `int`.
        NvmeStatus {
            sct: (sct & 0x7) as u8,
            sc: (sc & 0xff) as u8,
            dnr: None,
            more: None,
            cdw0,
        }
    }

    /// The status of a completion, with the phase bit.
    #[cfg(any(feature = "nvme", test))]
    pub(crate) fn of_cpl(cdw0: u32, status: u16) -> Self {
        let bit = |bit: u32| Some(status >> bit & 1 == 1);
        NvmeStatus {
            sct: (status >> 9 & 0x7) as u8,
            sc: (status >> 1 & 0xff) as u8,
            dnr: bit(15),
            more: bit(14),
            cdw0,
        }
    }

    /// Whether the controller did not end the command: it was aborted, with its queue or by itself, as when
    /// the connection broke or the controller was reset.
    pub fn is_aborted(self) -> bool {
        let aborted = [
            sys::SPDK_NVME_SC_ABORTED_BY_REQUEST.0,
            sys::SPDK_NVME_SC_ABORTED_SQ_DELETION.0,
        ];
        u32::from(self.sct) == sys::SPDK_NVME_SCT_GENERIC.0 && aborted.contains(&self.sc.into())
    }

    /// Whether a comparison found that the data differ.
    pub fn is_compare_failure(self) -> bool {
        (u32::from(self.sct), u32::from(self.sc))
            == (
                sys::SPDK_NVME_SCT_MEDIA_ERROR.0,
                sys::SPDK_NVME_SC_COMPARE_FAILURE.0,
            )
    }

    fn raw(self) -> sys::spdk_nvme_status {
        let dnr = u16::from(self.dnr == Some(true));
        let mut raw = sys::spdk_nvme_status::default();
        raw.set_sc(self.sc.into());
        raw.set_sct(self.sct.into());
        raw.set_dnr(dnr);
        raw
    }

    /// The name of the status code, such as `INTERNAL DEVICE ERROR`.
    pub fn sc_name(self) -> &'static str {
        // SAFETY: the function reads the fields of the status that it is given and nothing else.
        let text = unsafe { sys::spdk_nvme_cpl_get_status_string(&self.raw()) };
        static_text(text)
    }

    /// The name of the status code type, such as `GENERIC`.
    pub fn sct_name(self) -> &'static str {
        // SAFETY: the function reads the fields of the status that it is given and nothing else.
        let text = unsafe { sys::spdk_nvme_cpl_get_status_type_string(&self.raw()) };
        static_text(text)
    }
}

fn static_text(text: *const std::ffi::c_char) -> &'static str {
    if text.is_null() {
        return "UNKNOWN";
    }
    // SAFETY: SPDK returns string literals of its status tables.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .unwrap_or("UNKNOWN")
}

impl fmt::Display for NvmeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sct, sc) = (self.sct_name(), self.sc_name());
        write!(f, "{sc} (SCT {:#x} {sct}, SC {:#04x}", self.sct, self.sc)?;
        if self.dnr == Some(true) {
            f.write_str(", do not retry")?;
        }
        if self.more == Some(true) {
            f.write_str(", more in the error log")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for NvmeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NvmeStatus({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::NvmeStatus;

    #[test]
    fn the_fields_of_a_completion_are_where_the_header_has_them() {
        let mut raw = crate::sys::spdk_nvme_status::default();
        raw.set_p(1);
        raw.set_sc(0x85);
        raw.set_sct(2);
        raw.set_m(1);
        // SAFETY: bit fields that fill 16 bits, all of which are initialised.
        let bits = |raw| unsafe { std::mem::transmute::<crate::sys::spdk_nvme_status, u16>(raw) };
        let status = NvmeStatus::of_cpl(7, bits(raw));
        assert!(status.is_compare_failure());
        assert_eq!((status.sct, status.sc, status.cdw0), (2, 0x85, 7));
        assert_eq!((status.dnr, status.more), (Some(false), Some(true)));
        raw.set_dnr(1);
        raw.set_m(0);
        let status = NvmeStatus::of_cpl(0, bits(raw));
        assert_eq!((status.dnr, status.more), (Some(true), Some(false)));
    }
}
