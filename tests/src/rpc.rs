//! SPDK's JSON-RPC, spoken by a client on an OS thread of its own as a real one would.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The socket of this process's server: the value of `rpc_addr`.
pub fn address() -> String {
    let name = format!("spdk-tests-{}.sock", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    path.to_string_lossy().into_owned()
}

/// Calls a method of this process's server and waits for the answer while SPDK runs.
///
/// # Panics
///
/// When the server cannot be reached or answers with an error.
pub async fn call(method: &str, params: Value) -> Value {
    match try_call(method, params).await {
        Ok(answer) => answer,
        Err(error) => panic!("{method}: {error}"),
    }
}

/// Calls a method of this process's server and waits for the answer while SPDK runs.
///
/// # Errors
///
/// What the server answered, or why it could not be reached.
pub async fn try_call(method: &str, params: Value) -> Result<Value, String> {
    try_call_at(address(), method, params).await
}

/// Calls a method of another process's server, at this socket, and waits for the answer while SPDK runs.
///
/// # Errors
///
/// As for [`try_call`].
pub async fn try_call_at(address: String, method: &str, params: Value) -> Result<Value, String> {
    let (sender, answer) = spdk::completion();
    let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
    if !params.is_null() {
        request["params"] = params;
    }
    std::thread::spawn(move || {
        let answer = exchange(&address, &request).map_err(|error| error.to_string());
        sender.success(answer);
    });
    let answer = answer.await.map_err(|error| error.to_string())??;
    match answer.get("error") {
        Some(error) => Err(error.to_string()),
        None => Ok(answer["result"].clone()),
    }
}

/// Calls a method without parameters.
///
/// # Panics
///
/// As for [`call`].
pub async fn get(method: &str) -> Value {
    call(method, Value::Null).await
}

fn exchange(address: &str, request: &Value) -> io::Result<Value> {
    let mut socket = UnixStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(request.to_string().as_bytes())?;
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        // The server does not end an answer: it is complete when it parses.
        match socket.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => text.extend_from_slice(&chunk[..length]),
        }
        if let Ok(answer) = serde_json::from_slice(&text) {
            return Ok(answer);
        }
    }
}

/// The names of the bdevs that exist.
pub async fn bdevs() -> Vec<String> {
    let list = get("bdev_get_bdevs").await;
    let names = list.as_array().into_iter().flatten();
    names
        .filter_map(|bdev| Some(bdev["name"].as_str()?.to_owned()))
        .collect()
}

/// How many references to I/O channels of this device all spdk_threads have together.
pub async fn channels(device: &str) -> u64 {
    let answer = get("thread_get_io_channels").await;
    let threads = answer["threads"].as_array().into_iter().flatten();
    let channels =
        threads.flat_map(|thread| thread["io_channels"].as_array().into_iter().flatten());
    let of_device = channels.filter(|channel| channel["name"].as_str() == Some(device));
    of_device
        .filter_map(|channel| channel["ref"].as_u64())
        .sum()
}
