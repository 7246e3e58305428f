//! What a wrapper returns: values, and handles that it makes of C pointers.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use crate::plan::params::{self, Parts};
use crate::plan::types;
use crate::resolve::{Func, Means};
use crate::world::HandleInfo;

/// A part of what a wrapper returns.
pub(super) struct Output {
    pub(super) ty: TokenStream,
    /// A value, or a `Result` of one if it can fail.
    pub(super) value: TokenStream,
    pub(super) can_fail: bool,
}

impl Output {
    pub(super) fn ready(ty: TokenStream, value: TokenStream) -> Self {
        Output {
            ty,
            value,
            can_fail: false,
        }
    }
}

/// The type that a wrapper returns, and the `Result` of it.
pub(super) fn result(mut outputs: Vec<Output>) -> (TokenStream, TokenStream) {
    if outputs.len() == 1 && outputs[0].can_fail {
        let only = outputs.remove(0);
        return (only.ty, only.value);
    }
    let (types, values): (Vec<_>, Vec<_>) = outputs
        .into_iter()
        .map(
            |Output {
                 ty,
                 value,
                 can_fail,
             }| match can_fail {
                true => (ty, quote!(#value?)),
                false => (ty, value),
            },
        )
        .unzip();
    let value = types::tuple(values);
    (types::tuple(types), quote!(Ok(#value)))
}

/// The results that C writes to memory, handles among them.
pub(super) fn outputs(func: &Func<'_>, parts: &mut Parts, in_op: bool) -> Vec<Output> {
    let outputs = std::mem::take(&mut parts.outputs);
    outputs
        .into_iter()
        .map(|output| match &func.params[output.index] {
            Means::OutHandle(handle) => {
                let name = params::ident(&func.sig.params[output.index].name);
                adopted(func, *handle, &name, parts, in_op)
            }
            _ => Output::ready(output.ty, output.value),
        })
        .collect()
}

/// The type of a produced handle, and the expression that makes it of a C pointer.
pub(super) fn adopted(
    func: &Func<'_>,
    handle: HandleInfo<'_>,
    pointer: &Ident,
    parts: &mut Parts,
    in_op: bool,
) -> Output {
    let name = format_ident!("{}", handle.name());
    let keeps = match handle {
        HandleInfo::Own(entry) => entry.keeps.as_ref(),
        HandleInfo::Extern(_) => None,
    };
    let parent = keeps.and_then(|keeps| {
        let index = func.params.iter().position(|means| match means {
            Means::Receiver(held) | Means::Held(held) => held.c() == keeps.as_str(),
            _ => false,
        })?;
        Some(params::ident(&func.sig.params[index].name))
    });
    let extra = match parent {
        Some(parent) => {
            if let Some(hold) = parts.holds.iter_mut().find(|hold| hold.name == parent) {
                hold.in_finish = true;
            }
            match in_op {
                true => quote!(rt::Kept::new(#parent.clone())),
                false => quote!(rt::Kept::new(#parent)),
            }
        }
        None => quote!(()),
    };
    Output {
        ty: quote!(#name),
        value: match in_op {
            // It is inside the block of the whole operation.
            true => quote!(#name::from_c(#pointer, #extra)),
            false => quote!(unsafe { #name::from_c(#pointer, #extra) }),
        },
        can_fail: true,
    }
}
