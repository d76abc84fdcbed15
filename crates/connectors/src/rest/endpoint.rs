//! The options of a connection and of its endpoints, read once.
//!
//! Promise: an option that cannot be meant is refused by name before anything is asked, also a parent that
//! does not exist or is its own child. It contacts nobody. Read next: `listing.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use towpath_vocab::ConnectionPlan;
use url::Url;

use super::budget::Rate;
use super::client;
use super::error::{RestError, Result};
use super::page::Records;
use super::paginate::{self, Paginate};
use super::path::JsonPath;
use super::template::{Slot, Template};

const MOST_PAGES: u64 = 100_000;

/// Options of a connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectionOptions {
    name: String,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    pub(super) longest_wait: Duration,
    pub(super) most_page_bytes: u64,
    pub(super) hosts: Vec<String>,
    pub(super) connections: usize,
    pub(super) rate: Option<Rate>,
    /// The options of each endpoint.
    tables: BTreeMap<String, BTreeMap<String, Value>>,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) table: String,
    pub(super) method: Method,
    pub(super) path: Template,
    pub(super) params: Vec<(String, Template)>,
    pub(super) body: Option<Template>,
    pub(super) records: Records,
    pub(super) paginate: Paginate,
    pub(super) more: Option<JsonPath>,
    pub(super) total: Option<(JsonPath, String)>,
    /// New columns and the value of the parent's record they hold.
    pub(super) include: Vec<(String, Slot)>,
    pub(super) most_pages: u64,
}

impl ConnectionOptions {
    /// Reads the options of a connection.
    pub(super) fn read(plan: &ConnectionPlan) -> Result<Self> {
        let wrong = |option: &str, why: String| RestError::Option {
            place: format!("connection `{}`", plan.name),
            option: option.to_owned(),
            why,
        };
        let text = plan
            .text("url")
            .ok_or_else(|| wrong("url", "is missing".to_owned()))?;
        let mut url = Url::parse(text).map_err(|_| wrong("url", "is not a URL".to_owned()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong(
                "url",
                "does not begin with `https://` or `http://`".to_owned(),
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "url",
                "holds a user: write `auth: { type: basic, … }`".to_owned(),
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "url",
                "has parameters: write them as `params` of tables".to_owned(),
            ));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let number = |option: &str, default: u64| match plan
            .plain(option)
            .filter(|value| !value.is_null())
        {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .ok_or_else(|| wrong(option, format!("is `{value}`, but must be a whole number"))),
        };
        let none = Map::new();
        let map = |option: &str| {
            plan.plain(option)
                .and_then(Value::as_object)
                .unwrap_or(&none)
        };
        let limits = map("limits");
        let connections = match limits.get("connections") {
            None => 4,
            Some(value) => value.as_u64().filter(|count| *count > 0).ok_or_else(|| {
                wrong(
                    "limits.connections",
                    format!("is `{value}`, but must be a whole number from 1"),
                )
            })?,
        };
        let rate = match limits.get("requests").and_then(Value::as_str) {
            None => None,
            Some(text) => Some(Rate::read(text).ok_or_else(|| {
                wrong(
                    "limits.requests",
                    format!("is `{text}`, but must be like `10/s`, `600/m` or `5000/h`"),
                )
            })?),
        };
        let hosts = plan
            .plain("hosts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let tables = map("tables").iter().map(|(name, options)| {
            let options = options.as_object().cloned().unwrap_or_default();
            (name.clone(), options.into_iter().collect())
        });
        Ok(Self {
            name: plan.name.clone(),
            url,
            headers: client::headers(map("headers")).map_err(|why| wrong("headers", why))?,
            timeout: Duration::from_secs(number("timeout_s", 60)?.max(1)),
            retries: u32::try_from(number("retries", 5)?).unwrap_or(u32::MAX),
            longest_wait: Duration::from_secs(number("max_wait_s", 900)?),
            most_page_bytes: number("max_page_bytes", 64 << 20)?.max(1),
            hosts: hosts.filter_map(Value::as_str).map(str::to_owned).collect(),
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            rate,
            tables: tables.collect(),
        })
    }

    /// What is wrong with an option of the connection.
    pub(super) fn wrong(&self, option: &str, why: &str) -> RestError {
        RestError::Option {
            place: format!("connection `{}`", self.name),
            option: option.to_owned(),
            why: why.to_owned(),
        }
    }

    /// The names of the endpoints.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.tables.keys()
    }

    /// An endpoint and those it depends on, the first one first. `over` are options of this read over
    /// those of the connection.
    pub(super) fn chain(
        &self,
        table: &str,
        over: &BTreeMap<String, Value>,
    ) -> Result<Vec<Endpoint>> {
        let mut chain = vec![self.endpoint(table, Some(over))?];
        while let Some(parent) = chain.last().and_then(Endpoint::parent).map(str::to_owned) {
            if chain.iter().any(|endpoint| endpoint.table == parent) {
                let path = format!("depends on `{parent}`, which depends on it");
                return Err(of_table(table, "path", path));
            }
            chain.push(self.endpoint(&parent, None)?);
        }
        chain.reverse();
        for pair in chain.windows(2) {
            if let [parent, child] = pair {
                child.accepts(parent)?;
            }
        }
        Ok(chain)
    }

    fn endpoint(&self, table: &str, over: Option<&BTreeMap<String, Value>>) -> Result<Endpoint> {
        let Some(own) = self.tables.get(table) else {
            return Err(RestError::NoTable {
                connection: self.name.clone(),
                table: table.to_owned(),
                known: self.names().cloned().collect(),
            });
        };
        let mut options = own.clone();
        options.extend(
            over.into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Endpoint::read(table, &options)
    }
}

fn of_table(table: &str, option: &str, why: String) -> RestError {
    RestError::Option {
        place: format!("table `{table}`"),
        option: option.to_owned(),
        why,
    }
}

impl Endpoint {
    fn read(table: &str, options: &BTreeMap<String, Value>) -> Result<Self> {
        let wrong = |option: &str, why: String| of_table(table, option, why);
        let text = |option: &str| options.get(option).and_then(Value::as_str);
        let template =
            |option: &str, text: &str| Template::new(text).map_err(|why| wrong(option, why));
        let map = |option: &str| {
            options
                .get(option)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
        };
        let method = match text("method") {
            None | Some("GET") => Method::GET,
            Some("POST") => Method::POST,
            Some(other) => {
                return Err(wrong(
                    "method",
                    format!("is `{other}`, but must be GET or POST"),
                ));
            }
        };
        let body = text("body")
            .map(|body| template("body", body))
            .transpose()?;
        if body.is_some() && method == Method::GET {
            return Err(wrong("body", "needs `method: POST`".to_owned()));
        }
        let (paginate, more) =
            paginate::read(options.get("paginate")).map_err(|why| wrong("paginate", why))?;
        let params = map("params").map(|(name, value)| {
            Ok((
                name.clone(),
                template("params", value.as_str().unwrap_or_default())?,
            ))
        });
        let include = map("include").map(|(name, value)| {
            let slot = Template::new(&format!("{{{}}}", value.as_str().unwrap_or_default()));
            let slot = slot
                .ok()
                .and_then(|template| template.slots().next().cloned());
            match slot {
                Some(slot @ Slot::Parent { .. }) => Ok((name.clone(), slot)),
                _ => Err(wrong(
                    "include",
                    format!("`{name}` is not like `invoices.id`"),
                )),
            }
        });
        let most_pages = match options.get("max_pages").filter(|value| !value.is_null()) {
            None => MOST_PAGES,
            Some(value) => value.as_u64().filter(|most| *most > 0).ok_or_else(|| {
                wrong(
                    "max_pages",
                    format!("is `{value}`, but must be a whole number from 1"),
                )
            })?,
        };
        let endpoint = Self {
            table: table.to_owned(),
            method,
            path: template(
                "path",
                text("path").unwrap_or(table).trim_start_matches('/'),
            )?,
            params: params.collect::<Result<_>>()?,
            body,
            records: text("records").map_or(Records::Found, |path| {
                Records::At(JsonPath::new(path), path.to_owned())
            }),
            paginate,
            more,
            total: text("total").map(|path| (JsonPath::new(path), path.to_owned())),
            include: include.collect::<Result<_>>()?,
            most_pages,
        };
        endpoint.has_one_parent()?;
        Ok(endpoint)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let of_params = self
            .params
            .iter()
            .flat_map(|(_, template)| template.slots());
        let of_body = self.body.iter().flat_map(Template::slots);
        let of_include = self.include.iter().map(|(_, slot)| slot);
        self.path
            .slots()
            .chain(of_params)
            .chain(of_body)
            .chain(of_include)
    }

    /// The values of the parent's record that it uses.
    pub(super) fn needs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.slots().filter_map(|slot| match slot {
            Slot::Parent { table, at } => Some((table.as_str(), at.as_str())),
            Slot::Cursor => None,
        })
    }

    /// The table whose records it has listings for.
    pub(super) fn parent(&self) -> Option<&str> {
        self.needs().map(|(table, _)| table).next()
    }

    /// True when its requests say where the last read ended.
    pub(super) fn uses_cursor(&self) -> bool {
        self.slots().any(|slot| *slot == Slot::Cursor)
    }

    fn has_one_parent(&self) -> Result<()> {
        let parent = self.parent();
        match self.needs().find(|(table, _)| Some(*table) != parent) {
            None => Ok(()),
            Some((other, _)) => Err(of_table(
                &self.table,
                "path",
                format!(
                    "depends on both `{}` and `{other}`; `include` in `{}` passes values on",
                    parent.unwrap_or_default(),
                    parent.unwrap_or_default()
                ),
            )),
        }
    }

    /// A cursor in the path of a listing would change which listing it is.
    fn accepts(&self, parent: &Self) -> Result<()> {
        match parent.path.slots().any(|slot| *slot == Slot::Cursor) {
            true => Err(of_table(
                &self.table,
                "path",
                format!("depends on `{}`, whose path has a cursor", parent.table),
            )),
            false => Ok(()),
        }
    }
}
