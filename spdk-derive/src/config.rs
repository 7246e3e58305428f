//! SPDK configuration in an attribute: RPC calls with parameters.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, ExprUnary, Ident, Lit, Result, Token, UnOp, parenthesized};

/// `method(parameter = value, ...)`.
struct Call {
    method: Ident,
    parameters: Vec<(Ident, Expr)>,
}

impl Parse for Call {
    fn parse(input: ParseStream) -> Result<Self> {
        let method = input.call(Ident::parse_any)?;
        if !input.peek(syn::token::Paren) {
            let message = format!("`{method}` is an RPC: write `{method}(parameter = value, ...)`");
            return Err(syn::Error::new(method.span(), message));
        }
        let list;
        parenthesized!(list in input);
        let parse = |input: ParseStream| {
            let name = input.call(Ident::parse_any)?;
            if !input.peek(Token![=]) {
                let message = format!("the parameter `{name}` needs a value: write `{name} = ...`");
                return Err(syn::Error::new(name.span(), message));
            }
            input.parse::<Token![=]>()?;
            Ok((name, input.parse()?))
        };
        let list = list.parse_terminated(parse, Token![,])?;
        let mut parameters: Vec<(Ident, Expr)> = Vec::new();
        for (name, value) in list {
            if parameters.iter().any(|(other, _)| *other == name) {
                let message = format!("the parameter `{name}` is set twice");
                return Err(syn::Error::new(name.span(), message));
            }
            parameters.push((name, value));
        }
        Ok(Call { method, parameters })
    }
}

/// `subsystem(call, ...)`.
struct Subsystem {
    name: Ident,
    calls: Punctuated<Call, Token![,]>,
}

impl Parse for Subsystem {
    fn parse(input: ParseStream) -> Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if !input.peek(syn::token::Paren) {
            let message = format!("`{name}` is a subsystem: write `{name}(method(...), ...)`");
            return Err(syn::Error::new(name.span(), message));
        }
        let calls;
        parenthesized!(calls in input);
        let calls = Punctuated::parse_terminated(&calls)?;
        Ok(Subsystem { name, calls })
    }
}

/// The calls of the list of `bdevs(...)`: expressions of the type `__testing::Call`.
pub(crate) fn bdevs(krate: &TokenStream, list: TokenStream) -> Result<Vec<TokenStream>> {
    let parser = Punctuated::<Call, Token![,]>::parse_terminated;
    let calls = syn::parse::Parser::parse2(parser, list)?;
    let name = format_ident!("bdev");
    Ok(calls
        .iter()
        .map(|call| expression(krate, &name, call))
        .collect())
}

/// The calls of the list of `subsystems(...)`.
pub(crate) fn subsystems(krate: &TokenStream, list: TokenStream) -> Result<Vec<TokenStream>> {
    let parser = Punctuated::<Subsystem, Token![,]>::parse_terminated;
    let subsystems = syn::parse::Parser::parse2(parser, list)?;
    let mut calls = Vec::new();
    for subsystem in &subsystems {
        let of_one = subsystem.calls.iter();
        calls.extend(of_one.map(|call| expression(krate, &subsystem.name, call)));
    }
    Ok(calls)
}

fn expression(krate: &TokenStream, subsystem: &Ident, call: &Call) -> TokenStream {
    let (subsystem, method) = (
        subsystem.unraw().to_string(),
        call.method.unraw().to_string(),
    );
    let parameters = call.parameters.iter().map(|(name, value)| {
        let (name, value) = (name.unraw().to_string(), json(krate, value));
        quote!((#name, #value))
    });
    quote! {
        #krate::__testing::Call {
            subsystem: #subsystem,
            method: #method,
            parameters: ::std::vec![#(#parameters),*],
        }
    }
}

/// A parameter's value. A literal integer may be larger than an `i32`, which is what Rust would take
/// it for.
fn json(krate: &TokenStream, value: &Expr) -> TokenStream {
    if is_plain_integer(value) {
        quote!(#krate::__testing::Value::Integer(#value))
    } else {
        quote!(#krate::__testing::Value::from(#value))
    }
}

fn is_plain_integer(value: &Expr) -> bool {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(int), ..
        }) => int.suffix().is_empty(),
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_),
            expr,
            ..
        }) => is_plain_integer(expr),
        _ => false,
    }
}
