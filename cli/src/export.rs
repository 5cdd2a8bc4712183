//! `gigya export`: all accounts, or those that a query finds, as JSON lines or CSV.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use gssdk::*;

use crate::checkpoint::{Checkpoint, Files};
use crate::csv_lines;
use crate::failure::{self, Failure};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::options::{Common, ExportOptions};
use crate::part::{Part, target};
use crate::progress::{Progress, note};
use crate::site::{Signed, Site};

/// As much is written at once.
pub const BUFFER: usize = 256 * 1024;

pub fn run(common: &Common, options: &ExportOptions) -> Result<(), Failure> {
    if options.fields.iter().flatten().any(String::is_empty) {
        return Err(Failure::usage("--fields: a name is empty"));
    }
    let site = Site::open(common, Signed::Always)?;
    site.check("accounts.search")?;
    let export = Export {
        request: site
            .request("accounts.search", json!({"query": options.query}))
            .retries(options.retries),
        asked: json!({"query": options.query, "fields": options.fields, "apiKey": site.api_key}),
        interrupt: Interrupt::watch()?,
        common,
        options,
    };
    match options.out.as_deref().filter(|out| *out != Path::new("-")) {
        None => export
            .begins_anew()
            .and_then(|()| export.to_stream(io::stdout().lock(), None)),
        Some(out) => export.to(out),
    }
    .inspect_err(|failure| {
        if let Failure::Api(error) = failure {
            error
                .response()
                .into_iter()
                .for_each(|response| site.log(response));
        }
    })
}

struct Export<'a> {
    request: GSRequest,
    /// What a checkpoint belongs to.
    asked: Value,
    interrupt: Interrupt,
    common: &'a Common,
    options: &'a ExportOptions,
}

impl Export<'_> {
    fn to(&self, out: &Path) -> Result<(), Failure> {
        match fs::metadata(out) {
            Ok(there) if there.is_dir() => {
                Err(Failure::Usage(format!("{}: is a directory", out.display())))
            }
            Ok(there) if there.is_file() => self.to_target(out),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.to_target(out),
            // A pipe or a device, of which Windows may tell nothing; or what cannot be opened.
            _ => self.directly_to(out),
        }
    }

    fn to_target(&self, out: &Path) -> Result<(), Failure> {
        match target(out) {
            Some(target) => self.to_file(&target, out),
            None => self.directly_to(out),
        }
    }

    fn directly_to(&self, out: &Path) -> Result<(), Failure> {
        self.begins_anew()?;
        let mut options = OpenOptions::new();
        // What a file that is open already holds stays there.
        let opened = options.write(true).append(cfg!(unix)).open(out);
        let opened = opened.map_err(|error| Failure::file(out, error))?;
        self.to_stream(opened, Some(out))
    }

    /// Nothing is kept of what went to a pipe, a device or standard output.
    fn begins_anew(&self) -> Result<(), Failure> {
        match self.options.resume {
            true => Err(Failure::usage(
                "--resume: only an export to a regular file can be resumed",
            )),
            false => Ok(()),
        }
    }

    /// * `name`: what the summary says, unless it is standard output.
    fn to_stream(&self, out: impl Write, name: Option<&Path>) -> Result<(), Failure> {
        let mut rows = Rows::new(self.search(None), 0);
        let mut out = BufWriter::with_capacity(BUFFER, out);
        out.write_all(&self.head()?)?;
        while let Some(row) = rows.next() {
            // What has come is handed on before the reason why no more does.
            let row = row.map_err(|error| match out.flush() {
                Ok(()) => Failure::Api(error),
                Err(error) => error.into(),
            })?;
            out.write_all(&self.line(&row)?)?;
            if self.interrupt.came() {
                out.flush()?;
                drop(rows);
                note!("gigya: interrupted; an export to a regular file can be resumed");
                return Err(Failure::Silent(INTERRUPTED));
            }
        }
        out.flush()?;
        self.summary(rows, name)
    }

    /// * `name`: what the summary says.
    fn to_file(&self, out: &Path, name: &Path) -> Result<(), Failure> {
        let files = Files::beside(out);
        if self.options.resume && out.exists() && !files.part.exists() {
            note!("{} is whole already.", out.display());
            return Ok(files.forget_checkpoint()?);
        }
        let part = Part::open(&files.part).map_err(|error| Failure::file(&files.part, error))?;
        let Some(mut part) = part else {
            let out = out.display();
            let why = format!("{out}: another export to this file is running");
            return Err(Failure::Usage(why));
        };
        files.tidy_up()?;
        part.protect_as(out)?;
        let checkpoint = match self.options.resume {
            true => files.checkpoint(&self.asked)?,
            false => None,
        };
        let exported = match &checkpoint {
            Some(checkpoint) => {
                part.go_on_after(checkpoint.bytes)?;
                checkpoint.rows
            }
            None => {
                files.forget_checkpoint()?;
                part.go_on_after(0)?;
                part.write(&self.head()?)?;
                0
            }
        };
        let mut rows = Rows::new(self.search(checkpoint.as_ref()), exported);
        let how_to_resume = || {
            let part = files.part.display();
            format!("to go on where {part} ends, within minutes: the same command with --resume")
        };
        loop {
            let page = rows.results.cursor().map(str::to_string);
            let Some(row) = rows.next() else { break };
            if let (Err(_), true) = (&row, rows.exported > 0) {
                part.flush()?;
                note!("gigya: {}", how_to_resume());
            }
            let row = row?;
            if let Some(cursor) = page.filter(|page| rows.results.cursor() != Some(page)) {
                // This row begins the page that the cursor names: what came before is kept.
                part.sync()?;
                let checkpoint = Checkpoint {
                    cursor,
                    bytes: part.written(),
                    rows: rows.exported - 1,
                };
                files.keep(&checkpoint, &self.asked)?;
            }
            part.write(&self.line(&row)?)?;
            if self.interrupt.came() {
                part.flush()?;
                drop(rows);
                note!("gigya: interrupted; {}", how_to_resume());
                return Err(Failure::Silent(INTERRUPTED));
            }
        }
        part.sync()?;
        if !part.is_whole()? {
            // Nor could it be resumed.
            files.forget_checkpoint()?;
            let part = files.part.display();
            let why = format!("{part} is not what was written: another program has changed it");
            return Err(Failure::Refused(why));
        }
        part.becomes(out)
            .map_err(|error| Failure::file(out, error))?;
        files.forget_checkpoint()?;
        self.summary(rows, Some(name))
    }

    fn summary(&self, rows: Rows, out: Option<&Path>) -> Result<(), Failure> {
        let exported = rows.exported;
        drop(rows);
        if let (Some(out), true) = (out, self.common.json) {
            let summary = json!({"file": out.display().to_string(), "accounts": exported});
            failure::print(format!("{summary}\n").as_bytes())?;
        }
        note!("{exported} accounts exported.");
        Ok(())
    }

    fn search(&self, from: Option<&Checkpoint>) -> TextRows {
        let request = self.request.clone();
        let results = match from {
            Some(checkpoint) => SearchResults::resume(request, &checkpoint.cursor),
            None => search_all(request),
        };
        match self.common.timeout {
            Some(timeout) => results.timeout(timeout),
            None => results,
        }
        .text_rows()
    }

    /// What stands before the first account.
    fn head(&self) -> Result<Vec<u8>, Failure> {
        match &self.options.fields {
            Some(fields) => csv_lines::record(fields).map_err(Failure::Refused),
            None => Ok(Vec::new()),
        }
    }

    fn line(&self, row: &str) -> Result<Vec<u8>, Failure> {
        match &self.options.fields {
            Some(fields) => csv_lines::line(fields, row).map_err(Failure::Refused),
            None => Ok([row, "\n"].concat().into_bytes()),
        }
    }
}

/// The results with their progress.
struct Rows {
    results: TextRows,
    exported: u64,
    progress: Progress,
}

impl Rows {
    fn new(results: TextRows, exported: u64) -> Self {
        let progress = Progress::new("{pos} of {len} accounts, {rate}, {eta} left {wide_bar}");
        progress.begin_at(exported);
        Rows {
            results,
            exported,
            progress,
        }
    }

    fn next(&mut self) -> Option<Result<String, GSException>> {
        let row = self.results.next()?;
        self.exported += u64::from(row.is_ok());
        self.progress.at(self.exported, self.results.total_count());
        Some(row)
    }
}
