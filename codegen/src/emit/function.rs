//! Wrappers of functions.

use proc_macro2::TokenStream;
use quote::quote;

use super::{comment, docs};
use crate::model::{Body, Function, Hold, Outcome, Submitted, Trampoline};

pub(super) fn emit(function: &Function) -> TokenStream {
    let cfg = function.cfg.as_ref().map(|cfg| quote!(#[cfg(#cfg)]));
    let (c, pin) = (&function.c, &function.pin);
    let pin = quote!(#cfg const _: #pin = sys::#c;);
    let wrapper = wrapper(function);
    match &function.owner {
        Some(owner) => quote!(#pin #cfg impl #owner { #wrapper }),
        None => quote!(#pin #cfg #wrapper),
    }
}

fn wrapper(function: &Function) -> TokenStream {
    let docs = docs(&function.docs);
    let alias = function.c.to_string();
    let (name, inputs, output) = (&function.name, &function.inputs, &function.output);
    let is_op = matches!(function.body, Body::Op { .. });
    let borrows = function.borrows.as_ref();
    let captured = borrows.map(|lifetime| quote!(+ use<#lifetime>));
    let ret = match (&function.at, output.to_string().as_str()) {
        (Some(_), _) if is_op => {
            let future = &function.future;
            quote!(-> impl rt::#future<Output = rt::Result<#output>> #captured)
        }
        (Some(_), _) => quote!(-> rt::Result<#output>),
        (None, "()") => quote!(),
        (None, _) => quote!(-> #output),
    };
    let lets = &function.lets;
    let at = function.at.as_ref().map(|at| match is_op {
        true => quote!(let at = move || #at;),
        false => quote!(let at = move |fault: rt::Fault| fault.at(#at);),
    });
    let generics = match &function.body {
        Body::Each { item, .. } => quote!(<F: FnMut(#item) -> ControlFlow<()>>),
        _ => borrows.map_or_else(|| quote!(), |lifetime| quote!(<#lifetime>)),
    };
    let inner = match &function.body {
        Body::Open { trampoline, .. } => on_event(trampoline),
        Body::Each { trampoline, item } => on_each(trampoline, item),
        Body::Op { .. } | Body::Call { .. } => quote!(),
    };
    let body = match &function.body {
        Body::Op {
            callback,
            submitted,
            raw,
            finish,
        } => op(function, callback, submitted, raw, finish),
        Body::Call { result } => call(function, result),
        Body::Open { .. } => open(function),
        Body::Each { .. } => each(function),
    };
    let events = events(&function.body);
    let is_unsafe = function.is_unsafe.then(|| quote!(unsafe));
    quote! {
        #docs
        #[doc(alias = #alias)]
        pub #is_unsafe fn #name #generics(#(#inputs),*) #ret {
            #inner
            #(#lets)*
            #at
            #body
        }
        #events
    }
}

/// What is held, as a tuple or a pattern of one.
fn tuple(parts: impl Iterator<Item = TokenStream>) -> TokenStream {
    quote!((#(#parts,)*))
}

fn c_call(function: &Function) -> TokenStream {
    let (c, args) = (&function.c, &function.args);
    quote!(sys::#c(#(#args),*))
}

fn op(
    function: &Function,
    callback: &TokenStream,
    submitted: &Submitted,
    raw: &TokenStream,
    finish: &TokenStream,
) -> TokenStream {
    let values = tuple(function.holds.iter().map(|hold| hold.value.clone()));
    let submit_holds = pattern(&function.holds, |hold| hold.in_submit);
    let finish_holds = pattern(&function.holds, |hold| hold.in_finish);
    let call = c_call(function);
    let submit = match submitted {
        Submitted::Bdev(device, channel) => quote!(rt::bdev_rc(#call, #device, #channel)),
        Submitted::Queue(queue, subject) => {
            quote!(rt::nvme::submit(#queue, #subject, || #call))
        }
        Submitted::Blob(channel) => {
            quote!(rt::blob::submit(#channel, done, arg, |done, arg| #call))
        }
        Submitted::Rc => quote!(rt::Submitted::rc(#call)),
        Submitted::Void => quote! {
            #call;
            rt::Submitted::Pending
        },
        Submitted::Map(codes) => {
            let arms = codes.iter().map(|(code, meaning)| {
                let code = proc_macro2::Literal::i32_unsuffixed(*code);
                quote!(#code => #meaning,)
            });
            quote! {
                match #call {
                    #(#arms)*
                    rc => rt::Submitted::Refused(rt::Errno::from_code(rc)),
                }
            }
        }
    };
    let (place, checks, caller) = (&function.place, &function.checks, caller(function));
    let safety = comment(&format!("SAFETY: {}", function.safety));
    quote! {
        let start = move |#caller: rt::Caller<'_>| {
            #place
            #(#checks)*
            #safety
            Ok(unsafe {
                rt::op::<#callback, _, _>(
                    move |#submit_holds, done, arg| { #submit },
                    |#finish_holds, #raw| #finish,
                    #values,
                )
            })
        };
        rt::call(start, at)
    }
}

fn caller(function: &Function) -> TokenStream {
    match function.asks_caller {
        true => quote!(caller),
        false => quote!(_),
    }
}

/// Names what is used, and ignores the rest.
fn pattern(holds: &[Hold], is_used: fn(&Hold) -> bool) -> TokenStream {
    if !holds.iter().any(is_used) {
        return quote!(_);
    }
    tuple(holds.iter().map(|hold| {
        let name = &hold.name;
        match is_used(hold) {
            true => quote!(#name),
            false => quote!(_),
        }
    }))
}

fn lets(holds: &[Hold]) -> TokenStream {
    holds
        .iter()
        .map(|hold| {
            let (name, value) = (&hold.name, &hold.value);
            match hold.is_mut {
                true => quote!(let mut #name = #value;),
                false => quote!(let #name = #value;),
            }
        })
        .collect()
}

/// The statements of a call, told where its errors happen.
fn begun(function: &Function, statements: TokenStream) -> TokenStream {
    let caller = caller(function);
    match function.at {
        Some(_) => quote! {
            let result = rt::begin(|#caller| { #statements });
            result.map_err(at)
        },
        None => statements,
    }
}

fn call(function: &Function, result: &Outcome) -> TokenStream {
    let (place, checks) = (&function.place, &function.checks);
    let lets = lets(&function.holds);
    let safety = comment(&format!("SAFETY: {}", function.safety));
    let call = c_call(function);
    let is_told = function.at.is_some();
    let result = match result {
        Outcome::Filled(value) => quote!(unsafe { #call }; #value),
        Outcome::Unit if is_told => quote!(unsafe { #call }; Ok(())),
        Outcome::Unit => quote!(unsafe { #call }),
        Outcome::Try(value) if value.to_string().contains("unsafe") => {
            let inner = comment("SAFETY: it is what the call returned, checked before it is used.");
            quote!(let rc = unsafe { #call }; #inner #value)
        }
        Outcome::Try(value) => quote!(let rc = unsafe { #call }; #value),
        Outcome::Value(value) if value.to_string() == "rc" && is_told => {
            quote!(Ok(unsafe { #call }))
        }
        Outcome::Value(value) if value.to_string() == "rc" => quote!(unsafe { #call }),
        Outcome::Value(value) if is_told => quote!(let rc = unsafe { #call }; Ok(#value)),
        Outcome::Value(value) => quote!(let rc = unsafe { #call }; #value),
    };
    begun(function, quote!(#place #(#checks)* #lets #safety #result))
}

fn open(function: &Function) -> TokenStream {
    let Body::Open {
        status,
        handle,
        out,
        extra,
        opened,
        ..
    } = &function.body
    else {
        return quote!();
    };
    let (place, checks) = (&function.place, &function.checks);
    let lets = lets(&function.holds);
    let safety = comment(&format!("SAFETY: {}", function.safety));
    let call = c_call(function);
    let run = match status {
        true => quote!(let rc = unsafe { #call }; rt::status(rc)?;),
        false => quote!(unsafe { #call };),
    };
    let adopt = comment("SAFETY: the call succeeded, so the object is live and belongs to us.");
    let made = match opened {
        Some(opened) => quote! {
            let opened = unsafe { #handle::from_c(#out, #extra) }?;
            #opened(&opened);
            Ok(opened)
        },
        None => quote!(unsafe { #handle::from_c(#out, #extra) }),
    };
    let statements = quote! {
        #place
        #(#checks)*
        #lets
        let hub = rt::EventHub::new();
        #safety
        #run
        #adopt
        #made
    };
    begun(function, statements)
}

fn on_event(trampoline: &Trampoline) -> TokenStream {
    let Trampoline {
        args, ctx, value, ..
    } = trampoline;
    let args = args.iter().map(|(name, ty)| quote!(#name: #ty));
    let safety = comment(
        "SAFETY: `ctx` is the hub of the handle, which C calls only while the handle is open.",
    );
    quote! {
        unsafe extern "C" fn on_event(#(#args),*) {
            #safety
            unsafe { rt::emit(#ctx, #value) }
        }
    }
}

fn events(body: &Body) -> TokenStream {
    let Body::Open {
        events: Some((name, event, hub)),
        event_doc,
        ..
    } = body
    else {
        return quote!();
    };
    quote! {
        #[doc = #event_doc]
        pub fn #name(&self) -> rt::Events<#event> {
            self.handle().#hub.subscribe()
        }
    }
}

fn each(function: &Function) -> TokenStream {
    let (place, checks) = (&function.place, &function.checks);
    let lets = lets(&function.holds);
    let safety = comment(&format!("SAFETY: {}", function.safety));
    let call = c_call(function);
    let positive = comment("A positive code is the wish of the closure to stop.");
    let statements = match function.at {
        Some(_) => quote! {
            #place
            #(#checks)*
            #lets
            #safety
            let rc = unsafe { #call };
            #positive
            rt::status(rc.min(0))
        },
        None => quote!(#lets #safety unsafe { #call }),
    };
    begun(function, statements)
}

fn on_each(trampoline: &Trampoline, item: &TokenStream) -> TokenStream {
    let Trampoline {
        args,
        ctx,
        value,
        ret,
    } = trampoline;
    let args = args.iter().map(|(name, ty)| quote!(#name: #ty));
    let safety = comment("SAFETY: `ctx` is the closure of the call that C is in.");
    quote! {
        unsafe extern "C" fn on_each<F: FnMut(#item) -> ControlFlow<()>>(#(#args),*) -> #ret {
            #safety
            let flow = unsafe { rt::each::<F, _>(#ctx, || #value) };
            #ret::from(flow.is_break())
        }
    }
}
