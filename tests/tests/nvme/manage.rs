//! What changes a controller for good.
//!
//! SPDK's target has none of these commands, and says so. A proxy answers them in its place, and shows what it got.
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - A format that ends resets nothing: `format`.
//! - A format begins beside queue pairs: `format`.

use futures_util::future::join;
use spdk::nvme::{
    FirmwareAction, FirmwareReset, NewNamespace, NvmeController, NvmeFormat, Sanitize, SecureErase,
};
use spdk::{Errno, Error, ErrorKind};
use spdk_tests::kind;
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, submit};
use spdk_tests::nvmf::proxy::{Command, Fate, Proxy};

const MANAGEMENT: u8 = 0x0d;
const COMMIT: u8 = 0x10;
const DOWNLOAD: u8 = 0x11;
const ATTACHMENT: u8 = 0x15;
const FORMAT: u8 = 0x80;
const SANITIZE: u8 = 0x84;
const ALL: [u8; 6] = [MANAGEMENT, COMMIT, DOWNLOAD, ATTACHMENT, FORMAT, SANITIZE];

fn answer(command: &Command) -> Fate {
    match command.opcode() {
        _ if !command.is_admin => Fate::Forward,
        MANAGEMENT if command.dword(10) == 0 => Fate::Answer(7, (0, 0)),
        // Needs a reset of the controller.
        COMMIT => Fate::Answer(0, (1, 0x11)),
        opcode if ALL.contains(&opcode) => Fate::Answer(0, (0, 0)),
        _ => Fate::Forward,
    }
}

fn sent(proxy: &Proxy, opcode: u8) -> Vec<Command> {
    let mut commands = proxy.commands();
    commands.retain(|command| command.is_admin && command.opcode() == opcode);
    commands
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(result: &spdk::Result<T>) {
    let told = matches!(kind(result), Some(ErrorKind::InvalidArgument { .. }));
    assert!(told, "{result:?}");
}

#[spdk::test(no_app, deadline = 30)]
fn the_target_has_none_of_them() {
    beside_target(|target| async move {
        let link = NvmeController::connect(&target.trid(), None).await;
        let controller = link.expect("the target listens");
        for end in [
            controller
                .create_namespace(&NewNamespace::default())
                .await
                .map(drop),
            controller.delete_namespace(1).await,
            controller.attach_namespace(9, &[]).await,
            controller.detach_namespace(1, &[]).await,
            controller.format(1, &NvmeFormat::default()).await,
            controller.download_firmware(&[0; 8]).await,
            controller
                .commit_firmware(1, FirmwareAction::Replace)
                .await
                .map(drop),
            controller.sanitize(Sanitize::BlockErase, false).await,
        ] {
            let told = matches!(kind(&end), Some(ErrorKind::Device { status, .. })
                if (status.sct, status.sc) == (0, 1));
            assert!(told, "{end:?}");
        }
        let state = controller.sanitize_state().await;
        assert!(
            matches!(kind(&state), Some(ErrorKind::Device { .. })),
            "{state:?}"
        );
        controller
            .detach()
            .await
            .expect("it is of this spdk_thread");
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn namespaces() {
    beside_target(|target| {
        let proxy = Proxy::start(&target, answer);
        let trid = proxy.trid(&target);
        async move {
            let controller = NvmeController::connect(&trid, None).await;
            let controller = controller.expect("the target listens");
            let new = NewNamespace {
                size: 0x0102_0304,
                capacity: 0x0102,
                format: 0x12,
                interleaves_md: true,
                protection: 1,
                is_shared: true,
            };
            let made = controller.create_namespace(&new).await;
            assert_eq!(made.expect("the proxy does it"), 7);
            controller
                .delete_namespace(7)
                .await
                .expect("the proxy does it");
            let [create, delete] = &sent(&proxy, MANAGEMENT)[..] else {
                panic!("{:?}", sent(&proxy, MANAGEMENT))
            };
            assert_eq!(
                (create.nsid(), create.dword(10), create.dword(11)),
                (0, 0, 0)
            );
            assert_eq!(create.data.len(), 4096);
            assert_eq!(
                create.data[..16],
                [4, 3, 2, 1, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]
            );
            assert_eq!(
                (create.data[26], create.data[29], create.data[30]),
                (0x32, 1, 1)
            );
            assert_eq!((delete.nsid(), delete.dword(10)), (7, 1));
            assert_invalid(
                &controller
                    .create_namespace(&NewNamespace { format: 64, ..new })
                    .await,
            );

            controller
                .attach_namespace(7, &[])
                .await
                .expect("the proxy does it");
            controller
                .detach_namespace(7, &[3, 0x104])
                .await
                .expect("the proxy does it");
            let [attach, detach] = &sent(&proxy, ATTACHMENT)[..] else {
                panic!("{:?}", sent(&proxy, ATTACHMENT))
            };
            assert_eq!((attach.nsid(), attach.dword(10)), (7, 0));
            let own = controller.data().expect("it is here").controller_id();
            assert_eq!(attach.data[..4], [[1, 0], own.to_le_bytes()].concat()[..]);
            assert_eq!((detach.nsid(), detach.dword(10)), (7, 1));
            assert_eq!(detach.data[..8], [2, 0, 3, 0, 4, 1, 0, 0]);
            // SPDK has it, and may not know the size of its blocks by now.
            assert_invalid(&controller.attach_namespace(1, &[]).await);
            assert_invalid(&controller.attach_namespace(7, &[1; 2048]).await);
            controller
                .detach()
                .await
                .expect("it is of this spdk_thread");
            Bystanders::new()
        }
    });
}

#[spdk::test(no_app, deadline = 30)]
fn firmware_and_sanitize() {
    beside_target(|target| {
        let proxy = Proxy::start(&target, answer);
        let trid = proxy.trid(&target);
        async move {
            let controller = NvmeController::connect(&trid, None).await;
            let controller = controller.expect("the target listens");
            let image: Vec<u8> = (0..9000_u32).map(|at| (at % 251) as u8).collect();
            controller
                .download_firmware(&image)
                .await
                .expect("the proxy does it");
            let parts = sent(&proxy, DOWNLOAD);
            let places: Vec<_> = parts
                .iter()
                .map(|part| (part.dword(10), part.dword(11)))
                .collect();
            assert_eq!(places, [(1023, 0), (1023, 1024), (808 / 4 - 1, 2048)]);
            let all: Vec<_> = parts.iter().flat_map(|part| part.data.clone()).collect();
            assert_eq!(all, image);
            assert_invalid(&controller.download_firmware(&[0; 6]).await);
            assert_invalid(&controller.download_firmware(&[]).await);

            let commit = controller.commit_firmware(2, FirmwareAction::ReplaceAndActivate);
            assert_eq!(
                commit.await.expect("the proxy does it"),
                FirmwareReset::Controller
            );
            assert_eq!(sent(&proxy, COMMIT)[0].dword(10), 2 | 1 << 3);
            assert_invalid(
                &controller
                    .commit_firmware(8, FirmwareAction::Activate)
                    .await,
            );

            let how = Sanitize::Overwrite {
                pattern: 0x1234_5678,
                passes: 2,
                inverts: false,
            };
            controller
                .sanitize(how, true)
                .await
                .expect("the proxy does it");
            let sanitize = &sent(&proxy, SANITIZE)[0];
            assert_eq!(
                (sanitize.dword(10), sanitize.dword(11)),
                (0x2b, 0x1234_5678)
            );
            controller
                .detach()
                .await
                .expect("it is of this spdk_thread");
            Bystanders::new()
        }
    });
}

#[spdk::test(no_app, deadline = 30)]
fn format() {
    beside_target(|target| {
        let proxy = Proxy::start(&target, answer);
        let trid = proxy.trid(&target);
        async move {
            let controller = NvmeController::connect(&trid, None).await;
            let controller = controller.expect("the target listens");
            let ns = controller.namespace(1).expect("the target has namespace 1");
            let qpair = controller.alloc_io_qpair(None).await;
            let qpair = qpair.expect("the target has queue pairs");
            let how = NvmeFormat {
                protection: 2,
                secure_erase: SecureErase::UserData,
                ..NvmeFormat::default()
            };
            let busy = |end: &spdk::Result<()>| end.as_ref().err().and_then(Error::errno);
            assert_eq!(busy(&controller.format(1, &how).await), Some(Errno::EBUSY));
            assert_eq!(sent(&proxy, FORMAT).len(), 0);
            qpair.close().await.expect("it is of this spdk_thread");

            let mut one = Box::pin(controller.format(1, &how));
            submit(&mut one);
            // There is none until the controller was reset.
            let none = controller.alloc_io_qpair(None).await;
            assert_eq!(
                none.as_ref().err().and_then(Error::errno),
                Some(Errno::EBUSY)
            );
            let (done, two) = join(one, controller.format(1, &how)).await;
            done.expect("the proxy does it");
            assert_eq!(busy(&two), Some(Errno::EBUSY));
            assert_eq!(sent(&proxy, FORMAT)[0].dword(10), 2 << 5 | 1 << 9);
            assert_eq!(sent(&proxy, FORMAT)[0].nsid(), 1);
            assert_eq!(
                proxy.hosts().len(),
                3,
                "two queue pairs, and the admin queue of the reset"
            );

            // Abandoned, it is reset all the same.
            let mut one = Box::pin(controller.format(1, &how));
            submit(&mut one);
            drop(one);
            let qpair = loop {
                match controller.alloc_io_qpair(None).await {
                    Ok(qpair) => break qpair,
                    Err(_) => spdk::task::yield_now().await,
                }
            };
            assert!(proxy.hosts().len() >= 5, "{}", proxy.hosts().len());
            let link = Link {
                controller,
                qpair,
                ns,
            };
            link.prepare(0..4, 1).await;
            link.verify(0..4, 1).await;
            link.close().await;
            Bystanders::new()
        }
    });
}
