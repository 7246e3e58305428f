//! Handle types.

use proc_macro2::TokenStream;
use quote::quote;

use super::{comment, docs};
use crate::model::{Describe, Handle, Markers};

pub(super) fn emit(handle: &Handle) -> TokenStream {
    let Handle {
        c,
        name,
        object,
        extra,
        ..
    } = handle;
    let docs = docs(&handle.docs);
    let alias = c.to_string();
    let text = name.to_string();
    let object_doc = format!(" The C object of a [`{name}`].");
    let own = comment("SAFETY: the contract of this function is the core's.");
    let (extra_name, let_go) = match handle.keeps {
        true => (quote!(extra), Some(quote!(extra.let_go();))),
        false => (quote!(_extra), None),
    };
    let release = match &handle.release {
        Some(release) => {
            let safety = comment(&format!(
                "SAFETY: the core calls this once, on the home thread, with nothing in flight; \
                 `{release}` takes the object and nothing else."
            ));
            quote! {
                unsafe fn release(ptr: NonNull<Self::C>, #extra_name: &Self::Extra) {
                    #safety
                    unsafe { sys::#release(ptr.as_ptr()) }
                    #let_go
                }
            }
        }
        None => quote!(
            unsafe fn release(_ptr: NonNull<Self::C>, #extra_name: &Self::Extra) {
                #let_go
            }
        ),
    };
    let label = handle.labels.then(|| {
        quote!(
            fn label(extra: &Self::Extra) -> String {
                extra.label()
            }
        )
    });
    let pin = handle
        .release
        .as_ref()
        .map(|release| quote!(const _: unsafe extern "C" fn(*mut sys::#c) = sys::#release;));
    let why = comment(&match &handle.never {
        Some(reason) => format!("SAFETY: there is nothing to free: {reason}."),
        None => "SAFETY: `release` frees the object, by the function that the manifest names."
            .to_owned(),
    });
    let describe = describe(handle);
    let into_c = handle.is_consumed.then(|| {
        quote! {
            impl #name {
                /// Gives the object to a C function that takes it over; fails while it is in use.
                pub(crate) fn into_c(self) -> rt::Result<NonNull<sys::#c>, rt::Fault> {
                    self.0.take()
                }
            }
        }
    });
    quote! {
        #docs
        #[doc(alias = #alias)]
        pub struct #name(rt::Handle<#object>);

        #[doc = #object_doc]
        #[doc(hidden)]
        pub enum #object {}

        #pin
        #why
        unsafe impl rt::Object for #object {
            type C = sys::#c;
            type Extra = #extra;
            const NAME: &'static str = #text;
            #release
            #label
        }

        impl rt::Subject for #name {
            type O = #object;
            fn handle(&self) -> &rt::Handle<#object> {
                &self.0
            }
        }

        #describe

        impl #name {
            /// Takes over what a C function returned; NULL is an error.
            ///
            /// # Safety
            ///
            /// `ptr` is NULL, or a live object that nobody else frees.
            #[allow(dead_code, reason = "not every handle has a call that produces it here")]
            pub(crate) unsafe fn from_c(
                ptr: *mut sys::#c,
                extra: #extra,
            ) -> rt::Result<Self, rt::Fault> {
                let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
                #own
                Ok(#name(unsafe { rt::Handle::adopt(ptr, extra)? }))
            }
        }

        rt::assert_not_send_sync!(#name);
        #into_c
    }
}

fn describe(handle: &Handle) -> TokenStream {
    let name = &handle.name;
    let body = match &handle.describe {
        Describe::ByHand => return quote!(),
        Describe::Type => {
            let text = name.to_string();
            quote!(#text.to_owned())
        }
        Describe::Name(function) => {
            let kind = name.to_string();
            let safety =
                comment("SAFETY: the object is alive and this is its thread; the text is copied.");
            quote! {
                let Ok(object) = self.0.get() else {
                    return #kind.to_owned();
                };
                #safety
                match unsafe { rt::string(sys::#function(object.as_ptr())) } {
                    Ok(Some(name)) => format!("{} {name:?}", #kind),
                    _ => #kind.to_owned(),
                }
            }
        }
    };
    quote! {
        impl rt::Describe for #name {
            fn describe(&self) -> String {
                #body
            }
        }

        impl fmt::Debug for #name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&rt::Describe::describe(self))
            }
        }
    }
}

pub(super) fn emit_markers(markers: &Markers) -> TokenStream {
    let name = &markers.name;
    match (markers.send, markers.sync) {
        (false, _) => quote!(rt::assert_not_send_sync!(#name);),
        (true, false) => quote!(rt::assert_send!(#name); rt::assert_not_sync!(#name);),
        (true, true) => quote!(rt::assert_send!(#name); rt::assert_sync!(#name);),
    }
}
