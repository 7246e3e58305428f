//! The rules of the manifest, each with its way out: the table of messages.

/// A rule that a manifest can break.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which its test carries too.
    pub id: &'static str,
    /// What it says.
    pub says: &'static str,
    /// What to do, where the case has nothing more specific to say.
    pub way_out: &'static str,
}

macro_rules! rules {
    ($($name:ident $id:literal: $says:literal, $way_out:literal;)*) => {
        $(
            #[doc = $says]
            pub static $name: Rule = Rule { id: $id, says: $says, way_out: $way_out };
        )*
        /// Every rule.
        pub static ALL: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    FILE "file":
        "a manifest is a readable file of UTF-8 text",
        "check the path, which is relative to the package's Cargo.toml, and the encoding";
    SYNTAX "syntax":
        "a manifest is RON, and every field and variant of it is known",
        "the fields and variants are documented in `spdk_codegen::manifest`";
    BINDINGS "bindings":
        "bindings are Rust, as bindgen writes it",
        "run bindgen again, and give its output unchanged";
    UNKNOWN_FUNCTION "unknown-function":
        "`c` of a function is a function that the headers declare",
        "correct the name; a static inline function must be made callable by the bindings first";
    UNKNOWN_TYPE "unknown-type":
        "a C type is one that the headers declare",
        "correct the name, without `struct`, `enum` or `*`";
    UNKNOWN_TYPEDEF "unknown-typedef":
        "`c` of a callback is a typedef of a function pointer, or has `of`",
        "correct the name, or say `of: (\"function\", \"parameter\")` where C has no typedef";
    UNKNOWN_ENUM "unknown-enum":
        "`c` of an enum is an enum that the headers declare",
        "correct the name, without `enum`";
    UNKNOWN_CONSTANT "unknown-constant":
        "an enumerator or a flag is a constant that the headers declare",
        "correct the name, or remove the entry";
    UNNAMED_ENUMERATOR "unnamed-enumerator":
        "every enumerator of the header is a variant or is skipped",
        "add a `Variant(c: .., rust: .., doc: ..)`, or a `Skip(c: .., reason: ..)`";
    UNNAMED_FIELD "unnamed-field":
        "every field of a struct that C fills is a field here or is skipped",
        "add a `RecordField(c: .., doc: ..)`, or a `Skip(c: .., reason: ..)`";
    GIVES "gives":
        "what an operation gives is a number that a function reads off its `spdk_bdev_io`, or dwords of its completion",
        "name a function that takes a `spdk_bdev_io` and returns a number, or write one and say `Convert`; an NVMe command gives `Dword0` or `Dwords`";
    UNKNOWN_FIELD "unknown-field":
        "a field is one that the C struct has",
        "correct the name, or remove the entry";
    UNKNOWN_PARAMETER "unknown-parameter":
        "a role, a length and a thread rule name a parameter that the function has",
        "use the names of the C prototype";
    DUPLICATE_C "duplicate-c":
        "a C name has one entry",
        "remove one of the two";
    DUPLICATE_RUST "duplicate-rust":
        "a Rust name is given once",
        "rename one of the two";
    UNKNOWN_OWNER "unknown-owner":
        "the type in `rust` is a handle of this manifest",
        "add a `Handle` or an `Extern` entry for it, or write the bare name of a free function";
    FOREIGN_OWNER "foreign-owner":
        "methods are added to types of the same crate only",
        "write the bare name of a free function; its handle becomes a parameter with role `Held`";
    MISSING_ROLE "missing-role":
        "every parameter that is not a number has a role, or a type that an entry declares",
        "say what it is in `params`, or in `names` of the section";
    ROLE_TYPE "role-type":
        "a role fits the C type of its parameter",
        "choose the role that the prototype allows";
    BUFFER_LENGTH "buffer-length":
        "a buffer has a length: an integer parameter of the same call",
        "name the parameter with the length in `len`, and with the number of elements in `count`";
    BUFFER_UNIT "buffer-unit":
        "what a buffer and the range count by one parameter has one unit",
        "say by the header whether the parameter is in bytes or in blocks, in both places";
    UNDECLARED_HANDLE "undeclared-handle":
        "a handle that a call takes, produces or consumes is declared",
        "add a `Handle` or an `Extern` entry for its C type";
    UNDECLARED_CALLBACK "undeclared-callback":
        "a callback typedef that a function takes is declared",
        "add a `Callback` entry with its class and its arguments";
    UNRELEASED "unreleased":
        "a handle is freed by a function that takes it and nothing else",
        "name that function in `release`, or write `Never(\"who frees it\")`";
    FREED_TWICE "freed-twice":
        "the function that frees a handle takes it over where it is called",
        "give the handle the role `Consumed(Always)`, or remove the entry";
    UNKEPT "unkept":
        "a handle that a call makes of another one keeps that until it is freed",
        "name the C type of the other one in `keeps` of its entry";
    CALLBACK_SHAPE "callback-shape":
        "the arguments of a callback fit its C signature and its class",
        "give one argument for each of the prototype, in its order";
    CALLBACK_CONTEXT "callback-context":
        "every callback of a call gets a context parameter",
        "give one `void *` parameter the role `Ctx`, or `CtxOf(\"callback\")` where there are several";
    CLASS_SHAPE "class-shape":
        "a function has the callbacks and results that its class needs",
        "correct `class`, here or at the callback";
    NOT_EMITTED "not-emitted":
        "the generator writes what it can write whole",
        "write the wrapper by hand, and a `Manual(c: .., rust: .., reason: ..)` entry for it";
    RETURN_ROLE "return-role":
        "a return value that the C type does not explain is explained",
        "say `returns: Errno`, `Value`, `Bool`, `Text`, `TextOrNull`, `Handle` or `Nothing`";
    RC_OF_VOID "rc-of-void":
        "only a function that returns `int` has return codes",
        "remove `rc`";
    CONSUMED_BORROWED "consumed-borrowed":
        "a call that consumes its receiver takes nothing else of it",
        "give the receiver no other role than `Consumed`";
    CHANNEL_CHECK "channel-check":
        "a channel is checked against the device it is used with",
        "name the method that checks it in `channel` of the device's entry";
    EVENT_RELEASE "event-release":
        "a stream of events ends with the handle that produces it",
        "give the handle a `release` function";
    THREAD_PARAMETER "thread-parameter":
        "a thread rule names a handle parameter of the call, and a call without handles has a thread rule",
        "name one, or use `Home`, `Any`, `Spdk` or `App`";
    VERSIONS "versions":
        "`since` and `until` agree with each other and with the headers of every supported SPDK",
        "correct them, or remove them where every supported SPDK has the function";
    SIZE_FIELD "size-field":
        "an option struct has the size field of its convention, and a function of its signature",
        "choose the convention that the header follows";
    USELESS "useless":
        "what is written has an effect",
        "remove it";
}

/// Not a rule of the manifest: the generator itself is wrong.
pub(crate) static INTERNAL: Rule = Rule {
    id: "internal",
    says: "what the generator writes is Rust",
    way_out: "this is a mistake of the generator; please report it with the entry",
};

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = ALL.iter().map(|rule| rule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len());
    }
}
