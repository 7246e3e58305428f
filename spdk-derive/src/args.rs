//! The arguments of the attributes: `flag`, `key = value` and `key(...)`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, Result, Token, parenthesized};

/// One argument.
pub(crate) struct Arg {
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

/// What follows the key.
pub(crate) enum Value {
    Flag,
    Expr(Box<Expr>),
    /// The tokens in the parentheses.
    List(TokenStream),
}

impl Parse for Arg {
    fn parse(input: ParseStream) -> Result<Self> {
        let key = input.call(Ident::parse_any)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Expr(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            let list;
            parenthesized!(list in input);
            Value::List(list.parse()?)
        } else {
            Value::Flag
        };
        Ok(Arg { key, value })
    }
}

impl Arg {
    /// The value of a `key = value`.
    pub(crate) fn expr(self) -> Result<Expr> {
        match self.value {
            Value::Expr(expr) => Ok(*expr),
            Value::Flag | Value::List(_) => {
                let message = format!("`{0}` needs a value: write `{0} = ...`", self.key);
                Err(Error::new(self.key.span(), message))
            }
        }
    }

    /// A flag: alone it means `true`.
    pub(crate) fn flag(self) -> Result<Expr> {
        match self.value {
            Value::Flag => Ok(syn::parse_quote!(true)),
            Value::Expr(expr) => Ok(*expr),
            Value::List(_) => {
                let message = format!("`{0}` is a flag: write `{0}` or `{0} = false`", self.key);
                Err(Error::new(self.key.span(), message))
            }
        }
    }
}

/// The arguments of an attribute, each key at most once.
pub(crate) fn parse(tokens: TokenStream) -> Result<Vec<Arg>> {
    let list = syn::parse::Parser::parse2(Punctuated::<Arg, Token![,]>::parse_terminated, tokens)?;
    let mut errors = Errors::default();
    let mut args: Vec<Arg> = Vec::new();
    for arg in list {
        if args.iter().any(|other| other.key == arg.key) {
            errors.push(arg.key.span(), format!("`{}` is set twice", arg.key));
        }
        args.push(arg);
    }
    errors.none()?;
    Ok(args)
}

/// The options of `SpdkAppBuilder`, and whether each is a flag.
const APP_OPTIONS: [(&str, bool); 18] = [
    ("name", false),
    ("config_file", false),
    ("json_data", false),
    ("config", false),
    ("bdev_opts", false),
    ("reactor_mask", false),
    ("main_core", false),
    ("mem_size_mb", false),
    ("no_pci", true),
    ("no_huge", true),
    ("rpc_addr", false),
    ("shm_id", false),
    ("log_level", false),
    ("log_flags", false),
    ("disable_cpumask_locks", true),
    ("disable_signal_handlers", true),
    ("interrupt_mode", true),
    ("shutdown_patience", false),
];

/// The call of the builder's method that an argument stands for; `None` if there is no such option.
pub(crate) fn app_option(arg: Arg) -> std::result::Result<Result<TokenStream>, Arg> {
    let known = APP_OPTIONS.iter().find(|(name, _)| arg.key == *name);
    let Some((_, is_flag)) = known else {
        return Err(arg);
    };
    let method = arg.key.clone();
    let value = if *is_flag { arg.flag() } else { arg.expr() };
    Ok(value.map(|value| quote!(.#method(#value))))
}

/// The names of the options of `SpdkAppBuilder`, except some.
pub(crate) fn app_options_but(but: &[&str]) -> String {
    let names = APP_OPTIONS.iter().map(|(name, _)| *name);
    let names: Vec<_> = names.filter(|name| !but.contains(name)).collect();
    names.join(", ")
}

/// The path that names the `spdk` crate.
pub(crate) fn krate(value: Expr) -> Result<TokenStream> {
    match value {
        Expr::Path(path) => Ok(quote!(#path)),
        other => Err(Error::new_spanned(
            other,
            "`crate` names the spdk crate: write a path such as `crate = my_reexport::spdk`",
        )),
    }
}

/// Mistakes, all of which are reported at once.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn push(&mut self, span: Span, message: impl std::fmt::Display) {
        self.add(Error::new(span, message));
    }

    pub(crate) fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The value of a result; its error is kept.
    pub(crate) fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub(crate) fn none(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
