//! Structs that C fills.

use proc_macro2::TokenStream;
use quote::quote;

use super::{comment, docs};
use crate::model::{Record, RecordField};

pub(super) fn emit(record: &Record) -> TokenStream {
    let Record { c, name, .. } = record;
    let doc = docs(&record.docs);
    let alias = c.to_string();
    let cfg = |field: &RecordField| field.cfg.as_ref().map(|cfg| quote!(#[cfg(#cfg)]));
    let fields = record.fields.iter().map(|field| {
        let (docs, name, ty, cfg) = (docs(&field.docs), &field.name, &field.ty, cfg(field));
        quote!(#docs #cfg pub #name: #ty,)
    });
    let values = record.fields.iter().map(|field| {
        let (name, value, cfg) = (&field.name, &field.value, cfg(field));
        quote!(#cfg #name: #value,)
    });
    let zeroes = comment(
        "SAFETY: zeroes are a value of every field: numbers, and pointers that may be null.",
    );
    quote! {
        #doc
        #[doc(alias = #alias)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct #name { #(#fields)* }

        impl #name {
            /// What C fills.
            #[allow(dead_code, reason = "not every struct is filled by a call here")]
            pub(crate) fn zero() -> sys::#c {
                #zeroes
                unsafe { MaybeUninit::zeroed().assume_init() }
            }

            #[allow(dead_code, reason = "not every struct is filled by a call here")]
            pub(crate) fn from_c(raw: &sys::#c) -> Self {
                Self { #(#values)* }
            }
        }
    }
}
