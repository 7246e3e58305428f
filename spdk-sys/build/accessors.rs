//! Leaves out what bindgen makes of bit-fields beside getters and setters: a third of its output, which every build would
//! check and borrow-check for nobody.

/// The bindings without the accessors through raw pointers (`field_raw`, `set_field_raw`) and the constructors of
/// units (`new_bitfield_1`).
///
/// It relies on how prettyplease lays out methods, and bindgen writes theirs: attributes first.
pub(crate) fn lean(bindings: &str) -> String {
    let mut out = String::with_capacity(bindings.len());
    let mut rest = bindings;
    while let Some(start) = rest.find(METHOD) {
        let (before, method) = rest.split_at(start + 1);
        out.push_str(before);
        let end = method.find(END).map_or(method.len(), |at| at + END.len());
        let (method, after) = method.split_at(end - 1);
        // The newline is left: the next method is searched by it.
        if is_needless(method) {
            out.pop();
        } else {
            out.push_str(method);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

const METHOD: &str = "\n    #[inline]\n";
const END: &str = "\n    }\n";

fn is_needless(method: &str) -> bool {
    let Some((_, signature)) = method.split_once("fn ") else {
        return false;
    };
    let Some((name, parameters)) = signature.split_once('(') else {
        return false;
    };
    name.starts_with("new_bitfield_")
        || (name.ends_with("_raw") && parameters.trim_start().starts_with("this: *"))
}
