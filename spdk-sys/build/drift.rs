//! The functions that not every supported release of SPDK has, or has with the same parameters.
//!
//! A name in this table gets a `cfg`; whether the `cfg` is set is read off the installed headers, never from here.
//! The releases in the comments are those of upstream and only explain the entries. A distribution may have backported a
//! function: "downstream" marks what no upstream release had up to 26.05.

/// Functions that some supported release lacks: `spdk_has_<name>` says whether this one has it.
#[rustfmt::skip]
pub(crate) const NOT_EVERYWHERE: &[&str] = &[
    // bdev.h
    "spdk_bdev_get_numa_id", // since 24.09
    "spdk_bdev_get_io_type_name", // since 24.09
    "spdk_bdev_get_io_type", // since 24.09
    "spdk_bdev_get_dif_pi_format", // since 24.09
    "spdk_bdev_histogram_enable_ext", // since 24.09
    "spdk_bdev_enable_histogram_opts_init", // since 24.09
    "spdk_bdev_open_opts_init", // since 25.05
    "spdk_bdev_open_ext_v2", // since 25.05
    "spdk_bdev_desc_get_block_size", // since 25.05
    "spdk_bdev_desc_get_md_size", // since 25.05
    "spdk_bdev_desc_is_md_interleaved", // since 25.05
    "spdk_bdev_desc_is_md_separate", // since 25.05
    "spdk_bdev_desc_get_dif_type", // since 25.05
    "spdk_bdev_desc_get_dif_pi_format", // since 25.05
    "spdk_bdev_desc_is_dif_head_of_md", // since 25.05
    "spdk_bdev_desc_is_dif_check_enabled", // since 25.05
    "spdk_bdev_get_nvme_nsid", // since 25.05
    "spdk_bdev_get_preferred_write_alignment", // since 25.09
    "spdk_bdev_get_preferred_write_granularity", // since 25.09
    "spdk_bdev_get_optimal_write_size", // since 25.09
    "spdk_bdev_get_preferred_unmap_alignment", // since 25.09
    "spdk_bdev_get_preferred_unmap_granularity", // since 25.09
    "spdk_bdev_nvme_nssr", // since 25.09
    "spdk_for_each_bdev_by_name", // since 26.01
    "spdk_bdev_write_uncorrectable_blocks", // since 26.01
    "spdk_bdev_desc_hide_metadata", // since 26.05
    "spdk_bdev_io_get_block_size", // since 26.05
    "spdk_bdev_get_memory_domain_types", // since 26.05
    "spdk_bdev_get_nvme_csi", // since 26.05
    // bdev_module.h
    "spdk_bdev_io_hide_metadata", // since 25.05
    "spdk_bdev_io_set_nvme_status", // since 25.09
    "spdk_bdev_io_set_scsi_status", // since 25.09
    "spdk_bdev_io_set_aio_status", // since 25.09
    "spdk_bdev_io_set_base_io_status", // since 25.09
    "spdk_bdev_io_get_aux_buf", // gone in 26.01
    "spdk_bdev_io_put_aux_buf", // gone in 26.01
    // blob.h
    "spdk_blob_get_num_pages", // gone in 25.05
    "spdk_bs_get_max_growable_size", // since 26.01
    // nvme.h
    "spdk_nvme_probe_ext", // since 24.09
    "spdk_nvme_probe_async_ext", // since 24.09
    "spdk_nvme_scan_attached", // since 24.09
    "spdk_nvme_ctrlr_set_keys", // since 24.09
    "spdk_nvme_ctrlr_get_numa_id", // since 24.09
    "spdk_nvme_qpair_authenticate", // since 24.09
    "spdk_nvme_ctrlr_authenticate", // since 24.09
    "spdk_nvme_nvm_ns_get_data", // since 24.09
    "spdk_nvme_ns_get_pi_format", // since 24.09
    "spdk_nvme_ctrlr_get_id", // since 25.05
    "spdk_nvme_ctrlr_get_admin_qp_fd", // since 25.05
    "spdk_nvme_qpair_get_fd", // since 25.05
    "spdk_nvme_poll_group_wait", // since 25.05
    "spdk_nvme_poll_group_get_fd", // since 25.05, gone in 26.01
    "spdk_nvme_poll_group_get_fd_group", // since 25.05
    "spdk_nvme_poll_group_set_interrupt_callback", // since 25.05
    "spdk_nvme_ctrlr_is_nssr_supported", // since 25.09
    "spdk_nvme_ns_supports_write_uncorrectable", // since 26.01
    "spdk_nvme_qpair_get_optimal_poll_group", // gone in 26.01
    "spdk_nvme_nvm_ctrlr_get_data", // since 26.05
    "spdk_nvme_ctrlr_register_ns_attr_changed_callback", // since 26.05
    "spdk_nvme_qpair_is_admin_queue", // since 26.05
    "spdk_nvme_qpair_get_queue_depth", // since 26.05
    "spdk_nvme_ns_cmd_write_iov", // since 26.05
    "spdk_nvme_ns_cmd_read_iov", // since 26.05
    "spdk_nvme_cpl_get_status_string_ext", // since 26.05
    "spdk_nvme_qpair_print_completion_ext", // since 26.05
    "spdk_nvme_print_completion_ext", // since 26.05
    // nvmf.h
    "spdk_nvmf_subsystem_set_keys", // since 24.09
    "spdk_nvmf_subsystem_set_ns_ana_group", // since 24.09
    "spdk_nvmf_subsystem_set_cntlid_range", // since 24.09
    "spdk_nvmf_send_discovery_log_notice", // since 25.05
    "spdk_nvmf_tgt_get_first_referral", // since 26.01
    "spdk_nvmf_tgt_referral_get_next", // since 26.01
    "spdk_nvmf_referral_add_host", // since 26.01
    "spdk_nvmf_referral_remove_host", // since 26.01
    "spdk_nvmf_referral_set_allow_any_host", // since 26.01
    "spdk_nvmf_referral_get_allow_any_host", // since 26.01
    "spdk_nvmf_referral_host_allowed", // since 26.01
    "spdk_nvmf_referral_get_first_host", // since 26.01
    "spdk_nvmf_referral_get_next_host", // since 26.01
    "spdk_nvmf_referral_get_trid", // since 26.01
    "spdk_nvmf_set_custom_discovery_filter", // since 26.01
    "spdk_nvmf_subsystem_opts_init", // since 26.05
    "spdk_nvmf_subsystem_create_ext", // since 26.05
    "spdk_nvmf_subsystem_get_opts", // since 26.05
    "spdk_nvmf_subsystem_stop_for_destroy", // since 26.05
    "spdk_nvmf_subsystem_set_ns_visibility", // downstream
    "spdk_nvmf_stats_reset_qp", // downstream
    "spdk_nvmf_accumulate_stats", // downstream
    "spdk_nvmf_dump_empty_ctrl_stats", // downstream
    "spdk_nvmf_dump_ctrl_stats", // downstream
    // nvmf_transport.h
    "spdk_nvmf_qpair_get_numa_id", // since 24.09
    "spdk_nvmf_request_exec_fabrics", // gone in 24.09
    "spdk_nvmf_ctrlr_connect", // gone in 26.05
    "spdk_nvmf_request_set_crc32c", // downstream
    // nvmf_cmd.h
    "spdk_nvmf_ctrlr_identify_ns_ext", // since 24.09
    "spdk_nvmf_get_cmds_and_effects_log_page", // since 26.01
    "spdk_nvmf_get_feature_ids_effects_log_page", // since 26.01
    "spdk_nvmf_get_supported_log_pages", // since 26.01
    "spdk_nvmf_identify_ns_iocs_independent", // since 26.01
    "spdk_nvmf_bdev_ctrlr_io_cancel_cmd", // downstream
    // thread.h
    "spdk_interrupt_register_for_events", // since 24.09
    "spdk_thread_get_trace_id", // since 25.05
    "spdk_interrupt_register_ext", // since 25.05
    "spdk_interrupt_register_fd_group", // since 25.05
    "spdk_thread_register_post_poller_handler", // since 25.05
    "spdk_io_channel_ref", // since 25.09
    // accel.h
    "spdk_accel_submit_compress_ext", // since 24.09
    "spdk_accel_submit_decompress_ext", // since 24.09
    "spdk_accel_get_compress_level_range", // since 24.09
    "spdk_accel_submit_dix_generate", // since 24.09
    "spdk_accel_submit_dix_verify", // since 24.09
    "spdk_accel_append_decompress_ext", // since 24.09
    "spdk_accel_append_dif_verify", // since 24.09
    "spdk_accel_append_dif_verify_copy", // since 24.09
    "spdk_accel_append_dif_generate", // since 24.09
    "spdk_accel_append_dif_generate_copy", // since 24.09
    "spdk_accel_append_dix_generate", // since 24.09
    "spdk_accel_append_dix_verify", // since 24.09
    "spdk_accel_get_driver_name", // since 24.09
    "spdk_accel_get_opc_memory_domains", // since 24.09
    "spdk_accel_append_compare", // since 26.05
    // event.h
    "spdk_app_setup_trace", // since 26.01
    // init.h
    "spdk_subsystem_init_from_json_config", // gone in 24.09
    "spdk_add_subsystem", // since 26.05
    "spdk_add_subsystem_depend", // since 26.05
    "spdk_subsystem_init_next", // since 26.05
    "spdk_subsystem_fini_next", // since 26.05
    // env.h
    "spdk_env_get_numa_id", // since 24.09
    "spdk_env_get_first_numa_id", // since 24.09
    "spdk_env_get_last_numa_id", // since 24.09
    "spdk_env_get_next_numa_id", // since 24.09
    "spdk_env_core_get_smt_cpuset", // since 24.09
    "spdk_pci_device_get_numa_id", // since 24.09
    "spdk_get_tid", // since 24.09
    "spdk_pci_device_enable_interrupts", // since 25.05
    "spdk_pci_device_disable_interrupts", // since 25.05
    "spdk_pci_device_get_interrupt_efd_by_index", // since 25.05
    "spdk_mem_get_numa_id", // since 25.05
    "spdk_env_get_socket_id", // gone in 25.09
    "spdk_pci_device_get_socket_id", // gone in 25.09
    "spdk_pci_ae4dma_get_driver", // since 26.01
    // sock.h
    "spdk_sock_get_interface_name", // since 24.09
    "spdk_sock_get_numa_id", // since 24.09
    "spdk_sock_group_register_interrupt", // since 24.09, gone in 26.01
    "spdk_sock_group_unregister_interrupt", // since 24.09, gone in 26.01
    "spdk_sock_connect_async", // since 25.09
    "spdk_sock_get_default_initialize_opts", // since 26.01
    "spdk_sock_initialize", // since 26.01
    "spdk_sock_group_get_interruptfd", // since 26.01
    // rpc.h
    "spdk_rpc_listen", // gone in 25.05
    "spdk_rpc_accept", // gone in 25.05
    "spdk_rpc_close", // gone in 25.05
    // jsonrpc.h
    "spdk_jsonrpc_begin_batch", // since 26.05
    "spdk_jsonrpc_end_batch", // since 26.05
    // notify.h
    "spdk_notify_type_register_once", // downstream
    // fsdev.h
    "spdk_fsdev_initialize", // since 24.09
    "spdk_fsdev_finish", // since 24.09
    "spdk_fsdev_subsystem_config_json", // since 24.09
    "spdk_fsdev_get_module_name", // since 24.09
    "spdk_fsdev_open", // since 24.09
    "spdk_fsdev_close", // since 24.09
    "spdk_fsdev_get_name", // since 24.09
    "spdk_fsdev_desc_get_fsdev", // since 24.09
    "spdk_fsdev_get_io_channel", // since 24.09
    "spdk_fsdev_set_opts", // since 24.09
    "spdk_fsdev_get_opts", // since 24.09
    "spdk_fsdev_get_memory_domains", // since 24.09
    "spdk_fsdev_lookup", // since 24.09
    "spdk_fsdev_forget", // since 24.09
    "spdk_fsdev_readlink", // since 24.09
    "spdk_fsdev_symlink", // since 24.09
    "spdk_fsdev_mknod", // since 24.09
    "spdk_fsdev_mkdir", // since 24.09
    "spdk_fsdev_unlink", // since 24.09
    "spdk_fsdev_rmdir", // since 24.09
    "spdk_fsdev_rename", // since 24.09
    "spdk_fsdev_link", // since 24.09
    "spdk_fsdev_statfs", // since 24.09
    "spdk_fsdev_setxattr", // since 24.09
    "spdk_fsdev_getxattr", // since 24.09
    "spdk_fsdev_listxattr", // since 24.09
    "spdk_fsdev_removexattr", // since 24.09
    "spdk_fsdev_fopen", // since 24.09
    "spdk_fsdev_create", // since 24.09
    "spdk_fsdev_release", // since 24.09
    "spdk_fsdev_getattr", // since 24.09
    "spdk_fsdev_setattr", // since 24.09
    "spdk_fsdev_read", // since 24.09
    "spdk_fsdev_write", // since 24.09
    "spdk_fsdev_fsync", // since 24.09
    "spdk_fsdev_flush", // since 24.09
    "spdk_fsdev_opendir", // since 24.09
    "spdk_fsdev_readdir", // since 24.09
    "spdk_fsdev_releasedir", // since 24.09
    "spdk_fsdev_fsyncdir", // since 24.09
    "spdk_fsdev_flock", // since 24.09
    "spdk_fsdev_fallocate", // since 24.09
    "spdk_fsdev_copy_file_range", // since 24.09
    "spdk_fsdev_abort", // since 24.09
    "spdk_fsdev_mount", // since 25.05
    "spdk_fsdev_umount", // since 25.05
];

/// Functions whose number of parameters changed: `spdk_args_<name> = "N"` says how many this one has.
#[rustfmt::skip]
pub(crate) const PARAMETERS_CHANGED: &[&str] = &[
    "spdk_bdev_get_io_stat", // bdev.h, changed in 25.05
    "spdk_bdev_get_device_stat", // bdev.h, changed in 25.05
    "spdk_bdev_set_qos_rate_limits", // bdev.h, changed in 26.01 downstream
    "spdk_nvmf_subsystem_disconnect_host", // nvmf.h, changed in 26.05
    "spdk_iobuf_for_each_entry", // thread.h, changed in 25.05
    "spdk_fsdev_open", // fsdev.h, changed in 25.05
];
