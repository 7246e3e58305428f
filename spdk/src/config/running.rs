//! The configuration of the application that runs.

use serde_json::{Map, Value, json};

use super::{Call, Config, Places};
use crate::error::Result;
use crate::rpc;

impl Config {
    /// What the running application has: a configuration that makes another one like it.
    ///
    /// It has the options of every subsystem, and the bdevs that were made by methods, whether at the
    /// start or later. What is found on a device, such as logical volumes and partitions, is not in it,
    /// since it is found again. May be called on any thread, as [`rpc::call`].
    ///
    /// # Errors
    ///
    /// As for [`rpc::call`].
    #[doc(alias = "framework_get_config")]
    #[doc(alias = "save_config")]
    pub async fn running() -> Result<Config> {
        let subsystems: Vec<Map<String, Value>> =
            rpc::call("framework_get_subsystems", &()).await?;
        let mut config = Config::new();
        for subsystem in subsystems {
            let Some(Value::String(name)) = subsystem.get("subsystem") else {
                continue;
            };
            let params = json!({"name": name});
            // `null` from a subsystem that has nothing to configure.
            let calls: Option<Vec<Map<String, Value>>> =
                rpc::call("framework_get_config", &params).await?;
            for mut call in calls.unwrap_or_default() {
                let Some(Value::String(method)) = call.remove("method") else {
                    continue;
                };
                let params = match call.remove("params") {
                    Some(Value::Object(params)) => params,
                    _ => Map::new(),
                };
                let places = Places::default();
                let call = Call {
                    method,
                    params,
                    places,
                };
                config.add(name, call);
            }
        }
        Ok(config)
    }
}
