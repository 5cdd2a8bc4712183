//! JSON → [`Value`], by serde_json.
//!
//! [`Reader`] reads as serde_json's own `Value` does, with these differences:
//!
//! | input | serde_json | here |
//! | --- | --- | --- |
//! | a field of the outermost object that no `Value` can hold: 1e400 without `arbitrary_precision`, 128 levels of nesting | the whole text is refused | the field is kept as the text of its JSON |
//! | half a surrogate pair, which JavaScript lets slip into profiles | the whole text is refused | U+FFFD |
//! | a name that begins with `$serde_json::private::` | its value replaces the object, and is parsed as JSON of unlimited depth | treated as a value that no `Value` can hold |
//! | 50 KB of gzip that decode to 25 million values | gigabytes of memory | measured first, and refused |

use std::cell::Cell;
use std::fmt;

use serde_core::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess};
use serde_core::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// The most memory that the data of an answer may take, in bytes.
const LIMIT: usize = 512 * 1024 * 1024;

/// A text up to this size stays below the limit whatever it contains: `{"":`, the most
/// expensive five bytes with their closing brace, take less than 256 times as much.
const HARMLESS: usize = LIMIT / 256;

/// A value in a vector that may be half empty.
const ITEM: usize = 2 * size_of::<Value>();
/// The smallest vector that is not empty has room for four values.
const ARRAY: usize = 4 * size_of::<Value>() + 32;
/// A node of a map has room for eleven fields, and may hold six.
const NODE: usize = 11 * size_of::<(String, Value)>() + 88;
const FIELDS_PER_NODE: usize = 6;
/// What the allocator adds to a text.
const TEXT: usize = 16;
/// With `arbitrary_precision` a number is a text.
const DIGITS: usize = if size_of::<Number>() > 16 { 32 } else { 0 };

/// The prefix of serde_json's internal marks.
const RESERVED: &str = "$serde_json::private::";
/// With `arbitrary_precision`, serde_json hands over a number as a map with this name.
const NUMBER: &str = "$serde_json::private::Number";

/// Reads a value that takes no more than [`LIMIT`].
///
/// * `by_field`: whether the fields of an object that cannot be read as a whole are read one
///   by one, so that one which cannot be read costs only itself.
pub(super) fn read(json: &str, by_field: bool) -> serde_json::Result<Value> {
    if json.len() > HARMLESS && cost(json, by_field)? > LIMIT {
        return Err(Error::custom(format_args!(
            "its data would take more than {} MB of memory",
            LIMIT / 1024 / 1024
        )));
    }
    let whole = Reader::default();
    whole.read(json).or_else(|error| match by_field {
        true => Reader { by_field, ..whole }.read(json),
        false => Err(error),
    })
}

/// How much memory reading a value would take, in bytes.
fn cost(json: &str, by_field: bool) -> serde_json::Result<usize> {
    let cost = Cost::default();
    let reader = Reader {
        cost: Some(&cost),
        by_field,
    };
    reader.read(json)?;
    Ok(cost.most.get())
}

/// What the values of a text take, in bytes.
#[derive(Default)]
struct Cost {
    now: Cell<usize>,
    /// Of what cannot be read in the end, most may have been.
    most: Cell<usize>,
}

/// Reads a value without repairing anything or keeping anything as text.
pub(super) fn read_strictly(json: &str) -> serde_json::Result<Value> {
    Reader::default().parse(json)
}

#[derive(Clone, Copy, Default)]
struct Reader<'c> {
    /// Adds up what the values would take, and builds none.
    cost: Option<&'c Cost>,
    by_field: bool,
}

impl Reader<'_> {
    fn parse(self, json: &str) -> serde_json::Result<Value> {
        let paid = self.cost.map(|cost| cost.now.get());
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let value = self.deserialize(&mut deserializer);
        let value = value.and_then(|value| deserializer.end().map(|()| value));
        if let (Err(_), Some(cost), Some(paid)) = (&value, self.cost, paid) {
            cost.now.set(paid);
        }
        value
    }

    fn read(self, json: &str) -> serde_json::Result<Value> {
        self.parse(json).or_else(|error| match mend(json) {
            Some(mended) => self.parse(&mended),
            None => Err(error),
        })
    }

    fn read_field(self, json: &str) -> Value {
        self.read(json).unwrap_or_else(|_| {
            self.pay(json.len() + TEXT);
            Value::from(json)
        })
    }

    fn pay(self, bytes: usize) {
        if let Some(cost) = self.cost {
            let now = cost.now.get().saturating_add(bytes);
            cost.now.set(now);
            cost.most.set(cost.most.get().max(now));
        }
    }

    fn inside(self) -> Self {
        Reader {
            by_field: false,
            ..self
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.pay(DIGITS);
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.pay(DIGITS);
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        self.pay(DIGITS);
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        self.pay(text.len() + TEXT);
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        let mut price = ARRAY;
        while let Some(item) = items.next_element_seed(self.inside())? {
            self.pay(price);
            price = ITEM;
            if self.cost.is_none() {
                array.push(item);
            }
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut count = 0;
        while let Some(Name(name)) = fields.next_key()? {
            if name == NUMBER {
                let digits: String = fields.next_value()?;
                self.pay(digits.len() + TEXT);
                return digits.parse().map(Value::Number).map_err(Error::custom);
            }
            let value = if self.by_field {
                let json: &RawValue = fields.next_value()?;
                self.inside().read_field(json.get())
            } else {
                fields.next_value_seed(self)?
            };
            let node = if count % FIELDS_PER_NODE == 0 {
                NODE
            } else {
                0
            };
            self.pay(node + name.len() + TEXT);
            count += 1;
            if self.cost.is_none() {
                object.insert(name, value);
            }
        }
        Ok(Value::Object(object))
    }
}

/// The name of a field.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a name")
            }

            /// serde_json's own mark: the names of the text come as bytes.
            fn visit_str<E>(self, mark: &str) -> Result<Name, E> {
                Ok(Name(mark.to_string()))
            }

            /// UTF-8, in which half a surrogate pair is encoded like any other
            /// character.
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Name, E> {
                let mut name = String::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    name.push_str(chunk.valid());
                    // The first of its three bytes; each is a chunk.
                    if chunk.invalid() == [0xed] {
                        name.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                if name.starts_with(RESERVED) {
                    return Err(E::custom("it holds a name that serde_json reserves"));
                }
                Ok(Name(name))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// Replaces `\uD800` to `\uDFFF` escapes that are not part of a pair by U+FFFD;
/// `None` when there are none.
fn mend(json: &str) -> Option<String> {
    let unit = |text: &str, at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut mended = String::new();
    let mut rest = json;
    let mut found = false;
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        mended.push_str(before);
        let (length, is_half) = match (unit(escape, 0), unit(escape, 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, false),
            (Some(0xd800..0xe000), _) => (6, true),
            // The character after a backslash does not begin another escape.
            _ => (2, false),
        };
        let (escape, after) = escape.split_at_checked(length)?;
        mended.push_str(if is_half { "\\ufffd" } else { escape });
        found |= is_half;
        rest = after;
    }
    mended.push_str(rest);
    found.then_some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::json::parse_object;

    /// An array of this value, of so many bytes.
    fn array_of(value: &str, bytes: usize) -> String {
        let item = format!("{value},");
        format!("[{}{value}]", item.repeat(bytes / item.len()))
    }

    #[test]
    fn what_is_packed_tightly_costs_too_much_and_accounts_do_not() {
        let chain = r#"{"":"#.repeat(120) + "0" + &"}".repeat(120);
        for value in ["0", "[0]", "{}", r#"{"":0}"#, r#""""#, "[]", &chain] {
            // On 32 bits a value takes half as much.
            let large = array_of(value, 25 * 1024 * 1024 * 64 / usize::BITS as usize);
            assert!(cost(&large, false).unwrap() > LIMIT, "{value}");
            let harmless = array_of(value, HARMLESS);
            assert!(cost(&harmless, false).unwrap() <= LIMIT, "{value}");
        }
        // Accounts as the API returns them: short texts, few objects.
        let account = r#"{"UID":"0123456789abcdef0123456789abcdef","created":"2024-05-06T07:08:09.123Z","lastLogin":"2025-05-06T07:08:09.123Z","loginProvider":"site","isActive":true,"isRegistered":true,"isVerified":false,"profile":{"firstName":"Joe","lastName":"Doe","email":"joe.doe@example.com","age":42,"bio":"a, b, [c], {d}, \"e\", …"},"data":{"note":"some text of usual length"}}"#;
        let accounts = array_of(account, 4 * 1024 * 1024);
        let cost = 10 * cost(&accounts, false).unwrap();
        let most = if cfg!(feature = "preserve_order") {
            2 * LIMIT
        } else {
            LIMIT
        };
        assert!(cost < most, "{cost}");
    }

    #[test]
    fn what_is_mended_or_kept_as_text_is_paid_for_once() {
        let text = format!(r#"{{"a":{}}}"#, array_of(r#""\ud83d""#, 1_000_000));
        let mended = text.replace("\\ud83d", "\\ufffd");
        assert_eq!(cost(&text, true).unwrap(), cost(&mended, true).unwrap());
        let halves = array_of(r#""\ud83d""#, 1_000_000);
        // All of it is read before it turns out to be too deep, and then let go.
        let deep = format!("[{halves},{}1{}]", "[".repeat(200), "]".repeat(200));
        let cost = |json: &str| cost(json, true).unwrap();
        let one = cost(&format!(r#"{{"a":{deep}}}"#));
        assert!(
            one + 10_000 > cost(&format!(r#"{{"a":{halves}}}"#)),
            "{one}"
        );
        let two = cost(&format!(r#"{{"a":{deep},"b":{deep}}}"#));
        assert!(two < one + deep.len() + 10_000, "{two}");
    }

    #[test]
    fn escapes_are_mended_only_where_half_a_pair_stands() {
        for (json, expected) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\ud83d\ude00 \udc00""#, Some(r#""\ud83d\ude00 \ufffd""#)),
            (
                r#""\ud83d\n\ud83d\u0041""#,
                Some(r#""\ufffd\n\ufffd\u0041""#),
            ),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            // Not JSON.
            (r#""\"#, None),
            ("\\é\\ud8", None),
        ] {
            assert_eq!(mend(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn claims_keep_every_digit_with_arbitrary_precision() {
        let claims = "\u{feff}{\"n\":98765432109876543210,\"iat\":1700000000.5}";
        let claims = parse_object(claims.as_bytes()).unwrap();
        let digits = if cfg!(feature = "arbitrary_precision") {
            "98765432109876543210"
        } else {
            "9.876543210987654e+19"
        };
        assert_eq!(claims["n"].to_string(), digits);
        assert_eq!(claims["iat"].as_f64(), Some(1_700_000_000.5));
    }
}
