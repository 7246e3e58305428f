//! Splits the text of C headers into tokens, as coarsely as reading macros and enums allows.

/// A token of C. What a number or a string says does not matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Word(String),
    Number,
    Symbol(char),
    /// A string or a character.
    Text,
}

/// The text without comments, with continued lines joined.
pub(crate) fn significant(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace("\\\n", " ");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |end| end + 2);
            out.push(' ');
            rest = &rest[end..];
        } else if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if c == '"' || c == '\'' {
            let end = text_end(rest, c);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The tokens of a text without comments.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let end = if c == '"' || c == '\'' {
            out.push(Token::Text);
            text_end(rest, c)
        } else if is_word(c) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            out.push(if c.is_ascii_digit() {
                Token::Number
            } else {
                Token::Word(rest[..end].to_owned())
            });
            end
        } else {
            out.push(Token::Symbol(c));
            c.len_utf8()
        };
        rest = rest[end..].trim_start();
    }
    out
}

/// Where the string or character at the start of `text` ends.
fn text_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
