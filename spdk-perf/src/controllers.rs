//! The NVMe controllers of `--transport-id`, and their namespaces.

use std::str::FromStr;

use spdk::nvme::{ControllerData, NvmeController, NvmeCtrlrOpts, TransportId, TransportType};

use crate::args::Args;
use crate::plan::{self, Spec, Target};
use crate::refusal::Refusal;
use crate::workload::Workload;

/// Where controllers are, and which of their namespaces are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    trid: TransportId,
    namespace: Option<u32>,
}

/// A controller that was found.
pub(crate) struct Controller {
    trid: TransportId,
    data: ControllerData,
    pub(crate) namespaces: Vec<Namespace>,
}

pub(crate) struct Namespace {
    id: u32,
    block_size: u32,
    size: u64,
    /// Whether a buffer for a block has metadata, too.
    has_md_inside: bool,
}

impl FromStr for Place {
    type Err = String;

    /// SPDK's form, with `ns` for a namespace. What is not said is found out.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_key = |pair: &str, key: &str| {
            let name = pair.split([':', '=']).next().unwrap_or_default();
            name.eq_ignore_ascii_case(key)
        };
        let pairs: Vec<_> = text.split_ascii_whitespace().collect();
        let number = |pair: &&str| -> Result<u32, String> {
            let value = pair.split_once([':', '=']).map_or("", |(_, value)| value);
            match value.parse() {
                Ok(id) if id > 0 => Ok(id),
                _ => Err(format!("`{value}` is not the ID of a namespace")),
            }
        };
        let namespace = pairs.iter().find(|pair| is_key(pair, "ns"));
        let namespace = namespace.map(number).transpose()?;
        let mut rest: Vec<_> = pairs.iter().filter(|pair| !is_key(pair, "ns")).collect();
        let has = |key| pairs.iter().any(|pair| is_key(pair, key));
        let is_pcie = pairs.iter().any(|pair| {
            let value = pair.split_once([':', '=']).map_or("", |(_, value)| value);
            is_key(pair, "trtype") && value.eq_ignore_ascii_case("pcie")
        });
        let trid = if is_pcie && !has("traddr") {
            TransportId::all_pcie()
        } else {
            let discovery = format!("subnqn:{}", TransportId::DISCOVERY_NQN);
            let discovery = discovery.as_str();
            if !is_pcie && !has("subnqn") {
                rest.push(&discovery);
            }
            let rest: Vec<&str> = rest.into_iter().copied().collect();
            TransportId::parse(&rest.join(" ")).map_err(|error| error.to_string())?
        };
        Ok(Place { trid, namespace })
    }
}

/// Looks what is there. The controllers are given up again: each core connects to them by itself.
pub(crate) async fn find(places: &[Place]) -> Result<Vec<Controller>, Refusal> {
    let mut all: Vec<Controller> = Vec::new();
    for place in places {
        let found = NvmeController::probe(&place.trid, |_| Some(NvmeCtrlrOpts::new())).await?;
        if found.is_empty() {
            let place = place.trid.to_string();
            return Err(Refusal::NoController { place });
        }
        for controller in found {
            let controller = controller?;
            let data = controller.data()?;
            let ids = match place.namespace {
                Some(id) => vec![id],
                None => controller.active_namespaces(),
            };
            let namespaces = ids.into_iter().map(|id| look(&controller, id));
            let found = Controller {
                trid: controller.transport_id(),
                data,
                namespaces: namespaces.collect::<Result<_, _>>()?,
            };
            controller.detach().await?;
            if found.namespaces.is_empty() {
                let name = found.trid.to_string();
                return Err(Refusal::NoNamespace { name });
            }
            if all.iter().any(|other| other.trid == found.trid) {
                let name = found.trid.to_string();
                return Err(Refusal::ControllerTwice { name });
            }
            all.push(found);
        }
    }
    Ok(all)
}

fn look(controller: &NvmeController, id: u32) -> Result<Namespace, Refusal> {
    let Some(ns) = controller.namespace(id) else {
        return Err(Refusal::UnknownNamespace {
            name: controller.transport_id().to_string(),
            id,
            others: controller.active_namespaces(),
        });
    };
    Ok(Namespace {
        id,
        block_size: ns.sector_size(),
        size: ns.size(),
        has_md_inside: ns.is_md_interleaved()? && ns.md_size()? > 0,
    })
}

/// A job on a namespace.
pub(crate) fn spec(
    args: &Args,
    controller: &Controller,
    ns: &Namespace,
    cores: u32,
) -> Result<Spec, Refusal> {
    let Controller { trid, data, .. } = controller;
    let place = match trid.transport() {
        TransportType::Pcie | TransportType::VfioUser => trid.address(),
        _ => trid.subnqn(),
    };
    let name = format!("{place} namespace {}", ns.id);
    let missing = match args.workload {
        Workload::Unmap if !data.has_dataset_management() => Some("Dataset Management"),
        Workload::WriteZeroes if !data.has_write_zeroes() => Some("Write Zeroes"),
        _ => None,
    };
    if let Some(command) = missing {
        let workload = args.workload.name();
        return Err(Refusal::NoCommand {
            name,
            workload,
            command,
        });
    }
    if ns.has_md_inside {
        return Err(Refusal::Metadata { name });
    }
    let target = Target::Namespace {
        trid: trid.clone(),
        id: ns.id,
    };
    plan::spec(args, (name, ns.block_size, ns.size, 4096), target, cores)
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[track_caller]
    fn read(text: &str) -> (String, Option<u32>) {
        let place: Place = text.parse().expect("it is well-formed");
        (place.trid.to_string(), place.namespace)
    }

    #[test]
    fn what_is_not_said_is_everything() {
        let tcp = "trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:4420";
        let discovery = format!("{tcp} subnqn:nqn.2014-08.org.nvmexpress.discovery");
        assert_eq!(read(tcp), (discovery, None));
        let named = format!("{tcp} subnqn:nqn.a");
        assert_eq!(read(&format!("{named} ns:3")), (named, Some(3)));
        assert_eq!(read("trtype:PCIe"), ("trtype:PCIE".into(), None));
        let one = "trtype:PCIE traddr:0000:00:04.0";
        assert_eq!(read(one), (one.into(), None));
        for wrong in ["", "traddr:1", "trtype:PCIe ns:0", "trtype:PCIe ns:x"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong:?} was accepted");
        }
    }
}
