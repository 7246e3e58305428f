//! What hosts are told of a target, and of others.

use spdk::nvmf::{
    NvmfAddress, NvmfDiscoveryFilter, NvmfReferral, NvmfSubsystemOpts, NvmfTarget, NvmfTargetOpts,
    serve, set_discovery_filter,
};
use spdk::{Errno, ThreadHandle};
use spdk_tests::nvmf::program::address;
use spdk_tests::{assert_errno, assert_kind};

use crate::{BLOCK, HOST, connect_as, over_tcp};

/// Fails if a host is referred to other places than it should be, or told of other listeners.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
)]
async fn discovery_tells_what_it_should() -> spdk::Result<()> {
    const STRANGER: &str = "nqn.2014-08.org.nvmexpress:stranger";
    let opts = NvmfTargetOpts::new("custom").discovery_filter(NvmfDiscoveryFilter::new().custom());
    let made = NvmfTarget::create(&opts).await;
    assert_kind!(made, Option);
    // The listeners on even ports only.
    set_discovery_filter(|listener, _| listener.socket_addr().port() % 2 == 0)?;
    for filter in [
        NvmfDiscoveryFilter::new(),
        NvmfDiscoveryFilter::new().same_port(),
        NvmfDiscoveryFilter::new().custom(),
    ] {
        let opts = NvmfTargetOpts::new("discovery").discovery_filter(filter);
        let target = over_tcp(&opts).await?;
        let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:told").allow_any_host(true);
        let subsystem = target.create_subsystem(&opts).await?;
        let (even, odd) = (address_of(0), address_of(1));
        subsystem.listen(even).await?;
        subsystem.listen(odd).await?;
        subsystem.start().await?;
        let told = told(odd, HOST).await?;
        let of = |at: NvmfAddress| {
            let port = at.socket_addr().port().to_string();
            told.iter()
                .any(|(service, nqn, _)| *service == port && nqn == subsystem.nqn())
        };
        let expected = if filter == NvmfDiscoveryFilter::new() {
            (true, true)
        } else if filter == NvmfDiscoveryFilter::new().same_port() {
            (false, true)
        } else {
            (true, false)
        };
        assert_eq!((of(even), of(odd)), expected, "{filter:?}: {told:?}");
        target.close().await?;
    }

    let server = serve("Malloc0", address()).await?;
    let target = server.target();
    let elsewhere: NvmfAddress = "192.0.2.1:4421".parse().expect("an address");
    let all = NvmfReferral::new(elsewhere);
    let some = NvmfReferral::new("192.0.2.2:4422".parse().expect("an address"))
        .subsystem("nqn.2016-06.io.spdk:elsewhere")
        .secure_channel(true)
        .host(HOST);
    target.add_referral(&all).await?;
    target.add_referral(&some).await?;
    let twice = target.add_referral(&all).await;
    assert_errno(twice, Errno::EEXIST);
    let bad = target
        .add_referral(&NvmfReferral::new(elsewhere).subsystem("elsewhere"))
        .await;
    assert_errno(bad, Errno::EINVAL);
    assert_eq!(target.referrals().await?, [all.clone(), some.clone()]);
    let has = |told: &[Told], port: &str| told.iter().any(|one| one.0 == port);
    let ours = told(server.address(), HOST).await?;
    assert!(has(&ours, "4421") && has(&ours, "4422"), "{ours:?}");
    let secure = |one: &&Told| one.2;
    let secure: Vec<&str> = ours.iter().filter(secure).map(|one| &*one.0).collect();
    assert_eq!(secure, ["4422"], "{ours:?}");
    let theirs = told(server.address(), STRANGER).await?;
    assert!(has(&theirs, "4421") && !has(&theirs, "4422"), "{theirs:?}");
    target.remove_referral(&all).await?;
    let gone = target.remove_referral(&all).await;
    assert_errno(gone, Errno::ENOENT);
    let ours = told(server.address(), HOST).await?;
    assert!(!has(&ours, "4421") && has(&ours, "4422"), "{ours:?}");
    server.close().await
}

/// An address with a port that is even or odd.
fn address_of(parity: u16) -> NvmfAddress {
    let mut free = std::iter::repeat_with(address);
    free.find(|at| at.socket_addr().port() % 2 == parity)
        .expect("the next port")
}

/// The port and the name of a subsystem, and whether hosts need a secure channel.
pub(crate) type Told = (String, String, bool);

/// Everything that a discovery service tells a host, which is on another core.
pub(crate) async fn told(at: NvmfAddress, host: &'static str) -> spdk::Result<Vec<Told>> {
    let thread = ThreadHandle::on_core("host", 1).await?;
    let told = thread
        .call_async(async move || told_here(at, host).await)
        .await?;
    thread.exit().await?;
    told
}

async fn told_here(at: NvmfAddress, host: &str) -> spdk::Result<Vec<Told>> {
    let host = connect_as(at, "nqn.2014-08.org.nvmexpress.discovery", host).await?;
    let log = host.discovery_log().await?;
    host.detach().await?;
    let told = log.into_iter().map(|entry| {
        let trid = entry.trid.expect("an address of TCP");
        let secure = entry.requires_secure_channel;
        (trid.service_id().to_owned(), entry.subnqn, secure)
    });
    Ok(told.collect())
}
