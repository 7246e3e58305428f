//! What types promise of threads, as text, which keeps the spelling of the manifest: assertions, and programs that must
//! not compile.

use std::fmt::Write as _;

use crate::model::{Cases, Promise};

/// What each line needs of a type or of an operation's future.
const NEEDS: &str = r#"
fn send<T: Send>() {}

fn sync<T: Sync>() {}

trait Operation<Arguments> {
    type Future;
}

macro_rules! operation {
    ($($argument:ident)*) => {
        impl<F: FnOnce($($argument),*) -> R, R, $($argument),*> Operation<($($argument,)*)> for F {
            type Future = R;
        }
    };
}

operation!(A);
operation!(A B);
operation!(A B C);
operation!(A B C D);
operation!(A B C D E);
operation!(A B C D E F2);
operation!(A B C D E F2 G);
operation!(A B C D E F2 G H);

fn send_future<Arguments, F: Operation<Arguments, Future: Send>>(_: F) {}
"#;

/// Asserts the markers of each type.
pub(crate) fn assertions(types: &[Promise]) -> String {
    let mut text = String::new();
    for ty in types {
        let path = &ty.path;
        let cfg = ty.cfg.as_ref().map(|cfg| format!("#[cfg({cfg})]\n"));
        let cfg = cfg.unwrap_or_default();
        let asserts: &[&str] = match (ty.send, ty.sync) {
            (false, _) => &["not_send_sync"],
            (true, false) => &["send", "not_sync"],
            (true, true) => &["send", "sync"],
        };
        for assert in asserts {
            let _ = writeln!(text, "{cfg}rt::assert_{assert}!({path});");
        }
    }
    text
}

/// The file of cases.
pub(crate) fn cases(cases: &Cases, manifest: &str) -> String {
    let mut text = format!(
        "// @generated from {manifest} by `cargo xtask codegen`. Do not edit.\n\
         //! What types and operations promise of threads. A line with `//~` is an error with this code, whose\n\
         //! message has these words. Every other line compiles.\n\
         {NEEDS}\n\
         fn types() {{\n"
    );
    for ty in &cases.types {
        line(&mut text, ty, "send", "Send", ty.send);
        line(&mut text, ty, "sync", "Sync", ty.sync);
    }
    text.push_str("}\n\nfn operations() {\n");
    for path in &cases.operations {
        let _ = writeln!(text, "    send_future({path}); //~ E0277 `Send`");
    }
    text.push_str("}\n\nfn main() {}\n");
    text
}

fn line(text: &mut String, ty: &Promise, needs: &str, marker: &str, holds: bool) {
    let Promise { path, name, .. } = ty;
    let expected = match holds {
        true => String::new(),
        false => format!(" //~ E0277 `{marker}` {name}"),
    };
    let _ = writeln!(text, "    {needs}::<{path}>();{expected}");
}
