// @generated from spdk-api.ron by `cargo xtask codegen`. Do not edit.
//! What types promise of threads.

use crate::__private as rt;

rt::assert_not_send_sync!(crate::CurrentThread);
rt::assert_not_send_sync!(crate::EndedIo<'static, u8>);
rt::assert_not_send_sync!(crate::Events<crate::BdevEvent>);
rt::assert_not_send_sync!(crate::Interrupt);
rt::assert_not_send_sync!(crate::IoDeviceChannel<u8>);
rt::assert_not_send_sync!(crate::IoQueue<u8>);
rt::assert_not_send_sync!(crate::Poller);
rt::assert_not_send_sync!(crate::SpdkEnv);
rt::assert_not_send_sync!(crate::bdev::BdevChannel);
rt::assert_not_send_sync!(crate::bdev::MemoryDomain);
rt::assert_not_send_sync!(crate::bdev::Pull);
rt::assert_not_send_sync!(crate::bdev::Push);
rt::assert_not_send_sync!(crate::bdev::QuiescedRange);
rt::assert_not_send_sync!(crate::bdev::Zcopy);
rt::assert_not_send_sync!(crate::iobuf::Channel);
rt::assert_not_send_sync!(crate::task::JoinHandle<u8>);
rt::assert_not_send_sync!(crate::time::Interval);
rt::assert_not_send_sync!(crate::time::Sleep);
rt::assert_send!(crate::Completion<u8>);
rt::assert_not_sync!(crate::Completion<u8>);
rt::assert_send!(crate::DmaBuf);
rt::assert_not_sync!(crate::DmaBuf);
rt::assert_send!(crate::Done<u8>);
rt::assert_not_sync!(crate::Done<u8>);
rt::assert_send!(crate::CompletionSender<u8>);
rt::assert_sync!(crate::CompletionSender<u8>);
rt::assert_send!(crate::Context);
rt::assert_sync!(crate::Context);
rt::assert_send!(crate::CpuSet);
rt::assert_sync!(crate::CpuSet);
rt::assert_send!(crate::CriticalSender);
rt::assert_sync!(crate::CriticalSender);
rt::assert_send!(crate::Errno);
rt::assert_sync!(crate::Errno);
rt::assert_send!(crate::Error);
rt::assert_sync!(crate::Error);
rt::assert_send!(crate::ErrorKind);
rt::assert_sync!(crate::ErrorKind);
rt::assert_send!(crate::FdEvents);
rt::assert_sync!(crate::FdEvents);
rt::assert_send!(crate::Gone);
rt::assert_sync!(crate::Gone);
rt::assert_send!(crate::IoDevice<std::rc::Rc<u8>>);
rt::assert_sync!(crate::IoDevice<std::rc::Rc<u8>>);
rt::assert_send!(crate::IoId);
rt::assert_sync!(crate::IoId);
rt::assert_send!(crate::IoTimeout);
rt::assert_sync!(crate::IoTimeout);
rt::assert_send!(crate::JoinHandle<u8>);
rt::assert_sync!(crate::JoinHandle<u8>);
rt::assert_send!(crate::LogLevel);
rt::assert_sync!(crate::LogLevel);
rt::assert_send!(crate::MovablePoller);
rt::assert_sync!(crate::MovablePoller);
rt::assert_send!(crate::MovableThread);
rt::assert_sync!(crate::MovableThread);
rt::assert_send!(crate::NotSent);
rt::assert_sync!(crate::NotSent);
rt::assert_send!(crate::NvmeCmd);
rt::assert_sync!(crate::NvmeCmd);
rt::assert_send!(crate::NvmeStatus);
rt::assert_sync!(crate::NvmeStatus);
rt::assert_send!(crate::PollStatus);
rt::assert_sync!(crate::PollStatus);
rt::assert_send!(crate::PollerBuilder);
rt::assert_sync!(crate::PollerBuilder);
rt::assert_send!(crate::Range);
rt::assert_sync!(crate::Range);
rt::assert_send!(crate::SpdkApp);
rt::assert_sync!(crate::SpdkApp);
rt::assert_send!(crate::SpdkAppBuilder);
rt::assert_sync!(crate::SpdkAppBuilder);
rt::assert_send!(crate::SpdkEnvBuilder);
rt::assert_sync!(crate::SpdkEnvBuilder);
rt::assert_send!(crate::ThreadHandle);
rt::assert_sync!(crate::ThreadHandle);
rt::assert_send!(crate::ThreadInfo);
rt::assert_sync!(crate::ThreadInfo);
rt::assert_send!(crate::ThreadStats);
rt::assert_sync!(crate::ThreadStats);
rt::assert_send!(crate::bdev::Bucket);
rt::assert_sync!(crate::bdev::Bucket);
rt::assert_send!(crate::bdev::Claim);
rt::assert_sync!(crate::bdev::Claim);
rt::assert_send!(crate::bdev::DmaDevice);
rt::assert_sync!(crate::bdev::DmaDevice);
rt::assert_send!(crate::bdev::DomainInfo);
rt::assert_sync!(crate::bdev::DomainInfo);
rt::assert_send!(crate::bdev::DomainRange);
rt::assert_sync!(crate::bdev::DomainRange);
rt::assert_send!(crate::bdev::Histogram);
rt::assert_sync!(crate::bdev::Histogram);
rt::assert_send!(crate::bdev::QosLimits);
rt::assert_sync!(crate::bdev::QosLimits);
rt::assert_send!(crate::iobuf::ModuleStats);
rt::assert_sync!(crate::iobuf::ModuleStats);
rt::assert_send!(crate::iobuf::PoolStats);
rt::assert_sync!(crate::iobuf::PoolStats);
rt::assert_send!(crate::iobuf::Pools);
rt::assert_sync!(crate::iobuf::Pools);
rt::assert_send!(crate::log::LogFlag);
rt::assert_sync!(crate::log::LogFlag);
rt::assert_send!(crate::metrics::DeviceMetrics);
rt::assert_sync!(crate::metrics::DeviceMetrics);
rt::assert_send!(crate::metrics::ErrorCount);
rt::assert_sync!(crate::metrics::ErrorCount);
rt::assert_send!(crate::metrics::Sample);
rt::assert_sync!(crate::metrics::Sample);
rt::assert_send!(crate::metrics::SampleKind);
rt::assert_sync!(crate::metrics::SampleKind);
rt::assert_send!(crate::metrics::Snapshot);
rt::assert_sync!(crate::metrics::Snapshot);
rt::assert_send!(crate::metrics::ThreadMetrics);
rt::assert_sync!(crate::metrics::ThreadMetrics);
#[cfg(spdk_since_25_05)]
rt::assert_send!(crate::bdev::HistogramOptions);
#[cfg(spdk_since_25_05)]
rt::assert_sync!(crate::bdev::HistogramOptions);
#[cfg(feature = "blob")]
rt::assert_not_send_sync!(crate::EndedIo<'static, u8, crate::blob::Blob>);
#[cfg(feature = "blob")]
rt::assert_not_send_sync!(crate::IoQueue<u8, crate::blob::Blob>);
#[cfg(feature = "blob")]
rt::assert_not_send_sync!(crate::blob::Blobs);
#[cfg(feature = "blob")]
rt::assert_not_send_sync!(crate::blob::ReadInto);
#[cfg(feature = "blob")]
rt::assert_not_send_sync!(crate::blob::ShallowCopy<'static>);
#[cfg(feature = "blob")]
rt::assert_not_send_sync!(crate::blob::WriteFrom);
#[cfg(feature = "blob")]
rt::assert_send!(crate::blob::ExternalSnapshot);
#[cfg(feature = "blob")]
rt::assert_not_sync!(crate::blob::ExternalSnapshot);
#[cfg(feature = "blob")]
rt::assert_send!(crate::blob::BlobId);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::blob::BlobId);
#[cfg(feature = "blob")]
rt::assert_send!(crate::blob::BlobInfo);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::blob::BlobInfo);
#[cfg(feature = "blob")]
rt::assert_send!(crate::blob::BlobOpts);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::blob::BlobOpts);
#[cfg(feature = "blob")]
rt::assert_send!(crate::blob::BsOpts);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::blob::BsOpts);
#[cfg(feature = "blob")]
rt::assert_send!(crate::blob::BsType);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::blob::BsType);
#[cfg(feature = "blob")]
rt::assert_send!(crate::blob::SnapshotTree);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::blob::SnapshotTree);
#[cfg(feature = "blob")]
rt::assert_send!(crate::lvol::LvolInfo);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::lvol::LvolInfo);
#[cfg(feature = "blob")]
rt::assert_send!(crate::lvol::LvolOpts);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::lvol::LvolOpts);
#[cfg(feature = "blob")]
rt::assert_send!(crate::lvol::LvsOpts);
#[cfg(feature = "blob")]
rt::assert_sync!(crate::lvol::LvsOpts);
#[cfg(feature = "nvme")]
rt::assert_not_send_sync!(crate::EndedIo<'static, u8, crate::nvme::NvmeNamespace>);
#[cfg(feature = "nvme")]
rt::assert_not_send_sync!(crate::IoQueue<u8, crate::nvme::NvmeNamespace>);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::AcquireKeys);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::AcquireKeys);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::AddressFamily);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::AddressFamily);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::Arbitration);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::Arbitration);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::BlockFormat);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::BlockFormat);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::CommandSet);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::CommandSet);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::ControllerData);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::ControllerData);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::CopyRange);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::CopyRange);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::DhchapDigest);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::DhchapDigest);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::DhchapGroup);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::DhchapGroup);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::DiscoveryEntry);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::DiscoveryEntry);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::DsmAttributes);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::DsmAttributes);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::DsmRange);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::DsmRange);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::FirmwareAction);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::FirmwareAction);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::FirmwareReset);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::FirmwareReset);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::NamespaceData);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::NamespaceData);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::NewNamespace);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::NewNamespace);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::NvmeEvent);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::NvmeEvent);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::NvmeFormat);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::NvmeFormat);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::NvmeQpairOpts);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::NvmeQpairOpts);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::NvmeRemote);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::NvmeRemote);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::NvmeTimeouts);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::NvmeTimeouts);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::QueuePriority);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::QueuePriority);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::RegisterKeys);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::RegisterKeys);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::ReleaseKey);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::ReleaseKey);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::Sanitize);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::Sanitize);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::SanitizeState);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::SanitizeState);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::SecureErase);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::SecureErase);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::TransportId);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::TransportId);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::nvme::TransportType);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::nvme::TransportType);
#[cfg(feature = "nvme")]
rt::assert_send!(crate::testing::NvmfTarget);
#[cfg(feature = "nvme")]
rt::assert_sync!(crate::testing::NvmfTarget);
#[cfg(feature = "config")]
rt::assert_send!(crate::config::Config);
#[cfg(feature = "config")]
rt::assert_sync!(crate::config::Config);
#[cfg(feature = "config")]
rt::assert_send!(crate::config::FtlDevice);
#[cfg(feature = "config")]
rt::assert_sync!(crate::config::FtlDevice);
#[cfg(feature = "config")]
rt::assert_send!(crate::config::Problem);
#[cfg(feature = "config")]
rt::assert_sync!(crate::config::Problem);
#[cfg(feature = "nvmf")]
rt::assert_not_send_sync!(crate::nvmf::NvmfPaused);
#[cfg(feature = "nvmf")]
rt::assert_not_send_sync!(crate::nvmf::NvmfServer);
#[cfg(feature = "nvmf")]
rt::assert_not_send_sync!(crate::nvmf::NvmfSubsystem);
#[cfg(feature = "nvmf")]
rt::assert_not_send_sync!(crate::nvmf::NvmfTarget);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfAddress);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfAddress);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfDiscoveryFilter);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfDiscoveryFilter);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfGroupStat);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfGroupStat);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfHostKeys);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfHostKeys);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfListenerOpts);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfListenerOpts);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfNamespace);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfNamespace);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfNamespaceOpts);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfNamespaceOpts);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfQueuePair);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfQueuePair);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfReferral);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfReferral);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfSubsystemOpts);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfSubsystemOpts);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::NvmfTargetOpts);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::NvmfTargetOpts);
#[cfg(feature = "nvmf")]
rt::assert_send!(crate::nvmf::Serve);
#[cfg(feature = "nvmf")]
rt::assert_sync!(crate::nvmf::Serve);
#[cfg(all(feature = "nvmf", feature = "config"))]
rt::assert_send!(crate::nvmf::NvmfController);
#[cfg(all(feature = "nvmf", feature = "config"))]
rt::assert_sync!(crate::nvmf::NvmfController);
#[cfg(all(feature = "nvmf", spdk_since_24_09))]
rt::assert_send!(crate::nvmf::NvmfEvent);
#[cfg(all(feature = "nvmf", spdk_since_24_09))]
rt::assert_sync!(crate::nvmf::NvmfEvent);
