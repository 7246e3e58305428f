//! `#[spdk::main]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Result;
use syn::spanned::Spanned;

use crate::args::{self, Errors};
use crate::function::Function;

/// The function with a body that runs the given one in an application.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(attribute)?;
    let function = Function::parse("#[spdk::main]", item)?;
    let Options { krate, calls } = options;
    let run = match function.is_async() {
        true => format_ident!("run_async"),
        false => format_ident!("run"),
    };
    let Function {
        attributes,
        visibility,
        inner,
    } = function;
    let (name, output) = (&inner.sig.ident, &inner.sig.output);
    // A return type that cannot be one of a main function is reported there.
    let run = quote_spanned!(output.span()=> #krate::__entry::#run);
    Ok(quote! {
        #(#attributes)*
        #visibility fn #name() #output {
            #inner
            #run(#krate::__entry::builder(::core::env!("CARGO_CRATE_NAME")) #(#calls)*, #name)
        }
    })
}

struct Options {
    krate: TokenStream,
    /// Calls of `SpdkAppBuilder`'s methods.
    calls: Vec<TokenStream>,
}

impl Options {
    fn parse(attribute: TokenStream) -> Result<Self> {
        let mut errors = Errors::default();
        let mut options = Options {
            krate: quote!(::spdk),
            calls: Vec::new(),
        };
        let args = args::parse(attribute)?;
        let has = |key| args.iter().any(|arg| arg.key == key);
        if has("config_file") && has("json_data") {
            let second = args
                .iter()
                .rfind(|arg| arg.key == "config_file" || arg.key == "json_data");
            if let Some(second) = second {
                let message = "`config_file` and `json_data` are both set; set one of them";
                errors.push(second.key.span(), message);
            }
        }
        for arg in args {
            match args::app_option(arg) {
                Ok(call) => options.calls.extend(errors.take(call)),
                Err(arg) if arg.key == "crate" => {
                    let krate = errors.take(arg.expr().and_then(args::krate));
                    options.krate = krate.unwrap_or(options.krate);
                }
                Err(arg) => {
                    let all = args::app_options_but(&[]);
                    let message =
                        format!("no option is named `{}`; there are: {all}, crate", arg.key);
                    errors.push(arg.key.span(), message);
                }
            }
        }
        errors.none()?;
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::expand;
    use crate::check::{message, pretty};
    use quote::quote;

    #[test]
    fn the_options_are_calls_of_the_builder() {
        let text = pretty(expand(
            quote!(
                name = "x",
                config_file = "bdev.json",
                no_huge,
                no_pci = false,
                mem_size_mb = 512,
                log_flags = ["aio", "bdev"],
                bdev_opts = opts
            ),
            quote! {
                /// Runs.
                async fn main() -> spdk::Result<()> { work().await }
            },
        ));
        let builder = concat!(
            r#".name("x").config_file("bdev.json").no_huge(true).no_pci(false).mem_size_mb(512)"#,
            r#".log_flags(["aio","bdev"]).bdev_opts(opts)"#,
        );
        let dense: String = text.split_whitespace().collect();
        assert!(dense.contains(builder), "{text}");
        assert!(
            text.contains("/// Runs.\nfn main() -> spdk::Result<()> {"),
            "{text}"
        );
        assert!(
            text.contains("async fn main() -> spdk::Result<()> {\n        work().await"),
            "{text}"
        );
        assert!(text.contains("::spdk::__entry::run_async("), "{text}");
    }

    #[test]
    fn a_main_that_is_not_async_runs_too() {
        let text = pretty(expand(
            quote!(crate = other::spdk),
            quote!(
                fn main() {}
            ),
        ));
        assert!(text.contains("other::spdk::__entry::run("), "{text}");
    }

    #[test]
    fn mistakes_are_told() {
        let refusals = [
            (
                quote!(no_hug),
                quote!(
                    fn main() {}
                ),
                "no option is named `no_hug`; there are: name, ",
            ),
            (
                quote!(name),
                quote!(
                    fn main() {}
                ),
                "`name` needs a value: write `name = ...`",
            ),
            (
                quote!(no_pci(1)),
                quote!(
                    fn main() {}
                ),
                "`no_pci` is a flag",
            ),
            (
                quote!(shm_id = 1, shm_id = 2),
                quote!(
                    fn main() {}
                ),
                "`shm_id` is set twice",
            ),
            (
                quote!(config_file = "a", json_data = "b"),
                quote!(
                    fn main() {}
                ),
                "both set",
            ),
            (
                quote!(crate = 1),
                quote!(
                    fn main() {}
                ),
                "names the spdk crate",
            ),
            (
                quote!(),
                quote!(
                    struct Main;
                ),
                "`#[spdk::main]` goes on a function",
            ),
            (
                quote!(),
                quote!(
                    fn main(args: u8) {}
                ),
                "takes no parameters",
            ),
            (
                quote!(),
                quote!(
                    fn main<T>() {}
                ),
                "has no generic parameters",
            ),
        ];
        for (attribute, item, expected) in refusals {
            let message = message(expand(attribute, item));
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let Err(error) = expand(
            quote!(a, b = 1, name),
            quote!(
                fn main() {}
            ),
        ) else {
            panic!("accepted");
        };
        assert_eq!(error.into_iter().count(), 3);
    }
}
