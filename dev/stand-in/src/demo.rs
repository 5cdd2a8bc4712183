//! Accounts that can be searched, read, set and deleted: for demonstrations of `gigya`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::api::{Params, Refusal};

const UNKNOWN_USER: Refusal = Refusal(403_047, "Unknown user");
const NO_UID: Refusal = Refusal(400_002, "Missing required parameter: UID");
const BAD_QUERY: Refusal = Refusal(400_006, "Error in query: see gigya demo --help");
const BAD_CURSOR: Refusal = Refusal(400_006, "Invalid cursorId");
const BAD_JSON: Refusal = Refusal(400_006, "Invalid parameter value: not a JSON object");

/// The page of a query without a limit, and the largest.
const PAGE: usize = 300;
const LARGEST_PAGE: usize = 10_000;

/// What `accounts.setAccountInfo` takes as JSON objects.
const OBJECTS: [&str; 4] = ["profile", "data", "subscriptions", "preferences"];
const BOOLEANS: [&str; 3] = ["isActive", "isVerified", "isRegistered"];

/// `uid-0`, `uid-1` …, `abc` and `joe`.
#[derive(Default)]
pub struct Accounts {
    count: usize,
    set: BTreeMap<String, Value>,
    deleted: BTreeSet<String>,
}

impl Accounts {
    pub fn new(count: usize) -> Self {
        Accounts {
            count,
            ..Accounts::default()
        }
    }

    /// `None` for a method that has nothing to do with these accounts.
    pub(crate) fn execute(
        &mut self,
        method: &str,
        params: &Params,
    ) -> Option<Result<Value, Refusal>> {
        Some(match method {
            "accounts.getAccountInfo" => self.existing(params).map(|(_, account)| account),
            "accounts.setAccountInfo" => self.set(params),
            "accounts.deleteAccount" => self.existing(params).map(|(uid, _)| {
                self.deleted.insert(uid);
                json!({})
            }),
            "accounts.search" => self.search(params),
            _ => return None,
        })
    }

    fn account(&self, uid: &str) -> Option<Value> {
        let number = uid
            .strip_prefix("uid-")
            .map(|number| number.parse().unwrap_or(usize::MAX));
        let is_there =
            ["abc", "joe"].contains(&uid) || number.is_some_and(|number| number < self.count);
        if self.deleted.contains(uid) || !is_there {
            return None;
        }
        self.set
            .get(uid)
            .cloned()
            .or_else(|| Some(made_up(uid, number.unwrap_or(0))))
    }

    fn existing(&self, params: &Params) -> Result<(String, Value), Refusal> {
        let uid = params
            .get("UID")
            .filter(|uid| !uid.is_empty())
            .ok_or(NO_UID)?;
        let account = self.account(uid).ok_or(UNKNOWN_USER)?;
        Ok((uid.clone(), account))
    }

    fn set(&mut self, params: &Params) -> Result<Value, Refusal> {
        let (uid, mut account) = self.existing(params)?;
        for name in OBJECTS {
            if let Some(text) = params.get(name) {
                let change: Map<String, Value> =
                    serde_json::from_str(text).map_err(|_| BAD_JSON)?;
                merge(&mut account[name], Value::Object(change));
            }
        }
        for name in BOOLEANS {
            if let Some(text) = params.get(name) {
                account[name] = json!(text.eq_ignore_ascii_case("true"));
            }
        }
        self.set.insert(uid, account);
        Ok(json!({}))
    }

    /// `SELECT a, b.c FROM accounts WHERE x = "y" LIMIT n`; the last two may be absent.
    fn search(&self, params: &Params) -> Result<Value, Refusal> {
        let (start, query) = match params.get("cursorId") {
            Some(cursor) => cursor.split_once(' ').ok_or(BAD_CURSOR)?,
            None => ("0", params.get("query").ok_or(BAD_QUERY)?.as_str()),
        };
        let start: usize = start.parse().map_err(|_| BAD_CURSOR)?;
        let query_words: Vec<&str> = query.split_whitespace().collect();
        let at = |word: &str| {
            query_words
                .iter()
                .position(|other| other.eq_ignore_ascii_case(word))
        };
        let (from, condition, limit) = (at("from").ok_or(BAD_QUERY)?, at("where"), at("limit"));
        let between = |from: usize, to: Option<usize>| {
            query_words
                .get(from + 1..to.unwrap_or(query_words.len()))
                .unwrap_or_default()
                .join(" ")
        };
        if at("select") != Some(0) || between(from, condition.or(limit)) != "accounts" {
            return Err(BAD_QUERY);
        }
        let fields = between(0, Some(from));
        let size = limit.map_or(Ok(PAGE), |limit| between(limit, None).parse());
        let size = size.map_err(|_| BAD_QUERY)?.min(LARGEST_PAGE);
        let condition = condition.map(|condition| between(condition, limit));
        let condition = match &condition {
            None => None,
            Some(text) => Some(text.split_once('=').ok_or(BAD_QUERY)?),
        };
        let holds = |account: &Value| {
            condition.is_none_or(|(name, value)| {
                let there = pick(account, name.trim());
                let there =
                    there.map(|there| there.as_str().map_or(there.to_string(), String::from));
                there.as_deref() == Some(value.trim().trim_matches(['"', '\'']))
            })
        };
        let uids = (0..self.count).map(|number| format!("uid-{number}"));
        let found = uids.filter_map(|uid| self.account(&uid)).filter(holds);
        let (mut total, mut page) = (0, Vec::new());
        for account in found {
            if total >= start && page.len() < size {
                page.push(selected(&account, &fields));
            }
            total += 1;
        }
        if fields.eq_ignore_ascii_case("count(*)") {
            page = vec![json!({"count(*)": total})];
        }
        let end = start + page.len();
        let mut answer = json!({"results": page, "objectsCount": page.len(), "totalCount": total});
        let goes_on = params.contains_key("openCursor") || params.contains_key("cursorId");
        if end < total && goes_on && !page.is_empty() {
            answer["nextCursorId"] = json!(format!("{end} {query}"));
        }
        Ok(answer)
    }
}

fn made_up(uid: &str, number: usize) -> Value {
    let first_names = ["Joe", "Zoë", "Ann", "李", "O'Neil"];
    let plan = ["a", "b", "c"][number % 3];
    json!({
        "UID": uid,
        "isActive": true,
        "isRegistered": true,
        "created": format!("2024-01-{:02}T10:00:00.000Z", number % 28 + 1),
        "profile": {
            "firstName": first_names[number % first_names.len()],
            "lastName": format!("L{number}"),
            "email": format!("{uid}@example.com"),
            "age": 18 + number % 60,
            "zip": format!("{:05}", number % 100_000),
        },
        "data": {"plan": plan, "visits": number % 50},
        "subscriptions": {"newsletter": {"email": {"isSubscribed": number % 2 == 0}}},
    })
}

/// Sets what a change has, and takes away what is `null` in it.
fn merge(there: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        *there = change;
        return;
    };
    if !there.is_object() {
        *there = json!({});
    }
    for (name, value) in change {
        if let (true, Some(there)) = (value.is_null(), there.as_object_mut()) {
            there.remove(&name);
        } else {
            merge(&mut there[name.as_str()], value);
        }
    }
}

fn pick<'a>(account: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(account, |at, name| at.get(name))
}

fn selected(account: &Value, fields: &str) -> Value {
    if fields == "*" {
        return account.clone();
    }
    let mut row = json!({});
    for field in fields.split(',').map(str::trim) {
        if let Some(value) = pick(account, field) {
            let names = field.split('.');
            *names.fold(&mut row, |at, name| &mut at[name]) = value.clone();
        }
    }
    row
}
