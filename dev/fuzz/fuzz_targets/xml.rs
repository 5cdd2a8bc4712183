//! Any text in an XML answer: what is no child of the root never counts.
#![no_main]

use gssdk::GSResponse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let code = |body: &str| GSResponse::from_text("accounts.search", body).get_error_code();
    let _ = code(&format!("<{text}"));
    // In a comment, in CDATA, in an attribute, as text: it stays what it is.
    let comment = text.replace("--", "").replace('>', "");
    let cdata = text.replace("]]>", "");
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    for inside in [
        format!("<!-- {comment} -->"),
        format!("<![CDATA[{cdata}]]>"),
        format!("<a b=\"{escaped}\">{escaped}</a>"),
        format!("<a><errorCode>0</errorCode>{escaped}</a>"),
    ] {
        let answer = code(&format!("<r>{inside}<errorCode>403003</errorCode></r>"));
        assert!(answer == 403003 || answer == 500000, "{inside:?}");
    }
});
