//! Calls that return at once.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::Planned;
use super::results::{adopted, outputs, result};
use crate::headers::CType;
use crate::manifest::Returns;
use crate::model::{self, Body};
use crate::plan::params::Parts;
use crate::resolve::Func;
use crate::world::World;

pub(super) fn call(func: &Func<'_>, parts: &mut Parts, world: &World<'_>) -> Option<Planned> {
    let returns = returns(func, world);
    if !parts.outputs.is_empty() {
        let (output, value) = result(outputs(func, parts, false));
        let result = match returns {
            Some(Returns::Errno) => quote! {
                rt::status(rc)?;
                #value
            },
            _ => value,
        };
        let body = Body::Call {
            result: match func.sig.ret {
                Some(_) => model::Outcome::Try(result),
                None => model::Outcome::Filled(result),
            },
        };
        return Some((output, body, true));
    }
    let Some(ret) = &func.sig.ret else {
        return Some((
            quote!(()),
            Body::Call {
                result: model::Outcome::Unit,
            },
            false,
        ));
    };
    let resolved = world.headers.resolve(ret);
    let value = |output: TokenStream, value: TokenStream| {
        Some((
            output,
            Body::Call {
                result: model::Outcome::Value(value),
            },
            false,
        ))
    };
    let attempt = |output: TokenStream, value: TokenStream| {
        Some((
            output,
            Body::Call {
                result: model::Outcome::Try(value),
            },
            true,
        ))
    };
    match returns? {
        Returns::Errno => attempt(quote!(()), quote!(rt::status(rc))),
        Returns::Nothing => Some((
            quote!(()),
            Body::Call {
                result: model::Outcome::Unit,
            },
            false,
        )),
        Returns::Bool if resolved.is_int() => value(quote!(bool), quote!(rc != 0)),
        Returns::Bool => value(quote!(bool), quote!(rc)),
        Returns::Value => match resolved {
            CType::Named(name) => {
                let entry = world.enumeration(name)?;
                let rust = format_ident!("{}", entry.rust.as_str());
                value(quote!(#rust), quote!(#rust::from_c(rc)))
            }
            number => value(number.tokens(), quote!(rc)),
        },
        Returns::Text => attempt(
            quote!(String),
            quote!(
                unsafe { rt::string(rc) }
                    .and_then(|text| text.ok_or(rt::Fault::errno(rt::Errno::ENODATA)))
            ),
        ),
        Returns::TextOrNull => attempt(quote!(Option<String>), quote!(unsafe { rt::string(rc) })),
        Returns::Handle => {
            let handle = world.handle(world.pointee(ret)?)?;
            let name = format_ident!("rc");
            let made = adopted(func, handle, &name, parts, false);
            attempt(made.ty, made.value)
        }
    }
}

/// What the return value is, from the manifest or from its type.
pub(crate) fn returns(func: &Func<'_>, world: &World<'_>) -> Option<Returns> {
    if func.entry.returns.is_some() {
        return func.entry.returns;
    }
    match world.headers.resolve(func.sig.ret.as_ref()?) {
        CType::Bool => Some(Returns::Bool),
        number @ CType::Number(_) if !number.is_int() => Some(Returns::Value),
        CType::Named(name) => world.enumeration(name).map(|_| Returns::Value),
        _ => None,
    }
}
