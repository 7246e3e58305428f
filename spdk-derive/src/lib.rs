//! The procedural macros of the `spdk` crate. Use them through it: `#[spdk::main]`, `#[spdk::test]`.
#![deny(unsafe_code)]

use proc_macro::TokenStream;

#[cfg(feature = "api")]
mod api_macro;
#[cfg(not(feature = "api"))]
#[path = "api_missing.rs"]
mod api_macro;
mod args;
#[cfg(test)]
mod check;
mod config;
mod function;
mod main_attr;
mod test_attr;

/// Runs the main function of a program in an SPDK application (`SpdkApp`).
///
/// An `async fn` runs as a task of the application's thread; when it returns, the application ends.
/// A plain `fn` runs on that thread, and the application ends when the tasks that it spawned have
/// ended.
///
/// ```no_run
/// use spdk::{Bdev, DmaBuf};
///
/// #[spdk::main(name = "first", config_file = "bdev.json", no_huge, no_pci, mem_size_mb = 512)]
/// async fn main() -> spdk::Result<()> {
///     let desc = Bdev::find("Malloc0")?.open(true)?;
///     let channel = desc.get_io_channel()?;
///     let buf = DmaBuf::alloc(4096, 4096)?;
///     desc.write(&channel, &buf, 0).await
/// }
/// ```
///
/// # Arguments
///
/// Each method of `SpdkAppBuilder` is an argument, and its value any expression of the method's
/// type: `name`, `config_file`, `json_data`, `config`, `bdev_opts`, `reactor_mask`, `main_core`,
/// `mem_size_mb`, `rpc_addr`, `shm_id`, `log_level`, `log_flags`, `shutdown_patience`, and the flags
/// `no_pci`, `no_huge`, `disable_cpumask_locks`, `disable_signal_handlers` and `interrupt_mode`, which are
/// `true` when they stand alone. The name is the crate's if none is given. `config` is for the feature of this name.
///
/// `crate = path` says where the `spdk` crate is, for a crate that re-exports it.
///
/// # The function's return type
///
/// - `Result<T, E>` for any `E: From<spdk::Error>`, such as `Box<dyn std::error::Error>`: a start-up
///   error becomes its `Err`;
/// - `()` and `std::process::ExitCode`: a start-up error is printed to stderr, and the exit code is 1.
///
/// An application that SIGINT or SIGTERM ended is a success.
///
/// ```no_run
/// #[spdk::main(reactor_mask = "0x3", log_level = spdk::LogLevel::Error)]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let bdev = std::env::args().nth(1).ok_or("which bdev?")?;
///     println!("{} blocks", spdk::Bdev::find(&bdev)?.num_blocks());
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let expansion = main_attr::expand(attribute.into(), item.into());
    expansion
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// A test that runs in an SPDK application, in a process of its own.
///
/// SPDK can be started once in a process, so the test binary runs itself again for each such test.
/// That works with `cargo test`, its filters and `--test-threads`, and with `cargo nextest`.
///
/// ```
/// use spdk::{Bdev, DmaBuf};
///
/// #[spdk::test(bdevs(
///     bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = 512),
///     bdev_error_create(base_name = "Malloc0"),
/// ))]
/// async fn a_new_device_is_zero() -> spdk::Result<()> {
///     let desc = Bdev::find("EE_Malloc0")?.open(false)?;
///     let channel = desc.get_io_channel()?;
///     let mut buf = DmaBuf::alloc(4096, 4096)?;
///     desc.read(&channel, &mut buf, 0).await?;
///     assert!(buf.iter().all(|byte| *byte == 0));
///     Ok(())
/// }
/// # fn main() {}
/// ```
///
/// The function is an `async fn`, which runs as a task of the application's thread, or a plain `fn`,
/// which runs on that thread. It returns `()` or a `Result` whose error is `Debug`. `#[ignore]` and
/// `#[should_panic]` work as on any test.
///
/// The application has 512 MB of ordinary memory (`no_huge`), no PCI devices and one core, and
/// shares nothing with the applications of other tests.
///
/// # Arguments
///
/// - `bdevs(method(parameter = value, ...), ...)`: RPC calls that SPDK makes when it starts, in this
///   order; the test begins when its modules have examined the bdevs. Any method of its bdev
///   subsystem can be called, `bdev_set_options` too. A value is any expression that is text, a
///   number, a `bool`, or an array of these.
/// - `subsystems(iobuf(iobuf_set_options(small_pool_count = 1024)), ...)`: the same for any subsystem.
/// - `config = r#"{"subsystems": [...]}"#` instead of both: a whole configuration.
/// - `deadline = 60`: how many seconds the test may take. One that takes longer is killed, and fails.
/// - `cores = "0x1"`: the cores to run on. Without it the test gets one, the least used of those that
///   this process may use.
/// - `no_app`: starts no application. The function, a plain `fn`, has the process to itself and may
///   start SPDK in its own way.
/// - The options of `SpdkAppBuilder` as in [`macro@main`], `name`, `config_file` and `json_data`
///   excepted; `crate` as there.
///
/// ```
/// #[spdk::test(no_app, deadline = 10)]
/// fn the_environment_starts_without_an_application() -> spdk::Result<()> {
///     let _env = spdk::SpdkEnv::builder().no_huge(true).no_pci(true).mem_size_mb(64).build()?;
///     spdk::DmaBuf::alloc(4096, 4096).map(drop)
/// }
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn test(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let expansion = test_attr::expand(attribute.into(), item.into());
    expansion
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// The expansion of `spdk::api!`, which says where the core and the bindings are.
#[doc(hidden)]
#[proc_macro]
pub fn api(input: TokenStream) -> TokenStream {
    let expansion = api_macro::expand(input.into());
    expansion
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
