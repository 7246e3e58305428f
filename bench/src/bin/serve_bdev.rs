//! Serves a bdev over NVMe/TCP, until SIGTERM: what `nvmf_tgt` does with the configuration that it is given.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use spdk::nvmf::Serve;
use spdk_bench::options::Spdk;

/// Serves a bdev over NVMe/TCP to every host.
#[derive(Parser)]
struct Options {
    /// SPDK's JSON configuration with the bdev
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// The bdev
    #[arg(short = 'T', long, value_name = "NAME")]
    bdev: String,
    /// Where, such as 127.0.0.1:4420
    #[arg(short, long, value_name = "ADDRESS")]
    address: SocketAddr,
    /// The name of the subsystem
    #[arg(short, long, value_name = "NQN")]
    nqn: String,
    #[command(flatten)]
    spdk: Spdk,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let app = options.spdk.app("serve_bdev").config_file(&options.config);
    let served = app.block_on(async move {
        let serve = Serve::new(&options.bdev).nqn(options.nqn);
        let server = serve.start(options.address.into()).await?;
        // SPDK ends the application at SIGTERM, and the server closes.
        std::future::pending::<()>().await;
        server.close().await
    });
    match served {
        Err(error) if !matches!(error.kind(), spdk::ErrorKind::Cancelled) => {
            eprintln!("serve_bdev: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
