//! Gigya's XML, read and, for errors of this side, written.

use super::Reading;

/// Gigya's XML: an element `<errorCode>` and perhaps an `<errorMessage>` in a
/// root element that is closed, so that a document cut short is no success.
pub(super) fn read(body: &str) -> Reading {
    let lower: String = body
        .chars()
        .take(16)
        .collect::<String>()
        .to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return Reading::Other("it is an HTML page".into());
    }
    let mut root = body;
    while let Some((_, rest)) = root
        .strip_prefix("<?")
        .and_then(|rest| rest.split_once("?>"))
    {
        root = rest.trim_start();
    }
    let name = root
        .trim_start_matches('<')
        .split([' ', '>', '/', '\t', '\r', '\n'])
        .next();
    let is_closed = name.is_some_and(|name| {
        let end = body
            .strip_suffix('>')
            .and_then(|body| body.trim_end().strip_suffix(name));
        !name.is_empty() && end.is_some_and(|end| end.ends_with("</"))
    });
    if !is_closed {
        return Reading::Other("its XML is cut short".into());
    }
    match element(body, "errorCode").and_then(|code| code.trim().parse().ok()) {
        Some(code) => {
            let message = element(body, "errorMessage").map(decode_entities);
            Reading::Xml(code, message.unwrap_or_default())
        }
        None => Reading::Other("it is XML without a usable errorCode".into()),
    }
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content)
}

fn decode_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let decoded = after.split_once(';').and_then(|(entity, after)| {
            let c = match entity {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => {
                    let number = entity.strip_prefix('#')?;
                    let number = match number.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16),
                        None => number.parse(),
                    };
                    char::from_u32(number.ok()?)?
                }
            };
            Some((c, after))
        });
        match decoded {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The XML that Python builds for an error of its own side, escaped.
pub(crate) fn of_error(method: &str, code: i64, message: &str) -> String {
    let name: String = method
        .trim_start_matches('/')
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .collect();
    let mut escaped = String::with_capacity(message.len());
    for c in message.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // What XML 1.0 cannot hold, not even escaped.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    [
        r#"<?xml version="1.0" encoding="utf-8"?>"#,
        &format!(
            "<{name}Response xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"urn:com:gigya:api http://socialize-api.gigya.com/schema\" \
             xmlns=\"urn:com:gigya:api\">"
        ),
        &format!("<errorCode>{code}</errorCode>"),
        &format!("<errorMessage>{escaped}</errorMessage>"),
        &format!("</{name}Response>"),
    ]
    .join("\r\n")
}
