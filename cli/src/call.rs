//! `gigya call`: any method with any parameters.

use gssdk::*;

use crate::failure::{self, Failure};
use crate::options::{CallOptions, Common};
use crate::site::{self, Signed, Site};

pub fn run(common: &Common, options: &CallOptions) -> Result<(), Failure> {
    let mut params = Map::new();
    if let Some(file) = &options.params_file {
        let text = site::read(common, Some(file), "the parameters")?;
        params = serde_json::from_slice(&text).map_err(|error| {
            // Without the text: it may hold a password.
            let (file, line) = (file.display(), error.line());
            Failure::Usage(format!("{file}:{line}: --params takes a JSON object"))
        })?;
    }
    for param in &options.params {
        let Some((name, value)) = param.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::usage("a parameter is NAME=VALUE, as in UID=abc"));
        };
        let value = match typed(value) {
            // As it stands: a number keeps its digits, and may be a user id.
            Value::Number(_) => value.into(),
            typed => typed,
        };
        params.insert(name.to_string(), value);
    }
    let signed = match options.anonymous {
        true => Signed::Never,
        false => Signed::Always,
    };
    let site = Site::open(common, signed)?;
    let response = site.send(&site.request(&options.method, params));
    let printed = failure::print(format!("{}\n", response.get_response_text()).as_bytes());
    // The exit code is the API's, whether anybody reads the answer or not.
    response.into_result()?;
    printed
}

/// JSON objects, arrays, numbers and booleans as such; the rest is text.
pub fn typed(value: &str) -> Value {
    match value.parse() {
        Ok(Value::Null | Value::String(_)) | Err(_) => value.into(),
        Ok(typed) => typed,
    }
}
