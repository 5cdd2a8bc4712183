//! Half surrogate pairs, which JavaScript lets slip into profiles and serde_json
//! refuses.

/// Replaces `\uD800` to `\uDFFF` escapes that are not part of a pair by U+FFFD;
/// `None` when there are none.
pub(super) fn mend(json: &str) -> Option<String> {
    let unit = |at: usize| -> Option<u16> {
        let escape = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        let Some(high) = unit(at) else {
            // Any other escape: its second character is no start of another.
            let next = json[at + 1..].chars().next();
            at += 1 + next.map_or(0, char::len_utf8);
            continue;
        };
        let low = unit(at + 6).filter(|low| (0xdc00..0xe000).contains(low));
        match high {
            0xd800..0xdc00 if low.is_some() => at += 12,
            0xd800..0xe000 => {
                mended.push_str(&json[copied..at]);
                mended.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            _ => at += 6,
        }
    }
    if copied == 0 {
        return None;
    }
    mended.push_str(&json[copied..]);
    Some(mended)
}
