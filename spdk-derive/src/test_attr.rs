//! `#[spdk::test]`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Expr, Result};

use crate::args::{self, Arg, Errors, Value};
use crate::config;
use crate::function::Function;

/// How long a test may take, in seconds, if it does not say.
const DEADLINE: u64 = 60;

/// What the test runner fills in, and its own configuration stands for.
const NOT_HERE: [&str; 4] = ["name", "config_file", "json_data", "config"];

/// A `#[test]` that runs the given function in a process of its own.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(attribute)?;
    let function = Function::parse("#[spdk::test]", item)?;
    let runner = runner(&options, &function)?;
    let Options {
        krate,
        deadline,
        calls,
        ..
    } = options;
    let Function {
        attributes,
        visibility,
        inner,
    } = function;
    let name = &inner.sig.ident;
    let body = match runner {
        Runner::Alone => quote!(#krate::__testing::alone(#name)),
        Runner::App(run) => quote! {
            #krate::__testing::#run(#krate::__testing::builder() #(#calls)*, #name)
        },
    };
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attributes)*
        #visibility fn #name() {
            #inner
            #krate::__testing::run(
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
                #deadline,
                || #body,
            )
        }
    })
}

enum Runner {
    /// In a process of its own, without SPDK.
    Alone,
    /// In an application, by this function.
    App(syn::Ident),
}

fn runner(options: &Options, function: &Function) -> Result<Runner> {
    match (options.no_app, function.is_async()) {
        (None, true) => Ok(Runner::App(format_ident!("run_async"))),
        (None, false) => Ok(Runner::App(format_ident!("run_sync"))),
        (Some(_), false) => Ok(Runner::Alone),
        (Some(span), true) => Err(syn::Error::new(
            span,
            "without an application there is no executor: the function of a `no_app` test is not \
             `async`",
        )),
    }
}

struct Options {
    krate: TokenStream,
    deadline: Expr,
    /// Where `no_app` was said.
    no_app: Option<Span>,
    /// Calls of `SpdkAppBuilder`'s methods.
    calls: Vec<TokenStream>,
}

impl Options {
    fn parse(attribute: TokenStream) -> Result<Self> {
        let args = args::parse(attribute)?;
        let mut errors = Errors::default();
        let mut options = Options {
            krate: quote!(::spdk),
            deadline: syn::parse_quote!(#DEADLINE),
            no_app: None,
            calls: Vec::new(),
        };
        let mut lists: Vec<Arg> = Vec::new();
        let mut whole = None;
        // Which argument needs an application.
        let mut of_app = None;
        for arg in args {
            let name = arg.key.to_string();
            let span = arg.key.span();
            if !matches!(name.as_str(), "crate" | "deadline" | "no_app") {
                of_app.get_or_insert(span);
            }
            match name.as_str() {
                "crate" => {
                    let krate = errors.take(arg.expr().and_then(args::krate));
                    options.krate = krate.unwrap_or(options.krate);
                }
                "deadline" => {
                    let deadline = errors.take(arg.expr().and_then(not_zero));
                    options.deadline = deadline.unwrap_or(options.deadline);
                }
                "no_app" => match arg.value {
                    Value::Flag => options.no_app = Some(span),
                    _ => errors.push(span, "`no_app` has no value"),
                },
                "cores" => {
                    let cores = errors.take(arg.expr());
                    options
                        .calls
                        .extend(cores.map(|cores| quote!(.reactor_mask(#cores))));
                }
                "config" => whole = errors.take(arg.expr()).map(|config| (span, config)),
                "bdevs" | "subsystems" => lists.push(arg),
                _ if NOT_HERE.contains(&name.as_str()) => {
                    let message = format!("`{name}` is not for tests: {}", instead(&name));
                    errors.push(span, message);
                }
                _ => match args::app_option(arg) {
                    Ok(call) => options.calls.extend(errors.take(call)),
                    Err(_) => errors.push(span, unknown(&name)),
                },
            }
        }
        match (whole, lists.first()) {
            (Some((span, _)), Some(list)) => errors.push(
                span,
                format!(
                    "`config` is the whole configuration, but `{}` is set too; set one of them",
                    list.key
                ),
            ),
            (Some((_, config)), None) => options.calls.push(quote!(.json_data(#config))),
            (None, Some(_)) => {
                let krate = &options.krate;
                let mut calls = Vec::new();
                for list in lists {
                    calls.extend(errors.take(rpcs(krate, list)).unwrap_or_default());
                }
                let json = quote!(.json_data(#krate::__testing::config(::std::vec![#(#calls),*])));
                options.calls.push(json);
            }
            (None, None) => {}
        }
        if let (Some(_), Some(span)) = (options.no_app, of_app) {
            errors.push(
                span,
                "this is an option of the application, but `no_app` starts none",
            );
        }
        errors.none()?;
        Ok(options)
    }
}

fn rpcs(krate: &TokenStream, list: Arg) -> Result<Vec<TokenStream>> {
    match list.value {
        Value::List(tokens) if list.key == "bdevs" => config::bdevs(krate, tokens),
        Value::List(tokens) => config::subsystems(krate, tokens),
        Value::Flag | Value::Expr(_) => {
            let message = match list.key == "bdevs" {
                true => "write `bdevs(bdev_malloc_create(name = \"Malloc0\", ...), ...)`",
                false => "write `subsystems(iobuf(iobuf_set_options(...)), ...)`",
            };
            Err(syn::Error::new(list.key.span(), message))
        }
    }
}

fn not_zero(deadline: Expr) -> Result<Expr> {
    if let Expr::Lit(literal) = &deadline
        && let syn::Lit::Int(seconds) = &literal.lit
        && seconds.base10_digits() == "0"
    {
        let message = "a deadline of 0 s cannot be met; it is in seconds";
        return Err(syn::Error::new_spanned(deadline, message));
    }
    Ok(deadline)
}

fn instead(name: &str) -> &'static str {
    match name {
        "name" => "the application has the name of the test",
        _ => "give `bdevs(...)`, or a whole configuration as `config = ...`",
    }
}

fn unknown(name: &str) -> String {
    let app = args::app_options_but(&NOT_HERE);
    format!(
        "no option is named `{name}`; there are: bdevs, subsystems, config, cores, deadline, no_app, {app}, crate"
    )
}

#[cfg(test)]
mod tests {
    use super::expand;
    use crate::check::{message, pretty};
    use quote::quote;

    #[test]
    fn a_test_runs_in_an_application_with_its_bdevs() {
        let text = pretty(expand(
            quote!(
                cores = "0x1",
                bdevs(
                    bdev_malloc_create(
                        name = "Malloc0",
                        num_blocks = 8_589_934_592,
                        block_size = SIZE
                    ),
                    bdev_error_create(base_name = "Malloc0"),
                ),
                deadline = 5
            ),
            quote! {
                #[should_panic(expected = "this")]
                #[ignore]
                async fn reads() -> spdk::Result<()> { Ok(()) }
            },
        ));
        let dense: String = text.split_whitespace().collect();
        for expected in [
            "#[::core::prelude::v1::test]#[should_panic(expected=\"this\")]#[ignore]fnreads(){",
            "asyncfnreads()->spdk::Result<()>{",
            "::core::concat!(::core::module_path!(),\"::\",::core::stringify!(reads)),5,",
            "::spdk::__testing::run_async(",
            ".reactor_mask(\"0x1\").json_data(::spdk::__testing::config(",
            "(\"num_blocks\",::spdk::__testing::Value::Integer(8_589_934_592)",
            "(\"block_size\",::spdk::__testing::Value::from(SIZE))",
            "subsystem:\"bdev\",method:\"bdev_error_create\"",
        ] {
            assert!(dense.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn subsystems_keep_their_order() {
        let text = pretty(expand(
            quote!(
                subsystems(iobuf(iobuf_set_options(small_pool_count = 64u32))),
                bdevs(bdev_set_options(
                    bdev_io_pool_size = 8,
                    bdev_auto_examine = false
                ))
            ),
            quote!(
                fn t() {}
            ),
        ));
        let at = |what: &str| {
            text.find(what)
                .unwrap_or_else(|| panic!("{what} is not in\n{text}"))
        };
        assert!(at("\"iobuf\"") < at("\"iobuf_set_options\""));
        assert!(at("\"iobuf_set_options\"") < at("\"bdev_set_options\""));
        assert!(at("Value::from(64u32)") < at("Value::from(false)"));
        assert!(at("::spdk::__testing::run_sync(") > 0);
    }

    #[test]
    fn without_an_application() {
        let text = pretty(expand(
            quote!(no_app, deadline = 5),
            quote!(
                fn t() {}
            ),
        ));
        assert!(text.contains("::spdk::__testing::alone(t)"), "{text}");
    }

    #[test]
    fn mistakes_are_told() {
        let item = quote!(
            async fn t() {}
        );
        let refusals = [
            (
                quote!(bdev()),
                "no option is named `bdev`; there are: bdevs, subsystems",
            ),
            (quote!(bdevs = 1), "write `bdevs(bdev_malloc_create("),
            (quote!(subsystems), "write `subsystems(iobuf("),
            (
                quote!(bdevs(bdev_malloc_create)),
                "`bdev_malloc_create` is an RPC: write",
            ),
            (quote!(bdevs(m(name))), "the parameter `name` needs a value"),
            (
                quote!(bdevs(m(a = 1, a = 2))),
                "the parameter `a` is set twice",
            ),
            (quote!(subsystems(iobuf)), "`iobuf` is a subsystem"),
            (
                quote!(config = "{}", bdevs()),
                "`config` is the whole configuration, but `bdevs`",
            ),
            (quote!(deadline = 0), "a deadline of 0 s cannot be met"),
            (
                quote!(name = "x"),
                "`name` is not for tests: the application has the name",
            ),
            (
                quote!(json_data = "x"),
                "`json_data` is not for tests: give `bdevs(...)`",
            ),
            (quote!(no_app, cores = "0x1"), "`no_app` starts none"),
            (
                quote!(no_app),
                "the function of a `no_app` test is not `async`",
            ),
            (quote!(no_app = 1), "`no_app` has no value"),
        ];
        for (attribute, expected) in refusals {
            let message = message(expand(attribute, item.clone()));
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        }
    }
}
