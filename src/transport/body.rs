//! What the headers of an answer say about its body: where it ends, and how it is coded.

use std::io::Read;
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::reading::{MAX_SIZE, too_large};

use super::pool::MAX_IDLE;

/// The largest body that is read, in bytes, and the most that it may decode to.
pub(super) const MAX_BODY: u64 = MAX_SIZE as u64;

/// The codings of HTTP that are not asked for (IANA's registry of content codings).
const OTHER_CODINGS: &str =
    "aes128gcm br compress dcb dcz deflate exi pack200-gzip x-compress zstd";

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// How a member of a gzip file begins (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The most members of one body: each costs some microseconds, however short it is.
const MAX_MEMBERS: usize = 10_000;

/// How long the connection of an answer may be idle until it serves again; zero if it must
/// not.
///
/// | the answer | life |
/// | --- | --- |
/// | 1xx, 204, 304: they have no body, whatever their headers say (RFC 9112, 6.3), and one that came all the same would be the next answer | none |
/// | both a length and a coding, several lengths, any coding but `chunked`: whose end a proxy on the way may see elsewhere | none |
/// | neither a length nor a coding: ureq, where another crate enables its `gzip`, takes away the length of what it has decoded; it closes the connection of a body that ends with it | 15 s |
/// | `Keep-Alive: timeout=` | its seconds less one, 15 s at most |
/// | any other | 15 s |
pub(super) fn idle_life(status: StatusCode, headers: &HeaderMap) -> Duration {
    let two = |name| {
        let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        [values.next(), values.next()]
    };
    let (lengths, codings) = (two(header::CONTENT_LENGTH), two(header::TRANSFER_ENCODING));
    let is_clear = match (lengths, codings) {
        ([Some(length), None], [None, _]) => length.trim_ascii().iter().all(u8::is_ascii_digit),
        ([None, _], [Some(coding), None]) => coding.trim_ascii().eq_ignore_ascii_case(b"chunked"),
        ([None, _], [None, _]) => true,
        _ => false,
    };
    if !is_clear || matches!(status.as_u16(), 100..200 | 204 | 304) {
        return Duration::ZERO;
    }
    let values = headers.get_all(KEEP_ALIVE).iter();
    let params = values.filter_map(|value| value.to_str().ok());
    let params = params.flat_map(|value| value.split([',', ';']));
    let lives = params.filter_map(|param| {
        let (name, value) = param.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        let seconds = value.trim_matches([' ', '"']).split('.').next()?;
        let seconds: u64 = seconds.parse().ok().filter(|_| is_timeout)?;
        Some(Duration::from_secs(seconds.saturating_sub(1)))
    });
    lives.chain([MAX_IDLE]).min().unwrap_or(MAX_IDLE)
}

/// The text of a body, of 50 MB at most, and what is wrong with it.
pub(crate) fn body_text(headers: &HeaderMap, body: Vec<u8>) -> (String, Option<String>) {
    let (codings, _) = codings(headers);
    let (bytes, flaw) = match codings.as_slice() {
        [] => (body, None),
        [coding] if coding == "gzip" || coding == "x-gzip" => match gunzip(&body) {
            Ok(decoded) => (decoded, None),
            Err(why) => (body, Some(why)),
        },
        [coding, ..] => {
            let why = format!("its Content-Encoding is {coding:?}, and only gzip was asked for");
            (body, Some(why))
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => (text, flaw),
        Err(error) => {
            let why = format!("it is not valid UTF-8: {}", error.utf8_error());
            let why = flaw.unwrap_or(why + &unknown_coding(headers));
            // Each byte that is no UTF-8 becomes U+FFFD, which is three bytes.
            let bytes = error.as_bytes();
            let shown = bytes.get(..MAX_SIZE / 3).unwrap_or(bytes);
            (String::from_utf8_lossy(shown).into_owned(), Some(why))
        }
    }
}

/// The codings of a body, and the words in their place that are no coding of HTTP, such as
/// `utf-8`, in lower case.
fn codings(headers: &HeaderMap) -> (Vec<String>, Vec<String>) {
    let values = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let words = words.map(|word| String::from_utf8_lossy(word.trim_ascii()).to_ascii_lowercase());
    let words = words.filter(|word| !word.is_empty() && word != "identity");
    words.partition(|word| {
        matches!(word.as_str(), "gzip" | "x-gzip")
            || OTHER_CODINGS.split(' ').any(|one| one == word)
    })
}

/// What to say about a word that is no coding where a body cannot be read; nothing if there is
/// none.
pub(crate) fn unknown_coding(headers: &HeaderMap) -> String {
    let (_, words) = codings(headers);
    let Some(word) = words.first() else {
        return String::new();
    };
    // Any other text could be an echo of something secret.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_name = word.len() <= 16 && word.chars().all(is_plain);
    let shown = if is_name { word } else { "unknown" };
    format!(" (its Content-Encoding {shown:?} is no coding of HTTP)")
}

/// Decodes gzip; what follows the last member is ignored.
fn gunzip(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut decoded = Vec::new();
    let mut rest = body;
    for _ in 0..MAX_MEMBERS {
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        let left = (MAX_BODY + 1).saturating_sub(decoded.len() as u64);
        let read = decoder.by_ref().take(left).read_to_end(&mut decoded);
        read.map_err(|error| format!("its compressed body is damaged ({error})"))?;
        if decoded.len() as u64 > MAX_BODY {
            return Err(too_large());
        }
        rest = decoder.into_inner();
        if !rest.starts_with(&GZIP) {
            return Ok(decoded);
        }
    }
    Err(format!(
        "its compressed body has more than {MAX_MEMBERS} members"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other rows are in tests/client/connections.rs.
    #[test]
    fn an_answer_whose_length_ureq_has_taken_away_lets_its_connection_serve_again() {
        let life = |status| idle_life(status, &HeaderMap::new());
        assert_eq!(life(StatusCode::OK), MAX_IDLE);
        assert_eq!(life(StatusCode::SWITCHING_PROTOCOLS), Duration::ZERO);
    }
}
