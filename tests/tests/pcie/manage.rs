//! Formats, and namespaces that are attached and detached.
//!
//! These faults would make these tests fail:
//!
//! - A format that ends resets nothing: `format`.

use spdk::nvme::{NewNamespace, NvmeController, NvmeEvent, NvmeFormat};
use spdk::{Errno, Error, ErrorKind};
use spdk_tests::machine::{Drive, slot, trid};
use spdk_tests::pattern;
use spdk_tests::wait::within;
use spdk_tests::{kind, until};

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn format() {
    let drive = Drive::open(slot::FORMAT).await;
    let data = drive.ns.data().expect("it is here");
    let formats = data.formats();
    drive.write(0, 64, 1).await.expect("it writes");
    let of = |data_size, md_size| {
        let mut formats = formats.iter();
        let index = formats.position(|it| (it.data_size, it.md_size) == (data_size, md_size));
        NvmeFormat {
            format: index.expect("it has such a format") as u8,
            ..NvmeFormat::default()
        }
    };
    // Not beside queue pairs.
    let busy = drive.controller.format(1, &of(4096, 0)).await;
    assert_eq!(
        busy.as_ref().err().and_then(Error::errno),
        Some(Errno::EBUSY),
        "{busy:?}"
    );
    let Drive {
        controller,
        qpair,
        ns,
    } = drive;
    qpair.close().await.expect("it is of this spdk_thread");

    controller
        .format(1, &of(4096, 0))
        .await
        .expect("it formats");
    assert_eq!((ns.sector_size(), ns.size()), (4096, 32 << 20));
    let drive = Drive::of(controller, 1).await;
    pattern::assert_zero(&drive.read(0, 8).await.expect("it reads"));
    drive.write(0, 64, 2).await.expect("it writes");
    drive.verify(0, 64, 2).await;
    let Drive {
        controller,
        qpair,
        ns: same,
    } = drive;
    drop(same);
    qpair.close().await.expect("it is of this spdk_thread");

    // With metadata after each block, and protection information.
    let protected = NvmeFormat {
        interleaves_md: true,
        protection: 1,
        ..of(512, 8)
    };
    controller.format(1, &protected).await.expect("it formats");
    let data = ns.data().expect("it is here");
    assert_eq!(
        (
            ns.sector_size(),
            ns.extended_sector_size().expect("it is here")
        ),
        (512, 520)
    );
    assert!(data.is_md_interleaved() && data.protection_type() == 1);
    let wrong = NvmeFormat {
        format: 15,
        ..NvmeFormat::default()
    };
    let refused = controller.format(1, &wrong).await;
    let Some(ErrorKind::Device { status, .. }) = kind(&refused) else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (status.sct, status.sc, status.sc_name()),
        (1, 0x0a, "INVALID FORMAT")
    );

    controller.format(1, &of(512, 0)).await.expect("it formats");
    assert_eq!((ns.sector_size(), ns.num_sectors()), (512, 64 << 10));
    drop(ns);
    let drive = Drive::of(controller, 1).await;
    drive.write(0, 64, 3).await.expect("it writes");
    drive.verify(0, 64, 3).await;
    drive.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn namespaces() {
    let one = Drive::at(&trid(slot::MANY[0]), 1).await;
    let two = Drive::at(&trid(slot::MANY[1]), 1).await;
    let mut events = two.controller.events().expect("it is here");
    // What one has written the other reads.
    one.write(0, 8, 1).await.expect("it writes");
    two.verify(0, 8, 1).await;
    assert!(two.controller.namespace(2).is_none());
    let ids = [0, 1];
    one.controller
        .attach_namespace(2, &ids)
        .await
        .expect("it attaches");
    let event = within("the event", events.next()).await;
    assert_eq!(event, Some(NvmeEvent::NamespaceChanged));
    for drive in [&one, &two] {
        until("it to be active", || {
            drive.controller.namespace(2).is_some()
        })
        .await;
    }
    assert_eq!(one.controller.active_namespaces(), [1, 2, 3]);
    assert_eq!(two.controller.active_namespaces(), [1, 2]);
    let written = one.controller.namespace(2).expect("it is active");
    let buf = one.filled(8, 8, 2);
    written
        .write(&one.qpair, &buf, 8, 8)
        .await
        .expect("it writes");
    let ns = two.controller.namespace(2).expect("it is active");
    let mut read = two.buffer(8);
    ns.read(&two.qpair, &mut read, 8, 8)
        .await
        .expect("it reads");
    pattern::assert_is(&read, 512, 8, 2);
    // Twice is refused by us, and what the controller refuses is told.
    let again = one.controller.attach_namespace(2, &ids).await;
    let told = matches!(kind(&again), Some(ErrorKind::InvalidArgument { .. }));
    assert!(told, "{again:?}");
    let none = one.controller.attach_namespace(9, &ids).await;
    assert!(
        matches!(kind(&none), Some(ErrorKind::Device { .. })),
        "{none:?}"
    );

    one.controller
        .detach_namespace(2, &ids)
        .await
        .expect("it detaches");
    let event = within("the event", events.next()).await;
    assert_eq!(event, Some(NvmeEvent::NamespaceChanged));
    until("it to be inactive", || !ns.is_active()).await;
    let gone = ns.read(&two.qpair, &mut read, 8, 8).await;
    let told = matches!(kind(&gone), Some(ErrorKind::InvalidArgument { .. }));
    assert!(told, "{gone:?}");
    until("it to be inactive", || {
        one.controller.namespace(2).is_none()
    })
    .await;
    // QEMU makes and deletes none.
    let new = NewNamespace {
        size: 1 << 10,
        capacity: 1 << 10,
        ..NewNamespace::default()
    };
    let made = one.controller.create_namespace(&new).await;
    assert!(
        matches!(kind(&made), Some(ErrorKind::Device { .. })),
        "{made:?}"
    );
    let deleted = one.controller.delete_namespace(3).await;
    assert!(
        matches!(kind(&deleted), Some(ErrorKind::Device { .. })),
        "{deleted:?}"
    );
    drop((written, ns));
    two.close().await;
    one.close().await;
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn two_at_once() {
    // Both by one future each, and their queue pairs beside each other.
    let open = |slot: u8| async move {
        let drive = Drive::open(slot).await;
        drive
            .write(64, 64, u64::from(slot))
            .await
            .expect("it writes");
        let more = NvmeController::alloc_io_qpair(&drive.controller, None);
        let more = more.await.expect("it has queue pairs");
        let mut buf = drive.buffer(64);
        drive
            .ns
            .read(&more, &mut buf, 64, 64)
            .await
            .expect("it reads");
        pattern::assert_is(&buf, drive.block(), 64, u64::from(slot));
        drop(more);
        drive.close().await;
    };
    futures_util::future::join(open(slot::PLAIN), open(slot::SLOW)).await;
}
