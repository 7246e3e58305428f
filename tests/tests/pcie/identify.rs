//! Which controllers there are, and what they say of themselves.
//!
//! These faults would make these tests fail:
//!
//! - A probe forgets what its filter has chosen: `a_probe_finds_all`.

use std::collections::BTreeMap;
use std::rc::Rc;

use spdk::ErrorKind;
use spdk::nvme::{BlockFormat, NvmeController, NvmeCtrlrOpts, TransportId, TransportType};
use spdk_tests::kind;
use spdk_tests::machine::{Drive, slot, trid};

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn a_probe_finds_all() {
    let seen = Rc::new(std::cell::RefCell::new(Vec::new()));
    let told = seen.clone();
    let place = TransportId::all_pcie();
    let found = NvmeController::probe(&place, move |trid| {
        told.borrow_mut().push(trid.clone());
        (*trid != self::trid(slot::SLOW)).then(NvmeCtrlrOpts::new)
    });
    let found = found.await.expect("SPDK looks");
    assert_eq!(seen.borrow().len(), 7, "{seen:?}");
    let mut serials = BTreeMap::new();
    for controller in found {
        let controller = controller.expect("all can be connected");
        let trid = controller.transport_id();
        assert_eq!(trid.transport(), TransportType::Pcie);
        let data = controller.data().expect("it is here");
        assert_eq!(data.model_number(), "QEMU NVMe Ctrl");
        let ids = controller.active_namespaces();
        serials.insert(trid.address().to_owned(), (data.serial_number(), ids));
        // It cannot be had twice.
        let again = NvmeController::connect(&trid, None).await;
        let told = matches!(kind(&again), Some(ErrorKind::NotConnected { .. }));
        assert!(told, "{again:?}");
        controller
            .detach()
            .await
            .expect("it is of this spdk_thread");
    }
    let expected = [
        (slot::PLAIN, "PLAIN", vec![1]),
        (slot::METADATA, "META", vec![1, 2]),
        (slot::ZONED, "ZONED", vec![1]),
        (slot::MANY[0], "MANY", vec![1, 3]),
        (slot::MANY[1], "MANY", vec![1]),
        (slot::FORMAT, "FORMAT", vec![1]),
    ];
    let expected = expected.map(|(slot, serial, ids)| {
        let address = trid(slot).address().to_owned();
        (address, (serial.to_owned(), ids))
    });
    assert_eq!(serials, BTreeMap::from(expected));
    // A slot with nothing, and one with something else.
    for slot in [0x1f, 0x10] {
        let none = NvmeController::connect(&trid(slot), None).await;
        let told = matches!(kind(&none), Some(ErrorKind::NotConnected { .. }));
        assert!(told, "{none:?}");
    }
}

#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn what_they_say() {
    let drive = Drive::open(slot::PLAIN).await;
    let data = drive.controller.data().expect("it is here");
    assert_eq!(data.vendor_id(), 0x1b36);
    assert_eq!(data.max_data_transfer(), 7);
    assert!(data.has_compare() && data.has_write_zeroes() && data.has_dataset_management());
    assert!(data.has_format() && data.has_namespace_management() && data.has_write_cache());
    assert!(data.has_copy());
    assert!(!data.has_reservations() && !data.has_security() && !data.has_firmware());
    assert_eq!((data.abort_limit(), data.event_limit()), (4, 4));
    assert_eq!(data.namespaces(), 256);
    assert!(data.version() >= (1, 4, 0), "{:?}", data.version());
    let ns = &drive.ns;
    assert_eq!(ns.max_io_xfer_size().expect("it is here"), 512 << 10);
    assert_eq!(
        (ns.sector_size(), ns.num_sectors(), ns.size()),
        (512, 64 << 11, 64 << 20)
    );
    let data = ns.data().expect("it is here");
    assert_eq!((data.size(), data.capacity()), (64 << 11, 64 << 11));
    let sizes: Vec<_> = data
        .formats()
        .iter()
        .map(|it| (it.data_size, it.md_size))
        .collect();
    let expected = [512, 4096]
        .map(|size| [0, 8, 16, 64].map(|md| (size, md)))
        .concat();
    assert_eq!(sizes, expected);
    assert_eq!(data.protection_type(), 0);
    drive.close().await;

    for (ns_id, is_interleaved) in [(1, false), (2, true)] {
        let drive = Drive::at(&trid(slot::METADATA), ns_id).await;
        let data = drive.ns.data().expect("it is here");
        assert_eq!(data.protection_type(), 1);
        assert_eq!(data.is_md_interleaved(), is_interleaved);
        let BlockFormat {
            data_size, md_size, ..
        } = data.formats()[usize::from(data.format_index())];
        assert_eq!((data_size, md_size), (512, 8));
        assert_eq!(drive.ns.md_size().expect("it is here"), 8);
        let extended = drive.ns.extended_sector_size().expect("it is here");
        assert_eq!(extended, if is_interleaved { 520 } else { 512 });
        drive.close().await;
    }

    let drive = Drive::open(slot::MANY[1]).await;
    let data = drive.controller.data().expect("it is here");
    assert_eq!(
        (data.controller_id(), data.subnqn().as_str()),
        (1, "nqn.2019-08.org.qemu:many")
    );
    assert!(drive.ns.data().expect("it is here").is_shared());
    drive.close().await;
}
