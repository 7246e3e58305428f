//! A program that runs until it is told to stop: what `#[spdk::main]` makes of signals and errors.
//! The first argument says how it ends.
#![deny(unsafe_code)]

use std::io::Write;

use spdk::{Bdev, DmaBuf};

/// Says that the main function was dropped, or returned.
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        say("dropped");
    }
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading any more.
    let _ = writeln!(out, "{what}").and_then(|()| out.flush());
}

fn argument() -> String {
    std::env::args().nth(1).unwrap_or_default()
}

fn config() -> String {
    if let Some(length) = argument().strip_prefix("long-name=") {
        let length = length.parse().unwrap_or_default();
        let name = format!("{}END", "x".repeat(length));
        let malloc = format!(
            r#"{{"method": "bdev_malloc_create", "params": {{"name": "{name}", "num_blocks": 64, "block_size": 512}}}}"#
        );
        return format!(
            r#"{{"subsystems": [{{"subsystem": "bdev", "config": [{malloc}, {malloc}]}}]}}"#
        );
    }
    let device = match argument().as_str() {
        "bad-config" => "bdev_no_such_create",
        _ => "bdev_malloc_create",
    };
    format!(
        r#"{{"subsystems": [{{"subsystem": "bdev", "config": [{{"method": "{device}",
            "params": {{"name": "Malloc0", "num_blocks": 64, "block_size": 512}}}}]}}]}}"#
    )
}

#[spdk::main(
    json_data = config(),
    no_huge,
    no_pci,
    mem_size_mb = 512,
    reactor_mask = "0x1",
    main_core = 0,
    shm_id = -1,
    log_level = spdk::LogLevel::Error,
    log_flags = ["aio"],
    disable_cpumask_locks = true
)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _farewell = Farewell;
    let desc = Bdev::find("Malloc0")?.open(true)?;
    let channel = desc.get_io_channel()?;
    let mut buf = DmaBuf::alloc(4096, 4096)?;
    desc.read(&channel, &mut buf, 0).await?;
    match argument().as_str() {
        "return" => Ok(()),
        "error" => Err(Bdev::find("Malloc1").err().ok_or("it exists")?.into()),
        "panic" => panic!("on purpose"),
        "flags" => {
            let on = spdk::log::flags().into_iter().filter(|flag| flag.is_on);
            on.for_each(|flag| say(&flag.name));
            Ok(())
        }
        _ => {
            say("ready");
            loop {
                desc.read(&channel, &mut buf, 0).await?;
            }
        }
    }
}
