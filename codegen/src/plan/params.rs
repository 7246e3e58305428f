//! What each parameter becomes: an input of the wrapper, something held, an argument of C.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use crate::headers::CType;
use crate::manifest::{Options, Returns};
use crate::model::Hold;
use crate::resolve::{Func, Means};
use crate::world::{HandleInfo, World};

/// The parts of a wrapper that its parameters give.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) inputs: Vec<TokenStream>,
    pub(super) lets: Vec<TokenStream>,
    pub(super) checks: Vec<TokenStream>,
    pub(super) holds: Vec<Hold>,
    pub(super) args: Vec<TokenStream>,
    /// The results that C writes: their type, and their value once C is done.
    pub(super) outputs: Vec<Output>,
    /// Whether something can refuse the call.
    pub(super) fallible: bool,
    /// Whether something depends on the spdk_thread of the call.
    pub(super) asks_caller: bool,
}

/// A result that C writes to memory.
pub(super) struct Output {
    /// The parameter.
    pub(super) index: usize,
    pub(super) ty: TokenStream,
    pub(super) value: TokenStream,
}

/// An identifier that is not a keyword.
pub(super) fn ident(name: &str) -> Ident {
    match syn::parse_str::<Ident>(name) {
        Ok(ident) => ident,
        Err(_) => format_ident!("{name}_"),
    }
}

/// Goes through the parameters in C's order. `in_op`: C uses them after the call has returned.
pub(super) fn parts(func: &Func<'_>, world: &World<'_>, in_op: bool) -> Parts {
    let mut walk = Walk {
        func,
        world,
        in_op,
        parts: Parts::default(),
        vectors: func
            .params
            .iter()
            .filter(|means| matches!(means, Means::BufferVec { .. }))
            .count(),
    };
    if let Some(check) = &func.entry.check {
        let check = format_ident!("{}", check.as_str());
        walk.parts.fallible = true;
        walk.parts.checks.push(quote!(self.#check()?;));
    }
    if let (Some(within), Some(range)) = (&func.entry.within, &func.entry.range) {
        let within = format_ident!("{}", within.as_str());
        let range = range.params();
        let range = range.iter().map(|name| ident(name));
        walk.parts.fallible = true;
        walk.parts.checks.push(quote!(self.#within(#(#range),*)?;));
    }
    if let Some(refuses) = &func.entry.refuses {
        let by = format_ident!("{}", refuses.by.as_str());
        let value = ident(&refuses.param);
        walk.parts.fallible = true;
        walk.parts.checks.push(quote!(self.#by(#value)?;));
    }
    walk.relatives();
    for index in 0..func.params.len() {
        walk.param(index);
    }
    walk.parts.holds.sort_by_key(|hold| hold.is_given);
    walk.parts
}

struct Walk<'w, 'a> {
    func: &'w Func<'a>,
    world: &'w World<'a>,
    in_op: bool,
    parts: Parts,
    vectors: usize,
}

impl Walk<'_, '_> {
    fn c_name(&self, index: usize) -> &str {
        &self.func.sig.params[index].name
    }

    /// The Rust name of a parameter.
    fn name(&self, index: usize) -> Ident {
        match &self.func.params[index] {
            Means::BufferVec { .. } if self.vectors == 1 => format_ident!("bufs"),
            Means::Sgl { .. } => format_ident!("bufs"),
            _ => ident(self.c_name(index)),
        }
    }

    fn input(&mut self, input: TokenStream) {
        self.parts.inputs.push(input);
    }

    fn hold(&mut self, name: &Ident, value: TokenStream, is_mut: bool) {
        self.parts.holds.push(Hold {
            name: name.clone(),
            value,
            is_mut,
            is_given: false,
            in_submit: true,
            in_finish: false,
        });
    }

    /// A value that is refused if it cannot be had.
    fn try_hold(&mut self, name: &Ident, value: TokenStream) {
        self.parts.fallible = true;
        self.hold(name, quote!(#value?), false);
    }

    /// How the wrapper names a handle: `self`, or its parameter.
    fn object(&self, index: usize) -> TokenStream {
        match &self.func.params[index] {
            Means::Receiver(_) => quote!(self),
            _ => {
                let name = self.name(index);
                quote!(#name)
            }
        }
    }

    /// What was made of an object, and keeps that, is used with no other one: C would take it for one of that.
    fn relatives(&mut self) {
        let params = self.func.params.iter().enumerate();
        let handles: Vec<_> = params
            .filter_map(|(index, means)| match means {
                Means::Receiver(handle) | Means::Held(handle) => {
                    Some((self.object(index), *handle))
                }
                Means::Consumed {
                    handle,
                    is_receiver,
                    ..
                } => {
                    let name = self.name(index);
                    let object = match is_receiver {
                        true => quote!(&self),
                        false => quote!(&#name),
                    };
                    Some((object, *handle))
                }
                _ => None,
            })
            .collect();
        for (made, of) in &handles {
            let HandleInfo::Own(entry) = of else { continue };
            let keeps = entry.keeps.as_ref().map(|keeps| keeps.as_str());
            for (parent, _) in handles.iter().filter(|(_, of)| Some(of.c()) == keeps) {
                self.parts.fallible = true;
                let check = quote!(rt::check_made_of(#made, #parent)?;);
                self.parts.checks.push(check);
            }
        }
    }

    fn param(&mut self, index: usize) {
        let name = self.name(index);
        let param = &self.func.sig.params[index];
        let means = self.func.params[index].clone();
        let arg = match means {
            Means::Value => {
                let ty = param.ty.tokens();
                let ty = match self.world.headers.resolve(&param.ty) {
                    resolved @ (CType::Bool | CType::Number(_)) => resolved.tokens(),
                    _ => ty,
                };
                self.input(quote!(#name: #ty));
                quote!(#name)
            }
            Means::EnumValue(entry) => {
                let ty = format_ident!("{}", entry.rust.as_str());
                self.input(quote!(#name: #ty));
                quote!(#name.to_c())
            }
            Means::Receiver(handle) => self.handle(index, handle),
            Means::Held(handle) => {
                let ty = format_ident!("{}", handle.name());
                self.input(quote!(#name: &#ty));
                self.handle(index, handle)
            }
            Means::Channel { handle, of } => {
                let ty = format_ident!("{}", handle.name());
                self.input(quote!(#name: &#ty));
                self.channel(&name, of);
                quote!(#name.as_ptr())
            }
            Means::Consumed {
                handle,
                is_receiver,
                ..
            } => {
                let object = match is_receiver {
                    true => quote!(self),
                    false => {
                        let ty = format_ident!("{}", handle.name());
                        self.input(quote!(#name: #ty));
                        quote!(#name)
                    }
                };
                self.try_hold(&name, quote!(#object.into_c()));
                if let Some(hold) = self.parts.holds.last_mut() {
                    hold.is_given = true;
                }
                quote!(#name.as_ptr())
            }
            Means::Buffer {
                writes,
                len,
                unit,
                multiple,
            } => {
                if let Some(multiple) = multiple {
                    self.parts.fallible = true;
                    let check = quote!(rt::check_multiple(#name.len(), #multiple)?;);
                    self.parts.checks.push(check);
                }
                self.buffer(index, &name, writes, len, unit);
                match param.ty.is_text() {
                    true => quote!(#name.as_ptr().cast()),
                    false => quote!(#name.as_ptr()),
                }
            }
            Means::BufferVec {
                writes, len, unit, ..
            } => {
                self.vector(index, &name, writes, len, unit);
                quote!(#name.as_ptr())
            }
            Means::Sgl { writes, len, unit } => {
                self.scatter(index, &name, writes, len, unit);
                quote!(Some(rt::nvme::reset_sgl))
            }
            Means::NextSge => quote!(Some(rt::nvme::next_sge)),
            Means::Length { derived, .. } => {
                if !derived {
                    let ty = self.world.headers.resolve(&param.ty).tokens();
                    self.input(quote!(#name: #ty));
                }
                quote!(#name)
            }
            Means::Count { of } => {
                let vector = self.name(of);
                match self.world.headers.resolve(&param.ty).is_int() {
                    true => quote!(#vector.count()),
                    false => quote!(#vector.count() as _),
                }
            }
            Means::Transfer { len } => {
                self.transfer_length(&name, len);
                self.input(quote!(#name: Option<&mut rt::DmaBuf>));
                self.try_hold(&name, quote!(#name.map(rt::DmaBuf::lend_mut).transpose()));
                quote!(#name.as_ref().map_or(ptr::null_mut(), rt::Loan::as_ptr))
            }
            Means::Bytes { .. } => {
                self.input(quote!(#name: &[u8]));
                if self.in_op {
                    self.hold(&name, quote!(Box::<[u8]>::from(#name)), false);
                }
                quote!(#name.as_ptr().cast())
            }
            Means::BytesLength { of } => self.bytes_length(index, of),
            Means::Text { nullable } => self.text(index, &name, nullable),
            Means::Options { entry, nullable } => {
                let ty = format_ident!("{}", entry.rust.as_str());
                match nullable {
                    false => {
                        self.input(quote!(#name: &#ty));
                        self.hold(&name, quote!(#name.to_c()), true);
                        self.address(&name)
                    }
                    true => {
                        self.input(quote!(#name: Option<&#ty>));
                        self.hold(&name, quote!(#name.map(#ty::to_c)), true);
                        quote!(#name.as_mut().map_or(ptr::null_mut(), ptr::from_mut))
                    }
                }
            }
            Means::OptionsAnd {
                entry,
                field,
                writes,
                len,
                unit,
                without,
            } => {
                let address = self.options_and(&name, entry, field, writes, len, unit);
                if let Some(method) = without {
                    let (buffer, method) = (ident(field), format_ident!("{method}"));
                    let device = self.device();
                    self.parts.checks.push(quote! {
                        if #buffer.is_none() {
                            #device.#method(#name)?;
                        }
                    });
                }
                address
            }
            Means::Copied(path) => {
                let ty: TokenStream = path.as_str().parse().unwrap_or_default();
                self.input(quote!(#name: &#ty));
                let is_mut = matches!(param.ty.target(), Some((_, false)));
                self.hold(&name, quote!(#name.to_c()), is_mut);
                match (self.in_op, is_mut) {
                    (true, false) => quote!(ptr::from_ref(#name)),
                    (false, false) => quote!(&raw const #name),
                    (_, true) => self.address(&name),
                }
            }
            Means::CopiedVec { of, .. } => {
                let ty: TokenStream = of.as_str().parse().unwrap_or_default();
                self.input(quote!(#name: &[#ty]));
                let value = quote!(#name.iter().map(|one| one.to_c()).collect::<Vec<_>>());
                self.hold(&name, value, false);
                quote!(#name.as_ptr())
            }
            Means::Texts { .. } => {
                let what = self.c_name(index).to_owned();
                self.input(quote!(#name: &[&str]));
                self.try_hold(&name, quote!(rt::CStrings::new(#name, #what)));
                quote!(#name.as_ptr().cast_mut())
            }
            Means::OutRecord(record) => {
                let rust = format_ident!("{}", record.rust.as_str());
                let value = match self.in_op {
                    true => quote!(#rust::from_c(#name)),
                    false => quote!(#rust::from_c(&#name)),
                };
                self.out(index, quote!(#rust::zero()), quote!(#rust), value)
            }
            Means::OutVec { record, len } => {
                let rust = format_ident!("{}", record.rust.as_str());
                let len = self.name(len);
                self.parts.fallible = true;
                let zero = quote!(rt::zeroes(#rust::zero(), #len)?);
                let value = quote!(#name.iter().map(#rust::from_c).collect());
                self.out(index, zero, quote!(Vec<#rust>), value);
                quote!(#name.as_mut_ptr())
            }
            Means::OutValue(ty) => {
                let zero = match ty {
                    CType::Bool => quote!(false),
                    _ => quote!(0),
                };
                let rust = ty.tokens();
                let value = self.filled(&name);
                self.out(index, zero, rust, value)
            }
            Means::OutEnum(entry) => {
                let rust = format_ident!("{}", entry.rust.as_str());
                let zero = quote!(#rust::from_raw(0).to_c());
                let value = self.filled(&name);
                self.out(index, zero, quote!(#rust), quote!(#rust::from_c(#value)))
            }
            Means::OutHandle(handle) => {
                let rust = format_ident!("{}", handle.name());
                self.out(index, quote!(ptr::null_mut()), quote!(#rust), quote!(#name))
            }
            Means::Callback(_) => quote!(done),
            Means::Ctx { .. } if self.has_sgl() => quote!(bufs.start(arg)),
            Means::Ctx { .. } => quote!(arg),
            Means::Null => match param.ty {
                CType::Ptr { is_const: true, .. } => quote!(ptr::null()),
                CType::Ptr { .. } => quote!(ptr::null_mut()),
                _ => quote!(None),
            },
            Means::Const(value) => {
                let value = proc_macro2::Literal::i64_unsuffixed(value);
                quote!(#value)
            }
        };
        self.parts.args.push(arg);
    }

    fn handle(&mut self, index: usize, handle: HandleInfo<'_>) -> TokenStream {
        let object = self.object(index);
        let name = self.name(index);
        let value = match (handle.raw(), self.in_op) {
            (_, true) if handle.hold().is_some() => {
                self.parts.asks_caller = true;
                let hold = format_ident!("{}", handle.hold().unwrap_or_default());
                quote!(#object.#hold(caller))
            }
            (Some(raw), _) => {
                let raw = format_ident!("{raw}");
                quote!(#object.#raw())
            }
            (None, in_op) if in_op || self.is_kept(handle) => {
                self.parts.asks_caller = true;
                quote!(#object.handle().hold(caller))
            }
            (None, _) => {
                self.parts.asks_caller = true;
                quote!(#object.handle().get(caller))
            }
        };
        self.try_hold(&name, value);
        quote!(#name.as_ptr())
    }

    /// Whether the handle that the call makes keeps this one.
    fn is_kept(&self, handle: HandleInfo<'_>) -> bool {
        let returned = match &self.func.sig.ret {
            Some(ty) if self.func.entry.returns == Some(Returns::Handle) => self
                .world
                .pointee(ty)
                .and_then(|name| self.world.handle(name)),
            _ => None,
        };
        let made = returned.or_else(|| self.func.produced());
        matches!(made, Some(HandleInfo::Own(made))
            if made.keeps.as_ref().is_some_and(|kept| kept.as_str() == handle.c()))
    }

    fn channel(&mut self, name: &Ident, of: usize) {
        let device = self.object(of);
        let check = match &self.func.params[of] {
            Means::Receiver(handle) | Means::Held(handle) => handle.channel(),
            _ => None,
        };
        let check = format_ident!("{}", check.unwrap_or("channel"));
        self.parts.asks_caller = true;
        self.try_hold(name, quote!(#device.#check(#name, caller)));
    }

    fn buffer(&mut self, index: usize, name: &Ident, writes: bool, len: usize, unit: Option<&str>) {
        let lend = match writes {
            true => {
                self.input(quote!(#name: &mut rt::DmaBuf));
                quote!(#name.lend_mut())
            }
            false => {
                self.input(quote!(#name: &rt::DmaBuf));
                match self.drains() {
                    Some(drains) => quote!(#name.lend_to(#drains)),
                    None => quote!(#name.lend()),
                }
            }
        };
        self.measure(index, len, unit, &quote!(#name.len() as u64));
        self.try_hold(name, lend);
    }

    fn vector(&mut self, index: usize, name: &Ident, writes: bool, len: usize, unit: Option<&str>) {
        let take = match writes {
            true => {
                self.input(quote!(#name: &mut [rt::DmaBuf]));
                quote!(rt::IoVecs::fill(#name))
            }
            false => {
                self.input(quote!(#name: &[rt::DmaBuf]));
                match self.drains() {
                    Some(drains) => quote!(rt::IoVecs::drain_to(#name, #drains)),
                    None => quote!(rt::IoVecs::drain(#name)),
                }
            }
        };
        let total = quote!(rt::total_len(#name));
        self.measure(index, len, unit, &total);
        self.try_hold(name, take);
    }

    fn has_sgl(&self) -> bool {
        let mut params = self.func.params.iter();
        params.any(|means| matches!(means, Means::Sgl { .. }))
    }

    /// A scatter list, whose buffers come behind the handles as a buffer does.
    fn scatter(&mut self, index: usize, name: &Ident, writes: bool, len: usize, unit: &str) {
        let (input, take) = match writes {
            true => (
                quote!(#name: &mut [rt::DmaBuf]),
                quote!(rt::nvme::Sgl::fill(#name)),
            ),
            false => (
                quote!(#name: &[rt::DmaBuf]),
                quote!(rt::nvme::Sgl::drain(#name)),
            ),
        };
        let is_handle =
            |means: &&Means<'_>| matches!(means, Means::Held(_) | Means::Channel { .. });
        let handles = self.func.params.iter().filter(is_handle).count();
        self.parts.inputs.insert(handles, input);
        self.measure(index, len, Some(unit), &quote!(rt::total_len(#name)));
        let device = self.device();
        self.try_hold(name, quote!(#device.gather(#take?)));
    }

    /// The handle whose methods know the units.
    fn device(&self) -> TokenStream {
        let handle = |means: &Means<'_>| matches!(means, Means::Receiver(_) | Means::Held(_));
        let device = self.func.params.iter().position(handle);
        device.map_or(quote!(self), |index| self.object(index))
    }

    /// What the device does with memory that it is to read, if that differs.
    fn drains(&self) -> Option<TokenStream> {
        let handle = self.func.params.iter().find_map(|means| match means {
            Means::Receiver(handle) | Means::Held(handle) => Some(handle),
            _ => None,
        })?;
        let (device, drains) = (self.device(), format_ident!("{}", handle.drains()?));
        Some(quote!(#device.#drains()))
    }

    /// A number, as a `u64`.
    fn wide(&self, index: usize) -> TokenStream {
        let name = self.name(index);
        match self.world.headers.resolve(&self.func.sig.params[index].ty) {
            CType::Number(ty) if ty != "u64" => quote!(u64::from(#name)),
            _ => quote!(#name),
        }
    }

    /// Takes the length from the buffer, or compares the two.
    fn measure(&mut self, index: usize, len: usize, unit: Option<&str>, bytes: &TokenStream) {
        let length = self.name(len);
        let gives = matches!(self.func.params[len], Means::Length { of, .. } if of == index);
        match unit {
            Some(unit) => {
                let unit = format_ident!("{unit}");
                let device = self.device();
                let length = self.wide(len);
                self.parts.fallible = true;
                self.parts
                    .checks
                    .push(quote!(rt::check_len(#bytes, #length, #device.#unit()?)?;));
            }
            None if gives => {
                let ty = self.world.headers.resolve(&self.func.sig.params[len].ty);
                self.parts.lets.push(match ty {
                    CType::Number(name) if name == "u64" => quote!(let #length = #bytes;),
                    CType::Number(name)
                        if name == "usize"
                            && matches!(self.func.params[index], Means::Buffer { .. }) =>
                    {
                        let name = self.name(index);
                        quote!(let #length = #name.len();)
                    }
                    ty => {
                        // A length that does not fit would be another one.
                        if !matches!(ty, CType::Number(name) if name == "usize") {
                            self.parts.fallible = true;
                            let check = quote!(rt::check_len(#bytes, #length as u64, 1)?;);
                            self.parts.checks.push(check);
                        }
                        let ty = ty.tokens();
                        quote!(let #length = (#bytes) as #ty;)
                    }
                });
            }
            None => {
                self.parts.fallible = true;
                self.parts
                    .checks
                    .push(quote!(rt::check_len(#bytes, #length as u64, 1)?;));
            }
        }
    }

    /// Takes the length from a buffer that may not be there.
    fn transfer_length(&mut self, name: &Ident, len: usize) {
        let length = self.name(len);
        let ty = self.world.headers.resolve(&self.func.sig.params[len].ty);
        let cast = match ty {
            CType::Number(name) if name == "usize" => None,
            ty => {
                let ty = ty.tokens();
                Some(quote!(as #ty))
            }
        };
        self.parts
            .lets
            .push(quote!(let #length = #name.as_ref().map_or(0, |buf| buf.len()) #cast;));
    }

    fn bytes_length(&mut self, index: usize, of: usize) -> TokenStream {
        let bytes = self.name(of);
        let ty = self.world.headers.resolve(&self.func.sig.params[index].ty);
        if matches!(ty, CType::Number(name) if name == "usize") {
            return quote!(#bytes.len());
        }
        let (name, ty) = (self.name(index), ty.tokens());
        self.parts.fallible = true;
        let what = format!("`{}` is too long for the call", self.c_name(of));
        let most = match self.func.params[of] {
            Means::CopiedVec { most, .. } => most,
            _ => None,
        };
        self.parts.checks.push(quote! {
            let #name = #ty::try_from(#bytes.len())
                .map_err(|_| rt::Fault::invalid(#what))?;
        });
        if let Some(most) = most {
            let most = proc_macro2::Literal::u16_unsuffixed(most);
            self.parts.checks.push(quote! {
                if #name > #most {
                    return Err(rt::Fault::invalid(#what));
                }
            });
        }
        quote!(#name)
    }

    fn text(&mut self, index: usize, name: &Ident, nullable: bool) -> TokenStream {
        let what = self.c_name(index).to_owned();
        let is_mut = matches!(self.func.sig.params[index].ty.target(), Some((_, false)));
        let pointer = match nullable {
            false => {
                self.input(quote!(#name: &str));
                self.try_hold(name, quote!(rt::cstring(#name, #what)));
                quote!(#name.as_ptr())
            }
            true => {
                self.input(quote!(#name: Option<&str>));
                let value = quote!(#name.map(|text| rt::cstring(text, #what)).transpose());
                self.try_hold(name, value);
                quote!(#name.as_ref().map_or(ptr::null(), |text| text.as_ptr()))
            }
        };
        match is_mut {
            true => quote!(#pointer.cast_mut()),
            false => pointer,
        }
    }

    /// Options, and the buffer that one of their fields names.
    fn options_and(
        &mut self,
        name: &Ident,
        entry: &Options,
        field: &str,
        writes: bool,
        len: usize,
        unit: &str,
    ) -> TokenStream {
        let ty = format_ident!("{}", entry.rust.as_str());
        self.input(quote!(#name: &#ty));
        self.hold(name, quote!(#name.to_c()), true);
        let buffer = ident(field);
        let lend = match writes {
            true => {
                self.input(quote!(#buffer: Option<&mut rt::DmaBuf>));
                quote!(rt::DmaBuf::lend_mut)
            }
            false => {
                self.input(quote!(#buffer: Option<&rt::DmaBuf>));
                match self.drains() {
                    Some(drains) => quote!(|#buffer| #buffer.lend_to(#drains)),
                    None => quote!(rt::DmaBuf::lend),
                }
            }
        };
        let (length, unit, device) = (self.wide(len), format_ident!("{unit}"), self.device());
        self.parts.checks.push(quote! {
            if let Some(#buffer) = &#buffer {
                rt::check_len(#buffer.len() as u64, #length, #device.#unit()?)?;
            }
        });
        self.try_hold(&buffer, quote!(#buffer.map(#lend).transpose()));
        let address = self.address(name);
        quote!({
            #name.#buffer = #buffer.as_ref().map_or(ptr::null_mut(), rt::Loan::as_ptr);
            #address
        })
    }

    /// What C has written to something held.
    fn filled(&self, name: &Ident) -> TokenStream {
        match self.in_op {
            true => quote!(*#name),
            false => quote!(#name),
        }
    }

    /// A place that C writes a result to.
    fn out(
        &mut self,
        index: usize,
        zero: TokenStream,
        ty: TokenStream,
        value: TokenStream,
    ) -> TokenStream {
        let name = &self.name(index);
        self.parts.outputs.push(Output { index, ty, value });
        self.hold(name, zero, true);
        if let Some(hold) = self.parts.holds.last_mut() {
            hold.in_finish = true;
        }
        self.address(name)
    }

    /// The address of something held: an operation has it behind a reference.
    fn address(&self, name: &Ident) -> TokenStream {
        match self.in_op {
            true => quote!(ptr::from_mut(#name)),
            false => quote!(&raw mut #name),
        }
    }
}
