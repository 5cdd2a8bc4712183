//! Reads Gigya's XML, and writes it for errors of the SDK.

use quick_xml::Reader;
use quick_xml::escape::{partial_escape, resolve_predefined_entity};
use quick_xml::events::Event;

/// What is wrong with a web page.
pub(super) const HTML: &str = "it is an HTML page";

const BROKEN: &str = "its XML is cut short or broken";

/// Code and message of Gigya's XML; nothing else of it is kept. A document cut short or
/// broken is not a success.
///
/// # Errors
/// Why it is not an answer.
pub(super) fn read(body: &str) -> Result<(i64, String), &'static str> {
    let [code, message] = texts(body, ["errorCode", "errorMessage"])?;
    let code = code.and_then(|code| code.trim().parse().ok());
    let code = code.ok_or("it is XML without a usable errorCode")?;
    Ok((code, message.unwrap_or_default()))
}

/// The texts of the root's first children of these names.
///
/// # Errors
/// Why it is not a whole document.
pub(super) fn texts<const N: usize>(
    body: &str,
    names: [&str; N],
) -> Result<[Option<String>; N], &'static str> {
    let is_html = |name: &[u8]| name.to_ascii_lowercase().starts_with(b"html");
    let mut reader = Reader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut texts = [const { None }; N];
    let (mut is_open, mut is_closed) = (false, false);
    loop {
        match reader.read_event().map_err(|_| BROKEN)? {
            Event::DocType(name) if is_html(&name) => return Err(HTML),
            Event::Start(root) if !is_open && is_html(root.name().as_ref()) => return Err(HTML),
            Event::Start(_) if !is_open && !is_closed => is_open = true,
            Event::Start(child) if is_open => {
                let is_it = |name: &str| name.as_bytes() == child.name().as_ref();
                let mut slots = names.iter().zip(&mut texts);
                match slots.find(|(name, text)| is_it(name) && text.is_none()) {
                    Some((_, slot)) => *slot = Some(text(&mut reader)?),
                    None => reader
                        .read_to_end(child.name())
                        .map(drop)
                        .map_err(|_| BROKEN)?,
                }
            }
            Event::End(_) => (is_open, is_closed) = (false, true),
            Event::Eof if is_closed => return Ok(texts),
            // Beside the root there are comments, instructions and blanks.
            Event::Text(text) if !is_open && !text.trim_ascii().is_empty() => return Err(BROKEN),
            Event::CData(_) | Event::GeneralRef(_) if !is_open => return Err(BROKEN),
            Event::Start(_) | Event::Eof => return Err(BROKEN),
            _ => {}
        }
    }
}

/// The text of the element that has begun. Each element in it is a `<`, so that what
/// contains one is no number.
fn text(reader: &mut Reader<&[u8]>) -> Result<String, &'static str> {
    let (mut text, mut depth) = (String::new(), 1);
    while depth > 0 {
        match reader.read_event().map_err(|_| BROKEN)? {
            Event::Start(_) => {
                text.push('<');
                depth += 1;
            }
            Event::End(_) => depth -= 1,
            Event::Text(part) if depth == 1 => {
                text.push_str(&part.decode().map_err(|_| BROKEN)?);
            }
            Event::CData(part) if depth == 1 => {
                text.push_str(&part.decode().map_err(|_| BROKEN)?);
            }
            Event::GeneralRef(entity) if depth == 1 => {
                let name = entity.decode().map_err(|_| BROKEN)?;
                match (entity.resolve_char_ref(), resolve_predefined_entity(&name)) {
                    (Ok(Some(c)), _) => text.push(c),
                    (_, Some(resolved)) => text.push_str(resolved),
                    _ => text.push_str(&format!("&{name};")),
                }
            }
            Event::Eof => return Err(BROKEN),
            _ => {}
        }
    }
    Ok(text)
}

/// The XML that Python builds for its own errors, escaped.
pub(super) fn of_error(method: &str, code: i64, message: &str) -> String {
    let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = method.chars().filter(is_part).collect();
    // Not allowed in XML 1.0, not even escaped.
    let is_forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    let message = message.replace(is_forbidden, "\u{fffd}");
    [
        r#"<?xml version="1.0" encoding="utf-8"?>"#,
        &format!(
            "<{name}Response xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"urn:com:gigya:api http://socialize-api.gigya.com/schema\" \
             xmlns=\"urn:com:gigya:api\">"
        ),
        &format!("<errorCode>{code}</errorCode>"),
        &format!("<errorMessage>{}</errorMessage>", partial_escape(message)),
        &format!("</{name}Response>"),
    ]
    .join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is inside of the root, and its error code. Each line of the second half is broken,
    /// or looks like a child of the root and is not one.
    const CODES: &str = r"
<errorCode>7</errorCode> => 7
<errorCode> <!-- x --><![CDATA[7]]> </errorCode> => 7
<errorCode>7</errorCode><errorCode>0</errorCode> => 7
<?x <errorCode>0</errorCode>?><errorCode>7</errorCode> => 7
<![CDATA[<errorCode>0</errorCode>]]><errorCode>7</errorCode> => 7
<!--<errorCode>0</errorCode>--><errorCode>7</errorCode> => 7
<a><errorCode>0</errorCode></a><errorCode>7</errorCode> => 7
<a><errorCode>0</errorCode></a> =>
<errorCode>0<a>7</a></errorCode> =>
<errorCode/> =>
<errorCode>&e;</errorCode> =>
<errorCode>0</error> =>
<errorCode>0</errorCode></r><r> =>
<errorCode>0</errorCode></r> =>";

    #[test]
    fn the_first_error_code_that_is_a_child_of_the_root_counts() {
        let code = |body: &str| read(body).ok().map(|(code, _)| code);
        for row in CODES.lines().skip(1) {
            let (inside, expected) = row.split_once(" =>").unwrap();
            let root = format!("<r a='<errorCode>0</errorCode>'>{inside}</r>");
            let body = format!("<!-- x --> {root} <!-- y -->\n");
            assert_eq!(code(&body), expected.trim().parse().ok(), "{body}");
        }
        let good = "<r><errorCode>0</errorCode></r>";
        assert_eq!(code(good), Some(0));
        for after in ["more", "<![CDATA[more]]>", "&amp;", good] {
            assert_eq!(code(&format!("{good}{after}")), None);
            assert_eq!(code(&format!("{after}{good}")), None);
        }
        for end in [1, 4, 10] {
            assert_eq!(code(&good[..good.len() - end]), None, "cut short");
        }
        assert_eq!(code("<errorCode>0</errorCode>"), None);
    }
}
