//! What the C compiler knows: where the system's headers and libraries are.

use std::path::{Path, PathBuf};

use cc::Tool;

use crate::failure::Failure;
use crate::link::{Kind, Plan};

/// Parts of the C library itself: always there, and often without a file of that name.
const LIBC: [&str; 5] = ["c", "dl", "m", "pthread", "rt"];

/// The C compiler that cargo's variables and `CC` choose.
pub(crate) fn compiler() -> Result<Tool, Failure> {
    let tool = cc::Build::new()
        .cargo_metadata(false)
        .try_get_compiler()
        .map_err(|e| Failure::no_compiler(&e.to_string()))?;
    match tool.to_command().arg("-v").output() {
        Ok(_) => Ok(tool),
        Err(e) => Err(Failure::no_compiler(&format!(
            "{}: {e}",
            tool.path().display()
        ))),
    }
}

/// The folders where the C compiler looks for `<...>`.
pub(crate) fn system_folders(compiler: &Tool) -> Vec<PathBuf> {
    let output = compiler
        .to_command()
        .args(["-E", "-v", "-x", "c", "/dev/null"])
        .output();
    let Ok(output) = output else {
        return Vec::new();
    };
    // The list stands between two lines of prose and is indented by one space.
    let text = String::from_utf8_lossy(&output.stderr);
    let list = text
        .lines()
        .skip_while(|line| !line.starts_with("#include <...>"))
        .skip(1)
        .take_while(|line| line.starts_with(' '));
    list.map(|line| PathBuf::from(line.trim())).collect()
}

/// The system's libraries that the linker will not find, as `libNAME`.
pub(crate) fn absent_libs(plan: &Plan, compiler: &Tool) -> Vec<String> {
    let system = plan.libs.iter().filter(|lib| lib.kind == Kind::System);
    let system = system.filter(|lib| !LIBC.contains(&lib.name.as_str()));
    let absent = system.filter(|lib| {
        let files = [format!("lib{}.so", lib.name), format!("lib{}.a", lib.name)];
        let own = |file: &String| plan.folders.iter().any(|dir| dir.join(file).is_file());
        !files.iter().any(|file| own(file) || knows(compiler, file))
    });
    absent.map(|lib| format!("lib{}", lib.name)).collect()
}

/// Whether the compiler's own search finds `file`: it answers with a path then, and with the bare name otherwise.
pub(crate) fn knows(compiler: &Tool, file: &str) -> bool {
    let output = compiler
        .to_command()
        .arg(format!("-print-file-name={file}"))
        .output();
    output.is_ok_and(|o| Path::new(String::from_utf8_lossy(&o.stdout).trim()).is_absolute())
}
