//! The names of the bdevs that a configuration makes and uses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::validate::text;
use super::{Call, tables};

/// The bdevs that a method makes, where the configuration says their names.
pub(super) fn made(call: &Call) -> Vec<String> {
    let Call { method, params, .. } = call;
    let text = |name| text(params, name);
    match &**method {
        "bdev_malloc_create"
        | "bdev_null_create"
        | "bdev_aio_create"
        | "bdev_uring_create"
        | "bdev_delay_create"
        | "bdev_passthru_create"
        | "bdev_raid_create"
        | "bdev_zone_block_create"
        | "bdev_ftl_create"
        | "bdev_ftl_load" => text("name").map(str::to_owned).into_iter().collect(),
        "bdev_error_create" => {
            let base = text("base_name").into_iter();
            base.map(|base| format!("EE_{base}")).collect()
        }
        "bdev_split_create" => {
            let count = params
                .get("split_count")
                .and_then(Value::as_u64)
                .unwrap_or(0);
            // A number that nobody means would make as many texts.
            let parts = 0..count.min(4096);
            let base = text("base_bdev").into_iter();
            base.flat_map(|base| parts.clone().map(move |part| format!("{base}p{part}")))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The bdevs that a method uses, with the parameters that say so.
pub(super) fn used(call: &Call) -> Vec<(&'static str, String)> {
    let Call { method, params, .. } = call;
    let keys: &[&'static str] = match &**method {
        "bdev_error_create" => &["base_name"],
        "bdev_delay_create" | "bdev_passthru_create" => &["base_bdev_name"],
        "bdev_split_create" | "bdev_zone_block_create" => &["base_bdev"],
        "bdev_raid_create" => &["base_bdevs"],
        "bdev_lvol_create_lvstore" => &["bdev_name"],
        "bdev_lvol_clone_bdev" => &["bdev"],
        "bdev_ftl_create" | "bdev_ftl_load" => &["base_bdev", "cache"],
        "bdev_delay_update_latency" => &["delay_bdev_name"],
        "bdev_error_inject_error"
        | "bdev_set_qos_limit"
        | "bdev_examine"
        | "bdev_nvme_set_multipath_policy"
        | "bdev_nvme_set_preferred_path" => &["name"],
        "nbd_start_disk" => &["bdev_name"],
        "nvmf_subsystem_add_ns" => {
            let bdev = params.get("namespace").and_then(|one| one.get("bdev_name"));
            let bdev = bdev.and_then(Value::as_str).into_iter();
            return bdev.map(|bdev| ("namespace", bdev.to_owned())).collect();
        }
        _ => &[],
    };
    let mut used = Vec::new();
    for key in keys {
        match params.get(*key) {
            Some(Value::String(name)) => used.push((*key, name.clone())),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                used.extend(names.map(|name| (*key, name.to_owned())));
            }
            _ => {}
        }
    }
    used
}

/// The bdevs that there are when all methods have run.
pub(super) struct Made {
    names: BTreeSet<String>,
    /// Those of NVMe controllers begin with one of these.
    prefixes: Vec<String>,
}

impl Made {
    /// None if a method makes bdevs whose names cannot be known.
    pub(super) fn by<'a>(calls: impl Iterator<Item = &'a Call>) -> Option<Made> {
        let mut all = Made {
            names: BTreeSet::new(),
            prefixes: Vec::new(),
        };
        for call in calls {
            all.names.extend(made(call));
            let name = text(&call.params, "name").unwrap_or_default();
            match &*call.method {
                "bdev_nvme_attach_controller" => all.prefixes.push(format!("{name}n")),
                "bdev_nvme_start_discovery" | "bdev_nvme_start_mdns_discovery" => {
                    all.prefixes.push(name.to_owned());
                }
                "bdev_nvme_set_hotplug" => all.prefixes.push("HotInNvme".to_owned()),
                "bdev_opal_create" => return None,
                // Of a module that the tables do not know.
                method if method.starts_with("bdev_") => {
                    tables().find(|entry| entry.method == method)?;
                }
                _ => {}
            }
        }
        Some(all)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        // A UUID, or a logical volume's alias: those may be on the devices already.
        let is_alias = name.contains('/') || name.matches('-').count() == 4;
        let is = |name: &str| {
            let of_nvme = |prefix: &String| {
                name.strip_prefix(&**prefix)
                    .is_some_and(|rest| !rest.is_empty())
            };
            self.names.contains(name) || self.prefixes.iter().any(of_nvme)
        };
        // A partition.
        let digits = name.trim_end_matches(|char: char| char.is_ascii_digit());
        let whole = (digits.len() < name.len())
            .then(|| digits.strip_suffix('p'))
            .flatten();
        is_alias || is(name) || whole.is_some_and(is)
    }
}
