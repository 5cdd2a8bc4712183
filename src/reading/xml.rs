//! Reads Gigya's XML, and writes it for errors of the SDK.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// What is wrong with a web page.
pub(super) const HTML: &str = "it is an HTML page";

const BROKEN: &str = "its XML is cut short or broken";

/// Gigya's XML: the first `<errorCode>` and the first `<errorMessage>` that are
/// children of the root; nothing else of it is kept. A document cut short or broken
/// is not a success.
///
/// # Errors
/// Why it is not an answer.
pub(super) fn read(body: &str) -> Result<(i64, String), &'static str> {
    let [code, message] = texts(body, ["errorCode", "errorMessage"])?;
    let code = code.and_then(|code| code.trim().parse().ok());
    Ok((
        code.ok_or("it is XML without a usable errorCode")?,
        message.unwrap_or_default(),
    ))
}

/// The text of the first child of the root of this name.
pub(super) fn child(body: &str, name: &str) -> Option<String> {
    let [text] = texts(body, [name]).ok()?;
    text
}

/// The texts of the first children of these names.
fn texts<const N: usize>(
    body: &str,
    names: [&str; N],
) -> Result<[Option<String>; N], &'static str> {
    let mut reader = Reader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut texts: [Option<String>; N] = [const { None }; N];
    // Which of the texts is being read.
    let mut open = None;
    let (mut depth, mut closed) = (0, false);
    loop {
        let event = reader.read_event().map_err(|_| BROKEN)?;
        let text = open.and_then(|open: usize| texts.get_mut(open)?.as_mut());
        match (event, text) {
            (Event::Start(root), _) if depth == 0 => {
                if root.name().as_ref().eq_ignore_ascii_case(b"html") {
                    return Err(HTML);
                }
                if closed {
                    return Err(BROKEN);
                }
                depth = 1;
            }
            (Event::Start(tag), text) => {
                if let Some(text) = text.filter(|_| depth == 2) {
                    text.push('<'); // text that contains an element is not a number
                }
                if depth == 1 {
                    let tag = tag.name();
                    let kept = names
                        .iter()
                        .position(|name| name.as_bytes() == tag.as_ref());
                    open = kept.filter(|kept| texts.get(*kept) == Some(&None));
                    if let Some(text) = open.and_then(|open| texts.get_mut(open)) {
                        *text = Some(String::new());
                    }
                }
                depth += 1;
            }
            (Event::End(_), _) => {
                depth -= 1;
                closed = depth == 0;
                open = open.filter(|_| depth > 1);
            }
            (Event::DocType(name), _) if name.to_ascii_lowercase().starts_with(b"html") => {
                return Err(HTML);
            }
            (Event::Text(text), None) if depth == 0 && !text.trim_ascii().is_empty() => {
                return Err(BROKEN);
            }
            (Event::CData(_) | Event::GeneralRef(_), _) if depth == 0 => return Err(BROKEN),
            (Event::Text(part), Some(text)) if depth == 2 => {
                text.push_str(&part.decode().map_err(|_| BROKEN)?);
            }
            (Event::CData(part), Some(text)) if depth == 2 => {
                text.push_str(&part.decode().map_err(|_| BROKEN)?);
            }
            (Event::GeneralRef(entity), Some(text)) if depth == 2 => {
                let name = entity.decode().map_err(|_| BROKEN)?;
                match (entity.resolve_char_ref(), resolve_predefined_entity(&name)) {
                    (Ok(Some(c)), _) => text.push(c),
                    (_, Some(resolved)) => text.push_str(resolved),
                    _ => text.push_str(&format!("&{name};")),
                }
            }
            (Event::Eof, _) if closed => return Ok(texts),
            (Event::Eof, _) => return Err(BROKEN),
            _ => {}
        }
    }
}

/// The XML that Python builds for its own errors, escaped.
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
            // Not allowed in XML 1.0, not even escaped.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_code_that_is_a_child_of_the_root_counts() {
        let code = |body: &str| read(body).ok().map(|(code, _)| code);
        for (body, expected) in [
            ("<r><errorCode>7</errorCode></r>", Some(7)),
            (
                "<r><errorCode> <!-- x --><![CDATA[7]]> </errorCode></r> <!-- end -->",
                Some(7),
            ),
            (
                "<r><errorCode>7</errorCode><errorCode>0</errorCode></r>",
                Some(7),
            ),
            // What looks like a child of the root and is not one.
            (
                "<r><![CDATA[<errorCode>0</errorCode>]]><errorCode>403003</errorCode></r>",
                Some(403_003),
            ),
            (
                "<r><!--<errorCode>0</errorCode>--><errorCode>403003</errorCode></r>",
                Some(403_003),
            ),
            (
                "<r><a><errorCode>0</errorCode></a><errorCode>403003</errorCode></r>",
                Some(403_003),
            ),
            ("<r><a><errorCode>0</errorCode></a></r>", None),
            ("<r a='<errorCode>0</errorCode>'></r>", None),
            (
                "<r><?x <errorCode>0</errorCode>?><errorCode>7</errorCode></r>",
                Some(7),
            ),
            ("<errorCode>0</errorCode>", None),
            ("<r><errorCode>0<a>7</a></errorCode></r>", None),
            ("<r><errorCode/></r>", None),
            (
                "<!DOCTYPE r [<!ENTITY e '0'>]><r><errorCode>&e;</errorCode></r>",
                None,
            ),
            // Cut short or broken.
            ("<r><errorCode>0</errorCode>", None),
            ("<r><errorCode>0</errorCode></r", None),
            ("<r><errorCode>0</error></r>", None),
            ("<r><errorCode>0</errorCode></r><r></r>", None),
            ("<r><errorCode>0</errorCode></r>more", None),
            ("<r><errorCode>0</errorCode></r><![CDATA[more]]>", None),
            ("<r><errorCode>0</errorCode></r>&amp;", None),
            (
                "<!-- x --><![CDATA[more]]><r><errorCode>0</errorCode></r>",
                None,
            ),
            (
                "<r><errorCode>0</errorCode></r><errorCode>7</errorCode>",
                None,
            ),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
    }
}
