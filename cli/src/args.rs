//! The command line of the tools: `--name value`, `--flag`, and what is left.

use std::error::Error;
use std::str::FromStr;

pub struct Args(Vec<String>);

impl Args {
    pub fn new() -> Self {
        Args(std::env::args().skip(1).collect())
    }

    /// Whether a flag is given; it is taken away.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|arg| arg == name);
        at.map(|at| self.0.remove(at)).is_some()
    }

    /// The value of an option, if it is given; both are taken away.
    pub fn option<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Box<dyn Error>> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else {
            return Ok(None);
        };
        if at + 1 >= self.0.len() {
            return Err(format!("{name} needs a value").into());
        }
        let value = self.0.remove(at + 1);
        self.0.remove(at);
        let parsed = value
            .parse()
            .map_err(|_| format!("{name} cannot be {value:?}"));
        Ok(Some(parsed?))
    }

    /// The one argument that may be left.
    pub fn last(mut self) -> Result<Option<String>, Box<dyn Error>> {
        let last = self.0.pop();
        match self
            .0
            .first()
            .or(last.as_ref().filter(|arg| arg.starts_with("--")))
        {
            Some(unknown) => Err(format!("what is {unknown:?}?").into()),
            None => Ok(last),
        }
    }
}
