// @generated from spdk-api.ron by `cargo xtask codegen`. Do not edit.
//! What types and operations promise of threads. A line with `//~` is an error with this code, whose
//! message has these words. Every other line compiles.

fn send<T: Send>() {}

fn sync<T: Sync>() {}

trait Operation<Arguments> {
    type Future;
}

macro_rules! operation {
    ($($argument:ident)*) => {
        impl<F: FnOnce($($argument),*) -> R, R, $($argument),*> Operation<($($argument,)*)> for F {
            type Future = R;
        }
    };
}

operation!(A);
operation!(A B);
operation!(A B C);
operation!(A B C D);
operation!(A B C D E);
operation!(A B C D E F2);
operation!(A B C D E F2 G);
operation!(A B C D E F2 G H);

fn send_future<Arguments, F: Operation<Arguments, Future: Send>>(_: F) {}

fn types() {
    send::<spdk::SpdkThread>(); //~ E0277 `Send` SpdkThread
    sync::<spdk::SpdkThread>(); //~ E0277 `Sync` SpdkThread
    send::<spdk::IoChannel>(); //~ E0277 `Send` IoChannel
    sync::<spdk::IoChannel>(); //~ E0277 `Sync` IoChannel
    send::<spdk::bdev::Bdev>(); //~ E0277 `Send` Bdev
    sync::<spdk::bdev::Bdev>(); //~ E0277 `Sync` Bdev
    send::<spdk::bdev::BdevDesc>(); //~ E0277 `Send` BdevDesc
    sync::<spdk::bdev::BdevDesc>(); //~ E0277 `Sync` BdevDesc
    send::<spdk::blob::Blobstore>();
    sync::<spdk::blob::Blobstore>();
    send::<spdk::blob::Blob>(); //~ E0277 `Send` Blob
    sync::<spdk::blob::Blob>(); //~ E0277 `Sync` Blob
    send::<spdk::lvol::LvolStore>();
    sync::<spdk::lvol::LvolStore>();
    send::<spdk::lvol::Lvol>(); //~ E0277 `Send` Lvol
    sync::<spdk::lvol::Lvol>(); //~ E0277 `Sync` Lvol
    send::<spdk::nvme::NvmeController>(); //~ E0277 `Send` NvmeController
    sync::<spdk::nvme::NvmeController>(); //~ E0277 `Sync` NvmeController
    send::<spdk::nvme::NvmeQpair>(); //~ E0277 `Send` NvmeQpair
    sync::<spdk::nvme::NvmeQpair>(); //~ E0277 `Sync` NvmeQpair
    send::<spdk::nvme::NvmeNamespace>(); //~ E0277 `Send` NvmeNamespace
    sync::<spdk::nvme::NvmeNamespace>(); //~ E0277 `Sync` NvmeNamespace
    send::<spdk::CurrentThread>(); //~ E0277 `Send` CurrentThread
    sync::<spdk::CurrentThread>(); //~ E0277 `Sync` CurrentThread
    send::<spdk::EndedIo<'static, u8>>(); //~ E0277 `Send` EndedIo
    sync::<spdk::EndedIo<'static, u8>>(); //~ E0277 `Sync` EndedIo
    send::<spdk::Events<spdk::BdevEvent>>(); //~ E0277 `Send` Events
    sync::<spdk::Events<spdk::BdevEvent>>(); //~ E0277 `Sync` Events
    send::<spdk::Interrupt>(); //~ E0277 `Send` Interrupt
    sync::<spdk::Interrupt>(); //~ E0277 `Sync` Interrupt
    send::<spdk::IoDeviceChannel<u8>>(); //~ E0277 `Send` IoDeviceChannel
    sync::<spdk::IoDeviceChannel<u8>>(); //~ E0277 `Sync` IoDeviceChannel
    send::<spdk::IoQueue<u8>>(); //~ E0277 `Send` IoQueue
    sync::<spdk::IoQueue<u8>>(); //~ E0277 `Sync` IoQueue
    send::<spdk::Poller>(); //~ E0277 `Send` Poller
    sync::<spdk::Poller>(); //~ E0277 `Sync` Poller
    send::<spdk::SpdkEnv>(); //~ E0277 `Send` SpdkEnv
    sync::<spdk::SpdkEnv>(); //~ E0277 `Sync` SpdkEnv
    send::<spdk::bdev::BdevChannel>(); //~ E0277 `Send` BdevChannel
    sync::<spdk::bdev::BdevChannel>(); //~ E0277 `Sync` BdevChannel
    send::<spdk::bdev::MemoryDomain>(); //~ E0277 `Send` MemoryDomain
    sync::<spdk::bdev::MemoryDomain>(); //~ E0277 `Sync` MemoryDomain
    send::<spdk::bdev::Pull>(); //~ E0277 `Send` Pull
    sync::<spdk::bdev::Pull>(); //~ E0277 `Sync` Pull
    send::<spdk::bdev::Push>(); //~ E0277 `Send` Push
    sync::<spdk::bdev::Push>(); //~ E0277 `Sync` Push
    send::<spdk::bdev::QuiescedRange>(); //~ E0277 `Send` QuiescedRange
    sync::<spdk::bdev::QuiescedRange>(); //~ E0277 `Sync` QuiescedRange
    send::<spdk::bdev::Zcopy>(); //~ E0277 `Send` Zcopy
    sync::<spdk::bdev::Zcopy>(); //~ E0277 `Sync` Zcopy
    send::<spdk::iobuf::Channel>(); //~ E0277 `Send` Channel
    sync::<spdk::iobuf::Channel>(); //~ E0277 `Sync` Channel
    send::<spdk::task::JoinHandle<u8>>(); //~ E0277 `Send` JoinHandle
    sync::<spdk::task::JoinHandle<u8>>(); //~ E0277 `Sync` JoinHandle
    send::<spdk::time::Interval>(); //~ E0277 `Send` Interval
    sync::<spdk::time::Interval>(); //~ E0277 `Sync` Interval
    send::<spdk::time::Sleep>(); //~ E0277 `Send` Sleep
    sync::<spdk::time::Sleep>(); //~ E0277 `Sync` Sleep
    send::<spdk::Completion<u8>>();
    sync::<spdk::Completion<u8>>(); //~ E0277 `Sync` Completion
    send::<spdk::DmaBuf>();
    sync::<spdk::DmaBuf>(); //~ E0277 `Sync` DmaBuf
    send::<spdk::Done<u8>>();
    sync::<spdk::Done<u8>>(); //~ E0277 `Sync` Done
    send::<spdk::CompletionSender<u8>>();
    sync::<spdk::CompletionSender<u8>>();
    send::<spdk::Context>();
    sync::<spdk::Context>();
    send::<spdk::CpuSet>();
    sync::<spdk::CpuSet>();
    send::<spdk::CriticalSender>();
    sync::<spdk::CriticalSender>();
    send::<spdk::Errno>();
    sync::<spdk::Errno>();
    send::<spdk::Error>();
    sync::<spdk::Error>();
    send::<spdk::ErrorKind>();
    sync::<spdk::ErrorKind>();
    send::<spdk::FdEvents>();
    sync::<spdk::FdEvents>();
    send::<spdk::Gone>();
    sync::<spdk::Gone>();
    send::<spdk::IoDevice<std::rc::Rc<u8>>>();
    sync::<spdk::IoDevice<std::rc::Rc<u8>>>();
    send::<spdk::IoId>();
    sync::<spdk::IoId>();
    send::<spdk::IoTimeout>();
    sync::<spdk::IoTimeout>();
    send::<spdk::JoinHandle<u8>>();
    sync::<spdk::JoinHandle<u8>>();
    send::<spdk::LogLevel>();
    sync::<spdk::LogLevel>();
    send::<spdk::MovablePoller>();
    sync::<spdk::MovablePoller>();
    send::<spdk::MovableThread>();
    sync::<spdk::MovableThread>();
    send::<spdk::NotSent>();
    sync::<spdk::NotSent>();
    send::<spdk::NvmeCmd>();
    sync::<spdk::NvmeCmd>();
    send::<spdk::NvmeStatus>();
    sync::<spdk::NvmeStatus>();
    send::<spdk::PollStatus>();
    sync::<spdk::PollStatus>();
    send::<spdk::PollerBuilder>();
    sync::<spdk::PollerBuilder>();
    send::<spdk::Range>();
    sync::<spdk::Range>();
    send::<spdk::SpdkApp>();
    sync::<spdk::SpdkApp>();
    send::<spdk::SpdkAppBuilder>();
    sync::<spdk::SpdkAppBuilder>();
    send::<spdk::SpdkEnvBuilder>();
    sync::<spdk::SpdkEnvBuilder>();
    send::<spdk::ThreadHandle>();
    sync::<spdk::ThreadHandle>();
    send::<spdk::ThreadInfo>();
    sync::<spdk::ThreadInfo>();
    send::<spdk::ThreadStats>();
    sync::<spdk::ThreadStats>();
    send::<spdk::bdev::Bucket>();
    sync::<spdk::bdev::Bucket>();
    send::<spdk::bdev::Claim>();
    sync::<spdk::bdev::Claim>();
    send::<spdk::bdev::DmaDevice>();
    sync::<spdk::bdev::DmaDevice>();
    send::<spdk::bdev::DomainInfo>();
    sync::<spdk::bdev::DomainInfo>();
    send::<spdk::bdev::DomainRange>();
    sync::<spdk::bdev::DomainRange>();
    send::<spdk::bdev::Histogram>();
    sync::<spdk::bdev::Histogram>();
    send::<spdk::bdev::QosLimits>();
    sync::<spdk::bdev::QosLimits>();
    send::<spdk::iobuf::ModuleStats>();
    sync::<spdk::iobuf::ModuleStats>();
    send::<spdk::iobuf::PoolStats>();
    sync::<spdk::iobuf::PoolStats>();
    send::<spdk::iobuf::Pools>();
    sync::<spdk::iobuf::Pools>();
    send::<spdk::log::LogFlag>();
    sync::<spdk::log::LogFlag>();
    send::<spdk::metrics::DeviceMetrics>();
    sync::<spdk::metrics::DeviceMetrics>();
    send::<spdk::metrics::ErrorCount>();
    sync::<spdk::metrics::ErrorCount>();
    send::<spdk::metrics::Sample>();
    sync::<spdk::metrics::Sample>();
    send::<spdk::metrics::SampleKind>();
    sync::<spdk::metrics::SampleKind>();
    send::<spdk::metrics::Snapshot>();
    sync::<spdk::metrics::Snapshot>();
    send::<spdk::metrics::ThreadMetrics>();
    sync::<spdk::metrics::ThreadMetrics>();
    send::<spdk::bdev::HistogramOptions>();
    sync::<spdk::bdev::HistogramOptions>();
    send::<spdk::EndedIo<'static, u8, spdk::blob::Blob>>(); //~ E0277 `Send` EndedIo
    sync::<spdk::EndedIo<'static, u8, spdk::blob::Blob>>(); //~ E0277 `Sync` EndedIo
    send::<spdk::IoQueue<u8, spdk::blob::Blob>>(); //~ E0277 `Send` IoQueue
    sync::<spdk::IoQueue<u8, spdk::blob::Blob>>(); //~ E0277 `Sync` IoQueue
    send::<spdk::blob::Blobs>(); //~ E0277 `Send` Blobs
    sync::<spdk::blob::Blobs>(); //~ E0277 `Sync` Blobs
    send::<spdk::blob::ReadInto>(); //~ E0277 `Send` ReadInto
    sync::<spdk::blob::ReadInto>(); //~ E0277 `Sync` ReadInto
    send::<spdk::blob::ShallowCopy<'static>>(); //~ E0277 `Send` ShallowCopy
    sync::<spdk::blob::ShallowCopy<'static>>(); //~ E0277 `Sync` ShallowCopy
    send::<spdk::blob::WriteFrom>(); //~ E0277 `Send` WriteFrom
    sync::<spdk::blob::WriteFrom>(); //~ E0277 `Sync` WriteFrom
    send::<spdk::blob::ExternalSnapshot>();
    sync::<spdk::blob::ExternalSnapshot>(); //~ E0277 `Sync` ExternalSnapshot
    send::<spdk::blob::BlobId>();
    sync::<spdk::blob::BlobId>();
    send::<spdk::blob::BlobInfo>();
    sync::<spdk::blob::BlobInfo>();
    send::<spdk::blob::BlobOpts>();
    sync::<spdk::blob::BlobOpts>();
    send::<spdk::blob::BsOpts>();
    sync::<spdk::blob::BsOpts>();
    send::<spdk::blob::BsType>();
    sync::<spdk::blob::BsType>();
    send::<spdk::blob::SnapshotTree>();
    sync::<spdk::blob::SnapshotTree>();
    send::<spdk::lvol::LvolInfo>();
    sync::<spdk::lvol::LvolInfo>();
    send::<spdk::lvol::LvolOpts>();
    sync::<spdk::lvol::LvolOpts>();
    send::<spdk::lvol::LvsOpts>();
    sync::<spdk::lvol::LvsOpts>();
    send::<spdk::EndedIo<'static, u8, spdk::nvme::NvmeNamespace>>(); //~ E0277 `Send` EndedIo
    sync::<spdk::EndedIo<'static, u8, spdk::nvme::NvmeNamespace>>(); //~ E0277 `Sync` EndedIo
    send::<spdk::IoQueue<u8, spdk::nvme::NvmeNamespace>>(); //~ E0277 `Send` IoQueue
    sync::<spdk::IoQueue<u8, spdk::nvme::NvmeNamespace>>(); //~ E0277 `Sync` IoQueue
    send::<spdk::nvme::AcquireKeys>();
    sync::<spdk::nvme::AcquireKeys>();
    send::<spdk::nvme::AddressFamily>();
    sync::<spdk::nvme::AddressFamily>();
    send::<spdk::nvme::Arbitration>();
    sync::<spdk::nvme::Arbitration>();
    send::<spdk::nvme::BlockFormat>();
    sync::<spdk::nvme::BlockFormat>();
    send::<spdk::nvme::CommandSet>();
    sync::<spdk::nvme::CommandSet>();
    send::<spdk::nvme::ControllerData>();
    sync::<spdk::nvme::ControllerData>();
    send::<spdk::nvme::CopyRange>();
    sync::<spdk::nvme::CopyRange>();
    send::<spdk::nvme::DhchapDigest>();
    sync::<spdk::nvme::DhchapDigest>();
    send::<spdk::nvme::DhchapGroup>();
    sync::<spdk::nvme::DhchapGroup>();
    send::<spdk::nvme::DiscoveryEntry>();
    sync::<spdk::nvme::DiscoveryEntry>();
    send::<spdk::nvme::DsmAttributes>();
    sync::<spdk::nvme::DsmAttributes>();
    send::<spdk::nvme::DsmRange>();
    sync::<spdk::nvme::DsmRange>();
    send::<spdk::nvme::FirmwareAction>();
    sync::<spdk::nvme::FirmwareAction>();
    send::<spdk::nvme::FirmwareReset>();
    sync::<spdk::nvme::FirmwareReset>();
    send::<spdk::nvme::NamespaceData>();
    sync::<spdk::nvme::NamespaceData>();
    send::<spdk::nvme::NewNamespace>();
    sync::<spdk::nvme::NewNamespace>();
    send::<spdk::nvme::NvmeEvent>();
    sync::<spdk::nvme::NvmeEvent>();
    send::<spdk::nvme::NvmeFormat>();
    sync::<spdk::nvme::NvmeFormat>();
    send::<spdk::nvme::NvmeQpairOpts>();
    sync::<spdk::nvme::NvmeQpairOpts>();
    send::<spdk::nvme::NvmeRemote>();
    sync::<spdk::nvme::NvmeRemote>();
    send::<spdk::nvme::NvmeTimeouts>();
    sync::<spdk::nvme::NvmeTimeouts>();
    send::<spdk::nvme::QueuePriority>();
    sync::<spdk::nvme::QueuePriority>();
    send::<spdk::nvme::RegisterKeys>();
    sync::<spdk::nvme::RegisterKeys>();
    send::<spdk::nvme::ReleaseKey>();
    sync::<spdk::nvme::ReleaseKey>();
    send::<spdk::nvme::Sanitize>();
    sync::<spdk::nvme::Sanitize>();
    send::<spdk::nvme::SanitizeState>();
    sync::<spdk::nvme::SanitizeState>();
    send::<spdk::nvme::SecureErase>();
    sync::<spdk::nvme::SecureErase>();
    send::<spdk::nvme::TransportId>();
    sync::<spdk::nvme::TransportId>();
    send::<spdk::nvme::TransportType>();
    sync::<spdk::nvme::TransportType>();
    send::<spdk::testing::NvmfTarget>();
    sync::<spdk::testing::NvmfTarget>();
    send::<spdk::config::Config>();
    sync::<spdk::config::Config>();
    send::<spdk::config::FtlDevice>();
    sync::<spdk::config::FtlDevice>();
    send::<spdk::config::Problem>();
    sync::<spdk::config::Problem>();
    send::<spdk::nvmf::NvmfPaused>(); //~ E0277 `Send` NvmfPaused
    sync::<spdk::nvmf::NvmfPaused>(); //~ E0277 `Sync` NvmfPaused
    send::<spdk::nvmf::NvmfServer>(); //~ E0277 `Send` NvmfServer
    sync::<spdk::nvmf::NvmfServer>(); //~ E0277 `Sync` NvmfServer
    send::<spdk::nvmf::NvmfSubsystem>(); //~ E0277 `Send` NvmfSubsystem
    sync::<spdk::nvmf::NvmfSubsystem>(); //~ E0277 `Sync` NvmfSubsystem
    send::<spdk::nvmf::NvmfTarget>(); //~ E0277 `Send` NvmfTarget
    sync::<spdk::nvmf::NvmfTarget>(); //~ E0277 `Sync` NvmfTarget
    send::<spdk::nvmf::NvmfAddress>();
    sync::<spdk::nvmf::NvmfAddress>();
    send::<spdk::nvmf::NvmfDiscoveryFilter>();
    sync::<spdk::nvmf::NvmfDiscoveryFilter>();
    send::<spdk::nvmf::NvmfGroupStat>();
    sync::<spdk::nvmf::NvmfGroupStat>();
    send::<spdk::nvmf::NvmfHostKeys>();
    sync::<spdk::nvmf::NvmfHostKeys>();
    send::<spdk::nvmf::NvmfListenerOpts>();
    sync::<spdk::nvmf::NvmfListenerOpts>();
    send::<spdk::nvmf::NvmfNamespace>();
    sync::<spdk::nvmf::NvmfNamespace>();
    send::<spdk::nvmf::NvmfNamespaceOpts>();
    sync::<spdk::nvmf::NvmfNamespaceOpts>();
    send::<spdk::nvmf::NvmfQueuePair>();
    sync::<spdk::nvmf::NvmfQueuePair>();
    send::<spdk::nvmf::NvmfReferral>();
    sync::<spdk::nvmf::NvmfReferral>();
    send::<spdk::nvmf::NvmfSubsystemOpts>();
    sync::<spdk::nvmf::NvmfSubsystemOpts>();
    send::<spdk::nvmf::NvmfTargetOpts>();
    sync::<spdk::nvmf::NvmfTargetOpts>();
    send::<spdk::nvmf::Serve>();
    sync::<spdk::nvmf::Serve>();
    send::<spdk::nvmf::NvmfController>();
    sync::<spdk::nvmf::NvmfController>();
    send::<spdk::nvmf::NvmfEvent>();
    sync::<spdk::nvmf::NvmfEvent>();
}

fn operations() {
    send_future(spdk::bdev::wait_for_examine); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::seek_data); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::seek_hole); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::read); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::read_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::read_blocks_with_md); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::readv); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::readv_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::readv_blocks_with_md); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::readv_blocks_ext); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::write); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::write_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::write_blocks_with_md); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::writev); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::writev_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::writev_blocks_with_md); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::writev_blocks_ext); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::compare_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::compare_blocks_with_md); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::comparev_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::comparev_blocks_with_md); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::write_zeroes); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::write_zeroes_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::unmap); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::unmap_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::flush); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::flush_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::reset); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::copy_blocks); //~ E0277 `Send`
    send_future(spdk::bdev::Bdev::enable_histogram); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::zone_info); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::zone_management); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::zone_append); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::zone_appendv); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::zone_append_with_md); //~ E0277 `Send`
    send_future(spdk::bdev::BdevDesc::zone_appendv_with_md); //~ E0277 `Send`
    send_future(spdk::blob::Blob::write_io_units); //~ E0277 `Send`
    send_future(spdk::blob::Blob::read_io_units); //~ E0277 `Send`
    send_future(spdk::blob::Blob::writev_io_units); //~ E0277 `Send`
    send_future(spdk::blob::Blob::write_zeroes_io_units); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeController::get_log_page); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeController::get_log_page_ext); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeController::security_receive); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeController::security_send); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeController::directive_receive); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeController::directive_send); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::read); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::readv); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::read_with_md); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::readv_with_md); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::read_ext); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::readv_ext); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::write); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::writev); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::write_with_md); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::writev_with_md); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::write_ext); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::writev_ext); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::compare); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::comparev); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::compare_with_md); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::comparev_with_md); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::write_zeroes); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::verify); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::write_uncorrectable); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::flush); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::dataset_management); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::copy); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::reservation_register); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::reservation_acquire); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::reservation_release); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::reservation_report); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::io_mgmt_recv); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::zone_append); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::zone_append_with_md); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::zone_appendv); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::zone_appendv_with_md); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::close_zone); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::finish_zone); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::open_zone); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::reset_zone); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::offline_zone); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::set_zone_desc_ext); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::report_zones); //~ E0277 `Send`
    send_future(spdk::nvme::NvmeNamespace::ext_report_zones); //~ E0277 `Send`
}

fn main() {}
