//! Masks complete JSON and XML. Everything but names, strings and numbers is passed on as
//! it is, piece by piece, so that only the output is in memory.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use serde_core::de::IgnoredAny;
use serde_json::{Map, Value};

use super::mask::{LONGEST, MASK, Mask, is_secret_field};
use crate::reading::json::parse_strictly;

impl Mask {
    /// The parameters, masked.
    pub(crate) fn params(&self, params: &Map<String, Value>) -> Map<String, Value> {
        let shown = |(name, value): (&String, &Value)| {
            let field = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
            match parse_strictly(&self.data(&field.to_string())) {
                Ok(Value::Object(shown)) => shown,
                // Nested too deeply to be read again, or of a name that serde_json reserves.
                _ => Map::from_iter([(self.text(name).into_owned(), MASK.into())]),
            }
        };
        params.iter().flat_map(shown).collect()
    }

    /// A JSON text, masked.
    pub(crate) fn data(&self, json: &str) -> String {
        let mut shown = String::with_capacity(json.len());
        self::json(json, self, &mut |piece| shown.push_str(piece));
        shown
    }

    /// Complete JSON or XML, masked.
    pub(crate) fn document(&self, text: &str) -> Option<String> {
        let mut shown = String::new();
        document(text, self, &mut |piece| shown.push_str(piece))?;
        Some(shown)
    }
}

/// The deepest XML that is shown.
const DEEPEST: usize = 1_000;

/// Passes on a document, masked. `None` if it is neither complete JSON nor complete XML: the
/// caller must then drop what was passed on.
pub(super) fn document(text: &str, mask: &Mask, out: &mut dyn FnMut(&str)) -> Option<()> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if body.starts_with('<') {
        return xml(body, mask, out);
    }
    // Checked by serde_json, at any depth and with numbers of any size.
    let is_data = body.starts_with(['{', '[']);
    serde_json::from_str::<IgnoredAny>(body)
        .ok()
        .filter(|_| is_data)?;
    json(body, mask, out);
    Some(())
}

/// What JSON consists of.
enum Token<'a> {
    /// The inside of a string.
    Text(&'a str),
    Number(&'a str),
    Open(&'a str),
    Close(&'a str),
    /// A literal, a separator, white space.
    Other(&'a str),
}

/// Splits the first token off a JSON text.
fn token(json: &str) -> Option<(Token<'_>, &str)> {
    let run =
        |end: &dyn Fn(char) -> bool| json.split_at_checked(json.find(end).unwrap_or(json.len()));
    let first = json.chars().next()?;
    Some(match first {
        '"' => {
            let mut escaped = false;
            let (inner, rest) = json.strip_prefix('"')?.split_once(|c| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            })?;
            (Token::Text(inner), rest)
        }
        '-' | '0'..='9' => {
            let (number, rest) = run(&|c| !c.is_ascii_alphanumeric() && !"+-.".contains(c))?;
            (Token::Number(number), rest)
        }
        'a'..='z' => {
            let (literal, rest) = run(&|c| !c.is_ascii_lowercase())?;
            (Token::Other(literal), rest)
        }
        _ => {
            let (sign, rest) = json.split_at_checked(first.len_utf8())?;
            let sign = match first {
                '{' | '[' => Token::Open(sign),
                '}' | ']' => Token::Close(sign),
                _ => Token::Other(sign),
            };
            (sign, rest)
        }
    })
}

/// Passes on JSON that is known to be valid, masked.
pub(super) fn json(text: &str, mask: &Mask, out: &mut dyn FnMut(&str)) {
    let quoted = |text: &str, out: &mut dyn FnMut(&str)| put(&["\"", text, "\""], out);
    let mut rest = text;
    // Whether the next value is secret, and how deep in one this is.
    let (mut is_secret, mut depth) = (false, 0usize);
    while let Some((token, after)) = token(rest) {
        rest = after;
        match token {
            Token::Open(_) if depth > 0 => depth += 1,
            Token::Close(_) if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            Token::Text(name) if after.trim_start().starts_with(':') => {
                is_secret = is_secret_field(name);
                quoted(&mask.text(name), out);
            }
            Token::Open(_) | Token::Text(_) | Token::Number(_) if is_secret => {
                is_secret = false;
                depth = usize::from(matches!(token, Token::Open(_)));
                quoted(MASK, out);
            }
            Token::Text(text) => {
                quoted(&mask.text(text), out);
            }
            Token::Number(number) if mask.text(number) != number => {
                quoted(MASK, out);
            }
            Token::Number(piece) | Token::Open(piece) | Token::Close(piece) => out(piece),
            Token::Other(piece) => {
                // A boolean or null.
                is_secret &= !piece.starts_with(|c: char| c.is_ascii_lowercase());
                out(piece);
            }
        }
    }
}

fn put(pieces: &[&str], out: &mut dyn FnMut(&str)) {
    pieces.iter().for_each(|piece| out(piece));
}

fn xml(body: &str, mask: &Mask, out: &mut dyn FnMut(&str)) -> Option<()> {
    let mut reader = Reader::from_str(body);
    let (mut depth, mut roots) = (0, 0);
    // The depth of a secret element that this is in, and whether all in it is text.
    let mut secret: Option<(usize, bool)> = None;
    // The text between two tags, escaped; references, CDATA and comments split it.
    let mut text = String::new();
    loop {
        let event = reader.read_event().ok()?;
        let between = match &event {
            Event::Start(_) | Event::Empty(_) | Event::End(_) | Event::Eof => &*text,
            _ => "",
        };
        if depth == 0 && !between.trim().is_empty() {
            return None;
        }
        if secret.is_none() {
            out(&mask.text(between));
        }
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                let is_empty = matches!(event, Event::Empty(_));
                roots += usize::from(depth == 0);
                depth += usize::from(!is_empty);
                if depth > DEEPEST {
                    return None;
                }
                if let Some((_, is_text)) = &mut secret {
                    *is_text = false;
                } else {
                    let name = utf8(tag.name().into_inner())?;
                    put(&["<", &mask.text(name)], out);
                    if !is_secret_field(name) {
                        attributes(tag, mask, out)?;
                    } else if !is_empty {
                        secret = Some((depth, true));
                    }
                    out(if is_empty { "/>" } else { ">" });
                }
            }
            Event::End(tag) => {
                if let Some((_, is_text)) = secret.filter(|(at, _)| *at == depth) {
                    let is_plain = is_text && is_plain(between);
                    out(if is_plain { between } else { MASK });
                    secret = None;
                }
                if secret.is_none() {
                    put(
                        &["</", &mask.text(utf8(tag.name().into_inner())?), ">"],
                        out,
                    );
                }
                depth -= 1;
            }
            Event::Text(piece) => text.push_str(&piece.decode().ok()?),
            Event::CData(piece) => {
                let piece = piece.decode().ok()?;
                // Too long to be shown: escaped, it could be five times as long.
                if text.len() + piece.len() > LONGEST {
                    text.push_str(&piece);
                } else {
                    text.push_str(&escape(piece));
                }
            }
            Event::GeneralRef(name) => text.extend(["&", &name.decode().ok()?, ";"]),
            Event::Decl(declaration) => put(&["<?", &mask.text(utf8(declaration)?), "?>"], out),
            // Nothing in these is data.
            Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => return (depth == 0 && roots == 1).then_some(()),
        }
        if let Event::Start(_) | Event::Empty(_) | Event::End(_) = event {
            text.clear();
        } else if text.len() > LONGEST {
            // Once, so that it does not double again and again.
            text.reserve_exact(body.len().saturating_sub(text.len()));
        }
    }
}

/// Whether the text of an element or attribute reveals nothing, whatever its name.
fn is_plain(text: &str) -> bool {
    matches!(text.trim(), "true" | "false" | "")
}

fn attributes(tag: &BytesStart, mask: &Mask, out: &mut dyn FnMut(&str)) -> Option<()> {
    // The check for duplicates takes quadratic time.
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.ok()?;
        let (name, value) = (utf8(attribute.key.into_inner())?, utf8(&attribute.value)?);
        let is_shown = !is_secret_field(name) || is_plain(value);
        let value = if is_shown { &mask.text(value) } else { MASK };
        // A value holds one kind of quote at most.
        let quote = if value.contains('"') { "'" } else { "\"" };
        put(&[" ", &mask.text(name), "=", quote, value, quote], out);
    }
    Some(())
}

fn utf8(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok()
}
