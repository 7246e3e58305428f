//! From bindgen's output to [`Headers`].

use syn::{
    Expr, FnArg, ForeignItem, GenericArgument, Item, Lit, Pat, PathArguments, PointerMutability,
    ReturnType, Type, UnOp,
};

use super::{CFn, CType, Headers, Param};

pub(super) fn read(bindings: &str) -> syn::Result<Headers> {
    let mut headers = Headers::default();
    for item in syn::parse_file(bindings)?.items {
        match item {
            Item::ForeignMod(block) => block.items.iter().for_each(|item| {
                if let ForeignItem::Fn(function) = item {
                    let name = function.sig.ident.to_string();
                    headers.functions.insert(name, signature(&function.sig));
                }
            }),
            Item::Type(alias) => {
                headers
                    .typedefs
                    .insert(alias.ident.to_string(), ctype(&alias.ty));
            }
            Item::Struct(item) => record(&mut headers, item.ident.to_string(), &item.fields),
            Item::Union(item) => {
                let fields = item.fields.named.iter().filter_map(field).collect();
                headers.structs.insert(item.ident.to_string(), fields);
            }
            Item::Const(item) => constant(&mut headers, &item),
            _ => {}
        }
    }
    Ok(headers)
}

fn record(headers: &mut Headers, name: String, fields: &syn::Fields) {
    match fields {
        syn::Fields::Named(named) => {
            let fields = named.named.iter().filter_map(field).collect();
            headers.structs.insert(name, fields);
        }
        // bindgen makes a tuple struct of an enum, and of nothing else.
        syn::Fields::Unnamed(unnamed) => {
            if let Some(CType::Number(repr)) = unnamed.unnamed.first().map(|f| ctype(&f.ty)) {
                let entry = headers.enums.entry(name).or_default();
                entry.signed = repr.starts_with('i') || repr == "c_int";
            }
        }
        syn::Fields::Unit => {
            headers.structs.insert(name, Vec::new());
        }
    }
}

fn field(field: &syn::Field) -> Option<(String, CType)> {
    let name = field.ident.as_ref()?.to_string();
    Some((name, ctype(&field.ty)))
}

/// A number, or an enumerator: `pub const SPDK_X_A: spdk_x = spdk_x(0);`
fn constant(headers: &mut Headers, item: &syn::ItemConst) {
    let name = item.ident.to_string();
    if let Some(value) = number(&item.expr) {
        headers.constants.insert(name, value);
    } else if let Expr::Call(call) = &*item.expr
        && let CType::Named(of) = ctype(&item.ty)
        && let Some(value) = call.args.first().and_then(number)
    {
        headers
            .enums
            .entry(of)
            .or_default()
            .enumerators
            .push((name, value));
    }
}

fn signature(sig: &syn::Signature) -> CFn {
    let params = sig
        .inputs
        .iter()
        .enumerate()
        .filter_map(|(index, input)| match input {
            FnArg::Typed(input) => Some(Param {
                name: match &*input.pat {
                    Pat::Ident(name) => c_name(&name.ident.to_string()),
                    _ => index.to_string(),
                },
                ty: ctype(&input.ty),
            }),
            FnArg::Receiver(_) => None,
        });
    CFn {
        params: params.collect(),
        ret: returned(&sig.output),
        variadic: sig.variadic.is_some(),
    }
}

/// bindgen appends `_` to a name that is a keyword in Rust.
fn c_name(name: &str) -> String {
    name.trim_end_matches('_').to_owned()
}

fn returned(output: &ReturnType) -> Option<CType> {
    match output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => Some(ctype(ty)),
    }
}

fn ctype(ty: &Type) -> CType {
    match ty {
        Type::Ptr(pointer) => CType::Ptr {
            is_const: matches!(pointer.mutability, PointerMutability::Const(_)),
            to: Box::new(ctype(&pointer.elem)),
        },
        Type::Array(array) => match number(&array.len).and_then(|n| usize::try_from(n).ok()) {
            Some(len) => CType::Array(Box::new(ctype(&array.elem)), len),
            None => CType::Other,
        },
        Type::FnPtr(function) => callback(function),
        Type::Path(path) => named(&path.path),
        _ => CType::Other,
    }
}

fn named(path: &syn::Path) -> CType {
    let Some(last) = path.segments.last() else {
        return CType::Other;
    };
    let name = last.ident.to_string();
    if name == "Option" {
        return match &last.arguments {
            PathArguments::AngleBracketed(args) => match args.args.first() {
                Some(GenericArgument::Type(inner)) => ctype(inner),
                _ => CType::Other,
            },
            _ => CType::Other,
        };
    }
    match name.as_str() {
        "bool" => CType::Bool,
        "c_void" => CType::Void,
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128"
        | "isize" | "f32" | "f64" | "c_char" | "c_schar" | "c_uchar" | "c_short" | "c_ushort"
        | "c_int" | "c_uint" | "c_long" | "c_ulong" | "c_longlong" | "c_ulonglong" => {
            CType::Number(name)
        }
        _ => CType::Named(name),
    }
}

fn callback(function: &syn::TypeFnPtr) -> CType {
    let params = function
        .inputs
        .iter()
        .enumerate()
        .map(|(index, input)| Param {
            name: match &input.name {
                Some((name, _)) => c_name(&name.to_string()),
                None => index.to_string(),
            },
            ty: ctype(&input.ty),
        });
    CType::Callback(Box::new(CFn {
        params: params.collect(),
        ret: returned(&function.output),
        variadic: function.variadic.is_some(),
    }))
}

fn number(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(int) => int.base10_parse().ok(),
            _ => None,
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => number(&unary.expr).map(|n| -n),
        Expr::Group(group) => number(&group.expr),
        Expr::Paren(paren) => number(&paren.expr),
        _ => None,
    }
}
