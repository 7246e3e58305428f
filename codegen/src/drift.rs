//! The functions that not every supported SPDK has, or has with the same parameters.
//!
//! `spdk-sys` has the same names, and makes a `cfg` of each.

use crate::manifest::Version;

/// When a function exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The first release that has it, if the oldest one has not.
    pub since: Option<Version>,
    /// The first release that has it no more.
    pub until: Option<Version>,
    /// No release has it; only some distributions do.
    pub is_downstream: bool,
}

/// The life of a function that some supported release lacks.
pub fn life(function: &str) -> Option<Life> {
    let (_, since, until) = NOT_EVERYWHERE.iter().find(|(name, ..)| *name == function)?;
    Some(Life {
        since: Version::parse(since),
        until: Version::parse(until),
        is_downstream: *since == "downstream",
    })
}

/// Whether the number of parameters differs between supported releases.
pub fn changed(function: &str) -> bool {
    PARAMETERS_CHANGED.contains(&function)
}

/// Name, first release, first release without it.
#[rustfmt::skip]
const NOT_EVERYWHERE: &[(&str, &str, &str)] = &[
    // bdev.h
    ("spdk_bdev_get_numa_id", "24.09", ""),
    ("spdk_bdev_get_io_type_name", "24.09", ""),
    ("spdk_bdev_get_io_type", "24.09", ""),
    ("spdk_bdev_get_dif_pi_format", "24.09", ""),
    ("spdk_bdev_histogram_enable_ext", "24.09", ""),
    ("spdk_bdev_enable_histogram_opts_init", "24.09", ""),
    ("spdk_bdev_open_opts_init", "25.05", ""),
    ("spdk_bdev_open_ext_v2", "25.05", ""),
    ("spdk_bdev_desc_get_block_size", "25.05", ""),
    ("spdk_bdev_desc_get_md_size", "25.05", ""),
    ("spdk_bdev_desc_is_md_interleaved", "25.05", ""),
    ("spdk_bdev_desc_is_md_separate", "25.05", ""),
    ("spdk_bdev_desc_get_dif_type", "25.05", ""),
    ("spdk_bdev_desc_get_dif_pi_format", "25.05", ""),
    ("spdk_bdev_desc_is_dif_head_of_md", "25.05", ""),
    ("spdk_bdev_desc_is_dif_check_enabled", "25.05", ""),
    ("spdk_bdev_get_nvme_nsid", "25.05", ""),
    ("spdk_bdev_get_preferred_write_alignment", "25.09", ""),
    ("spdk_bdev_get_preferred_write_granularity", "25.09", ""),
    ("spdk_bdev_get_optimal_write_size", "25.09", ""),
    ("spdk_bdev_get_preferred_unmap_alignment", "25.09", ""),
    ("spdk_bdev_get_preferred_unmap_granularity", "25.09", ""),
    ("spdk_bdev_nvme_nssr", "25.09", ""),
    ("spdk_for_each_bdev_by_name", "26.01", ""),
    ("spdk_bdev_write_uncorrectable_blocks", "26.01", ""),
    ("spdk_bdev_desc_hide_metadata", "26.05", ""),
    ("spdk_bdev_io_get_block_size", "26.05", ""),
    ("spdk_bdev_get_memory_domain_types", "26.05", ""),
    ("spdk_bdev_get_nvme_csi", "26.05", ""),
    // bdev_module.h
    ("spdk_bdev_io_hide_metadata", "25.05", ""),
    ("spdk_bdev_io_set_nvme_status", "25.09", ""),
    ("spdk_bdev_io_set_scsi_status", "25.09", ""),
    ("spdk_bdev_io_set_aio_status", "25.09", ""),
    ("spdk_bdev_io_set_base_io_status", "25.09", ""),
    ("spdk_bdev_io_get_aux_buf", "", "26.01"),
    ("spdk_bdev_io_put_aux_buf", "", "26.01"),
    // blob.h
    ("spdk_blob_get_num_pages", "", "25.05"),
    ("spdk_bs_get_max_growable_size", "26.01", ""),
    // nvme.h
    ("spdk_nvme_probe_ext", "24.09", ""),
    ("spdk_nvme_probe_async_ext", "24.09", ""),
    ("spdk_nvme_scan_attached", "24.09", ""),
    ("spdk_nvme_ctrlr_set_keys", "24.09", ""),
    ("spdk_nvme_ctrlr_get_numa_id", "24.09", ""),
    ("spdk_nvme_qpair_authenticate", "24.09", ""),
    ("spdk_nvme_ctrlr_authenticate", "24.09", ""),
    ("spdk_nvme_nvm_ns_get_data", "24.09", ""),
    ("spdk_nvme_ns_get_pi_format", "24.09", ""),
    ("spdk_nvme_ctrlr_get_id", "25.05", ""),
    ("spdk_nvme_ctrlr_get_admin_qp_fd", "25.05", ""),
    ("spdk_nvme_qpair_get_fd", "25.05", ""),
    ("spdk_nvme_poll_group_wait", "25.05", ""),
    ("spdk_nvme_poll_group_get_fd", "25.05", "26.01"),
    ("spdk_nvme_poll_group_get_fd_group", "25.05", ""),
    ("spdk_nvme_poll_group_set_interrupt_callback", "25.05", ""),
    ("spdk_nvme_ctrlr_is_nssr_supported", "25.09", ""),
    ("spdk_nvme_ns_supports_write_uncorrectable", "26.01", ""),
    ("spdk_nvme_qpair_get_optimal_poll_group", "", "26.01"),
    ("spdk_nvme_nvm_ctrlr_get_data", "26.05", ""),
    ("spdk_nvme_ctrlr_register_ns_attr_changed_callback", "26.05", ""),
    ("spdk_nvme_qpair_is_admin_queue", "26.05", ""),
    ("spdk_nvme_qpair_get_queue_depth", "26.05", ""),
    ("spdk_nvme_ns_cmd_write_iov", "26.05", ""),
    ("spdk_nvme_ns_cmd_read_iov", "26.05", ""),
    ("spdk_nvme_cpl_get_status_string_ext", "26.05", ""),
    ("spdk_nvme_qpair_print_completion_ext", "26.05", ""),
    ("spdk_nvme_print_completion_ext", "26.05", ""),
    // nvmf.h
    ("spdk_nvmf_subsystem_set_keys", "24.09", ""),
    ("spdk_nvmf_subsystem_set_ns_ana_group", "24.09", ""),
    ("spdk_nvmf_subsystem_set_cntlid_range", "24.09", ""),
    ("spdk_nvmf_send_discovery_log_notice", "25.05", ""),
    ("spdk_nvmf_tgt_get_first_referral", "26.01", ""),
    ("spdk_nvmf_tgt_referral_get_next", "26.01", ""),
    ("spdk_nvmf_referral_add_host", "26.01", ""),
    ("spdk_nvmf_referral_remove_host", "26.01", ""),
    ("spdk_nvmf_referral_set_allow_any_host", "26.01", ""),
    ("spdk_nvmf_referral_get_allow_any_host", "26.01", ""),
    ("spdk_nvmf_referral_host_allowed", "26.01", ""),
    ("spdk_nvmf_referral_get_first_host", "26.01", ""),
    ("spdk_nvmf_referral_get_next_host", "26.01", ""),
    ("spdk_nvmf_referral_get_trid", "26.01", ""),
    ("spdk_nvmf_set_custom_discovery_filter", "26.01", ""),
    ("spdk_nvmf_subsystem_opts_init", "26.05", ""),
    ("spdk_nvmf_subsystem_create_ext", "26.05", ""),
    ("spdk_nvmf_subsystem_get_opts", "26.05", ""),
    ("spdk_nvmf_subsystem_stop_for_destroy", "26.05", ""),
    ("spdk_nvmf_subsystem_set_ns_visibility", "downstream", ""),
    ("spdk_nvmf_stats_reset_qp", "downstream", ""),
    ("spdk_nvmf_accumulate_stats", "downstream", ""),
    ("spdk_nvmf_dump_empty_ctrl_stats", "downstream", ""),
    ("spdk_nvmf_dump_ctrl_stats", "downstream", ""),
    // nvmf_transport.h
    ("spdk_nvmf_qpair_get_numa_id", "24.09", ""),
    ("spdk_nvmf_request_exec_fabrics", "", "24.09"),
    ("spdk_nvmf_ctrlr_connect", "", "26.05"),
    ("spdk_nvmf_request_set_crc32c", "downstream", ""),
    // nvmf_cmd.h
    ("spdk_nvmf_ctrlr_identify_ns_ext", "24.09", ""),
    ("spdk_nvmf_get_cmds_and_effects_log_page", "26.01", ""),
    ("spdk_nvmf_get_feature_ids_effects_log_page", "26.01", ""),
    ("spdk_nvmf_get_supported_log_pages", "26.01", ""),
    ("spdk_nvmf_identify_ns_iocs_independent", "26.01", ""),
    ("spdk_nvmf_bdev_ctrlr_io_cancel_cmd", "downstream", ""),
    // thread.h
    ("spdk_interrupt_register_for_events", "24.09", ""),
    ("spdk_thread_get_trace_id", "25.05", ""),
    ("spdk_interrupt_register_ext", "25.05", ""),
    ("spdk_interrupt_register_fd_group", "25.05", ""),
    ("spdk_thread_register_post_poller_handler", "25.05", ""),
    ("spdk_io_channel_ref", "25.09", ""),
    // accel.h
    ("spdk_accel_submit_compress_ext", "24.09", ""),
    ("spdk_accel_submit_decompress_ext", "24.09", ""),
    ("spdk_accel_get_compress_level_range", "24.09", ""),
    ("spdk_accel_submit_dix_generate", "24.09", ""),
    ("spdk_accel_submit_dix_verify", "24.09", ""),
    ("spdk_accel_append_decompress_ext", "24.09", ""),
    ("spdk_accel_append_dif_verify", "24.09", ""),
    ("spdk_accel_append_dif_verify_copy", "24.09", ""),
    ("spdk_accel_append_dif_generate", "24.09", ""),
    ("spdk_accel_append_dif_generate_copy", "24.09", ""),
    ("spdk_accel_append_dix_generate", "24.09", ""),
    ("spdk_accel_append_dix_verify", "24.09", ""),
    ("spdk_accel_get_driver_name", "24.09", ""),
    ("spdk_accel_get_opc_memory_domains", "24.09", ""),
    ("spdk_accel_append_compare", "26.05", ""),
    // event.h
    ("spdk_app_setup_trace", "26.01", ""),
    // init.h
    ("spdk_subsystem_init_from_json_config", "", "24.09"),
    ("spdk_add_subsystem", "26.05", ""),
    ("spdk_add_subsystem_depend", "26.05", ""),
    ("spdk_subsystem_init_next", "26.05", ""),
    ("spdk_subsystem_fini_next", "26.05", ""),
    // env.h
    ("spdk_env_get_numa_id", "24.09", ""),
    ("spdk_env_get_first_numa_id", "24.09", ""),
    ("spdk_env_get_last_numa_id", "24.09", ""),
    ("spdk_env_get_next_numa_id", "24.09", ""),
    ("spdk_env_core_get_smt_cpuset", "24.09", ""),
    ("spdk_pci_device_get_numa_id", "24.09", ""),
    ("spdk_get_tid", "24.09", ""),
    ("spdk_pci_device_enable_interrupts", "25.05", ""),
    ("spdk_pci_device_disable_interrupts", "25.05", ""),
    ("spdk_pci_device_get_interrupt_efd_by_index", "25.05", ""),
    ("spdk_mem_get_numa_id", "25.05", ""),
    ("spdk_env_get_socket_id", "", "25.09"),
    ("spdk_pci_device_get_socket_id", "", "25.09"),
    ("spdk_pci_ae4dma_get_driver", "26.01", ""),
    // sock.h
    ("spdk_sock_get_interface_name", "24.09", ""),
    ("spdk_sock_get_numa_id", "24.09", ""),
    ("spdk_sock_group_register_interrupt", "24.09", "26.01"),
    ("spdk_sock_group_unregister_interrupt", "24.09", "26.01"),
    ("spdk_sock_connect_async", "25.09", ""),
    ("spdk_sock_get_default_initialize_opts", "26.01", ""),
    ("spdk_sock_initialize", "26.01", ""),
    ("spdk_sock_group_get_interruptfd", "26.01", ""),
    // rpc.h
    ("spdk_rpc_listen", "", "25.05"),
    ("spdk_rpc_accept", "", "25.05"),
    ("spdk_rpc_close", "", "25.05"),
    // jsonrpc.h
    ("spdk_jsonrpc_begin_batch", "26.05", ""),
    ("spdk_jsonrpc_end_batch", "26.05", ""),
    // notify.h
    ("spdk_notify_type_register_once", "downstream", ""),
    // fsdev.h
    ("spdk_fsdev_initialize", "24.09", ""),
    ("spdk_fsdev_finish", "24.09", ""),
    ("spdk_fsdev_subsystem_config_json", "24.09", ""),
    ("spdk_fsdev_get_module_name", "24.09", ""),
    ("spdk_fsdev_open", "24.09", ""),
    ("spdk_fsdev_close", "24.09", ""),
    ("spdk_fsdev_get_name", "24.09", ""),
    ("spdk_fsdev_desc_get_fsdev", "24.09", ""),
    ("spdk_fsdev_get_io_channel", "24.09", ""),
    ("spdk_fsdev_set_opts", "24.09", ""),
    ("spdk_fsdev_get_opts", "24.09", ""),
    ("spdk_fsdev_get_memory_domains", "24.09", ""),
    ("spdk_fsdev_lookup", "24.09", ""),
    ("spdk_fsdev_forget", "24.09", ""),
    ("spdk_fsdev_readlink", "24.09", ""),
    ("spdk_fsdev_symlink", "24.09", ""),
    ("spdk_fsdev_mknod", "24.09", ""),
    ("spdk_fsdev_mkdir", "24.09", ""),
    ("spdk_fsdev_unlink", "24.09", ""),
    ("spdk_fsdev_rmdir", "24.09", ""),
    ("spdk_fsdev_rename", "24.09", ""),
    ("spdk_fsdev_link", "24.09", ""),
    ("spdk_fsdev_statfs", "24.09", ""),
    ("spdk_fsdev_setxattr", "24.09", ""),
    ("spdk_fsdev_getxattr", "24.09", ""),
    ("spdk_fsdev_listxattr", "24.09", ""),
    ("spdk_fsdev_removexattr", "24.09", ""),
    ("spdk_fsdev_fopen", "24.09", ""),
    ("spdk_fsdev_create", "24.09", ""),
    ("spdk_fsdev_release", "24.09", ""),
    ("spdk_fsdev_getattr", "24.09", ""),
    ("spdk_fsdev_setattr", "24.09", ""),
    ("spdk_fsdev_read", "24.09", ""),
    ("spdk_fsdev_write", "24.09", ""),
    ("spdk_fsdev_fsync", "24.09", ""),
    ("spdk_fsdev_flush", "24.09", ""),
    ("spdk_fsdev_opendir", "24.09", ""),
    ("spdk_fsdev_readdir", "24.09", ""),
    ("spdk_fsdev_releasedir", "24.09", ""),
    ("spdk_fsdev_fsyncdir", "24.09", ""),
    ("spdk_fsdev_flock", "24.09", ""),
    ("spdk_fsdev_fallocate", "24.09", ""),
    ("spdk_fsdev_copy_file_range", "24.09", ""),
    ("spdk_fsdev_abort", "24.09", ""),
    ("spdk_fsdev_mount", "25.05", ""),
    ("spdk_fsdev_umount", "25.05", ""),
];

const PARAMETERS_CHANGED: &[&str] = &[
    "spdk_bdev_get_io_stat",
    "spdk_bdev_get_device_stat",
    "spdk_bdev_set_qos_rate_limits",
    "spdk_nvmf_subsystem_disconnect_host",
    "spdk_iobuf_for_each_entry",
    "spdk_fsdev_open",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_of_supported_releases() {
        for (name, since, until) in NOT_EVERYWHERE {
            let known = |text: &str| text.is_empty() || Version::parse(text).is_some();
            assert!(
                known(until) && (*since == "downstream" || known(since)),
                "{name}"
            );
            assert!(!since.is_empty() || !until.is_empty(), "{name}");
        }
    }

    #[test]
    fn spdk_sys_makes_a_cfg_of_each() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../spdk-sys/build/drift.rs");
        // A published package does not have its neighbour.
        let Ok(theirs) = std::fs::read_to_string(path) else {
            return;
        };
        let quoted = |name: &str| theirs.contains(&format!("\"{name}\","));
        let ours = NOT_EVERYWHERE.iter().map(|(name, ..)| name);
        for name in ours.chain(PARAMETERS_CHANGED) {
            assert!(quoted(name), "spdk-sys has no cfg for {name}");
        }
        let lines = theirs
            .lines()
            .filter(|line| line.trim().starts_with("\"spdk_"));
        assert_eq!(
            lines.count(),
            NOT_EVERYWHERE.len() + PARAMETERS_CHANGED.len()
        );
    }
}
