//! What one parameter means.

use super::{Means, unknown_parameter};
use crate::diag::Diagnostics;
use crate::headers::{CFn, CType, Param};
use crate::manifest::{Function, Role, Section, Transfer};
use crate::rules;
use crate::world::{HandleInfo, World};

/// The meanings of all parameters, unless one has none.
pub(super) fn all<'a>(
    section: &'a Section,
    entry: &'a Function,
    sig: &CFn,
    owner: Option<HandleInfo<'a>>,
    world: &World<'a>,
    errors: &mut Diagnostics,
) -> Option<Vec<Means<'a>>> {
    let mut reader = Reader {
        entry,
        sig,
        world,
        errors,
    };
    let mut has_receiver = false;
    let mut means: Vec<Option<Means<'a>>> = Vec::new();
    for param in &sig.params {
        let receiver =
            owner.filter(|owner| !has_receiver && reader.target(param) == Some(owner.c()));
        let names = || section.names.get(&param.name);
        let role = entry.params.get(&param.name);
        let role = role.or_else(|| names().filter(|_| receiver.is_none()));
        let found = match (role, receiver) {
            (None, Some(owner)) => {
                has_receiver = true;
                Some(Means::Receiver(owner))
            }
            (Some(Role::Consumed(when)), Some(handle)) => {
                has_receiver = true;
                Some(Means::Consumed {
                    handle,
                    when,
                    is_receiver: true,
                })
            }
            (Some(role), _) => reader.by_role(param, role),
            (None, None) => reader.by_type(param),
        };
        means.push(found);
    }
    reader.lengths(&mut means);
    reader.contexts(&mut means);
    means.into_iter().collect()
}

struct Reader<'r, 'a> {
    entry: &'a Function,
    sig: &'r CFn,
    world: &'r World<'a>,
    errors: &'r mut Diagnostics,
}

impl<'a> Reader<'_, 'a> {
    fn c(&self) -> &'a str {
        self.entry.c.as_str()
    }

    /// The struct that a parameter points to.
    fn target<'p>(&'p self, param: &'p Param) -> Option<&'p str> {
        let (to, _) = self.world.headers.resolve(&param.ty).target()?;
        match self.world.headers.resolve(to) {
            CType::Named(name) => Some(name),
            _ => None,
        }
    }

    fn report(&mut self, rule: &'static rules::Rule, param: &Param, message: String) {
        let span = self.world.source.within(self.c(), &param.name);
        self.errors.push(rule, span, message);
    }

    fn misfit(&mut self, param: &Param, role: &str, wants: &str) -> Option<Means<'a>> {
        let message = format!(
            "`{}` of `{}` is `{}`, but `{role}` is for {wants}",
            param.name,
            self.c(),
            param.ty.spell()
        );
        self.report(&rules::ROLE_TYPE, param, message);
        None
    }

    /// The meaning that the type alone gives.
    fn by_type(&mut self, param: &Param) -> Option<Means<'a>> {
        let ty = self.world.headers.resolve(&param.ty);
        match (&param.ty, ty) {
            (CType::Named(name), CType::Callback(_)) => match self.world.callback(name) {
                Some(info) => Some(Means::Callback(info)),
                None => {
                    let message = format!("`{}` takes a `{name}`, which has no entry", self.c());
                    self.report(&rules::UNDECLARED_CALLBACK, param, message);
                    None
                }
            },
            (_, CType::Bool | CType::Number(_)) => Some(Means::Value),
            (_, CType::Named(name)) => match self.world.enumeration(name) {
                Some(entry) => Some(Means::EnumValue(entry)),
                None => self.without_role(param),
            },
            _ => self.without_role(param),
        }
    }

    fn without_role(&mut self, param: &Param) -> Option<Means<'a>> {
        let message = format!(
            "parameter `{}` of `{}` is `{}` and has no role",
            param.name,
            self.c(),
            param.ty.spell()
        );
        let span = self.world.source.within(self.c(), &param.name);
        let enums = &self.world.headers.enums;
        match self.world.headers.resolve(&param.ty) {
            CType::Named(name) if enums.contains_key(name) => {
                let help = format!("add an `Enum` entry for `{name}`");
                self.errors
                    .push_with_help(&rules::MISSING_ROLE, span, message, help);
            }
            _ => self.errors.push(&rules::MISSING_ROLE, span, message),
        }
        None
    }

    fn handle_of(&mut self, name: Option<&str>, param: &Param) -> Option<HandleInfo<'a>> {
        let Some(name) = name else {
            self.misfit(param, "a handle role", "a pointer to a struct");
            return None;
        };
        let handle = self.world.handle(name);
        if handle.is_none() {
            let message = format!(
                "`{}` of `{}` is a `{name}`, which no entry declares as a handle",
                param.name,
                self.c()
            );
            self.report(&rules::UNDECLARED_HANDLE, param, message);
        }
        handle
    }

    fn index(&mut self, name: &str) -> Option<usize> {
        let index = self.sig.params.iter().position(|param| param.name == name);
        if index.is_none() {
            unknown_parameter(self.c(), name, self.sig, self.world, self.errors);
        }
        index
    }

    /// The index of the integer that counts something of `param`.
    fn length(&mut self, name: &str, param: &Param) -> Option<usize> {
        let index = self.sig.params.iter().position(|p| p.name == name);
        let integer = index.filter(|index| {
            self.world
                .headers
                .resolve(&self.sig.params[*index].ty)
                .is_integer()
        });
        if integer.is_none() {
            let what = match index {
                Some(_) => "is not an integer",
                None => "does not exist",
            };
            let message = format!(
                "the length of `{}` of `{}` is `{name}`, which {what}",
                param.name,
                self.c()
            );
            let span = self.world.source.within(self.c(), name);
            self.errors.push(&rules::BUFFER_LENGTH, span, message);
        }
        integer
    }

    /// The meaning of a role that is written.
    fn by_role(&mut self, param: &Param, role: &'a Role) -> Option<Means<'a>> {
        let ty = self.world.headers.resolve(&param.ty).clone();
        let target = self.target(param).map(str::to_owned);
        let is_const = ty.target().is_some_and(|(_, is_const)| is_const);
        match role {
            Role::Value => match ty {
                CType::Bool | CType::Number(_) => Some(Means::Value),
                _ => self.misfit(param, "Value", "numbers and `bool`"),
            },
            Role::Held => self.handle_of(target.as_deref(), param).map(Means::Held),
            Role::Channel { of } => {
                let handle = self.handle_of(target.as_deref(), param)?;
                let of = self.index(of)?;
                Some(Means::Channel { handle, of })
            }
            Role::Consumed(when) => {
                let handle = self.handle_of(target.as_deref(), param)?;
                Some(Means::Consumed {
                    handle,
                    when,
                    is_receiver: false,
                })
            }
            Role::Fill { .. } if !ty.is_void_ptr() || is_const => {
                self.misfit(param, "Fill", "memory that C can write: `void *`")
            }
            Role::Drain { .. } if !ty.is_void_ptr() => self.misfit(
                param,
                "Drain",
                "memory that C reads: `void *` or `const void *`",
            ),
            Role::Fill {
                multiple: Some(0), ..
            }
            | Role::Drain {
                multiple: Some(0), ..
            } => {
                let message = format!(
                    "the length of `{}` of `{}` is a multiple of 0",
                    param.name,
                    self.c()
                );
                self.report(&rules::BUFFER_LENGTH, param, message);
                None
            }
            Role::Fill {
                len,
                unit,
                multiple,
            }
            | Role::Drain {
                len,
                unit,
                multiple,
            } => Some(Means::Buffer {
                writes: matches!(role, Role::Fill { .. }),
                len: self.length(len, param)?,
                unit: unit.as_ref().map(|unit| unit.as_str()),
                multiple: *multiple,
            }),
            Role::FillVec { .. } | Role::DrainVec { .. } if target.as_deref() != Some("iovec") => {
                self.misfit(param, "FillVec and DrainVec", "`struct iovec *`")
            }
            Role::FillVec { count, len, unit } | Role::DrainVec { count, len, unit } => {
                let (count, len) = (self.length(count, param), self.length(len, param));
                Some(Means::BufferVec {
                    writes: matches!(role, Role::FillVec { .. }),
                    count: count?,
                    len: len?,
                    unit: unit.as_ref().map(|unit| unit.as_str()),
                })
            }
            Role::FillSgl { .. } | Role::DrainSgl { .. } | Role::NextSge
                if !matches!(ty, CType::Callback(_)) =>
            {
                self.misfit(param, "FillSgl, DrainSgl and NextSge", "function pointers")
            }
            Role::FillSgl { len, unit } | Role::DrainSgl { len, unit } => Some(Means::Sgl {
                writes: matches!(role, Role::FillSgl { .. }),
                len: self.length(len, param)?,
                unit: unit.as_str(),
            }),
            Role::NextSge => Some(Means::NextSge),
            Role::ReadOrWrite { .. } if !ty.is_void_ptr() || is_const => {
                self.misfit(param, "ReadOrWrite", "memory that C can write: `void *`")
            }
            Role::ReadOrWrite { len } => Some(Means::Transfer {
                len: self.length(len, param)?,
            }),
            Role::Bytes { len } => match (ty.is_void_ptr() || ty.is_text()) && is_const {
                true => Some(Means::Bytes {
                    len: self.length(len, param)?,
                }),
                false => self.misfit(param, "Bytes", "memory that C only reads: `const void *`"),
            },
            Role::Text | Role::TextOrNull => match ty.is_text() && is_const {
                true => Some(Means::Text {
                    nullable: *role == Role::TextOrNull,
                }),
                false => self.misfit(param, "Text", "`const char *`"),
            },
            Role::Options | Role::OptionsOrNull => {
                match target.as_deref().and_then(|name| self.world.options(name)) {
                    Some(entry) => Some(Means::Options {
                        entry,
                        nullable: *role == Role::OptionsOrNull,
                    }),
                    None => self.misfit(param, "Options", "a struct with an `Options` entry"),
                }
            }
            Role::OptionsAnd {
                field,
                does,
                len,
                unit,
                without,
            } => match target.as_deref().and_then(|name| self.world.options(name)) {
                Some(entry) => Some(Means::OptionsAnd {
                    entry,
                    field: self.buffer_field(entry.c.as_str(), field.as_str(), param)?,
                    writes: *does == Transfer::Fill,
                    len: self.length(len, param)?,
                    unit: unit.as_str(),
                    without: without.as_ref().map(|method| method.as_str()),
                }),
                None => self.misfit(param, "OptionsAnd", "a struct with an `Options` entry"),
            },
            Role::Copied(path) => match target {
                Some(_) => Some(Means::Copied(path)),
                None => self.misfit(param, "Copied", "a struct that C only reads"),
            },
            Role::CopiedVec { of, count, most } => match (&target, is_const) {
                (Some(_), true) => Some(Means::CopiedVec {
                    of,
                    count: self.length(count, param)?,
                    most: *most,
                }),
                _ => self.misfit(param, "CopiedVec", "structs that C only reads"),
            },
            Role::Texts { count } => match ty.target() {
                Some((text, _)) if self.world.headers.resolve(text).is_text() => {
                    Some(Means::Texts {
                        count: self.length(count, param)?,
                    })
                }
                _ => self.misfit(param, "Texts", "`const char **`"),
            },
            Role::Out => self.out(param, &ty, is_const),
            Role::OutVec { len } => {
                let record = target.as_deref().and_then(|name| self.world.record(name));
                match record.filter(|_| !is_const) {
                    Some(record) => Some(Means::OutVec {
                        record,
                        len: self.length(len, param)?,
                    }),
                    None => self.misfit(param, "OutVec", "structs with a `Record` entry"),
                }
            }
            // Which callback it belongs to is looked up when all are known.
            Role::Ctx | Role::CtxOf(_) => match ty.is_void_ptr() {
                true => Some(Means::Ctx { of: usize::MAX }),
                false => self.misfit(param, "Ctx", "`void *`"),
            },
            Role::Callback(name) => match (&ty, self.world.callback(name.as_str())) {
                (CType::Callback(sig), Some(info)) if **sig == *info.sig => {
                    Some(Means::Callback(info))
                }
                (CType::Callback(_), None) => {
                    let message = format!("`{name}` has no `Callback` entry");
                    let span = self.world.source.within(self.c(), name.as_str());
                    self.errors.push(&rules::UNDECLARED_CALLBACK, span, message);
                    None
                }
                _ => self.misfit(param, "Callback", "the function pointer type of its entry"),
            },
            Role::Null(_) => match ty {
                CType::Ptr { .. } | CType::Callback(_) => Some(Means::Null),
                _ => self.misfit(param, "Null", "pointers"),
            },
            Role::Const(value, _) => match ty {
                CType::Number(_) if !ty.holds(*value) => self.misfit(
                    param,
                    "Const",
                    &format!("a number that its type has, and {value} is none"),
                ),
                CType::Number(_) => Some(Means::Const(*value)),
                _ => self.misfit(param, "Const", "numbers"),
            },
        }
    }

    fn out(&mut self, param: &Param, ty: &CType, is_const: bool) -> Option<Means<'a>> {
        let Some((to, _)) = ty.target().filter(|_| !is_const) else {
            return self.misfit(param, "Out", "memory that C can write");
        };
        match self.world.headers.resolve(to) {
            _ if ty.is_text() => self.misfit(param, "Out", "one value, which no text is"),
            number @ (CType::Bool | CType::Number(_)) => Some(Means::OutValue(number.clone())),
            CType::Named(name) => {
                let (entry, record) = (self.world.enumeration(name), self.world.record(name));
                let means = entry.map(Means::OutEnum).or(record.map(Means::OutRecord));
                if means.is_none() {
                    let message = format!(
                        "`{}` returns a whole `{name}`, which has no entry",
                        param.name
                    );
                    let span = self.world.source.within(self.c(), &param.name);
                    let help = format!("add a `Record` entry for `{name}`");
                    self.errors
                        .push_with_help(&rules::NOT_EMITTED, span, message, help);
                }
                means
            }
            CType::Ptr { to, .. } => {
                let name = match self.world.headers.resolve(to) {
                    CType::Named(name) => Some(name.clone()),
                    _ => None,
                };
                self.handle_of(name.as_deref(), param).map(Means::OutHandle)
            }
            _ => self.misfit(param, "Out", "a number, an enum or a handle"),
        }
    }

    /// The name of a field that points to memory.
    fn buffer_field(&mut self, c: &str, field: &'a str, param: &Param) -> Option<&'a str> {
        let fields = self.world.headers.structs.get(c)?;
        let found = fields.iter().find(|(name, _)| name == field);
        if found.is_some_and(|(_, ty)| self.world.headers.resolve(ty).is_void_ptr()) {
            return Some(field);
        }
        let message = format!("`{c}` has no field `{field}` that is `void *`");
        self.report(&rules::ROLE_TYPE, param, message);
        None
    }

    /// Turns the parameters that count something into [`Means::Length`] and its like.
    fn lengths(&mut self, means: &mut [Option<Means<'a>>]) {
        for of in 0..means.len() {
            let (len, count, derived) = match means[of] {
                Some(Means::Buffer { len, unit, .. }) => (len, None, unit.is_none()),
                Some(Means::BufferVec {
                    len, count, unit, ..
                }) => (len, Some(count), unit.is_none()),
                Some(Means::CopiedVec { count: len, .. } | Means::Bytes { len }) => {
                    self.count(means, len, Means::BytesLength { of });
                    continue;
                }
                Some(Means::Sgl { len, .. }) => (len, None, false),
                Some(Means::Transfer { len }) => (len, None, true),
                Some(Means::Texts { count }) => {
                    self.count(means, count, Means::Count { of });
                    continue;
                }
                _ => continue,
            };
            // Buffers may share a length; the first one gives it, and the others are compared with that.
            let is_shared = matches!(means[len], Some(Means::Length { .. }))
                && !matches!(means[of], Some(Means::Transfer { .. }));
            if !is_shared {
                self.count(means, len, Means::Length { of, derived });
            }
            if let Some(count) = count {
                self.count(means, count, Means::Count { of });
            }
        }
    }

    /// Has a number count one thing, which gives it: nobody would compare another one with it.
    fn count(&mut self, means: &mut [Option<Means<'a>>], number: usize, counts: Means<'a>) {
        match means[number] {
            Some(Means::Value) => means[number] = Some(counts),
            None => {} // it was refused
            Some(_) => {
                let param = &self.sig.params[number];
                let message = format!(
                    "`{}` of `{}` says how long something is, and has another role too: of that, or of something else that \
                     nobody compares with it",
                    param.name,
                    self.c()
                );
                let span = self.world.source.within(self.c(), &param.name);
                let help = "only buffers may share a length; remove the other role, or write the wrapper by hand, and a \
                            `Manual(c: .., rust: .., reason: ..)` entry for it";
                self.errors
                    .push_with_help(&rules::BUFFER_LENGTH, span, message, help.to_owned());
            }
        }
    }

    /// Finds the callback of each context.
    fn contexts(&mut self, means: &mut [Option<Means<'a>>]) {
        let callbacks: Vec<usize> = (0..means.len())
            .filter(|index| matches!(means[*index], Some(Means::Callback(_))))
            .collect();
        // A parameter that was refused may be the callback that is looked for.
        let is_complete = means.iter().all(Option::is_some);
        for (param, meaning) in self.sig.params.iter().zip(means) {
            if !matches!(meaning, Some(Means::Ctx { .. })) {
                continue;
            }
            let of = match self.entry.params.get(&param.name) {
                Some(Role::CtxOf(name)) => {
                    let of = self.index(name);
                    of.filter(|of| callbacks.contains(of))
                }
                _ => callbacks.first().copied(),
            };
            *meaning = of.map(|of| Means::Ctx { of });
            if of.is_none() && is_complete {
                let message = format!(
                    "`{}` of `{}` is the context of no callback",
                    param.name,
                    self.c()
                );
                self.report(&rules::CALLBACK_CONTEXT, param, message);
            }
        }
    }
}
