//! Gigya's XML, read and, for errors of this side, written.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// A child of the root: its name and its text.
struct Child {
    name: Vec<u8>,
    text: String,
}

/// Gigya's XML: the first `<errorCode>` and the first `<errorMessage>` that are
/// children of the root. A document cut short or broken is no success.
///
/// # Errors
/// Why it is not an answer.
pub(super) fn read(body: &str) -> Result<(i64, String), &'static str> {
    let children = children(body)?;
    let first = |name: &[u8]| children.iter().find(|child| child.name == name);
    let code = first(b"errorCode").and_then(|code| code.text.trim().parse().ok());
    let message = first(b"errorMessage").map(|message| message.text.clone());
    Ok((
        code.ok_or("it is XML without a usable errorCode")?,
        message.unwrap_or_default(),
    ))
}

fn children(body: &str) -> Result<Vec<Child>, &'static str> {
    const BROKEN: &str = "its XML is cut short or broken";

    let mut reader = Reader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut children: Vec<Child> = Vec::new();
    let (mut depth, mut closed) = (0, false);
    loop {
        let event = reader.read_event().map_err(|_| BROKEN)?;
        let child = children.last_mut().filter(|_| depth == 2);
        match (event, child) {
            (Event::Start(root), _) if depth == 0 => {
                if root.name().as_ref().eq_ignore_ascii_case(b"html") {
                    return Err("it is an HTML page");
                }
                if closed {
                    return Err(BROKEN);
                }
                depth = 1;
            }
            (Event::Start(tag), child) => {
                match child {
                    // A number that holds an element is none.
                    Some(child) => child.text.push('<'),
                    None if depth == 1 => children.push(Child {
                        name: tag.name().as_ref().to_vec(),
                        text: String::new(),
                    }),
                    None => {}
                }
                depth += 1;
            }
            (Event::End(_), _) => {
                depth -= 1;
                closed = depth == 0;
            }
            (Event::DocType(name), _) if name.to_ascii_lowercase().starts_with(b"html") => {
                return Err("it is an HTML page");
            }
            (Event::Text(text), None) if depth == 0 && !text.trim_ascii().is_empty() => {
                return Err(BROKEN);
            }
            (Event::Text(text), Some(child)) => {
                child.text.push_str(&text.decode().map_err(|_| BROKEN)?);
            }
            (Event::CData(text), Some(child)) => {
                child.text.push_str(&text.decode().map_err(|_| BROKEN)?);
            }
            (Event::GeneralRef(entity), Some(child)) => {
                let name = entity.decode().map_err(|_| BROKEN)?;
                match (entity.resolve_char_ref(), resolve_predefined_entity(&name)) {
                    (Ok(Some(c)), _) => child.text.push(c),
                    (_, Some(text)) => child.text.push_str(text),
                    _ => child.text.push_str(&format!("&{name};")),
                }
            }
            (Event::Eof, _) if closed => return Ok(children),
            (Event::Eof, _) => return Err(BROKEN),
            _ => {}
        }
    }
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
            (
                "<r><errorCode>0</errorCode></r><errorCode>7</errorCode>",
                None,
            ),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
    }
}
