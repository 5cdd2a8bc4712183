//! `gigya export`: all accounts, or those that a query finds, as JSON lines or CSV.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use gssdk::*;

use crate::checkpoint::{Checkpoint, Files};
use crate::csv_lines;
use crate::failure::{self, Failure};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::options::{Common, ExportOptions};
use crate::progress::{Progress, note};
use crate::site::{Signed, Site};

/// As much is written at once.
const BUFFER: usize = 256 * 1024;

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
        None => export.to_stdout(),
        Some(out) => export.to_file(out),
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
    fn to_stdout(&self) -> Result<(), Failure> {
        let mut rows = Rows::new(self.search(None), 0);
        let mut stdout = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        stdout.write_all(&self.head()?)?;
        while let Some(row) = rows.next() {
            // What has come is handed on before the reason why no more does.
            let row = row.map_err(|error| match stdout.flush() {
                Ok(()) => Failure::Api(error),
                Err(error) => error.into(),
            })?;
            stdout.write_all(&self.line(&row)?)?;
            if self.interrupt.came() {
                stdout.flush()?;
                drop(rows);
                note!("gigya: interrupted; with --out FILE an export can be resumed");
                return Err(Failure::Silent(INTERRUPTED));
            }
        }
        stdout.flush()?;
        note!("{} accounts exported.", rows.exported);
        Ok(())
    }

    fn to_file(&self, out: &Path) -> Result<(), Failure> {
        let files = Files::beside(out);
        if self.options.resume && out.exists() && !files.part.exists() {
            note!("{} is whole already.", out.display());
            return Ok(files.forget_checkpoint()?);
        }
        if out.is_dir() {
            return Err(Failure::Usage(format!("{}: is a directory", out.display())));
        }
        let checkpoint = match self.options.resume {
            true => files.checkpoint(&self.asked)?,
            false => None,
        };
        let part = match &checkpoint {
            Some(checkpoint) => {
                let part = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&files.part);
                part.and_then(|part| part.set_len(checkpoint.bytes).map(|()| part))
            }
            None => {
                files.forget_checkpoint()?;
                File::create(&files.part)
            }
        };
        let part = part.map_err(|error| Failure::file(&files.part, error))?;
        let mut part = BufWriter::with_capacity(BUFFER, part);
        let (mut written, exported) = match &checkpoint {
            Some(checkpoint) => (checkpoint.bytes, checkpoint.rows),
            None => {
                let head = self.head()?;
                part.write_all(&head)?;
                (head.len() as u64, 0)
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
                part.flush()?;
                part.get_ref().sync_data()?;
                let checkpoint = Checkpoint {
                    cursor,
                    bytes: written,
                    rows: rows.exported - 1,
                };
                files.keep(&checkpoint, &self.asked)?;
            }
            let line = self.line(&row)?;
            part.write_all(&line)?;
            written += line.len() as u64;
            if self.interrupt.came() {
                part.flush()?;
                drop(rows);
                note!("gigya: interrupted; {}", how_to_resume());
                return Err(Failure::Silent(INTERRUPTED));
            }
        }
        part.flush()?;
        part.get_ref().sync_all()?;
        fs::rename(&files.part, out).map_err(|error| Failure::file(out, error))?;
        files.forget_checkpoint()?;
        let exported = rows.exported;
        drop(rows);
        if self.common.json {
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
