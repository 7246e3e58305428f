//! `spdk::api!` without the feature `api`.

use proc_macro2::{Span, TokenStream};

/// Says which feature is missing.
pub(crate) fn expand(_: TokenStream) -> syn::Result<TokenStream> {
    let message = "`spdk::api!` needs the feature `api` of `spdk`: cargo add spdk --features api";
    Err(syn::Error::new(Span::call_site(), message))
}
