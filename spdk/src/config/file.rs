//! Configurations in files.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use super::text::{self, Json, Node};
use super::{Call, Config, File, Places, Problem, Subsystem};
use crate::error::{Error, ErrorKind, Result};
use crate::options::refuse;

/// The text of a file.
pub(super) fn read(option: &'static str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let path = path.display();
        refuse(option, format!("cannot read {path}: {error}"))
    })
}

impl Config {
    /// Reads a configuration from a file, with comments as in C if it has any.
    ///
    /// Only its form is checked; [`Config::validate`] looks at what it says. It blocks the OS thread
    /// while it reads.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Option`] if the file cannot be read, [`ErrorKind::Config`] with line and column if
    /// it is no JSON, or no configuration.
    pub fn load(path: impl AsRef<Path>) -> Result<Config> {
        let path = path.as_ref();
        let text = read("Config::load", path)?;
        parse(&text, Some(path.display().to_string()))
    }

    /// Writes the configuration to a file, which then has either what it had before or all of this.
    ///
    /// It blocks the OS thread while it writes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Option`] if the file, or another one beside it, cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut beside = OsString::from(path);
        beside.push(format!(".{}.new", std::process::id()));
        let write = || {
            let mut file = fs::File::create(&beside)?;
            file.write_all(self.to_json().as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&beside, path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&beside); // it may not be there
            let path = path.display();
            refuse("Config::save", format!("cannot write {path}: {error}"))
        })
    }
}

impl FromStr for Config {
    type Err = Error;

    /// Reads a configuration from its JSON text, as [`Config::load`] does from a file.
    fn from_str(text: &str) -> Result<Config> {
        parse(text.as_bytes(), None)
    }
}

fn parse(text: &[u8], file: Option<String>) -> Result<Config> {
    let reader = Reader {
        file: file.as_deref(),
    };
    match text::parse(text) {
        Ok(root) => {
            let subsystems = reader.root(root).map_err(|problem| ErrorKind::Config {
                problems: vec![problem],
            })?;
            let file = File(file);
            Ok(Config { subsystems, file })
        }
        Err(broken) => {
            let problem = Problem::at(file.as_deref(), Some(broken.place), broken.what);
            let problems = vec![problem];
            Err(ErrorKind::Config { problems }.into())
        }
    }
}

/// Takes a configuration from JSON, or says what is wrong with its form.
struct Reader<'a> {
    file: Option<&'a str>,
}

type Read<T> = std::result::Result<T, Problem>;

impl Reader<'_> {
    fn problem<T>(&self, node: &Node, message: impl Into<String>) -> Read<T> {
        Err(Problem::at(self.file, Some(node.place), message))
    }

    fn root(&self, root: Node) -> Read<Vec<Subsystem>> {
        let Json::Object(members) = root.json else {
            return self.problem(&root, "it is not an object; write {\"subsystems\": [...]}");
        };
        let mut found = members.into_iter().filter(|one| one.name == "subsystems");
        // SPDK ignores all else, and takes a configuration without subsystems.
        let Some(member) = found.next() else {
            return Ok(Vec::new());
        };
        if let Some(again) = found.next() {
            return self.problem(&again.value, "`subsystems` is there twice");
        }
        let Json::Array(subsystems) = member.value.json else {
            return self.problem(&member.value, "`subsystems` is not an array");
        };
        subsystems
            .into_iter()
            .map(|one| self.subsystem(one))
            .collect()
    }

    fn subsystem(&self, node: Node) -> Read<Subsystem> {
        const FORM: &str = "write {\"subsystem\": \"bdev\", \"config\": [...]}";
        let [name, config] = self.members(&node, ["subsystem", "config"], FORM)?;
        let (Some(name), Some(config)) = (name, config) else {
            let message = format!("a subsystem has a `subsystem` and a `config`; {FORM}");
            return self.problem(&node, message);
        };
        let Json::Text(text) = &name.json else {
            return self.problem(name, format!("the subsystem's name is not a text; {FORM}"));
        };
        let calls = match &config.json {
            Json::Array(calls) => calls
                .iter()
                .map(|call| self.call(call))
                .collect::<Read<_>>()?,
            Json::Null => Vec::new(),
            _ => return self.problem(config, format!("`config` is not an array; {FORM}")),
        };
        let name = text.clone();
        Ok(Subsystem { name, calls })
    }

    fn call(&self, node: &Node) -> Read<Call> {
        const FORM: &str = "write {\"method\": \"bdev_malloc_create\", \"params\": {...}}";
        let [method, params] = self.members(node, ["method", "params"], FORM)?;
        let Some(method) = method else {
            return self.problem(node, format!("an entry has a `method`; {FORM}"));
        };
        let Json::Text(name) = &method.json else {
            return self.problem(method, format!("the method is not a text; {FORM}"));
        };
        let mut places = Places {
            method: Some(method.place),
            params: Vec::new(),
        };
        let params = match params {
            None => Default::default(),
            Some(params) => match &params.json {
                Json::Object(members) => {
                    let place = |member: &text::Member| (member.name.clone(), member.place);
                    places.params = members.iter().map(place).collect();
                    let value = |member: &text::Member| {
                        Ok((member.name.clone(), self.value(&member.value)?))
                    };
                    members.iter().map(value).collect::<Read<_>>()?
                }
                _ => return self.problem(params, format!("`params` is not an object; {FORM}")),
            },
        };
        let method = name.clone();
        Ok(Call {
            method,
            params,
            places,
        })
    }

    fn value(&self, node: &Node) -> Read<serde_json::Value> {
        node.value()
            .or_else(|number| self.problem(node, format!("the number {number} is too large")))
    }

    /// The members of these names; SPDK refuses others.
    fn members<'n, const N: usize>(
        &self,
        node: &'n Node,
        names: [&str; N],
        form: &str,
    ) -> Read<[Option<&'n Node>; N]> {
        let Json::Object(members) = &node.json else {
            return self.problem(node, format!("it is not an object; {form}"));
        };
        let mut found = [None; N];
        for member in members {
            let name = &member.name;
            let at = |message: String| Err(Problem::at(self.file, Some(member.place), message));
            match names.iter().position(|one| one == name) {
                None => return at(format!("`{name}` has no meaning here; {form}")),
                Some(index) if found[index].is_some() => {
                    return at(format!("`{name}` is there twice"));
                }
                Some(index) => found[index] = Some(&member.value),
            }
        }
        Ok(found)
    }
}
