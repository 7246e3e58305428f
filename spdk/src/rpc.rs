//! SPDK's JSON-RPC methods, called inside the process.
//!
//! [`call`] runs any method that the program's SPDK has registered, with parameters and results of your
//! own `serde` types. The application needs no JSON-RPC server for it
//! ([`rpc_addr`](crate::SpdkAppBuilder::rpc_addr)), and nobody else can reach what it uses.
//!
//! ```no_run
//! # async fn f() -> spdk::Result<()> {
//! use serde_json::{Value, json};
//!
//! let name: String = spdk::rpc::call(
//!     "bdev_malloc_create",
//!     &json!({"name": "Malloc0", "num_blocks": 8192, "block_size": 512}),
//! )
//! .await?;
//! let bdevs: Vec<Value> = spdk::rpc::call("bdev_get_bdevs", &json!({"name": name})).await?;
//! # let _ = bdevs; Ok(()) }
//! ```

mod bdevs;
mod link;
mod message;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::app;
use crate::error::{ErrorKind, Result};
use message::Message;

/// Calls a JSON-RPC method of SPDK and returns its result.
///
/// `params` are what the method documents, an object as a rule; `&()` stands for none. `R` is what it
/// answers: many answer `true`, for which `bool` is the type, and
/// [`IgnoredAny`](https://docs.rs/serde/latest/serde/de/struct.IgnoredAny.html) takes everything.
///
/// The method runs on the app thread. The call may be made, and awaited, on any spdk_thread and on any
/// OS thread, while an application runs. There is no timeout but your own.
///
/// Some calls are held until others of this function have been answered, which SPDK would answer wrongly:
/// `bdev_nvme_detach_controller` until each `bdev_nvme_attach_controller` of the same name has, and
/// `bdev_nvme_stop_discovery` until each other one of that name has; later ones of the three wait behind those that are
/// held for their name. Those of `bdev_lvol_*` that change something are one after the other. An attach is answered when every bdev of the application has been examined: where a target goes silent
/// meanwhile, only a timeout of its controller's ends that (`timeout_us` and `action_on_timeout` of `bdev_nvme_set_options`).
///
/// # Errors
///
/// [`ErrorKind::Rpc`] with what the method says when it fails, or when there is no such method;
/// [`Error::errno`](crate::Error::errno) where its code is one. SPDK does not say which parameter it did
/// not understand; for the methods that have a struct in [`config`](crate::config) this crate does. `EBUSY` from
/// `nvmf_delete_subsystem`, `nvmf_delete_target`, `nvmf_subsystem_remove_listener` and
/// `nvmf_subsystem_listener_set_ana_state` for what belongs to an `NvmfTarget` of this crate, or may, where no
/// target is named. [`ErrorKind::RpcAnswer`] if the answer is not an `R`. [`ErrorKind::InvalidArgument`] for parameters that cannot be written as JSON, are
/// neither an object nor an array, or are larger than SPDK takes: 32 KiB of text and 1024 values.
/// [`ErrorKind::NotInitialised`] and [`ErrorKind::ThreadEnded`] when the application does not run yet,
/// or no more.
///
/// # Cancellation
///
/// The method runs on when the future is dropped; its answer is dropped then. The end of the application
/// waits for the methods that run, for as long as
/// [`shutdown_patience`](crate::SpdkAppBuilder::shutdown_patience) says.
#[doc(alias = "spdk_jsonrpc_client_send_request")]
pub async fn call<R>(method: &str, params: &(impl Serialize + ?Sized)) -> Result<R>
where
    R: DeserializeOwned,
{
    let message = Message::new(method, params)?;
    let (sender, answer) = oneshot::async_channel();
    let name = app::while_running("rpc::call", |app| {
        // An app thread that ends drops it, which `answer` tells.
        app.send(move || link::submit(message, sender));
        Ok(app.name().to_owned())
    })?;
    match answer.await {
        Ok(Ok(line)) => message::result(method, &line, || serde_json::to_value(params).ok()),
        Ok(Err(reason)) => {
            let method = method.to_owned();
            Err(ErrorKind::RpcAnswer { method, reason }.into())
        }
        Err(_) => Err(ErrorKind::ThreadEnded { name }.into()),
    }
}

/// The methods that can be called now, in no order.
///
/// # Errors
///
/// As for [`call`].
#[doc(alias = "rpc_get_methods")]
pub async fn methods() -> Result<Vec<String>> {
    call("rpc_get_methods", &serde_json::json!({"current": true})).await
}
