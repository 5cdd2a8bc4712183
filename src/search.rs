//! Whole result sets: `accounts.search` and `ds.search`, page by page.

use std::fmt;
use std::vec;

use serde_json::Value;

use crate::error::{GENERAL_SERVER_ERROR, GSException};
use crate::request::GSRequest;

/// Every result of a search, fetched page by page as the iterator goes on.
///
/// * `request`: a request for `accounts.search` or `ds.search` with a `query`;
///   its other parameters, keys and [`retries`](GSRequest::retries) hold for
///   every page.
///
/// Each item is a result, or the error that ends the iteration: an error of the
/// API, of the network, or an answer without `results`. One page is in memory
/// at a time.
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
#[must_use = "nothing is fetched until the results are asked for"]
pub fn search_all(request: GSRequest) -> SearchResults {
    let mut request = request;
    request.set_param("openCursor", true);
    SearchResults {
        request: Some(request),
        cursor: None,
        page: Vec::new().into_iter(),
        total: None,
    }
}

/// An iterator over the results of a search, made by [`search_all`].
pub struct SearchResults {
    /// What to ask for the next page; none after the last.
    request: Option<GSRequest>,
    cursor: Option<String>,
    page: vec::IntoIter<Value>,
    total: Option<u64>,
}

impl SearchResults {
    /// How many results there are in all, as the API said with the first page;
    /// `None` before it has come.
    ///
    /// ```
    /// use gssdk::*;
    /// let results = search_all(GSRequest::new("api key", "c2VjcmV0", "accounts.search", ()));
    /// assert_eq!(results.total_count(), None);
    /// ```
    pub fn total_count(&self) -> Option<u64> {
        self.total
    }

    fn fetch(&mut self, mut request: GSRequest) -> Result<(), GSException> {
        let response = request.send().into_result()?;
        let mut data = response.into_data();
        if let Some(total) = data.get("totalCount").and_then(Value::as_u64) {
            self.total.get_or_insert(total);
        }
        let next = data.get("nextCursorId").and_then(Value::as_str);
        let next = next.filter(|cursor| !cursor.is_empty()).map(str::to_string);
        let Some(Value::Array(results)) = data.remove("results") else {
            return Err(GSException::new(
                GENERAL_SERVER_ERROR,
                "The answer to the search has no results: is the method accounts.search or ds.search?",
            ));
        };
        if next.is_some() && next == self.cursor && results.is_empty() {
            return Err(GSException::new(
                GENERAL_SERVER_ERROR,
                "The search does not end: an empty page names its own cursor as the next",
            ));
        }
        self.page = results.into_iter();
        if let Some(cursor) = &next {
            // A cursor stands for the query it came from and excludes it.
            request.remove_param("query");
            request.remove_param("openCursor");
            request.set_param("cursorId", cursor.as_str());
            self.request = Some(request);
        }
        self.cursor = next;
        Ok(())
    }
}

/// Shows how far it is, not the results.
impl fmt::Debug for SearchResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchResults")
            .field("total_count", &self.total)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl Iterator for SearchResults {
    type Item = Result<Value, GSException>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.page.next() {
                return Some(Ok(result));
            }
            // An empty page is not the end while it names a next cursor.
            let request = self.request.take()?;
            if let Err(error) = self.fetch(request) {
                return Some(Err(error));
            }
        }
    }
}
