//! What the crate knows of SPDK's methods, compared with the SPDK that it is linked with.
//!
//! Each of these faults was put into the tables, and `the_tables_say_what_spdk_takes` failed: a parameter's
//! name misspelled, its range too wide, a text that is no choice, and a parameter called optional that SPDK
//! needs.
#![allow(missing_docs)]

use serde_json::{Map, Value, json};
use spdk::config::{__tables, Config, Entry, Kind, Param};
use spdk::{Error, ErrorKind, rpc};

/// A value that SPDK can decode.
fn good(kind: Kind) -> Value {
    match kind {
        Kind::Bool => json!(true),
        Kind::Integer(..) => json!(1),
        Kind::Text => json!("none"),
        Kind::Uuid => json!("c2b9f0d1-6a0e-4d4b-8a3a-7f5b3f2b9e10"),
        Kind::Choice(texts) | Kind::Word(texts) => json!(texts[0]),
        Kind::Texts => json!(["none"]),
    }
}

/// Values that it cannot decode.
fn bad(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Bool | Kind::Text => vec![json!(1)],
        Kind::Integer(min, max) => {
            let beyond = |one: i128| serde_json::from_str(&one.to_string()).expect("a number");
            vec![json!("1"), beyond(min - 1), beyond(max + 1)]
        }
        // Some take a text and look at it later.
        Kind::Uuid => vec![json!(1)],
        Kind::Choice(_) | Kind::Word(_) | Kind::Texts => vec![json!({})],
    }
}

fn all_good(entry: &Entry) -> Map<String, Value> {
    let params = entry.params.iter();
    let params = params.map(|param| (param.name.to_owned(), fine(entry, param)));
    params.collect()
}

/// A value that the method takes.
fn fine(entry: &Entry, param: &Param) -> Value {
    match (entry.method, param.name) {
        ("bdev_nvme_set_options", "dhchap_digests") => json!(["sha256"]),
        ("bdev_nvme_set_options", "dhchap_dhgroups") => json!(["null"]),
        ("bdev_nvme_set_multipath_policy", "policy") => json!("active_active"),
        // It would crash.
        ("bdev_nvme_start_discovery", "wait_for_attach") => json!(false),
        ("bdev_nvme_start_discovery", "attach_timeout_ms") => json!(0),
        ("bdev_nvme_start_discovery", "ctrlr_loss_timeout_sec") => json!(-1),
        _ => good(param.kind),
    }
}

/// Whether SPDK could not make sense of the parameters.
fn is_refusal(error: &Error) -> bool {
    let ErrorKind::Rpc { message, code, .. } = error.kind() else {
        panic!("{error:?}");
    };
    if *code == -32602 && message.starts_with("Invalid argument") {
        return true;
    }
    let message = message.to_ascii_lowercase();
    [
        "decode_object failed",
        "invalid parameters",
        "invalid params",
        "parameters are required",
    ]
    .iter()
    .any(|words| message.contains(words))
}

async fn refuses(method: &str, params: &Map<String, Value>) -> bool {
    match rpc::call::<Value>(method, params).await {
        Ok(_) => false,
        Err(error) => is_refusal(&error),
    }
}

/// Fails if a table has a method that SPDK has not, or a parameter that it does not know, or takes
/// another type for.
#[spdk::test(deadline = 120)]
async fn the_tables_say_what_spdk_takes() -> spdk::Result<()> {
    let callable = rpc::methods().await?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in __tables()
        .iter()
        .filter(|entry| callable.iter().any(|one| one == entry.method))
    {
        let method = entry.method;
        count += 1;
        if !entry.params.is_empty() && refuses(method, &all_good(entry)).await {
            wrong.push(format!("{method}: {:?} is refused", all_good(entry)));
        }
        for param in entry.params {
            if let Kind::Choice(texts) | Kind::Word(texts) = param.kind {
                for text in texts {
                    let mut params = all_good(entry);
                    params.insert(param.name.to_owned(), json!(text));
                    if (method, param.name) == ("bdev_nvme_set_multipath_policy", "policy") {
                        params.remove("selector");
                    }
                    if refuses(method, &params).await {
                        wrong.push(format!("{method}: {} = {text} is refused", param.name));
                    }
                }
            }
            if let Kind::Integer(min, max) = param.kind {
                for value in [min, max] {
                    let mut params = all_good(entry);
                    let number = serde_json::from_str(&value.to_string()).expect("a number");
                    params.insert(param.name.to_owned(), number);
                    // SPDK understands this one, but does not do it.
                    let is_too_long =
                        (method, param.name) == ("bdev_nvme_set_hotplug", "period_us");
                    if !is_too_long && refuses(method, &params).await {
                        wrong.push(format!("{method}: {} = {value} is refused", param.name));
                    }
                }
            }
            for value in bad(param.kind) {
                let mut params = all_good(entry);
                params.insert(param.name.to_owned(), value.clone());
                if !refuses(method, &params).await {
                    wrong.push(format!("{method}: {} = {value} is taken", param.name));
                }
            }
            let mut params = all_good(entry);
            params.remove(param.name);
            if param.required && !refuses(method, &params).await {
                wrong.push(format!("{method}: {} is not required", param.name));
            }
        }
        let required = entry.params.iter().filter(|param| param.required);
        let params = required
            .map(|param| (param.name.to_owned(), fine(entry, param)))
            .collect();
        if !entry.params.is_empty() && refuses(method, &params).await {
            wrong.push(format!("{method}: {params:?} is refused"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 60, "{count} methods of the tables can be called");
    Ok(())
}

/// Fails if a table has a method that this SPDK has not.
#[spdk::test(no_app)]
fn the_tables_name_methods_of_spdk() {
    let mut config = Config::new();
    for entry in __tables() {
        let added = config.with_call(entry.subsystem, entry.method, &all_good(&entry));
        config = added.expect("the parameters are an object");
    }
    let problems = match config.validate() {
        Ok(()) => Vec::new(),
        Err(error) => match error.into_kind() {
            ErrorKind::Config { problems } => problems,
            other => panic!("{other:?}"),
        },
    };
    let wrong: Vec<String> = problems
        .iter()
        // The names are all the same, which is another matter.
        .filter(|one| !one.message.contains("makes a bdev called"))
        .map(ToString::to_string)
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
