//! The function that an attribute is on.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, ItemFn, Result, Visibility};

use crate::args::Errors;

/// A function without parameters, taken apart: what stays outside, and the item that goes inside.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) inner: ItemFn,
}

impl Function {
    /// Checks that it is a function that can be called without anything.
    pub(crate) fn parse(attribute: &str, item: TokenStream) -> Result<Self> {
        let span = item.span();
        let mut inner: ItemFn = syn::parse2(item)
            .map_err(|_| syn::Error::new(span, format!("`{attribute}` goes on a function")))?;
        let signature = &inner.sig;
        let mut errors = Errors::default();
        let mut refuse = |tokens: &dyn ToTokens, what: &str| {
            let message = format!("the function of `{attribute}` {what}");
            errors.add(syn::Error::new_spanned(tokens.to_token_stream(), message));
        };
        if !signature.inputs.is_empty() {
            refuse(&signature.inputs, "takes no parameters");
        }
        if !signature.generics.params.is_empty() {
            refuse(&signature.generics, "has no generic parameters");
        }
        if signature.generics.where_clause.is_some() {
            refuse(&signature.generics.where_clause, "has no `where` clause");
        }
        if signature.constness.is_some() {
            refuse(&signature.constness, "cannot be `const`");
        }
        if let syn::Safety::Unsafe(token) = &signature.safety {
            refuse(token, "cannot be `unsafe`");
        }
        if signature.abi.is_some() {
            refuse(&signature.abi, "cannot be `extern`");
        }
        if let Some(token) = &signature.variadic {
            refuse(token, "takes no parameters");
        }
        errors.none()?;
        let attributes = std::mem::take(&mut inner.attrs);
        let visibility = std::mem::replace(&mut inner.vis, Visibility::Inherited);
        Ok(Function {
            attributes,
            visibility,
            inner,
        })
    }

    pub(crate) fn is_async(&self) -> bool {
        self.inner.sig.asyncness.is_some()
    }
}
