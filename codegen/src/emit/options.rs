//! Builders of option structs.

use proc_macro2::TokenStream;
use quote::quote;

use super::{comment, docs};
use crate::model::Options;

pub(super) fn emit(options: &Options) -> TokenStream {
    let Options { c, name, size, .. } = options;
    let doc = docs(&options.docs);
    let only = options.cfg.as_ref().map(|cfg| quote!(#[cfg(#cfg)]));
    let (alias, text) = (c.to_string(), name.to_string());
    let pin = size
        .init
        .iter()
        .zip(&size.pin)
        .map(|(init, pin)| quote!(#only const _: #pin = sys::#init;));
    let preset = size.field.as_ref().map(|(field, ty)| {
        let safety = comment("SAFETY: the field is inside the struct, whatever its alignment.");
        quote! {
            #safety
            unsafe { (&raw mut (*raw.as_mut_ptr()).#field).write_unaligned(size_of::<sys::#c>() as #ty) };
        }
    });
    let init = size.init.as_ref().map(|init| match size.with_size {
        true => quote!(sys::#init(raw.as_mut_ptr(), size_of::<sys::#c>() as _);),
        false => quote!(sys::#init(raw.as_mut_ptr());),
    });
    let mutable = (preset.is_some() || init.is_some()).then(|| quote!(mut));
    let safety = comment(&format!("SAFETY: {}", size.safety.trim()));
    let fields = options.fields.iter().map(|field| {
        let (docs, c, name, ty, value) = (
            docs(&field.docs),
            &field.c,
            &field.name,
            &field.ty,
            &field.value,
        );
        let cfg = field.cfg.as_ref().map(|cfg| quote!(#[cfg(#cfg)]));
        quote! {
            #docs
            #cfg
            #[must_use]
            pub fn #name(mut self, value: #ty) -> Self {
                self.0.#c = #value;
                self
            }
        }
    });
    quote! {
        #only
        #doc
        #[doc(alias = #alias)]
        #[derive(Clone)]
        pub struct #name(sys::#c);

        #(#pin)*

        #only
        impl #name {
            /// The defaults of SPDK.
            pub fn new() -> Self {
                let #mutable raw = MaybeUninit::<sys::#c>::zeroed();
                #preset
                #safety
                Self(unsafe { #init raw.assume_init() })
            }

            #(#fields)*

            #[allow(dead_code, reason = "not every option struct is given to a call here")]
            pub(crate) fn to_c(&self) -> sys::#c {
                self.0
            }
        }

        #only
        impl fmt::Debug for #name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(#text).finish_non_exhaustive()
            }
        }

        #only
        impl Default for #name {
            fn default() -> Self {
                Self::new()
            }
        }
    }
}
