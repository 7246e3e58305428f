//! What is to be written: every decision made, nothing left to interpret.

use proc_macro2::{Ident, TokenStream};

/// One generated file.
pub(crate) struct File {
    /// Its name, without `.rs`.
    pub(crate) name: String,
    /// The header, below `spdk/`.
    pub(crate) header: String,
    /// The first line of its documentation.
    pub(crate) doc: String,
    /// When it exists, as `#[cfg(..)]` has it.
    pub(crate) cfg: Option<String>,
    /// Where the types of the manifest are, by name.
    pub(crate) uses: Vec<(String, Use)>,
    /// Its items, in the order of the manifest.
    pub(crate) items: Vec<Item>,
}

/// Where a type is.
pub(crate) enum Use {
    /// In the generated file of this name.
    File(String),
    /// At this path.
    Path(syn::Path),
}

/// One construct.
pub(crate) enum Item {
    Handle(Handle),
    Markers(Markers),
    Callback(Callback),
    Enum(Enum),
    Flags(Flags),
    Options(Options),
    Record(Record),
    Function(Box<Function>),
}

/// A handle type.
pub(crate) struct Handle {
    pub(crate) c: Ident,
    pub(crate) name: Ident,
    /// The marker type that implements `Object`.
    pub(crate) object: Ident,
    pub(crate) extra: TokenStream,
    /// Whether that is what it was made of.
    pub(crate) keeps: bool,
    pub(crate) release: Option<Ident>,
    pub(crate) describe: Describe,
    /// Whether its extra data say what the log calls it.
    pub(crate) labels: bool,
    pub(crate) docs: Vec<String>,
    pub(crate) never: Option<String>,
    /// Whether a call takes it over.
    pub(crate) is_consumed: bool,
}

pub(crate) enum Describe {
    Type,
    Name(Ident),
    ByHand,
}

/// What a hand-written handle type promises of threads.
pub(crate) struct Markers {
    pub(crate) name: Ident,
    pub(crate) send: bool,
    pub(crate) sync: bool,
}

/// What a type promises of threads, wherever it is.
pub(crate) struct Promise {
    /// As the manifest spells it.
    pub(crate) path: String,
    /// Its name alone, which messages about it have.
    pub(crate) name: String,
    pub(crate) cfg: Option<String>,
    pub(crate) send: bool,
    pub(crate) sync: bool,
}

/// What users may do with types, and what must not compile.
pub(crate) struct Cases {
    /// By the paths that users have.
    pub(crate) types: Vec<Promise>,
    /// The paths of functions whose futures are not `Send`.
    pub(crate) operations: Vec<String>,
}

/// A callback type that ends operations.
pub(crate) struct Callback {
    pub(crate) name: Ident,
    pub(crate) c: Ident,
    /// The C type: the typedef, or the function pointer where there is none.
    pub(crate) ty: TokenStream,
    /// `name: type` of each C argument; `_` where nobody reads it.
    pub(crate) args: Vec<(Ident, TokenStream)>,
    pub(crate) ctx: Ident,
    pub(crate) raw_type: TokenStream,
    pub(crate) raw: TokenStream,
    /// What a call that ends at once would have reported.
    pub(crate) done: Option<TokenStream>,
}

/// An open enum.
pub(crate) struct Enum {
    pub(crate) c: Ident,
    pub(crate) name: Ident,
    pub(crate) docs: Vec<String>,
    pub(crate) repr: Ident,
    pub(crate) variants: Vec<Variant>,
}

pub(crate) struct Variant {
    pub(crate) c: Ident,
    pub(crate) name: Ident,
    pub(crate) docs: Vec<String>,
    pub(crate) value: TokenStream,
    /// Whether every supported header has it, so that its number can be compared.
    pub(crate) pinned: bool,
}

/// A set of bits.
pub(crate) struct Flags {
    pub(crate) name: Ident,
    pub(crate) docs: Vec<String>,
    pub(crate) repr: Ident,
    pub(crate) flags: Vec<Variant>,
}

/// A builder of an option struct.
pub(crate) struct Options {
    pub(crate) c: Ident,
    pub(crate) name: Ident,
    pub(crate) docs: Vec<String>,
    pub(crate) cfg: Option<TokenStream>,
    pub(crate) size: Size,
    pub(crate) fields: Vec<OptionField>,
}

/// How an option struct gets its defaults and its size.
pub(crate) struct Size {
    /// The field to set before `init`, and its type.
    pub(crate) field: Option<(Ident, TokenStream)>,
    pub(crate) init: Option<Ident>,
    /// The type of the size that `init` takes, if it does.
    pub(crate) with_size: bool,
    pub(crate) safety: String,
    pub(crate) pin: Option<TokenStream>,
}

pub(crate) struct OptionField {
    pub(crate) c: Ident,
    pub(crate) name: Ident,
    pub(crate) docs: Vec<String>,
    pub(crate) ty: TokenStream,
    /// The C value of `value`.
    pub(crate) value: TokenStream,
    pub(crate) cfg: Option<TokenStream>,
}

/// A struct that C fills.
pub(crate) struct Record {
    pub(crate) c: Ident,
    pub(crate) name: Ident,
    pub(crate) docs: Vec<String>,
    pub(crate) fields: Vec<RecordField>,
}

pub(crate) struct RecordField {
    pub(crate) name: Ident,
    pub(crate) docs: Vec<String>,
    pub(crate) ty: TokenStream,
    /// The Rust value, of the C struct `raw`.
    pub(crate) value: TokenStream,
    pub(crate) cfg: Option<TokenStream>,
}

/// A wrapper of a C function.
pub(crate) struct Function {
    pub(crate) c: Ident,
    /// The type that it belongs to.
    pub(crate) owner: Option<Ident>,
    pub(crate) name: Ident,
    pub(crate) docs: Vec<String>,
    pub(crate) cfg: Option<TokenStream>,
    pub(crate) pin: TokenStream,
    pub(crate) inputs: Vec<TokenStream>,
    /// The lifetime of the inputs that a future borrows.
    pub(crate) borrows: Option<syn::Lifetime>,
    /// What it returns when all goes well.
    pub(crate) output: TokenStream,
    /// Where errors happen; `None` if there are none.
    pub(crate) at: Option<TokenStream>,
    /// Whether something depends on the spdk_thread of the call.
    pub(crate) asks_caller: bool,
    /// Values that the error context and the call share.
    pub(crate) lets: Vec<TokenStream>,
    /// What refuses the call on the wrong thread.
    pub(crate) place: Option<TokenStream>,
    /// What can refuse the call before anything is held.
    pub(crate) checks: Vec<TokenStream>,
    /// What the call holds or borrows, by name.
    pub(crate) holds: Vec<Hold>,
    /// The arguments of the C function.
    pub(crate) args: Vec<TokenStream>,
    pub(crate) safety: String,
    /// Whether the caller has to see to something.
    pub(crate) is_unsafe: bool,
    /// The trait of an operation's future, which says whether SPDK can be asked to abort it.
    pub(crate) future: Ident,
    pub(crate) body: Body,
}

pub(crate) struct Hold {
    pub(crate) name: Ident,
    pub(crate) value: TokenStream,
    pub(crate) is_mut: bool,
    /// Whether it is given away for good: then nothing may be refused any more after it.
    pub(crate) is_given: bool,
    /// Whether C is given it.
    pub(crate) in_submit: bool,
    /// Whether the values that end the operation are made of it.
    pub(crate) in_finish: bool,
}

pub(crate) enum Body {
    /// An operation that a callback ends.
    Op {
        callback: TokenStream,
        /// What the C call's result means; `call` stands for it.
        submitted: Submitted,
        /// The pattern of what the callback reported.
        raw: TokenStream,
        finish: TokenStream,
    },
    /// A call that returns at once.
    Call {
        /// The result of the whole, where `rc` is what C returned.
        result: Outcome,
    },
    /// A call that opens a handle with events.
    Open {
        trampoline: Trampoline,
        status: bool,
        handle: Ident,
        out: Ident,
        extra: TokenStream,
        /// The function that completes the handle.
        opened: Option<TokenStream>,
        /// The method with the stream, the type of its items and the path to the hub.
        events: Option<(Ident, TokenStream, TokenStream)>,
        event_doc: String,
    },
    /// A call that runs a closure for each element.
    Each {
        trampoline: Trampoline,
        item: TokenStream,
    },
}

/// The C function that receives a repeated callback.
pub(crate) struct Trampoline {
    pub(crate) args: Vec<(Ident, TokenStream)>,
    pub(crate) ctx: Ident,
    pub(crate) ret: Option<TokenStream>,
    pub(crate) value: TokenStream,
}

pub(crate) enum Submitted {
    /// `bdev_rc` with the descriptor and the channel.
    Bdev(TokenStream, TokenStream),
    /// The queue, and what the command is about.
    Queue(Ident, Ident),
    /// The channel of a blobstore.
    Blob(Ident),
    Rc,
    Void,
    /// The codes that are special, and whether 0 is.
    Map(Vec<(i32, TokenStream)>),
}

pub(crate) enum Outcome {
    /// What C returned, as `rc`, is turned into this.
    Value(TokenStream),
    /// As before, and that may fail.
    Try(TokenStream),
    /// C returns nothing: what it filled is turned into this.
    Filled(TokenStream),
    /// Nothing comes back.
    Unit,
}
