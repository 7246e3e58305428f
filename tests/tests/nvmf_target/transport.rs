//! The options of a transport.

use serde_json::json;
use spdk::Errno;
use spdk::nvmf::{NvmfTarget, NvmfTargetOpts, NvmfTransportOpts};
use spdk_tests::traces::{self, Line};
use spdk_tests::{assert_errno, assert_kind};
use tracing::level_filters::LevelFilter;

use crate::over_tcp;

/// Fails if an option of a transport has no effect.
#[spdk::test]
async fn a_transport_has_what_it_is_made_with() -> spdk::Result<()> {
    let target = NvmfTarget::create(&NvmfTargetOpts::new("options")).await?;
    assert_eq!(target.transport().await?, None);
    let opts = NvmfTransportOpts::tcp()
        .max_queue_depth(64)
        .max_qpairs_per_ctrlr(5)
        .in_capsule_data_size(8192)
        .max_io_size(65536)
        .io_unit_size(16384)
        .max_aq_depth(48)
        .num_shared_buffers(1000)
        .buf_cache_size(11)
        .dif_insert_or_strip(true)
        .abort_timeout_sec(3)
        .association_timeout(5000)
        .acceptor_poll_rate(500)
        .zcopy(true)
        .min_kato(8000)
        .kas(20)
        .compare(false)
        .dataset_management(false)
        .write_zeroes(true)
        .reservations(false)
        .copy(false)
        .compare_and_write(false)
        .c2h_success(false)
        .control_msg_num(64)
        .sock_priority(3);
    target.add_transport(&opts).await?;
    let Some(has) = target.transport().await? else {
        panic!("it was added");
    };
    assert_eq!((has.max_queue_depth, has.max_qpairs_per_ctrlr), (64, 5));
    assert_eq!(
        (has.in_capsule_data_size, has.max_io_size, has.io_unit_size),
        (8192, 65536, 16384)
    );
    assert_eq!(
        (has.max_aq_depth, has.num_shared_buffers, has.buf_cache_size),
        (48, 1000, 11)
    );
    assert_eq!((has.dif_insert_or_strip, has.zcopy), (true, true));
    assert_eq!((has.abort_timeout_sec, has.association_timeout), (3, 5000));
    assert_eq!(has.acceptor_poll_rate, 500);
    assert_eq!((has.min_kato, has.kas), (8000, 20));
    let commands = [
        has.compare,
        has.dataset_management,
        has.write_zeroes,
        has.reservations,
        has.copy,
        has.compare_and_write,
    ];
    assert_eq!(commands, [false, false, true, false, false, false]);
    // What TCP has of its own is in SPDK's answers only.
    let said: serde_json::Value =
        spdk::rpc::call("nvmf_get_transports", &json!({"tgt_name": "options"})).await?;
    assert_eq!(said[0]["c2h_success"], false, "{said}");
    assert_eq!(said[0]["sock_priority"], 3, "{said}");
    target.close().await
}

/// Fails if options that SPDK cannot use, or crashes with, leave another trace than an error.
#[spdk::test]
async fn options_are_refused() -> spdk::Result<()> {
    let target = NvmfTarget::create(&NvmfTargetOpts::new("refused")).await?;
    let opts = NvmfTransportOpts::tcp;
    for opts in [
        opts().max_io_size(0),
        opts().min_kato(u32::MAX),
        // SPDK follows a null pointer.
        opts().num_shared_buffers(0).buf_cache_size(0),
        // It multiplies these, and has 2 MiB for all commands then.
        opts()
            .max_io_size(2 << 20)
            .in_capsule_data_size(2 << 20)
            .max_queue_depth(2049),
        // And less than 4 GiB without the metadata.
        opts()
            .dif_insert_or_strip(true)
            .max_io_size(2 << 20)
            .in_capsule_data_size(2 << 20)
            .max_queue_depth(2000),
        // It is 704 microseconds for SPDK.
        opts().association_timeout(4_294_968),
        opts().max_qpairs_per_ctrlr(0),
        opts().max_qpairs_per_ctrlr(1),
    ] {
        assert_kind!(target.add_transport(&opts).await, Option);
    }
    for opts in [
        opts().max_io_size(12288),
        opts().io_unit_size(0),
        opts().io_unit_size(1),
        opts().kas(0),
        opts().min_kato(0),
        opts().sock_priority(u32::MAX),
    ] {
        assert_kind!(target.add_transport(&opts).await, InvalidArgument);
    }
    assert_eq!(target.transport().await?, None);
    target.add_transport(&opts()).await?;
    target.close().await
}

/// Fails if the number of buffers for control messages does not reach the transport, whose log alone tells it.
#[spdk::test]
async fn a_transport_has_its_control_messages() -> spdk::Result<()> {
    traces::keep(LevelFilter::DEBUG);
    spdk::log::set_level(spdk::log::LogLevel::Info);
    spdk::log::set_flag("nvmf_tcp", true)?;
    let target = NvmfTarget::create(&NvmfTargetOpts::new("messages")).await?;
    let opts = NvmfTransportOpts::tcp().control_msg_num(77);
    target.add_transport(&opts).await?;
    let lines = traces::lines("spdk::log");
    let told = |line: &Line| line.message().contains("control_msg_num=77");
    assert!(lines.iter().any(told), "{lines:?}");
    target.close().await
}

/// Fails if the end of a target frees the iobuf module that the channels of another one point to.
#[spdk::test]
async fn a_target_leaves_the_buffers_of_another() -> spdk::Result<()> {
    let ends = over_tcp(&NvmfTargetOpts::new("ends")).await?;
    let stays = over_tcp(&NvmfTargetOpts::new("stays")).await?;
    ends.close().await?;
    let modules = spdk::iobuf::stats().await?;
    assert!(
        modules.iter().any(|module| module.module == "nvmf_TCP"),
        "{modules:?}"
    );
    // It takes a channel of its own.
    let late = over_tcp(&NvmfTargetOpts::new("late")).await?;
    stays.close().await?;
    late.close().await
}

/// Fails if an spdk_thread gets more poll groups than SPDK has room for iobuf channels: that of the transport crashes.
#[spdk::test]
async fn an_spdk_thread_has_so_many_poll_groups() -> spdk::Result<()> {
    let mut targets = Vec::new();
    let refused = loop {
        match NvmfTarget::create(&NvmfTargetOpts::new(format!("target {}", targets.len()))).await {
            Ok(target) => {
                target.add_transport(&NvmfTransportOpts::tcp()).await?;
                targets.push(target);
            }
            refused => break refused,
        }
    };
    assert_eq!(targets.len(), 32);
    assert_errno(refused, Errno::ENOMEM);
    targets.pop().expect("there are some").close().await?;
    for target in targets {
        target.close().await?;
    }
    NvmfTarget::create(&NvmfTargetOpts::new("again"))
        .await?
        .close()
        .await
}
