//! Constants that bindgen passes over: object-like macros with a cast, an enumerator or another macro call in them.
//!
//! Such a macro (`#define SPDK_BLOBID_INVALID (uint64_t)-1`) is only a number to a compiler. So the compiler is asked: the
//! wrapper header gets a type and a value for each, bindgen evaluates them, and [`Macros::settle`] turns each pair into the
//! one constant that the header meant, with its type in C.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Token, significant, tokens};

/// Prefixes of the helper declarations, which do not reach the bindings.
pub(crate) const TYPE: &str = "spdk_sys_type_";
pub(crate) const VALUE: &str = "spdk_sys_value_";

/// Names of C's integer types and of its limits, which a constant expression may contain.
const INTEGERS: [&str; 26] = [
    "char",
    "int",
    "int16_t",
    "int32_t",
    "int64_t",
    "int8_t",
    "long",
    "short",
    "signed",
    "size_t",
    "ssize_t",
    "uint16_t",
    "uint32_t",
    "uint64_t",
    "uint8_t",
    "unsigned",
    "CHAR_BIT",
    "INT32_MAX",
    "INT64_MAX",
    "INT_MAX",
    "SIZE_MAX",
    "UCHAR_MAX",
    "UINT16_MAX",
    "UINT32_MAX",
    "UINT64_MAX",
    "UINT8_MAX",
];

/// The macros and enumerators of a set of headers.
#[derive(Debug, Default)]
pub(crate) struct Macros {
    objects: BTreeMap<String, Vec<Token>>,
    functions: BTreeMap<String, (BTreeSet<String>, Vec<Token>)>,
    enumerators: BTreeSet<String>,
}

impl Macros {
    /// Reads the text of one header.
    pub(crate) fn read(&mut self, text: &str) {
        let text = significant(text);
        let mut code = String::new();
        for line in text.lines() {
            match line.trim_start().strip_prefix('#') {
                Some(directive) => self.read_directive(directive),
                None => {
                    code.push_str(line);
                    code.push('\n');
                }
            }
        }
        self.read_enumerators(&tokens(&code));
    }

    fn read_directive(&mut self, directive: &str) {
        let Some(rest) = directive.trim_start().strip_prefix("define") else {
            return;
        };
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        // Only a parenthesis that touches the name makes it a macro with parameters.
        if let Some(rest) = rest.strip_prefix('(') {
            let Some((parameters, body)) = rest.split_once(')') else {
                return;
            };
            let parameters = parameters.split(',').map(|p| p.trim().to_owned()).collect();
            self.functions
                .insert(name.to_owned(), (parameters, tokens(body)));
        } else {
            self.objects.insert(name.to_owned(), tokens(rest));
        }
    }

    fn read_enumerators(&mut self, code: &[Token]) {
        let mut rest = code.iter();
        while let Some(token) = rest.next() {
            if *token != Token::Word("enum".into()) {
                continue;
            }
            let mut ahead = rest.clone().peekable();
            ahead.next_if(|t| matches!(t, Token::Word(_)));
            if ahead.next() != Some(&Token::Symbol('{')) {
                continue;
            }
            let mut first = true;
            let mut depth = 0;
            for token in ahead {
                match token {
                    Token::Symbol('}') => break,
                    Token::Symbol('(') => depth += 1,
                    Token::Symbol(')') => depth -= 1,
                    Token::Symbol(',') if depth == 0 => first = true,
                    Token::Word(name) if first => {
                        self.enumerators.insert(name.clone());
                        first = false;
                    }
                    _ => {}
                }
            }
        }
    }

    /// The macros that a compiler must evaluate.
    pub(crate) fn hard(&self) -> impl Iterator<Item = &str> {
        let names = self.objects.keys().map(String::as_str);
        names.filter(|name| self.grade(&self.objects[*name], &BTreeSet::new(), 0) == Some(true))
    }

    /// Whether these tokens are an integer constant, and if so, whether bindgen needs help with it.
    fn grade(&self, body: &[Token], parameters: &BTreeSet<String>, depth: u32) -> Option<bool> {
        // Deeper than any header nests its constants; a macro may also name itself.
        if depth > 8 || body.is_empty() {
            return None;
        }
        let mut hard = false;
        for token in body {
            hard |= match token {
                Token::Number => false,
                Token::Symbol(c) => "()+-*/%<>|&^~".contains(*c).then_some(false)?,
                Token::Text => return None,
                Token::Word(word) if parameters.contains(word) => false,
                Token::Word(word) if INTEGERS.contains(&word.as_str()) => true,
                Token::Word(word) if self.enumerators.contains(word) => true,
                Token::Word(word) => {
                    if let Some(body) = self.objects.get(word) {
                        self.grade(body, &BTreeSet::new(), depth + 1)?
                    } else {
                        let (parameters, body) = self.functions.get(word)?;
                        self.grade(body, parameters, depth + 1)?;
                        true
                    }
                }
            };
        }
        Some(hard)
    }

    /// C declarations from which bindgen learns the type and the value of each hard macro.
    pub(crate) fn questions(&self) -> String {
        let ask = |name: &str| {
            format!(
                "#ifdef {name}\n\
                 typedef __typeof__({name}) {TYPE}{name};\n\
                 static const int64_t {VALUE}{name} = (int64_t)({name});\n\
                 #endif\n"
            )
        };
        self.hard().map(ask).collect()
    }

    /// Replaces the answers in bindgen's output by constants with the macros' names.
    pub(crate) fn settle(bindings: &str) -> String {
        let mut out = String::with_capacity(bindings.len());
        let mut types = BTreeMap::new();
        let mut values = BTreeMap::new();
        for line in bindings.lines() {
            if let Some((name, ty)) = split_item(line, "pub type ", TYPE, " = ") {
                types.insert(name, ty);
            } else if let Some((name, value)) = split_item(line, "pub const ", VALUE, ": i64 = ") {
                values.insert(name, value);
            } else {
                out.push_str(line);
                out.push('\n');
            }
        }
        let known = constants(&out);
        for (name, ty) in types {
            let value = values.get(name).and_then(|value| value.parse::<i64>().ok());
            if let Some(value) = value.filter(|_| !known.contains(name)) {
                let (ty, value) = typed(ty, value);
                out.push_str(&format!("pub const {name}: {ty} = {value};\n"));
            }
        }
        out
    }
}

fn split_item<'a>(
    line: &'a str,
    item: &str,
    prefix: &str,
    between: &str,
) -> Option<(&'a str, &'a str)> {
    let rest = line.strip_prefix(item)?.strip_prefix(prefix)?;
    rest.strip_suffix(';')?.split_once(between)
}

fn constants(bindings: &str) -> BTreeSet<String> {
    let names = bindings.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix("pub const ")?;
        Some(rest.split_once(':')?.0.to_owned())
    });
    names.collect()
}

/// The type and the value of a constant, by the rule that bindgen has for other macros: a plain `int` that is not
/// negative becomes `u32`. What C holds unsigned is not negative either, whatever its bit pattern says.
fn typed(ty: &str, value: i64) -> (&str, String) {
    match ty.rsplit("::").next().unwrap_or(ty) {
        "u64" | "usize" | "c_ulong" | "c_ulonglong" => ("u64", (value as u64).to_string()),
        "u32" | "c_uint" => ("u32", (value as u32).to_string()),
        "i32" | "c_int" => match u32::try_from(value) {
            Ok(value) => ("u32", value.to_string()),
            Err(_) => ("i32", value.to_string()),
        },
        "i64" | "c_long" | "c_longlong" => ("i64", value.to_string()),
        _ => (ty, value.to_string()),
    }
}
