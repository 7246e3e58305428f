//! Where a controller is.
#![allow(unsafe_code)] // Makes a C struct of zeroes.

use std::ffi::c_char;
use std::fmt;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::{At, Error, Fault, Result};
use crate::sys;

/// How a controller is reached.
#[doc(alias = "spdk_nvme_transport_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportType {
    /// A PCI device of this machine.
    Pcie,
    /// NVMe over RDMA.
    Rdma,
    /// NVMe over Fibre Channel.
    Fc,
    /// NVMe over TCP.
    Tcp,
    /// A socket of a vfio-user server, which emulates a PCI device.
    VfioUser,
}

impl TransportType {
    const ALL: [TransportType; 5] = [
        TransportType::Pcie,
        TransportType::Rdma,
        TransportType::Fc,
        TransportType::Tcp,
        TransportType::VfioUser,
    ];

    /// SPDK's name for it.
    #[doc(alias = "spdk_nvme_transport_id_trtype_str")]
    pub fn name(self) -> &'static str {
        match self {
            TransportType::Pcie => "PCIE",
            TransportType::Rdma => "RDMA",
            TransportType::Fc => "FC",
            TransportType::Tcp => "TCP",
            TransportType::VfioUser => "VFIOUSER",
        }
    }

    fn to_c(self) -> sys::spdk_nvme_transport_type {
        match self {
            TransportType::Pcie => sys::SPDK_NVME_TRANSPORT_PCIE,
            TransportType::Rdma => sys::SPDK_NVME_TRANSPORT_RDMA,
            TransportType::Fc => sys::SPDK_NVME_TRANSPORT_FC,
            TransportType::Tcp => sys::SPDK_NVME_TRANSPORT_TCP,
            TransportType::VfioUser => sys::SPDK_NVME_TRANSPORT_VFIOUSER,
        }
    }
}

/// What kind of address the one of a network is.
#[doc(alias = "spdk_nvmf_adrfam")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressFamily {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An InfiniBand address.
    Ib,
    /// A Fibre Channel address.
    Fc,
}

impl AddressFamily {
    const ALL: [AddressFamily; 4] = [
        AddressFamily::Ipv4,
        AddressFamily::Ipv6,
        AddressFamily::Ib,
        AddressFamily::Fc,
    ];

    /// SPDK's name for it.
    #[doc(alias = "spdk_nvme_transport_id_adrfam_str")]
    pub fn name(self) -> &'static str {
        match self {
            AddressFamily::Ipv4 => "IPv4",
            AddressFamily::Ipv6 => "IPv6",
            AddressFamily::Ib => "IB",
            AddressFamily::Fc => "FC",
        }
    }

    fn to_c(self) -> sys::spdk_nvmf_adrfam {
        match self {
            AddressFamily::Ipv4 => sys::SPDK_NVMF_ADRFAM_IPV4,
            AddressFamily::Ipv6 => sys::SPDK_NVMF_ADRFAM_IPV6,
            AddressFamily::Ib => sys::SPDK_NVMF_ADRFAM_IB,
            AddressFamily::Fc => sys::SPDK_NVMF_ADRFAM_FC,
        }
    }
}

/// Where a controller is: its transport, its address there, and its subsystem.
///
/// ```
/// use spdk::nvme::TransportId;
///
/// # fn main() -> spdk::Result<()> {
/// let disk = TransportId::pcie("0000:00:04.0")?;
/// let target = TransportId::tcp("192.168.1.100", "4420", "nqn.2024-01.io.spdk:cnode1")?;
/// assert_eq!(
///     target.to_string(),
///     "trtype:TCP adrfam:IPv4 traddr:192.168.1.100 trsvcid:4420 subnqn:nqn.2024-01.io.spdk:cnode1"
/// );
/// assert_eq!(TransportId::parse(&target.to_string())?, target);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "spdk_nvme_transport_id")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransportId {
    transport: TransportType,
    family: Option<AddressFamily>,
    address: String,
    service: String,
    nqn: String,
    priority: u32,
}

const ADDRESS_LEN: u32 = sys::SPDK_NVMF_TRADDR_MAX_LEN;
const SERVICE_LEN: u32 = sys::SPDK_NVMF_TRSVCID_MAX_LEN;
const NQN_LEN: u32 = sys::SPDK_NVMF_NQN_MAX_LEN;

impl TransportId {
    /// The name that every discovery subsystem has.
    #[doc(alias = "SPDK_NVMF_DISCOVERY_NQN")]
    pub const DISCOVERY_NQN: &'static str = "nqn.2014-08.org.nvmexpress.discovery";

    /// All PCI devices of this machine, as a place to
    /// [`probe`](super::NvmeController::probe). No controller can be connected by it.
    pub fn all_pcie() -> Self {
        TransportId {
            transport: TransportType::Pcie,
            family: None,
            address: String::new(),
            service: String::new(),
            nqn: String::new(),
            priority: 0,
        }
    }

    /// A PCI device, by its address such as `0000:00:04.0`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an address that is empty, or
    /// longer than 256 bytes, or has white space or a NUL byte.
    pub fn pcie(address: &str) -> Result<Self> {
        Self::build(|| Self::new(TransportType::Pcie, None, address, "", ""))
    }

    /// A subsystem at a TCP port of an IP address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an address that is none of
    /// IPv4 or IPv6, and for a port or a name that is empty, too long for SPDK, or has white space or a NUL
    /// byte.
    pub fn tcp(address: &str, port: &str, subnqn: &str) -> Result<Self> {
        Self::build(|| Self::over_ip(TransportType::Tcp, address, port, subnqn))
    }

    /// A subsystem at an RDMA port of an IP address.
    ///
    /// # Errors
    ///
    /// As for [`TransportId::tcp`].
    pub fn rdma(address: &str, port: &str, subnqn: &str) -> Result<Self> {
        Self::build(|| Self::over_ip(TransportType::Rdma, address, port, subnqn))
    }

    /// A vfio-user server, by the folder of its socket.
    ///
    /// # Errors
    ///
    /// As for [`TransportId::pcie`].
    pub fn vfio_user(folder: &str) -> Result<Self> {
        Self::build(|| Self::new(TransportType::VfioUser, None, folder, "", ""))
    }

    /// Reads what [`TransportId`] displays, and SPDK's tools take: pairs such as `trtype:TCP`, in any order.
    ///
    /// The keys are `trtype`, which is needed, `adrfam`, `traddr`, `trsvcid`, `subnqn` and `priority`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) says what is wrong with it.
    #[doc(alias = "spdk_nvme_transport_id_parse")]
    pub fn parse(text: &str) -> Result<Self> {
        Self::build(|| Self::from_pairs(text))
    }

    /// The priority of its connections, as in `socket(7)`. Only TCP has it.
    pub fn with_priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// How it is reached.
    pub fn transport(&self) -> TransportType {
        self.transport
    }

    /// The kind of its address; `None` where the transport has only one.
    pub fn address_family(&self) -> Option<AddressFamily> {
        self.family
    }

    /// Its address: that of a PCI device, or one of the network.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The port; empty where the transport has none.
    pub fn service_id(&self) -> &str {
        &self.service
    }

    /// The NVMe qualified name of the subsystem; empty for a PCI device.
    pub fn subnqn(&self) -> &str {
        &self.nqn
    }

    /// The priority of its connections.
    pub fn priority(&self) -> u32 {
        self.priority
    }

    fn build(make: impl FnOnce() -> Result<Self, Fault>) -> Result<Self> {
        make().map_err(|fault| fault.at(At::free("spdk_nvme_transport_id_parse")))
    }

    fn over_ip(
        transport: TransportType,
        address: &str,
        port: &str,
        nqn: &str,
    ) -> Result<Self, Fault> {
        let family = match address.parse() {
            Ok(IpAddr::V4(_)) => AddressFamily::Ipv4,
            Ok(IpAddr::V6(_)) => AddressFamily::Ipv6,
            Err(_) => {
                return Err(Fault::invalid(format!(
                    "{address:?} is neither an IPv4 nor an IPv6 address"
                )));
            }
        };
        check("the port", port, SERVICE_LEN)?;
        check("the name of the subsystem", nqn, NQN_LEN)?;
        Self::new(transport, Some(family), address, port, nqn)
    }

    pub(super) fn new(
        transport: TransportType,
        family: Option<AddressFamily>,
        address: &str,
        service: &str,
        nqn: &str,
    ) -> Result<Self, Fault> {
        check("the address", address, ADDRESS_LEN)?;
        Ok(TransportId {
            transport,
            family,
            address: address.to_owned(),
            service: service.to_owned(),
            nqn: nqn.to_owned(),
            priority: 0,
        })
    }

    fn from_pairs(text: &str) -> Result<Self, Fault> {
        let (mut transport, mut family, mut priority) = (None, None, 0);
        let (mut address, mut service, mut nqn) = (String::new(), String::new(), String::new());
        for pair in text.split_ascii_whitespace() {
            let Some((key, value)) = pair.split_once([':', '=']) else {
                return Err(Fault::invalid(format!("{pair:?} is no pair of key:value")));
            };
            let named = |what: &str, names: &str| {
                Fault::invalid(format!("{value:?} is no {what}; there are {names}"))
            };
            match key.to_ascii_lowercase().as_str() {
                "trtype" => {
                    let of_name = |one: &TransportType| one.name().eq_ignore_ascii_case(value);
                    let found = TransportType::ALL.into_iter().find(of_name);
                    let names = "PCIE, RDMA, FC, TCP and VFIOUSER";
                    transport = Some(found.ok_or_else(|| named("transport", names))?);
                }
                "adrfam" => {
                    let of_name = |one: &AddressFamily| one.name().eq_ignore_ascii_case(value);
                    let found = AddressFamily::ALL.into_iter().find(of_name);
                    family = Some(found.ok_or_else(|| named("family", "IPv4, IPv6, IB and FC"))?);
                }
                "priority" => {
                    priority = value.parse().map_err(|_| named("priority", "numbers"))?;
                }
                "traddr" => address = checked("the address", value, ADDRESS_LEN)?,
                "trsvcid" => service = checked("the port", value, SERVICE_LEN)?,
                "subnqn" => nqn = checked("the name of the subsystem", value, NQN_LEN)?,
                _ => {
                    return Err(Fault::invalid(format!(
                        "the key {key:?} is unknown; there are trtype, adrfam, traddr, trsvcid, subnqn \
                         and priority"
                    )));
                }
            }
        }
        let transport = transport.ok_or_else(|| Fault::invalid("there is no `trtype`"))?;
        let trid = Self::new(transport, family, &address, &service, &nqn)?;
        Ok(trid.with_priority(priority))
    }

    /// That of C; `None` for a transport without a name here.
    pub(super) fn of_c(raw: &sys::spdk_nvme_transport_id) -> Option<Self> {
        let transports = TransportType::ALL.into_iter();
        let transport = transports.clone().find(|one| one.to_c() == raw.trtype)?;
        let family = match transport {
            TransportType::Pcie | TransportType::VfioUser => None,
            _ => AddressFamily::ALL
                .into_iter()
                .find(|one| one.to_c() == raw.adrfam),
        };
        let priority = u32::try_from(raw.priority).unwrap_or(0);
        let trid = Self::new(
            transport,
            family,
            &text_of(&raw.traddr),
            &text_of(&raw.trsvcid),
            &text_of(&raw.subnqn),
        );
        Some(trid.ok()?.with_priority(priority))
    }

    pub(super) fn to_c(&self) -> sys::spdk_nvme_transport_id {
        // SAFETY: numbers and characters only, for which zeroes are a value.
        let mut raw: sys::spdk_nvme_transport_id = unsafe { MaybeUninit::zeroed().assume_init() };
        copy_text(&mut raw.trstring, self.transport.name());
        raw.trtype = self.transport.to_c();
        if let Some(family) = self.family {
            raw.adrfam = family.to_c();
        }
        copy_text(&mut raw.traddr, &self.address);
        copy_text(&mut raw.trsvcid, &self.service);
        copy_text(&mut raw.subnqn, &self.nqn);
        raw.priority = i32::try_from(self.priority).unwrap_or(i32::MAX);
        raw
    }
}

/// How many digits the port of a controller of this crate has for SPDK.
const PORT_DIGITS: usize = 8;

impl TransportId {
    /// That of a controller of this crate, whose port has zeroes before it.
    ///
    /// SPDK has two controllers with the same text and host be one, also where one is that of the bdev layer: both would look
    /// after it, and it would tell one of them what it has to tell. Nobody else writes a port so, and the network sees
    /// the number.
    pub(super) fn own(&self) -> sys::spdk_nvme_transport_id {
        let mut raw = self.to_c();
        let has_port = matches!(self.transport, TransportType::Tcp | TransportType::Rdma);
        let is_number = || self.service.bytes().all(|digit| digit.is_ascii_digit());
        if has_port && !self.service.is_empty() && is_number() {
            copy_text(
                &mut raw.trsvcid,
                &format!("{:0>PORT_DIGITS$}", self.service),
            );
        }
        raw
    }
}

impl FromStr for TransportId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trtype:{}", self.transport.name())?;
        if let Some(family) = self.family {
            write!(f, " adrfam:{}", family.name())?;
        }
        let texts = [
            ("traddr", &self.address),
            ("trsvcid", &self.service),
            ("subnqn", &self.nqn),
        ];
        for (key, text) in texts {
            if !text.is_empty() {
                write!(f, " {key}:{text}")?;
            }
        }
        if self.priority != 0 {
            write!(f, " priority:{}", self.priority)?;
        }
        Ok(())
    }
}

/// Refuses what SPDK cannot hold, or would read as something else.
pub(super) fn wrong_text(text: &str, limit: u32) -> Result<(), String> {
    let wrong = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > limit as usize {
        format!("has {} bytes, and SPDK takes {limit}", text.len())
    } else if text.contains(|c: char| c.is_ascii_whitespace() || c == '\0') {
        "has white space or a NUL byte inside".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{wrong}: {text:?}"))
}

fn check(what: &str, text: &str, limit: u32) -> Result<(), Fault> {
    wrong_text(text, limit).map_err(|wrong| Fault::invalid(format!("{what} {wrong}")))
}

fn checked(what: &str, text: &str, limit: u32) -> Result<String, Fault> {
    check(what, text, limit).map(|()| text.to_owned())
}

/// A text in a field of C, up to its NUL.
fn text_of(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|c| *c as u8).collect();
    let end = bytes.iter().position(|c| *c == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Fills a field of C with a text that was checked: a NUL follows it.
pub(super) fn copy_text(field: &mut [c_char], text: &str) {
    for (to, from) in field.iter_mut().zip(text.bytes().chain([0])) {
        *to = from as c_char;
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressFamily, TransportId, TransportType};

    fn refused(text: &str) -> String {
        match TransportId::parse(text) {
            Err(error) => error.to_string(),
            Ok(trid) => panic!("{text:?} is {trid}"),
        }
    }

    #[test]
    fn what_is_shown_is_read_again() -> crate::Result<()> {
        let all = [
            TransportId::pcie("0000:00:04.0")?,
            TransportId::tcp("127.0.0.1", "4420", "nqn.2016-06.io.spdk:a")?,
            TransportId::tcp("::1", "4420", "nqn.2016-06.io.spdk:a")?.with_priority(3),
            TransportId::rdma("10.0.0.1", "4420", "nqn.2016-06.io.spdk:a")?,
            TransportId::vfio_user("/var/run/vfio-user")?,
        ];
        for trid in all {
            assert_eq!(TransportId::parse(&trid.to_string())?, trid);
        }
        Ok(())
    }

    #[test]
    fn spdk_forms_are_understood() -> crate::Result<()> {
        let trid = TransportId::parse("TrType=tcp\tadrfam:ipv6 traddr:fe80::1 trsvcid:1 subnqn:a")?;
        assert_eq!(trid.transport(), TransportType::Tcp);
        assert_eq!(trid.address_family(), Some(AddressFamily::Ipv6));
        assert_eq!((trid.address(), trid.service_id()), ("fe80::1", "1"));
        assert_eq!(
            TransportId::parse("trtype:PCIe traddr:0000:01:00.0")?.address(),
            "0000:01:00.0"
        );
        Ok(())
    }

    #[test]
    fn own_ports_are_written_otherwise() -> crate::Result<()> {
        let port = |text: &str| -> crate::Result<String> {
            Ok(super::text_of(&TransportId::parse(text)?.own().trsvcid))
        };
        assert_eq!(port("trtype:TCP traddr:a trsvcid:4420")?, "00004420");
        assert_eq!(port("trtype:TCP traddr:a trsvcid:04420")?, "00004420");
        assert_eq!(port("trtype:RDMA traddr:a trsvcid:http")?, "http");
        assert_eq!(port("trtype:PCIE traddr:0000:01:00.0")?, "");
        Ok(())
    }

    #[test]
    fn the_c_struct_has_it_all() -> crate::Result<()> {
        let raw = TransportId::tcp("127.0.0.1", "4420", "nqn.x")?.to_c();
        let text = |field: &[std::ffi::c_char]| -> String {
            let bytes = field.iter().map(|c| *c as u8);
            bytes.take_while(|c| *c != 0).map(char::from).collect()
        };
        assert_eq!(text(&raw.trstring), "TCP");
        assert_eq!(raw.trtype, crate::sys::SPDK_NVME_TRANSPORT_TCP);
        assert_eq!(raw.adrfam, crate::sys::SPDK_NVMF_ADRFAM_IPV4);
        assert_eq!(
            (text(&raw.traddr), text(&raw.trsvcid)),
            ("127.0.0.1".into(), "4420".into())
        );
        assert_eq!(text(&raw.subnqn), "nqn.x");
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, why) in [
            ("traddr:1", "there is no `trtype`"),
            ("trtype:carrier-pigeon traddr:1", "there are PCIE"),
            ("trtype:TCP traddr:1 tradr:2", "\"tradr\" is unknown"),
            ("trtype:TCP traddr:", "the address is empty"),
            ("trtype:TCP traddr", "no pair"),
            ("trtype:TCP", "the address is empty"),
            ("trtype:TCP traddr:1 priority:high", "no priority"),
        ] {
            let said = refused(text);
            assert!(said.contains(why), "{text:?}: {said}");
        }
        let long = "a".repeat(224);
        let error = TransportId::tcp("127.0.0.1", "1", &long);
        assert!(error.is_err_and(|error| error.to_string().contains("SPDK takes 223")));
        let error = TransportId::tcp("localhost", "1", "a");
        assert!(error.is_err_and(|error| error.to_string().contains("neither")));
        assert!(TransportId::tcp("127.0.0.1", "44 20", "a").is_err());
        assert!(TransportId::pcie("").is_err());
    }
}
