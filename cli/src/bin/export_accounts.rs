//! Exports every account of a site, as JSON lines or CSV:
//!
//! ```text
//! cargo run -p gigya-cli --bin export_accounts > accounts.jsonl
//! cargo run -p gigya-cli --bin export_accounts -- --out accounts.jsonl
//! cargo run -p gigya-cli --bin export_accounts -- --out accounts.csv --fields UID,profile.email,data.plan
//! cargo run -p gigya-cli --bin export_accounts -- --out accounts.jsonl --resume
//! ```
//!
//! With `GIGYA_API_KEY`, `GIGYA_SECRET_KEY` and perhaps `GIGYA_USER_KEY` and
//! `GIGYA_API_DOMAIN` set it talks to the real API, otherwise to a stand-in with
//! 10,000 accounts that it starts itself on loopback.
//!
//! | option | |
//! | --- | --- |
//! | `--out FILE` | written as `FILE.part` and renamed when it is whole; without it, standard output |
//! | `--fields A,B.C` | CSV of these fields instead of JSON lines |
//! | `--query Q` | default `SELECT * FROM accounts LIMIT 1000`; `LIMIT` is the size of a page |
//! | `--resume` | goes on after a failure, Ctrl-C or a power cut; with the same other options |
//! | `--host H` | a gateway instead of the API's own host |
//!
//! Beside the file it keeps `FILE.cursor`: which page comes next, and how long the
//! file was when that page began. What is in the file after that is dropped when it
//! goes on, so that each account is there exactly once. The API forgets a cursor after
//! some minutes.

#[path = "../args.rs"]
mod args;
#[path = "../site.rs"]
mod site;

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gssdk::*;
use indicatif::{ProgressBar, ProgressStyle};

fn main() -> ExitCode {
    match export() {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, as with `… | head`.
        Err(error) if error.downcast_ref().is_some_and(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("export_accounts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn export() -> Result<(), Box<dyn Error>> {
    let mut args = args::Args::new();
    let out: Option<PathBuf> = args.option("--out")?;
    let fields: Option<String> = args.option("--fields")?;
    let query: Option<String> = args.option("--query")?;
    let host = args.option("--host")?;
    let resume = args.flag("--resume");
    args.last()?
        .map_or(Ok(()), |arg| Err(format!("what is {arg:?}?")))?;

    let site = site::Site::from_environment(host);
    if let Some(stand_in) = &site.stand_in {
        *stand_in
            .state
            .accounts
            .lock()
            .map_err(|_| "the stand-in failed")? = 10_000;
    }
    let query = query.unwrap_or_else(|| "SELECT * FROM accounts LIMIT 1000".into());
    let request = site
        .request("accounts.search", json!({"query": query}))
        .retries(5);
    let format = Format::new(fields.as_deref());
    let Some(out) = out else {
        let mut rows = Rows::new(search_all(request), 0);
        let mut stdout = BufWriter::new(io::stdout().lock());
        stdout.write_all(&format.head()?)?;
        while let Some(row) = rows.next() {
            stdout.write_all(&format.row(&row?)?)?;
        }
        stdout.flush()?;
        return rows.finish();
    };

    let files = Files::beside(&out);
    if resume && out.exists() && !files.part.exists() {
        eprintln!("{} is whole already.", out.display());
        return files.forget_checkpoint();
    }
    let checkpoint = if resume { files.checkpoint()? } else { None };
    let (results, mut part, written, exported) = match &checkpoint {
        Some(Checkpoint {
            cursor,
            bytes,
            rows,
        }) => {
            let part = OpenOptions::new().append(true).open(&files.part)?;
            part.set_len(*bytes)?;
            let results = SearchResults::resume(request, cursor);
            (results, BufWriter::new(part), *bytes, *rows)
        }
        None => {
            files.forget_checkpoint()?;
            let mut part = BufWriter::new(File::create(&files.part)?);
            let head = format.head()?;
            part.write_all(&head)?;
            (search_all(request), part, head.len() as u64, 0)
        }
    };
    let mut written = written;
    let mut rows = Rows::new(results, exported);
    loop {
        let page = rows.results.cursor().map(str::to_string);
        let Some(row) = rows.next() else { break };
        let row = row?;
        if let Some(cursor) = page.filter(|page| rows.results.cursor() != Some(page)) {
            // This row begins the page that the cursor names: what came before is kept.
            part.flush()?;
            part.get_ref().sync_data()?;
            files.keep(&Checkpoint {
                cursor,
                bytes: written,
                rows: rows.exported - 1,
            })?;
        }
        let row = format.row(&row)?;
        part.write_all(&row)?;
        written += row.len() as u64;
    }
    part.flush()?;
    part.get_ref().sync_all()?;
    fs::rename(&files.part, &out)?;
    files.forget_checkpoint()?;
    rows.finish()
}

/// The results with their progress on the terminal.
struct Rows {
    results: SearchResults,
    exported: u64,
    bar: Option<ProgressBar>,
}

impl Rows {
    fn new(results: SearchResults, exported: u64) -> Self {
        let style = "{pos} of {len} accounts, {per_sec}, {eta} left {wide_bar}";
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0).with_position(exported);
            bar.with_style(
                ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()),
            )
        });
        Rows {
            results,
            exported,
            bar,
        }
    }

    fn next(&mut self) -> Option<Result<Value, GSException>> {
        let row = self.results.next()?;
        self.exported += u64::from(row.is_ok());
        if let Some(bar) = &self.bar {
            bar.set_length(self.results.total_count().unwrap_or(0));
            bar.set_position(self.exported);
        }
        Some(row)
    }

    fn finish(self) -> Result<(), Box<dyn Error>> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{} accounts exported.", self.exported);
        Ok(())
    }
}

/// JSON lines, or CSV of some fields.
struct Format(Option<Vec<String>>);

impl Format {
    fn new(fields: Option<&str>) -> Self {
        Format(fields.map(|fields| fields.split(',').map(String::from).collect()))
    }

    fn head(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        self.0.as_deref().map_or(Ok(Vec::new()), csv_line)
    }

    fn row(&self, account: &Value) -> Result<Vec<u8>, Box<dyn Error>> {
        let Some(fields) = &self.0 else {
            return Ok(format!("{account}\n").into_bytes());
        };
        let text = |field: &String| match account.pointer(&format!("/{}", field.replace('.', "/")))
        {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        csv_line(&fields.iter().map(text).collect::<Vec<_>>())
    }
}

fn csv_line(fields: &[String]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    Ok(writer.into_inner().map_err(|error| error.to_string())?)
}

/// What is kept beside the file until it is whole.
struct Files {
    part: PathBuf,
    cursor: PathBuf,
}

/// Which page comes next, and what the file held when it began.
struct Checkpoint {
    cursor: String,
    bytes: u64,
    rows: u64,
}

impl Files {
    fn beside(out: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = out.as_os_str().to_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        Files {
            part: with(".part"),
            cursor: with(".cursor"),
        }
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, Box<dyn Error>> {
        let text = match fs::read_to_string(&self.cursor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let kept: Value = text.parse()?;
        let number = |name: &str| kept[name].as_u64().ok_or("the cursor file is damaged");
        Ok(Some(Checkpoint {
            cursor: kept["cursor"].as_str().unwrap_or_default().to_string(),
            bytes: number("bytes")?,
            rows: number("rows")?,
        }))
    }

    /// Replaces the checkpoint in one step: it is never half written.
    fn keep(&self, checkpoint: &Checkpoint) -> Result<(), Box<dyn Error>> {
        let Checkpoint {
            cursor,
            bytes,
            rows,
        } = checkpoint;
        let new = self.cursor.with_extension("cursor.new");
        let mut file = File::create(&new)?;
        write!(
            file,
            "{}",
            json!({"cursor": cursor, "bytes": bytes, "rows": rows})
        )?;
        file.sync_all()?;
        Ok(fs::rename(&new, &self.cursor)?)
    }

    fn forget_checkpoint(&self) -> Result<(), Box<dyn Error>> {
        match fs::remove_file(&self.cursor) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
