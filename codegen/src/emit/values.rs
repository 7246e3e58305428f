//! Enums and flags.

use proc_macro2::TokenStream;
use quote::quote;

use super::docs;
use crate::model::{Enum, Flags};

pub(super) fn emit_enum(item: &Enum) -> TokenStream {
    let Enum { c, name, repr, .. } = item;
    let doc = docs(&item.docs);
    let alias = c.to_string();
    let variants = item.variants.iter().map(|variant| {
        let (docs, name) = (docs(&variant.docs), &variant.name);
        let alias = variant.c.to_string();
        quote!(#docs #[doc(alias = #alias)] #name,)
    });
    let from = item.variants.iter().map(|variant| {
        let (name, value) = (&variant.name, &variant.value);
        quote!(#value => Self::#name,)
    });
    let to = item.variants.iter().map(|variant| {
        let (name, value) = (&variant.name, &variant.value);
        quote!(Self::#name => #value,)
    });
    let pins = item
        .variants
        .iter()
        .filter(|variant| variant.pinned)
        .map(|variant| {
            let (enumerator, value) = (&variant.c, &variant.value);
            quote!(assert!(sys::#enumerator.0 == #value);)
        });
    quote! {
        #doc
        #[doc(alias = #alias)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum #name {
            #(#variants)*
            /// A value that this crate has no name for.
            Unknown(#repr),
        }

        const _: () = { #(#pins)* };

        impl #name {
            /// The value of this number.
            pub const fn from_raw(raw: #repr) -> Self {
                match raw {
                    #(#from)*
                    raw => Self::Unknown(raw),
                }
            }

            /// The number of this value.
            pub const fn to_raw(self) -> #repr {
                match self {
                    #(#to)*
                    Self::Unknown(raw) => raw,
                }
            }

            #[allow(dead_code, reason = "not every enum comes from C here")]
            pub(crate) const fn from_c(raw: sys::#c) -> Self {
                Self::from_raw(raw.0)
            }

            #[allow(dead_code, reason = "not every enum goes to C here")]
            pub(crate) const fn to_c(self) -> sys::#c {
                sys::#c(self.to_raw())
            }
        }
    }
}

pub(super) fn emit_flags(item: &Flags) -> TokenStream {
    let Flags { name, repr, .. } = item;
    let doc = docs(&item.docs);
    let consts = item.flags.iter().map(|flag| {
        let (docs, constant, value) = (docs(&flag.docs), &flag.name, &flag.value);
        let alias = flag.c.to_string();
        quote!(#docs #[doc(alias = #alias)] pub const #constant: Self = Self(#value);)
    });
    let pins = item.flags.iter().map(|flag| {
        let (c, value) = (&flag.c, &flag.value);
        quote!(assert!(sys::#c as i128 == #value);)
    });
    quote! {
        #doc
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct #name(#repr);

        const _: () = { #(#pins)* };

        impl #name {
            #(#consts)*

            /// No bit.
            pub const fn empty() -> Self {
                Self(0)
            }

            /// These bits, also those without a name.
            pub const fn from_bits(bits: #repr) -> Self {
                Self(bits)
            }

            /// The bits.
            pub const fn bits(self) -> #repr {
                self.0
            }

            /// Whether all bits of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl core::ops::BitOr for #name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    }
}
