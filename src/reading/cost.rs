//! What the data of an answer would cost in memory.
//!
//! A server chooses how many values it packs into a byte: `[0,0,…` takes 32 bytes
//! in memory for each two of its text, `[{"":0},…` 90 for one. Compressed, 50 MB of
//! either come in 50 KB.

/// The most that an answer's data may take, in bytes.
pub(super) const LIMIT: usize = 512 * 1024 * 1024;

/// A text up to this size stays below the limit whatever it holds.
const HARMLESS: usize = LIMIT / 128;

/// A value in a vector that may be half empty.
const VALUE: usize = 64;
/// The least that a vector with a value takes: room for four.
const ARRAY: usize = 160;
/// The least that a map with a field takes: a node with room for eleven.
const OBJECT: usize = 704;

/// Whether the data of a JSON text may take more than [`LIMIT`].
pub(super) fn is_too_high(json: &str) -> bool {
    if json.len() <= HARMLESS {
        return false;
    }
    // Texts are as long in memory as here.
    let mut cost = json.len();
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b',' => cost += VALUE,
            b'[' => cost += ARRAY,
            b'{' => cost += OBJECT,
            _ => {}
        }
    }
    cost > LIMIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_tightly_costs_too_much() {
        let of = |unit: &str| format!("[{}]", unit.repeat(40 * 1024 * 1024 / unit.len()));
        for unit in ["0,", "[0],", "{},", r#"{"":0},"#, r#""","#, "[],"] {
            assert!(is_too_high(&of(unit)), "{unit}");
            assert!(!is_too_high(&unit.repeat(500_000)), "{unit}");
        }
        // Accounts as the API returns them: short texts, few objects.
        let account = r#"{"UID":"0123456789abcdef0123456789abcdef","created":"2024-05-06T07:08:09.123Z","lastLogin":"2025-05-06T07:08:09.123Z","loginProvider":"site","isActive":true,"isRegistered":true,"isVerified":false,"profile":{"firstName":"Joe","lastName":"Doe","email":"joe.doe@example.com","age":42,"bio":"a, b, [c], {d}, "e", …"},"data":{"note":"some text of usual length"}},"#;
        assert!(!is_too_high(&of(account)));
    }
}
