//! C types, as bindgen spells them.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// A C function, or the type of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CFn {
    /// Its parameters.
    pub params: Vec<Param>,
    /// What it returns; `None` for `void`.
    pub ret: Option<CType>,
    /// Whether it takes more arguments than it declares.
    pub variadic: bool,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name in C; a number if it has none.
    pub name: String,
    /// Its type.
    pub ty: CType,
}

/// A C type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CType {
    /// `void`, behind a pointer.
    Void,
    /// `bool`.
    Bool,
    /// A number: the name that Rust has for it, such as `u64` or `c_int`.
    Number(String),
    /// A pointer.
    Ptr {
        /// Whether it points to `const`.
        is_const: bool,
        /// What it points to.
        to: Box<CType>,
    },
    /// A struct, union, enum or typedef.
    Named(String),
    /// A pointer to a function, which may be NULL.
    Callback(Box<CFn>),
    /// An array with a length.
    Array(Box<CType>, usize),
    /// Something that no wrapper can pass.
    Other,
}

impl CType {
    /// The name of the struct that this points to.
    pub fn pointee(&self) -> Option<&str> {
        match self {
            CType::Ptr { to, .. } => match &**to {
                CType::Named(name) => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// What this points to, and whether it is `const`.
    pub fn target(&self) -> Option<(&CType, bool)> {
        match self {
            CType::Ptr { to, is_const } => Some((to, *is_const)),
            _ => None,
        }
    }

    /// Whether this is `void *`.
    pub fn is_void_ptr(&self) -> bool {
        matches!(self, CType::Ptr { to, .. } if **to == CType::Void)
    }

    /// Whether this is an integer that is not a `char`.
    pub fn is_integer(&self) -> bool {
        matches!(self, CType::Number(name) if !matches!(name.as_str(), "c_char" | "f32" | "f64"))
    }

    /// Whether this is `int`.
    pub fn is_int(&self) -> bool {
        matches!(self, CType::Number(name) if name == "c_int")
    }

    /// Whether this is a number that can have this value.
    pub fn holds(&self, value: i64) -> bool {
        let CType::Number(name) = self else {
            return false;
        };
        match name.as_str() {
            "u8" | "c_uchar" => u8::try_from(value).is_ok(),
            "i8" | "c_schar" | "c_char" => i8::try_from(value).is_ok(),
            "u16" | "c_ushort" => u16::try_from(value).is_ok(),
            "i16" | "c_short" => i16::try_from(value).is_ok(),
            "u32" | "c_uint" => u32::try_from(value).is_ok(),
            "i32" | "c_int" => i32::try_from(value).is_ok(),
            "u64" | "u128" | "usize" | "c_ulong" | "c_ulonglong" => value >= 0,
            _ => true,
        }
    }

    /// Whether this is `char *`, `const` or not.
    pub fn is_text(&self) -> bool {
        matches!(self, CType::Ptr { to, .. } if **to == CType::Number("c_char".to_owned()))
    }

    /// How generated code spells it.
    pub fn tokens(&self) -> TokenStream {
        match self {
            CType::Void => quote!(c_void),
            CType::Bool => quote!(bool),
            CType::Number(name) => {
                let name = format_ident!("{name}");
                quote!(#name)
            }
            CType::Ptr { is_const, to } => {
                let to = to.tokens();
                match is_const {
                    true => quote!(*const #to),
                    false => quote!(*mut #to),
                }
            }
            CType::Named(name) => {
                let name = format_ident!("{name}");
                quote!(sys::#name)
            }
            CType::Callback(function) => {
                let function = function.tokens();
                quote!(Option<#function>)
            }
            CType::Array(of, len) => {
                let of = of.tokens();
                let len = proc_macro2::Literal::usize_unsuffixed(*len);
                quote!([#of; #len])
            }
            CType::Other => quote!(()),
        }
    }

    /// How C spells it, for messages.
    pub fn spell(&self) -> String {
        match self {
            CType::Void => "void".to_owned(),
            CType::Bool => "bool".to_owned(),
            CType::Number(name) => match name.as_str() {
                "c_int" => "int".to_owned(),
                "c_char" => "char".to_owned(),
                "c_uint" => "unsigned int".to_owned(),
                "usize" => "size_t".to_owned(),
                "u8" | "u16" | "u32" | "u64" => format!("uint{}_t", &name[1..]),
                "i8" | "i16" | "i32" | "i64" => format!("int{}_t", &name[1..]),
                other => other.trim_start_matches("c_").to_owned(),
            },
            CType::Ptr { is_const, to } => {
                let to = to.spell();
                let star = if to.ends_with('*') { "*" } else { " *" };
                match is_const {
                    true => format!("const {to}{star}"),
                    false => format!("{to}{star}"),
                }
            }
            CType::Named(name) => name.clone(),
            CType::Callback(_) => "a function pointer".to_owned(),
            CType::Array(of, len) => format!("{}[{len}]", of.spell()),
            CType::Other => "a type that has no Rust spelling".to_owned(),
        }
    }
}

impl CFn {
    /// The function pointer type, as generated code spells it.
    pub fn tokens(&self) -> TokenStream {
        let params = self.params.iter().map(|param| param.ty.tokens());
        let ret = self.ret.as_ref().map(|ty| {
            let ty = ty.tokens();
            quote!(-> #ty)
        });
        quote!(unsafe extern "C" fn(#(#params),*) #ret)
    }

    /// The parameter of this name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }
}
