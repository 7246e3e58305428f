//! Controllers, as SPDK's JSON-RPC method tells them: its headers do not.

use serde_json::{Value, json};

use super::core::{State, change};
use super::subsystem::NvmfSubsystem;
use crate::error::{At, ErrorKind, Fault, Result};
use crate::{Errno, rpc};

/// A controller of a subsystem: what one host has connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvmfController {
    /// Its number.
    pub id: u16,
    /// The NVMe qualified name of the host.
    pub host: String,
    /// The UUID of the host, as text.
    pub host_id: String,
    /// How many queue pairs it has, its admin queue among them.
    pub queue_pairs: u32,
}

impl NvmfController {
    fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name)?.as_u64();
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(NvmfController {
            id: number("cntlid")?.try_into().ok()?,
            host: text("hostnqn")?,
            host_id: text("hostid")?,
            queue_pairs: number("num_io_qpairs")?.try_into().ok()?,
        })
    }
}

impl NvmfSubsystem {
    /// Its controllers. The subsystem is paused for as long as it takes to look at them.
    ///
    /// Calls the JSON-RPC method `nvmf_subsystem_get_controllers`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: a [pause](NvmfSubsystem::pause) holds it, which SPDK would end.
    /// - As for [`rpc::call`].
    #[doc(alias = "nvmf_subsystem_get_controllers")]
    pub async fn controllers(&self) -> Result<Vec<NvmfController>> {
        const CALL: &str = "nvmf_subsystem_get_controllers";
        let (id, target) = (self.id(), self.target().extra().name.clone());
        let look = async move |state: &mut State| {
            let subsystem = state.subsystem(id, CALL)?;
            let object = subsystem.nqn.as_str();
            match subsystem.is_paused() {
                Some(false) => {}
                // One that is not started has none, and SPDK would start it.
                None => return Ok(Vec::new()),
                Some(true) => return Err(Fault::errno(Errno::EBUSY).at(At::new(CALL, &object))),
            }
            let params = json!({"nqn": object, "tgt_name": target});
            let all: Vec<Value> = rpc::call(CALL, &params).await?;
            let all = all.iter().map(|one| {
                NvmfController::from_json(one).ok_or_else(|| {
                    let (method, reason) = (CALL.to_owned(), one.to_string());
                    ErrorKind::RpcAnswer { method, reason }.into()
                })
            });
            all.collect()
        };
        change(self.target(), CALL, look).await
    }
}
