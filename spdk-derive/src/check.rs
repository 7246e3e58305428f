//! Helpers of the unit tests.

use proc_macro2::TokenStream;
use syn::Result;

/// The expansion as formatted source text.
pub(crate) fn pretty(expansion: Result<TokenStream>) -> String {
    let tokens = match expansion {
        Ok(tokens) => tokens,
        Err(error) => panic!("{error}"),
    };
    match syn::parse2(tokens.clone()) {
        Ok(file) => prettyplease::unparse(&file),
        Err(error) => panic!("{error}: {tokens}"),
    }
}

/// The messages of a refusal.
pub(crate) fn message(expansion: Result<TokenStream>) -> String {
    match expansion {
        Ok(tokens) => panic!("accepted: {tokens}"),
        Err(errors) => {
            let all: Vec<_> = errors.into_iter().map(|error| error.to_string()).collect();
            all.join("; ")
        }
    }
}
