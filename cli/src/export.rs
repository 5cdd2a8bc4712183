//! `gigya export`: all accounts, or those that a query finds, as JSON lines or CSV.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::csv_rows::Table;
use crate::files::target;
use crate::pacer::{LONGEST_ASKED, pause};
use crate::part::{Checkpoint, Part};
use crate::prelude::*;

/// How long a page may take, if `--timeout` does not say it.
const TIMEOUT: Duration = Duration::from_secs(60);

const QUERY: &str = "SELECT * FROM accounts LIMIT 1000";

pub fn run(common: &Common, options: &ExportOptions) -> Result<(), Failure> {
    let ExportOptions { method, typed, excel, limit, fields, .. } = options;
    let query = match &options.query {
        None if method != "accounts.search" => return Err(usage!("{method} needs a --query")),
        query => query.as_deref().unwrap_or(QUERY),
    };
    let ending = options.out.as_ref().and_then(|out| out.extension());
    let is_csv = ending.is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    if is_csv && fields.is_none() {
        return Err(usage!("--out names a CSV file: --fields says what its columns are"));
    }
    let table = |names: &Vec<String>| Table::new(names, *typed, *excel);
    fields.as_ref().map(table).transpose()?;
    let site = Site::open(common, Signed::Always)?;
    site.check(method)?;
    let page = Arc::new(AtomicU64::new(1));
    let waited_for = Arc::clone(&page);
    let interrupt = Interrupt::watch(move || {
        let page = waited_for.load(Relaxed);
        note!("gigya: waiting for page {page}; once more ends at once");
    })?;
    let asked = json!({
        "method": method, "query": query, "fields": fields, "apiKey": site.api_key,
        "typed": typed, "excel": excel, "limit": limit,
    });
    let (mut part, from) = open(options, &asked)?;
    let what = if method == "accounts.search" { "accounts" } else { "rows" };
    let began = from.as_ref().map_or(0, |from| from.rows);
    if from.is_some() {
        let part = part.kept().unwrap_or(Path::new("")).display();
        say!("gigya: going on after the {began} {what} in {part}");
    }
    let columns = from.as_ref().map_or(fields.as_ref(), |from| from.columns.as_ref());
    let table = columns.map(table).transpose()?;
    let request = site.request(method, Map::from_iter([("query".into(), query.into())]));
    let timeout = site.timeout(TIMEOUT);
    let search = move |cursor: Option<&str>| {
        let resume = |cursor| SearchResults::resume(request.clone(), cursor);
        let results = cursor.map_or_else(|| search_all(request.clone()), resume);
        results.timeout(timeout).text_rows()
    };
    let results = search(from.as_ref().map(|from| from.cursor.as_str()));
    let (progress, total) = (Progress::new(what, began), None);
    let (search, exported) = (Box::new(search), began);
    let mut export =
        Export { search, results, page, site, interrupt, options, exported, total, progress };
    let written = export.write(&mut part, table, began, &asked);
    written.inspect_err(|Failure(code, _)| match part.kept() {
        Some(part) if *code != 4 => {
            let part = part.display();
            note!("gigya: the same command, within minutes, goes on where {part} ends");
        }
        _ => {}
    })?;
    let (exported, short) = (export.exported, export.short(what));
    drop(export.progress);
    part.finish(short)?;
    if let (Some(out), true) = (file_name(options), common.json) {
        let summary = json!({"file": out.display().to_string(), "accounts": exported});
        print(format!("{summary}\n").as_bytes())?;
    }
    say!("{exported} {what} exported.");
    Ok(())
}

/// `None` is standard output.
fn file_name(options: &ExportOptions) -> Option<&Path> {
    options.out.as_deref().filter(|out| *out != Path::new("-"))
}

fn open(options: &ExportOptions, asked: &Value) -> Result<(Part, Option<Checkpoint>), Failure> {
    let out = file_name(options);
    let file = out.and_then(|out| match fs::metadata(out) {
        Ok(there) if there.is_file() => target(out),
        Err(error) if error.kind() == io::ErrorKind::NotFound => target(out),
        // A pipe or a device, of which Windows may tell nothing; or what cannot be opened.
        _ => None,
    });
    match (out, file) {
        (_, Some(file)) => Part::file(&file, asked, options.restart),
        _ if options.resume => Err(usage!("--resume: only an export to a file goes on")),
        (None, _) => Ok((Part::stream(io::stdout()), None)),
        (Some(out), None) => {
            // What a file that is open already holds stays there.
            let opened = OpenOptions::new().write(true).append(cfg!(unix)).open(out);
            Ok((Part::stream(opened.map_err(at(out))?), None))
        }
    }
}

/// Fetches pages, from the one that a cursor names.
type Search = dyn Fn(Option<&str>) -> TextRows;

struct Export<'a> {
    search: Box<Search>,
    results: TextRows,
    /// The page that is waited for.
    page: Arc<AtomicU64>,
    site: Site,
    interrupt: Interrupt,
    options: &'a ExportOptions,
    exported: u64,
    total: Option<u64>,
    progress: Progress,
}

impl Export<'_> {
    /// Writes all rows.
    ///
    /// * `began`: how many have come before.
    fn write(
        &mut self,
        out: &mut Part,
        mut table: Option<Table>,
        began: u64,
        asked: &Value,
    ) -> Result<(), Failure> {
        // The rows that come before the first line can be written.
        let needs_rows = table.as_ref().is_some_and(Table::needs_rows);
        let mut held = needs_rows.then(Vec::new);
        if let (Some(table), None, 0) = (&table, &held, began) {
            out.write(&table.head()?)?;
        }
        let ended = loop {
            let page = self.results.cursor().map(String::from);
            let row = match self.next() {
                Ok(Some(row)) => row,
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            };
            if let Some(cursor) = page.filter(|page| self.results.cursor() != Some(page)) {
                // This row begins the page that the cursor names.
                release(&mut held, &mut table, out)?;
                let (bytes, rows, asked) = (out.written, self.exported - 1, asked.clone());
                let columns = table.as_ref().map(Table::names);
                out.keep(Checkpoint { cursor, bytes, rows, columns, asked })?;
            }
            match (&mut held, &mut table) {
                (Some(held), _) => held.push(row),
                (None, Some(table)) => out.write(&table.line(&row)?)?,
                (None, None) => out.write(format!("{row}\n").as_bytes())?,
            }
            if self.interrupt.came() {
                break Err(self.interrupt.failure());
            }
        };
        // What has come is handed on before the reason why no more does.
        release(&mut held, &mut table, out)?;
        out.flush()?;
        ended?;
        let absent = table.as_ref().map(Table::absent).unwrap_or_default();
        if !absent.is_empty() && self.exported > 0 && began == 0 {
            note!("gigya: no row has the field {}, which --fields names", absent.join(", "));
        }
        Ok(())
    }

    /// The next row. Where a page does not come, it is asked for again.
    fn next(&mut self) -> Result<Option<String>, Failure> {
        if self.options.limit.is_some_and(|limit| self.exported >= limit) {
            return Ok(None);
        }
        for tries in 0.. {
            let before = self.results.cursor().map(String::from);
            let row = self.results.next();
            self.total = self.total.or(self.results.total_count());
            let error = match row {
                None => break,
                Some(Ok(row)) => {
                    let is_new = before.as_deref() != self.results.cursor();
                    self.page.fetch_add(is_new.into(), Relaxed);
                    self.exported += 1;
                    self.progress.at(self.exported, self.total, "");
                    return Ok(Some(row));
                }
                Some(Err(error)) => error,
            };
            let (response, code) = (error.response(), error.error_code());
            response.into_iter().for_each(|response| self.site.log(response));
            let may_pass = match error.outcome() {
                Outcome::Answered if before.is_some() && code == 400_006 => {
                    let why = "the API has forgotten the cursor of this export: it has expired";
                    let why = format!("{why}; start again with --restart ({})", words(&error));
                    return Err(Failure(4, why));
                }
                Outcome::Answered => code == error_codes::API_RATE_LIMIT_EXCEEDED,
                _ => !failure::is_usage(&error),
            };
            let asked = response.and_then(GSResponse::retry_after).unwrap_or_default();
            let may_wait = tries < self.options.retries && asked <= LONGEST_ASKED;
            if !(self.interrupt.came() || may_pass && may_wait) {
                let Failure(code, why) = error.into();
                // It only reads: an unknown outcome is none here.
                return Err(Failure(if code == 2 { 2 } else { 1 }, why));
            }
            let status = response.and_then(GSResponse::http_status);
            let why = match status.filter(|status| *status >= 400) {
                Some(status) => format!("HTTP {status}"),
                None => format!("{} (error {code})", said(&error)),
            };
            let (page, pause) = (self.page.load(Relaxed), pause(tries, asked));
            say!("gigya: page {page}: {why}, again in {} s", pause.as_secs());
            if !self.interrupt.sleep(pause) {
                return Err(self.interrupt.failure());
            }
            self.results = (self.search)(before.as_deref());
        }
        Ok(None)
    }

    /// Says if rows are missing; why, if those are too many.
    fn short(&self, what: &str) -> Option<String> {
        let total = self.total.filter(|_| self.options.limit.is_none())?;
        let missing = total.checked_sub(self.exported).filter(|missing| *missing > 0)?;
        let why = format!("the API announced {total} {what}, and {} have come", self.exported);
        if missing.saturating_mul(100) > total {
            return Some(why);
        }
        note!("gigya: {why}");
        None
    }
}

/// Writes the first line, whose types are known now, and the rows that were held for it.
fn release(
    held: &mut Option<Vec<String>>,
    table: &mut Option<Table>,
    out: &mut Part,
) -> Result<(), Failure> {
    let (Some(rows), Some(table)) = (held.take(), table) else { return Ok(()) };
    table.learn(&rows)?;
    out.write(&table.head()?)?;
    rows.iter().try_for_each(|row| Ok(out.write(&table.line(row)?)?))
}
