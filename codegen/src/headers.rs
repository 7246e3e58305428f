//! What the C headers say, read from bindgen's output.

mod read;
mod types;

use std::collections::HashMap;

pub use types::{CFn, CType, Param};

/// The declarations of the C headers.
#[derive(Debug, Default)]
pub struct Headers {
    /// Functions.
    pub functions: HashMap<String, CFn>,
    /// Typedefs.
    pub typedefs: HashMap<String, CType>,
    /// Structs and unions, with the fields that have a name in C.
    pub structs: HashMap<String, Vec<(String, CType)>>,
    /// Enums.
    pub enums: HashMap<String, CEnum>,
    /// Constants with a value that is a number.
    pub constants: HashMap<String, i128>,
}

/// A C enum, of which bindgen makes a tuple struct and global constants.
#[derive(Debug, Default)]
pub struct CEnum {
    /// Whether its values can be negative.
    pub signed: bool,
    /// Name and value of each enumerator, in the order of the header.
    pub enumerators: Vec<(String, i128)>,
}

impl Headers {
    /// Reads bindgen's output.
    pub fn parse(bindings: &str) -> syn::Result<Self> {
        read::read(bindings)
    }

    /// The type behind typedefs that are not function pointers or opaque.
    pub fn resolve<'a>(&'a self, ty: &'a CType) -> &'a CType {
        let mut ty = ty;
        // A typedef cannot be recursive; the bound is for input that is not bindgen's.
        for _ in 0..16 {
            match ty {
                CType::Named(name) if !self.enums.contains_key(name) => {
                    match self.typedefs.get(name) {
                        Some(target) => ty = target,
                        None => return ty,
                    }
                }
                _ => return ty,
            }
        }
        ty
    }

    /// The function type of a typedef of a function pointer.
    pub fn callback(&self, name: &str) -> Option<&CFn> {
        match self.resolve(self.typedefs.get(name)?) {
            CType::Callback(function) => Some(function),
            _ => None,
        }
    }

    /// The name among `known` that is most like `name`, if one is like it.
    pub fn similar<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
        known
            .map(|candidate| (distance(name, candidate), candidate))
            .filter(|(distance, _)| *distance <= 1 + name.len() / 8)
            .min()
            .map(|(_, candidate)| candidate.as_str())
    }
}

/// How many letters differ: Levenshtein's distance, with a swap of neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<u8>, Vec<u8>) = (a.bytes().collect(), b.bytes().collect());
    if a.len().abs_diff(b.len()) > 8 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
