//! Callback types that end operations.

use proc_macro2::TokenStream;
use quote::quote;

use super::comment;
use crate::model::Callback;

pub(super) fn emit(callback: &Callback) -> TokenStream {
    let Callback {
        name,
        c,
        ty,
        args,
        ctx,
        raw_type,
        raw,
        done,
    } = callback;
    let args = args.iter().map(|(name, ty)| quote!(#name: #ty));
    let doc = format!(" What `{c}` reports.");
    let promise =
        comment("SAFETY: the function passes its context on, once, and does nothing else.");
    let inner = comment("SAFETY: C gives back the context of the operation that it ends.");
    let done = done.as_ref().map(|done| {
        quote! {
            fn done() -> Option<Self::Raw> {
                Some(#done)
            }
        }
    });
    quote! {
        #[doc = #doc]
        #[doc(hidden)]
        pub enum #name {}

        #promise
        unsafe impl rt::Callback for #name {
            type Fn = #ty;
            type Raw = #raw_type;
            fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
                unsafe extern "C" fn call<K: rt::Complete<#raw_type>>(#(#args),*) {
                    #inner
                    unsafe { rt::complete::<K, _>(#ctx, #raw) }
                }
                Some(call::<K>)
            }
            #done
        }
    }
}
