//! Targets of this crate, with programs of SPDK as their hosts that look for more than `bdevperf` does: what a
//! target says of itself, what protects the data on its way, connections that break, and commands that are
//! aborted.
#![allow(missing_docs)]

use spdk::nvmf::{NvmfServer, serve};
use spdk_tests::nvmf::core;
use spdk_tests::nvmf::program::{Program, address, trid};

const BLOCK: usize = 4096;

/// The number after a word, in what a program has said.
fn number_after(said: &str, word: &str) -> u64 {
    let mut words = said.split_ascii_whitespace();
    let number = words
        .find(|one| *one == word)
        .and_then(|_| words.next())
        .and_then(|number| number.trim_end_matches([',', ';']).parse().ok());
    number.unwrap_or_else(|| panic!("no number after {word:?}:\n{said}"))
}

/// Fails if data or protection information is changed on its way, with digests: `spdk_nvme_perf` makes the
/// protection information of every block that it writes, and checks it on every block that it reads.
#[spdk::test(bdevs(bdev_malloc_create(
    name = "Malloc0",
    num_blocks = 8192,
    block_size = 512,
    md_size = 8,
    md_interleave = true,
    dif_type = 1,
)))]
async fn spdk_nvme_perf_verifies_what_it_reads() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let trid = trid(server.address(), server.nqn());
    // Blocks of 512 bytes with 8 of protection information.
    for size in ["520", "4160", "66560"] {
        let perf = Program::start(
            "spdk_nvme_perf",
            &[
                ["-r", &trid].as_slice(),
                &[
                    "-q", "16", "-o", size, "-w", "randrw", "-M", "50", "-t", "1",
                ],
                &["-e", "PRACT=0,PRCHK=GUARD|REFTAG", "-H", "-I"],
                &["-c", &core(), "-s", "512", "--no-huge"],
            ]
            .concat(),
        );
        let said = perf.succeeds().await;
        assert!(said.contains("Total"), "{said}");
        for bad in ["rror", "failed"] {
            assert!(!said.contains(bad), "{said}");
        }
    }
    let stat = server.target().stat().await?;
    let done: u64 = stat.iter().map(|group| group.completed_nvme_io).sum();
    assert!(done > 100, "only {done} commands");
    server.close().await
}

/// SPDK's `reconnect`, which watches its admin queue from a thread of its own.
fn reconnect(server: &NvmfServer, seconds: &str) -> Program {
    Program::start(
        "reconnect",
        &[
            ["-r", &trid(server.address(), server.nqn())].as_slice(),
            &[
                "-q", "16", "-o", "4096", "-w", "randrw", "-M", "50", "-t", seconds,
            ],
            &["-c", &core(), "-s", "512", "--no-huge"],
        ]
        .concat(),
    )
}

/// Fails if the host of SPDK's `reconnect` example is not served, also beside changes that pause the subsystem.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 8192, block_size = BLOCK)))]
async fn reconnect_is_served() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    // It says nothing before its end: stdout is a file.
    let mut reconnect = reconnect(&server, "4");
    for rounds in 1..=10 {
        commands(&server, rounds * 100).await?;
        server.subsystem().pause(Some(1)).await?.resume().await?;
    }
    assert!(!reconnect.has_ended(), "{}", reconnect.said());
    let said = reconnect.succeeds().await;
    for bad in ["failure", "failed", "completed with error"] {
        assert!(!said.contains(bad), "{said}");
    }
    server.close().await
}

/// Fails if a host that loses its target and finds another one in its place cannot connect to that.
///
/// The example does no I/O after that, with any target: each of its commands ends with an error, and submits the next
/// one to a queue pair that is gone.
#[spdk::test(
    deadline = 120,
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 8192, block_size = BLOCK))
)]
async fn reconnect_finds_a_target_that_returns() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let at = server.address();
    let mut reconnect = reconnect(&server, "10");
    commands(&server, 1000).await?;
    server.close().await?;
    // It looks at its controller once in a second.
    reconnect.says("qpair failed").await;
    let server = serve("Malloc0", at).await?;
    reconnect.says("Controller properly reset").await;
    let hosts = server.subsystem().controllers().await?;
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    let said = reconnect.succeeds().await;
    assert!(said.contains("completed with error"), "{said}");
    server.close().await
}

/// Fails if a host is not told what the subsystem is.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 8192, block_size = BLOCK)))]
async fn spdk_nvme_identify_tells_what_it_is() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let trid = trid(server.address(), server.nqn());
    let arguments = ["--no-huge", "-s", "512", "-r", &trid];
    let identify = Program::start("spdk_nvme_identify", &arguments);
    let said = identify.succeeds().await;
    for told in [
        server.nqn(),
        "SPDK bdev Controller",
        "Namespace ID:1",
        "8192 (0GiB)",
    ] {
        assert!(said.contains(told), "{told:?} is missing:\n{said}");
    }
    server.close().await
}

/// Until hosts have done so many commands.
async fn commands(server: &NvmfServer, most: u64) -> spdk::Result<()> {
    let start = std::time::Instant::now();
    loop {
        let stat = server.target().stat().await?;
        if stat
            .iter()
            .map(|group| group.completed_nvme_io)
            .sum::<u64>()
            >= most
        {
            return Ok(());
        }
        let waited = start.elapsed();
        assert!(waited < spdk_tests::wait::PATIENCE, "{stat:?}");
        spdk::task::yield_now().await;
    }
}

/// Fails if an abort is not answered, or none takes effect although the commands take their time.
///
/// The program works on core 0 only.
#[spdk::test(
    cores = "0x2",
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 8192, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0",
            name = "Delay0",
            avg_read_latency = 20000,
            p99_read_latency = 20000,
            avg_write_latency = 20000,
            p99_write_latency = 20000,
        ),
    ),
)]
async fn commands_are_aborted() -> spdk::Result<()> {
    let server = serve("Delay0", address()).await?;
    let abort = Program::start(
        "abort",
        &[
            ["-r", &trid(server.address(), server.nqn())].as_slice(),
            &[
                "-q", "32", "-o", "4096", "-w", "randrw", "-M", "50", "-t", "2",
            ],
            &["-a", "4", "-c", "0x1", "-s", "512", "--no-huge"],
        ]
        .concat(),
    );
    let said = abort.succeeds().await;
    assert!(number_after(&said, "success") > 0, "{said}");
    let line = said.lines().find(|line| line.contains("unsuccessful"));
    let line = line.unwrap_or_else(|| panic!("no count of the aborts:\n{said}"));
    assert_eq!(number_after(line, "failed"), 0, "{said}");
    server.close().await
}

/// Fails if Linux does not connect, as by `nvme connect`, or reads or writes something else. The machine of
/// `cargo xtask e2e-pcie` runs the same in any case.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 16384, block_size = 512)))]
#[cfg_attr(
    not(linux_is_host),
    ignore = "this kernel has no NVMe/TCP: no /dev/nvme-fabrics that can be written (modprobe nvme-tcp, as root)"
)]
async fn linux_shares_a_disk() -> spdk::Result<()> {
    spdk_tests::nvmf::linux::shares_a_disk("Malloc0").await
}
