//! `gigya call`: any method with any parameters.

use crate::columns::{self, Column};
use crate::input::Fields;
use crate::prelude::*;

pub fn run(common: &Common, options: &CallOptions) -> Result<(), Failure> {
    let mut params = Map::new();
    if let Some(file) = &options.params_file {
        let text = site::read(common, Some(file), "the parameters")?;
        let fields: Fields = serde_json::from_slice(&text).map_err(|error| {
            // Without the text: it may hold a password.
            let (file, line) = (file.display(), error.line());
            usage!("{file}:{line}: --params takes a JSON object, each name once")
        })?;
        params = fields.0;
    }
    let mut nested: Vec<(Column, String)> = Vec::new();
    for param in &options.params {
        let Some((name, value)) = param.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(usage!("a parameter is NAME=VALUE, as in UID=abc"));
        };
        let value = match value.strip_prefix('@') {
            Some(text) if text.starts_with('@') => text.to_string(),
            Some(file) => content(common, name, file)?,
            None => value.to_string(),
        };
        let column = Column::parse(name).map_err(|why| usage!("{why}"))?;
        if column.path.len() > 1 || name.contains(':') {
            nested.push((column, value));
        } else if params.insert(name.trim().to_string(), typed(value)).is_some() {
            return Err(twice(name));
        }
    }
    columns::check_distinct(nested.iter().map(|(column, _)| column))
        .map_err(|why| usage!("{why}"))?;
    let nested = nested.iter().map(|(column, value)| (column, value.as_str()));
    for (name, value) in columns::params(nested).map_err(|why| usage!("{why}"))? {
        if params.contains_key(&name) {
            return Err(twice(&name));
        }
        params.insert(name, value);
    }
    let signed = if options.anonymous { Signed::Never } else { Signed::Always };
    let is_xml = params.get("format").is_some_and(|format| format == "xml");
    let site = Site::open(common, signed)?;
    let request = site.request(&options.method, params);
    let request = request.retries(options.retries).idempotent(options.idempotent);
    let response = site.send(&request);
    let text = response.get_response_text();
    // What came from a gateway is not what was asked for: the message quotes it.
    let is_asked_for = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        || is_xml && response.outcome() == Outcome::Answered;
    let shown = if is_asked_for { shown(common, text) + "\n" } else { String::new() };
    let printed = print(shown.as_bytes());
    // The exit code is the API's, whether anybody reads the answer or not.
    response.into_result()?;
    printed
}

fn twice(name: &str) -> Failure {
    usage!("the parameter {name} stands there twice")
}

/// The text of a file, without a last line end.
fn content(common: &Common, name: &str, file: &str) -> Result<String, Failure> {
    let content = site::read(common, Some(Path::new(file)), "a value");
    let content = content.map_err(|Failure(code, why)| {
        Failure(code, format!("{name}=@{file}: {why}; a text that begins with @ is written @@"))
    })?;
    let text = String::from_utf8(content).map_err(|_| usage!("{file}: is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let end = ["\r\n", "\n"].iter().find(|end| text.ends_with(*end)).map_or(0, |end| end.len());
    Ok(text[..text.len() - end].to_string())
}

/// JSON objects, arrays and booleans as such; a number, which keeps its digits and may be a
/// user id, and the rest as text.
fn typed(value: String) -> Value {
    match value.parse() {
        Ok(typed @ (Value::Bool(_) | Value::Array(_) | Value::Object(_))) => typed,
        _ => value.into(),
    }
}

/// On a terminal, JSON is set out and coloured; on a pipe it is as it came.
fn shown(common: &Common, text: &str) -> String {
    let value = text.parse::<Value>().ok();
    match value.filter(|_| !common.json && io::stdout().is_terminal()) {
        None => text.to_string(),
        Some(value) if std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()) => {
            format!("{value:#}")
        }
        Some(value) => {
            colored_json::to_colored_json_auto(&value).unwrap_or_else(|_| text.to_string())
        }
    }
}
