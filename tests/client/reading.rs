//! Answers and parameters of any shape: what is read of them, digit by digit.

use std::collections::BTreeMap;

use gssdk::*;
use serde::Deserialize;

const KEEPS_DIGITS: bool = cfg!(feature = "arbitrary_precision");

fn read(text: &str) -> GSResponse {
    GSResponse::from_text("x.y", text)
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// serde_json parses what is under this name as JSON, to any depth.
fn reserved(mark: &str, json: &str) -> String {
    let json = Value::from(json);
    format!(r#"{{"\u0024serde_json::private::{mark}":{json}}}"#)
}

/// JSON which is whole and which no `Value` can hold.
fn unreadable() -> Vec<String> {
    // 100 × 100 levels, which overflow the stack of whoever parses texts inside texts.
    let mut bomb = String::from("1");
    for _ in 0..100 {
        let inner = bomb.replace('\\', "\\u005c").replace('"', "\\u0022");
        let outer = format!(r#"{{"$serde_json::private::RawValue":"{inner}"}}"#);
        bomb = "[".repeat(100) + &outer + &"]".repeat(100);
    }
    let mut unreadable = vec![
        nested(200),
        nested(100_000),
        format!(r#"{{"a":[{},"b"]}}"#, nested(127)),
        reserved("RawValue", "[1]"),
        reserved("Number", "12"),
        reserved("Number", "twelve"),
        format!("[1,{}]", reserved("RawValue", "{")),
        r#"{"$serde_json::private::Number":12}"#.to_string(),
        r#"[{"a":[{"$\u0073erde_json\u003a:private::x" :"[1]"}]}]"#.to_string(),
        bomb,
    ];
    if !KEEPS_DIGITS {
        unreadable.extend(["1e400", "-1E+400", r#"{"a":[1e400],"b":"c"}"#].map(String::from));
    }
    unreadable
}

#[test]
fn a_field_that_no_value_can_hold_is_kept_as_its_text_and_costs_nothing_else() {
    for json in unreadable() {
        let fields = format!(r#""UID":"a", "x" : {json} ,"age":42,"callId":"c""#);
        let response = read(&format!(r#"{{"errorCode":0,{fields}}}"#));
        assert_eq!(response.get_error_code(), 0, "{response}");
        assert_eq!(response.outcome(), Outcome::Answered);
        assert_eq!(response.get_str("x"), Some(json.as_str()));
        assert_eq!(response.get_str("UID"), Some("a"));
        assert_eq!(response.get_i64("age"), Some(42));
        assert_eq!(response.call_id(), Some("c"));
        assert_eq!(response.get_data().len(), 5);
        // Nothing that goes on from here is surprised by it.
        let _ = (response.to_string(), response.get_log());
        let copy: Value = response.parse().unwrap();
        assert_eq!(copy["x"], json);
        // Nor is a code that is no code success.
        let response = read(&format!(r#"{{"errorCode":{json},"UID":"a"}}"#));
        assert_eq!(response.get_error_code(), 500_000);
        assert_eq!(response.get_str("UID"), Some("a"));
    }
    // The outermost object has no text to be kept as.
    let response = read(r#"{"errorCode":0,"$serde_json::private::RawValue":"{}"}"#);
    assert_eq!(response.get_error_code(), 500_000);
    assert!(response.get_error_message().contains("reserves"));
}

/// `[[[0]]]` takes a hundred times its size: such fields are kept as their text.
#[test]
fn more_than_a_million_arrays_are_kept_as_text() {
    let arrays = |count: usize| format!("[{}[]]", "[],".repeat(count - 2));
    for (a, b, is_a_kept, is_b_kept) in [
        (999_998, 2, false, false),
        (1_000_001, 2, true, false),
        (999_999, 2, false, true),
    ] {
        let (a, b) = (arrays(a), arrays(b));
        let response = read(&format!(r#"{{"errorCode":0,"a":{a},"b":{b},"UID":"x"}}"#));
        assert_eq!(response.get_error_code(), 0);
        assert_eq!(response.get_str("a").is_some(), is_a_kept);
        assert_eq!(response.get_str("b").is_some(), is_b_kept);
        assert_eq!(response.get_str("UID"), Some("x"));
    }
}

/// One more `{` or `,` than that is an error, wherever it stands.
#[test]
fn a_text_of_too_many_objects_or_values_is_refused() {
    for (braces, commas, code) in [
        (500_000, 5_000_000, 0),
        (500_001, 10, 500_000),
        (10, 5_000_001, 500_000),
    ] {
        let noise = "{".repeat(braces - 1) + &",".repeat(commas - 1);
        let text = format!(r#"{{"errorCode":0,"a":"{noise}"}}"#);
        let response = read(&text);
        assert_eq!(response.get_error_code(), code, "{response:?}");
        let is_answer = response.outcome() == Outcome::Answered;
        assert_eq!(is_answer, code == 0);
        assert_eq!(response.get_response_text(), text);
    }
    let xml = format!("<r><errorCode>0</errorCode>{}</r>", ",".repeat(5_000_001));
    assert_eq!(read(&xml).get_error_code(), 500_000);
}

/// As JSONTestSuite's files that begin with `y_`; three blanks between them.
const WHOLE: &str = r#"null   true   0   -0   -1   0.5   -0.0   123.456789   1e5   1E+2   0e+1
-0.000000000000000000000000000000000000000000000000000000000000000001   123e-10
18446744073709551615   -9223372036854775808   ""   " "   "\"\\\/\b\f\n\r\t"
"\u0060\u012a\u12AB\u0000\u0022\u005c"   "\ud801\udc37\uD834\uDd1e\ud83d\ude39\ud83d\udc8d"
"\\u0000 \\a a/*b*/c"   "[\"asd\"] {\"a\":1}, 17"   []   [ ]   [[] ]   [null, 1, "1", {}]
{}   {"":0}   {"a":"b","a":"c"}   {"foo\u0000bar": 42}   {"\ud83d\ude39":{"t":"\u041f\u043b"}}
{ "min": -1.0e+28, "max": 1.0e+28 }   {"$serde_json":1,"a":"$5","$":":"}
{"a$serde_json::private::RawValue":1}   {"\\u0024serde_json::private::RawValue":1}"#;

fn each(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().flat_map(|line| line.split("   "))
}

#[test]
fn whatever_serde_json_reads_is_read_the_same() {
    let blanks = "[\n1\n,\t2 , \r[\"\u{7f}\u{2028}\u{10ffff}\u{fdd0}\"]]";
    for json in each(WHOLE).chain([blanks]) {
        let text = format!(" {{ \"errorCode\" : 0 , \"x\" : {json} , \"\" : [{json}]}}\n");
        let response = read(&text);
        assert_eq!(response.get_error_code(), 0, "{response}");
        let expected: Map = serde_json::from_str(&text).unwrap();
        assert_eq!(response.get_data(), &expected, "{text}");
        assert!(response.get_data().keys().eq(expected.keys()), "{text}");
        assert_eq!(read(&format!("\u{feff}{text}")).get_data(), &expected);
    }
    // The last of several fields of a name counts.
    let response = read(r#"{"errorCode":403003,"x":1,"errorCode":0,"x":[2]}"#);
    assert_eq!(response.get_error_code(), 0);
    assert_eq!(response.get_data()["x"], json!([2]));
}

/// As those that begin with `n_`.
const BROKEN: &str = r#"nul   True   +1   -   01   1.   .5   1e   1e+   0x1   NaN   Infinity
1 2   "   "\x"   "\u12"   "\ud83d\u12"   'a'   [   [1,]   [,1]   [1 2]   ]   {   {a:1}   {"a"}
{"a":1,}   {"a":1 "b":2}   {1:1}   1}   /**/1"#;

#[test]
fn what_is_not_json_is_never_a_success() {
    for json in each(BROKEN).chain(["", "\"\t\"", "\"\n\""]) {
        for text in [
            format!(r#"{{"errorCode":0,"x":{json}}}"#),
            format!(r#"{{"errorCode":0,"x":[{json}"#),
            format!(r#"{{"errorCode":0}}{json}x"#),
        ] {
            let response = read(&text);
            assert_eq!(response.get_error_code(), 500_000, "{text}");
            assert_eq!(response.outcome(), Outcome::Unknown);
            assert_eq!(response.get_response_text(), text);
            assert!(response.get_data().is_empty());
        }
    }
}

#[test]
fn half_a_surrogate_pair_is_replaced_wherever_it_stands() {
    let text = r#"{"errorCode":0,"\ud83dx":"\ud83d","a":{"\udc00":["\ud83d\ud83d\ude39\udc00","\\ud83d","\ud83d\n\ud83d\u0041\\\ud83d"]},"\\ud83d":"\u00e9"}"#;
    let expected = json!({
        "errorCode": 0, "\u{fffd}x": "\u{fffd}", "\\ud83d": "é",
        "a": {"\u{fffd}": ["\u{fffd}😹\u{fffd}", "\\ud83d", "\u{fffd}\n\u{fffd}A\\\u{fffd}"]},
    });
    let response = read(text);
    assert_eq!(Value::from(response.get_data().clone()), expected);
    // What is kept as its text is kept as it came.
    let kept = format!("{{\"\\ud83d\":{}}}", nested(130));
    let response = read(&format!(r#"{{"errorCode":0,"a":{kept},"b":"\ud83d"}}"#));
    assert_eq!(response.get_str("a"), Some(kept.as_str()));
    assert_eq!(response.get_str("b"), Some("\u{fffd}"));
}

/// What is written, and what is read without `arbitrary_precision`.
const NUMBERS: [(&str, &str); 7] = [
    ("42", "42"),
    ("18446744073709551615", "18446744073709551615"),
    ("98765432109876543210", "9.876543210987654e+19"),
    ("-12345678901234567890123", "-1.2345678901234568e+22"),
    ("0.12345678901234567890", "0.12345678901234568"),
    ("9007199254740993.0", "9007199254740992.0"),
    ("1.50", "1.5"),
];

#[test]
fn numbers_of_answers_keep_every_digit_with_arbitrary_precision() {
    for (number, rounded) in NUMBERS {
        let read_as = if KEEPS_DIGITS { number } else { rounded };
        let fields = format!(r#""n":{number},"a":[{{"n":{number}}}]"#);
        let response = read(&format!(r#"{{"errorCode":0,{fields}}}"#));
        assert_eq!(response.get_string("n").as_deref(), Some(read_as));
        assert_eq!(response.get_f64("n"), number.parse().ok());
        assert_eq!(response.get_i64("n"), number.parse().ok());
        let data = &response.get_data()["a"];
        assert_eq!(data.to_string(), format!(r#"[{{"n":{read_as}}}]"#));
    }
    let response = read(r#"{"errorCode":0,"a":1e3,"b":1.0,"c":"7","d":1e400}"#);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(response.get_i64(name), None, "{name}");
    }
    assert_eq!(response.get_f64("a"), Some(1000.0));
    assert_eq!(response.get_f64("d"), None);
    let kept = if KEEPS_DIGITS { "1e+400" } else { "1e400" };
    assert_eq!(response.get_string("d").as_deref(), Some(kept));
}

#[test]
fn typed_answers_take_numbers_of_any_kind() {
    #[derive(Debug, Deserialize)]
    struct Answer {
        int: i64,
        large: u64,
        float: f64,
        single: f32,
        #[serde(flatten)]
        rest: BTreeMap<String, Value>,
    }
    let numbers = r#""int":-1,"large":18446744073709551615,"float":2,"single":0.1"#;
    let response = read(&format!(
        r#"{{"errorCode":0,{numbers},"value":{{"n":[1,2.5]}}}}"#
    ));
    let answer: Answer = response.parse().unwrap();
    assert_eq!((answer.int, answer.large), (-1, u64::MAX));
    assert_eq!((answer.float, answer.single), (2.0, 0.1));
    let rest = Value::from_iter(answer.rest);
    assert_eq!(rest, json!({"errorCode": 0, "value": {"n": [1, 2.5]}}));

    let response = read(r#"{"errorCode":0,"n":98765432109876543210}"#);
    let numbers = response.parse::<BTreeMap<String, serde_json::Number>>();
    let text = numbers.unwrap()["n"].to_string();
    assert_eq!(text == "98765432109876543210", KEEPS_DIGITS, "{text}");
}

// Parameters --------------------------------------------------------------------

fn sent(request: &GSRequest, name: &str) -> String {
    let prepared = request.prepare().unwrap();
    let prefix = format!("{name}=");
    let mut pairs = prepared.body().split('&');
    let value = pairs.find_map(|pair| pair.strip_prefix(&prefix)).unwrap();
    value.to_string()
}

fn with(params: impl serde::Serialize) -> GSRequest {
    GSRequest::new("key", "c2VjcmV0", "x.y", params)
}

#[test]
fn an_integer_of_a_json_text_is_sent_digit_by_digit_or_refused() {
    let numbers = "98765432109876543210 -9223372036854775809 18446744073709551616";
    for number in numbers.split(' ') {
        let nested = format!("\u{feff} {{\"x\":1.5,\"n\":[{number}, {{\"a\\\"\": {number}}}]}}\n");
        let sent_nested = format!("%5B{number}%2C%20%7B%22a%5C%22%22%3A%20{number}%7D%5D");
        let flat = format!(r#"{{"\\":1,"n":{number}}}"#);
        for (json, encoded) in [(flat, number), (nested, &sent_nested)] {
            let request = with(json.as_str());
            if KEEPS_DIGITS {
                assert_eq!(sent(&request, "n"), encoded);
            } else {
                let error = request.prepare().err().unwrap();
                assert_eq!(error.error_code(), 400_006);
                assert!(error.error_message().contains("64 bits"), "{error}");
            }
        }
    }
    // What fits, and what is no integer.
    for json in [
        r#"{"a": 18446744073709551615, "b": [-9223372036854775808, 1e99, 0.5, -0, true]}"#,
        r#"{"123456789012345678901": "-99999999999999999999\" 99999999999999999999"}"#,
        r#"{"\\": "99999999999999999999"}"#,
    ] {
        assert!(with(json).prepare().is_ok(), "{json}");
    }
}

#[test]
fn what_was_read_is_sent_with_the_same_digits() {
    for (number, _) in NUMBERS {
        let response = read(&format!(r#"{{"errorCode":0,"n":{number},"a":[{number}]}}"#));
        let mut request = with(());
        request.set_param("n", response.get_object("n"));
        request.set_param("a", response.get_object("a"));
        // A float is Python's where no digit is lost by it.
        let exact = if number == "1.50" { "1.5" } else { number };
        if KEEPS_DIGITS {
            assert_eq!(sent(&request, "n"), exact);
            assert_eq!(sent(&request, "a"), format!("%5B{exact}%5D"));
        } else {
            let float: Result<f64, _> = sent(&request, "n").replace("%2B", "+").parse();
            assert_eq!(float, number.parse());
        }
    }
}

#[test]
fn floats_are_sent_as_python_sends_them() {
    for (json, expected) in [
        ("1.0", "1.0"),
        ("0e0", "0.0"),
        ("1e5", "100000.0"),
        ("1e15", "1000000000000000.0"),
        ("1E16", "1e%2B16"),
        ("1.5e300", "1.5e%2B300"),
        ("1.50", "1.5"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1.5e-7", "1.5e-07"),
        ("5e-324", "5e-324"),
        ("-0.0", "-0.0"),
    ] {
        let text = format!(r#"{{"n":{json},"a":[{json}]}}"#);
        assert_eq!(sent(&with(text.as_str()), "n"), expected, "{json}");
        assert_eq!(sent(&with(text), "a"), format!("%5B{expected}%5D"));
        let value: f64 = json.parse().unwrap();
        assert_eq!(sent(&with(json!({"n": value})), "n"), expected);
    }
}

#[test]
fn json_text_that_no_value_can_hold_is_refused_not_changed() {
    let half = [r#""\ud83d""#, r#"1,"\ud83d":1"#, r#"{"\ud83d":1}"#];
    for json in unreadable().into_iter().chain(half.map(String::from)) {
        let response = with(format!(r#"{{"x":{json}}}"#)).send();
        assert_eq!(response.get_error_code(), 400_006, "{response}");
    }
}
