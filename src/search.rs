//! Whole result sets: `accounts.search` and `ds.search`, page by page.

use std::fmt;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::error::GSException;
use crate::error_codes::NETWORK_OR_PROTOCOL_FAILURE;
use crate::reading::{fields, json};
use crate::request::GSRequest;
use crate::response::GSResponse;
use crate::response::Outcome;
use crate::sync::process_id;

/// The default time limit of one attempt to fetch a page.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How many empty pages in a row may be followed by another page.
const MOST_EMPTY_PAGES: u32 = 100;

/// Returns every result of a search, fetched page by page as the iterator advances.
///
/// * `request`: a request for `accounts.search` or `ds.search` with a `query`;
///   its other parameters, keys and [`retries`](GSRequest::retries) apply to every page.
///   Searches only read, so retries also repeat a page that was lost on the network or
///   exceeded its [`timeout`](SearchResults::timeout).
///
/// Each item is a result or an error:
///
/// | error | then |
/// | --- | --- |
/// | a result that no [`Value`] can hold: 1e400, 128 levels of nesting, more than a million arrays | the next result follows |
/// | an error of the API or the network, an answer without `results`, more than 100 empty pages in a row | the iteration ends, and [`cursor`](SearchResults::cursor) says where to [`resume`](SearchResults::resume) |
///
/// Without the feature `arbitrary_precision`, integers beyond 64 bits become floats and
/// lose digits, and floats are rounded to 64 bits, as everywhere in `serde_json`. With it,
/// numbers keep every digit. Either way, [`text_rows`](SearchResults::text_rows) returns
/// the results as the API wrote them.
///
/// A page is kept as text, and its results are parsed one by one as they are taken.
/// Meanwhile a thread fetches the next page, but no further pages: an export runs at the
/// speed of the slower side, with the texts of two pages in memory. A caller who stops
/// within the first tenth of the first page causes one request only. When the iterator is
/// dropped, nothing more is sent.
///
/// The API forgets a cursor that is not used for some minutes: take results steadily, or
/// collect them first.
///
/// ```
/// use gssdk::*;
///
/// fn export(api_key: &str, secret_key: &str) -> Result<(), GSException> {
///     let query = json!({"query": "SELECT UID, profile FROM accounts LIMIT 1000"});
///     let request = GSRequest::new(api_key, secret_key, "accounts.search", query);
///     for account in search_all(request.use_https(true).retries(3)) {
///         println!("{}", account?);
///     }
///     Ok(())
/// }
/// ```
pub fn search_all(request: GSRequest) -> SearchResults {
    SearchResults::new(request, None)
}

/// An iterator over the results of a search, made by [`search_all`].
#[must_use = "nothing is fetched until the iterator is used"]
pub struct SearchResults {
    /// The request for the next page.
    request: GSRequest,
    cursor: Option<String>,
    total: Option<u64>,
    page: Page,
    /// The fetch of the next page, in flight.
    ahead: Option<Ahead>,
    is_first: bool,
    empty_pages: u32,
    ended: bool,
    /// Whoever drops the search wants no more requests.
    _purpose: Arc<()>,
}

/// The fetch of a page by a thread of the process with this id. A child that is forked has none
/// of its parent's threads; another one may be where its handle says.
struct Ahead(u32, Option<JoinHandle<GSResponse>>);

impl Ahead {
    fn own_thread(mut self) -> Option<JoinHandle<GSResponse>> {
        self.1.take_if(|_| self.0 == process_id())
    }
}

/// Dropping a handle detaches its thread.
impl Drop for Ahead {
    fn drop(&mut self) {
        if self.0 != process_id() {
            mem::forget(self.1.take());
        }
    }
}

/// The text of a page, and the range of the results that have not been taken.
#[derive(Default)]
struct Page {
    text: String,
    rest: Range<usize>,
}

impl SearchResults {
    fn new(mut request: GSRequest, cursor: Option<&str>) -> Self {
        request.set_page(cursor);
        let purpose = Arc::default();
        let call = request.call_mut();
        call.try_timeout = Some(TIMEOUT);
        call.purpose = Some(Arc::downgrade(&purpose));
        SearchResults {
            request,
            cursor: cursor.map(str::to_string),
            total: None,
            page: Page::default(),
            ahead: None,
            is_first: true,
            empty_pages: 0,
            ended: false,
            _purpose: purpose,
        }
    }

    /// Continues a search at a cursor.
    ///
    /// * `request`: as for [`search_all`]; its `query` is not used.
    /// * `cursor`: as returned by [`cursor`](Self::cursor).
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// let results = SearchResults::resume(request, "cursor of the page that failed");
    /// assert_eq!(results.cursor(), Some("cursor of the page that failed"));
    /// ```
    pub fn resume(request: GSRequest, cursor: &str) -> Self {
        Self::new(request, Some(cursor))
    }

    /// Sets the time limit of one attempt to fetch a page; the default is 60 s. With
    /// [`retries`](GSRequest::retries), a page that exceeds it is fetched again.
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// let results = search_all(request).timeout(std::time::Duration::from_secs(20));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.call_mut().try_timeout = Some(timeout);
        self
    }

    /// The total number of results, as the API reported it with the first page; `None`
    /// before the first page has arrived.
    ///
    /// ```
    /// use gssdk::*;
    /// let results = search_all(GSRequest::new("api key", "c2VjcmV0", "accounts.search", ()));
    /// assert_eq!(results.total_count(), None);
    /// ```
    pub fn total_count(&self) -> Option<u64> {
        self.total
    }

    /// The cursor of the next page or, after an error, of the page that failed; `None` for
    /// the first page, and after the last.
    ///
    /// ```
    /// use gssdk::*;
    /// let results = search_all(GSRequest::new("api key", "c2VjcmV0", "accounts.search", ()));
    /// assert_eq!(results.cursor(), None);
    /// ```
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Returns the remaining results as the API wrote them: each as its own JSON text, on
    /// one line.
    ///
    /// Every result can be read this way, even one that no [`Value`] can hold, and its
    /// numbers keep every digit.
    ///
    /// ```
    /// use std::io::Write;
    /// use gssdk::*;
    ///
    /// fn export(request: GSRequest, mut file: impl Write) -> Result<(), Box<dyn std::error::Error>> {
    ///     for account in search_all(request).text_rows() {
    ///         writeln!(file, "{}", account?)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn text_rows(self) -> TextRows {
        TextRows(self)
    }

    /// The next result, read by the given function.
    fn next_row<T>(
        &mut self,
        read: impl Fn(&str) -> Result<T, GSException>,
    ) -> Option<Result<T, GSException>> {
        loop {
            if let Some(row) = fields::next_item(&self.page.text, &mut self.page.rest) {
                let result = read(row);
                self.prefetch();
                return Some(result);
            }
            self.page = Page::default();
            // An empty page that has a next cursor is not the end.
            if self.ended {
                return None;
            }
            if let Err(error) = self.fetch_page() {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Takes the next page, whose fetch may already be in flight.
    fn fetch_page(&mut self) -> Result<(), GSException> {
        let response = match self.ahead.take().and_then(Ahead::own_thread) {
            None => self.request.send(),
            Some(ahead) => ahead
                .join()
                .map_err(|_| fault("The thread of the search panicked"))?,
        };
        let response = response.into_result()?;
        if let Some(total) = response.get_object("totalCount").and_then(Value::as_u64) {
            self.total.get_or_insert(total);
        }
        let next = match response.get_object("nextCursorId") {
            None | Some(Value::Null) => None,
            Some(Value::String(cursor)) => Some(cursor.clone()).filter(|text| !text.is_empty()),
            Some(_) => {
                return Err(fault(
                    "The search cannot continue: its nextCursorId is neither a string nor an \
                     integer",
                ));
            }
        };
        let Some((text, rest)) = response.into_rows() else {
            return Err(fault(
                "The answer to the search has no results: is the method accounts.search or ds.search?",
            ));
        };
        let is_empty = fields::next_item(&text, &mut rest.clone()).is_none();
        self.empty_pages = if is_empty { self.empty_pages + 1 } else { 0 };
        if next.is_some() && self.empty_pages > MOST_EMPTY_PAGES {
            return Err(fault(
                "The search does not end: more than 100 pages in a row are empty",
            ));
        }
        match &next {
            Some(cursor) => self.request.set_page(Some(cursor)),
            None => self.ended = true,
        }
        self.cursor = next;
        self.page = Page { text, rest };
        Ok(())
    }

    /// Fetches the next page once it is clear that it will be needed.
    fn prefetch(&mut self) {
        let taken = self.page.rest.start * 10 > self.page.text.len();
        if self.ended || self.ahead.is_some() || (self.is_first && !taken) {
            return;
        }
        self.is_first = false;
        let request = self.request.clone();
        let thread = thread::Builder::new().name("gssdk-search".into());
        // If no thread can be started, the page is fetched when it is needed.
        let ahead = thread.spawn(move || request.send()).ok();
        self.ahead = ahead.map(|thread| Ahead(process_id(), Some(thread)));
    }
}

fn fault(message: &str) -> GSException {
    GSException::of(Outcome::Answered, NETWORK_OR_PROTOCOL_FAILURE, message)
}

/// Shows how far it is: neither results nor the cursor.
impl fmt::Debug for SearchResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchResults")
            .field("total_count", &self.total)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Iterator for SearchResults {
    type Item = Result<Value, GSException>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row(|row| {
            json::row(row).map_err(|error| fault(&format!("A result cannot be read: {error}")))
        })
    }
}

/// An iterator over the results of a search as JSON texts, made by
/// [`SearchResults::text_rows`].
///
/// ```
/// use gssdk::*;
/// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
/// let rows: TextRows = search_all(request).text_rows();
/// assert_eq!((rows.total_count(), rows.cursor()), (None, None));
/// ```
#[derive(Debug)]
#[must_use = "nothing is fetched until the iterator is used"]
pub struct TextRows(SearchResults);

impl TextRows {
    /// Same as [`SearchResults::total_count`].
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// assert_eq!(search_all(request).text_rows().total_count(), None);
    /// ```
    pub fn total_count(&self) -> Option<u64> {
        self.0.total_count()
    }

    /// Same as [`SearchResults::cursor`].
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// assert_eq!(search_all(request).text_rows().cursor(), None);
    /// ```
    pub fn cursor(&self) -> Option<&str> {
        self.0.cursor()
    }
}

impl Iterator for TextRows {
    type Item = Result<String, GSException>;

    fn next(&mut self) -> Option<Self::Item> {
        // Line breaks occur only between tokens: in JSON strings they are escaped.
        self.0.next_row(|row| Ok(row.replace(['\r', '\n'], " ")))
    }
}
