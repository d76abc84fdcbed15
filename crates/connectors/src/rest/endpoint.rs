//! One endpoint: the options of a table, read once.
//!
//! Promise: an option that cannot be meant is refused by name before anything is asked. Values of other
//! records and cursors are placeholders until `listing.rs` fills them. It contacts nobody. Read next:
//! `listing.rs`.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Map, Value};

use super::body::BodyForm;
use super::cursor::Epoch;
use super::error::{RestError, Result};
use super::job_options::{self, Job};
use super::page::Records;
use super::paginate::{Paginate, Paging};
use super::paginate_options;
use super::path::JsonPath;
use super::request::with_values;
use super::response_options;
use super::template::{self, Slot, Template, has_dot_segment};

const MOST_PAGES: u64 = 100_000;

/// One endpoint.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) table: String,
    pub(super) method: Method,
    pub(super) path: Template,
    pub(super) params: Vec<(String, Template)>,
    pub(super) body: Option<Template>,
    /// The value of `{cursor}` where no read has ended yet.
    pub(super) cursor_start: Option<String>,
    /// A GraphQL query, whose variables `params` are.
    pub(super) graphql: Option<String>,
    /// Of lists inside its records the first page is enough.
    pub(super) keeps_first_inside: bool,
    /// How the bodies of answers are written.
    pub(super) form: BodyForm,
    pub(super) records: Records,
    pub(super) paging: Paging,
    pub(super) total: Option<JsonPath>,
    /// Its request starts a job that prepares the records.
    pub(super) job: Option<Job>,
    /// New columns and the value of the parent's record they hold.
    pub(super) include: Vec<(String, Slot)>,
    pub(super) most_pages: u64,
    /// A listing that fails does not end the read: the next run asks for it.
    pub(super) keeps_failed: bool,
    /// What numbers of its cursor count, where they are times.
    pub(super) epoch: Option<Epoch>,
}

/// The options of a table, and what they are called in messages.
struct TableOptions<'o> {
    table: &'o str,
    options: &'o BTreeMap<String, Value>,
}

/// What is wrong with an option of a table.
pub(super) fn of_table(table: &str, option: &str, why: impl Into<String>) -> RestError {
    RestError::Option {
        place: format!("table `{table}`"),
        option: option.to_owned(),
        why: why.into(),
    }
}

impl<'o> TableOptions<'o> {
    fn wrong(&self, option: &str, why: impl Into<String>) -> RestError {
        of_table(self.table, option, why)
    }

    fn value(&self, option: &str) -> Option<&'o Value> {
        self.options.get(option).filter(|value| !value.is_null())
    }

    fn text(&self, option: &str) -> Option<&'o str> {
        self.value(option).and_then(Value::as_str)
    }

    fn map(&self, option: &str) -> impl Iterator<Item = (&'o String, &'o Value)> {
        let map: Option<&Map<String, Value>> = self.value(option).and_then(Value::as_object);
        map.into_iter().flatten()
    }

    fn template(&self, option: &str, text: &str) -> Result<Template> {
        Template::new(text).map_err(|why| self.wrong(option, why))
    }

    fn method(&self) -> Result<Method> {
        let is_graphql = self.text("graphql").is_some();
        match self.text("method") {
            None if is_graphql || self.value("job").is_some() => Ok(Method::POST),
            Some("GET") if is_graphql => Err(self.wrong("method", "must be POST for `graphql`")),
            None | Some("GET") => Ok(Method::GET),
            Some("POST") => Ok(Method::POST),
            Some(other) => {
                Err(self.wrong("method", format!("is `{other}`, but must be GET or POST")))
            }
        }
    }

    fn path(&self) -> Result<Template> {
        // A GraphQL API has one address for all tables.
        let own = self.text("graphql").map_or(self.table, |_| "");
        let text = self.text("path").unwrap_or(own);
        if has_dot_segment(text) {
            return Err(self.wrong("path", "has a `.` or `..` between slashes"));
        }
        self.template("path", text.trim_start_matches('/'))
    }

    fn records(&self) -> Result<Records> {
        let may_be_null = match self.value("records_may_be_null") {
            None => false,
            Some(value) => value.as_bool().ok_or_else(|| {
                self.wrong(
                    "records_may_be_null",
                    format!("is `{value}`, but must be true or false"),
                )
            })?,
        };
        match self.text("records") {
            Some(path) => Ok(Records::At {
                path: JsonPath::new(path),
                may_be_null,
            }),
            None if may_be_null => Err(self.wrong("records_may_be_null", "needs `records`")),
            None => Ok(Records::Found),
        }
    }

    fn form(&self) -> Result<BodyForm> {
        let form = response_options::read(self.value("response"), self.text("records"));
        let form = form.map_err(|why| self.wrong("response", why))?;
        match self.text("graphql").is_some() && form != BodyForm::JSON {
            true => Err(self.wrong("response", "of `graphql` is JSON")),
            false => Ok(form),
        }
    }

    fn params(&self) -> Result<Vec<(String, Template)>> {
        let params = self.map("params").map(|(name, value)| {
            let text = value.as_str().unwrap_or_default();
            Ok((name.clone(), self.template("params", text)?))
        });
        params.collect()
    }

    fn include(&self) -> Result<Vec<(String, Slot)>> {
        let include = self.map("include").map(|(name, value)| {
            let slot = Template::new(&format!("{{{}}}", value.as_str().unwrap_or_default()));
            let slot = slot
                .ok()
                .and_then(|template| template.slots().next().cloned());
            match slot {
                Some(slot @ Slot::Parent { .. }) => Ok((name.clone(), slot)),
                _ => Err(self.wrong("include", format!("`{name}` is not like `invoices.id`"))),
            }
        });
        include.collect()
    }

    fn keeps_failed(&self) -> Result<bool> {
        match self.text("failed_listings") {
            None | Some("stop") => Ok(false),
            Some("next_run") => Ok(true),
            Some(other) => Err(self.wrong(
                "failed_listings",
                format!("is `{other}`, but must be stop or next_run"),
            )),
        }
    }

    fn epoch(&self) -> Result<Option<Epoch>> {
        match self.text("cursor_epoch") {
            None => Ok(None),
            Some("seconds") => Ok(Some(Epoch::Seconds)),
            Some("milliseconds") => Ok(Some(Epoch::Milliseconds)),
            Some(other) => Err(self.wrong(
                "cursor_epoch",
                format!("is `{other}`, but must be seconds or milliseconds"),
            )),
        }
    }

    fn paging(&self) -> Result<Paging> {
        let paging = paginate_options::read(self.value("paginate"));
        let paging = paging.map_err(|why| self.wrong("paginate", why))?;
        if paging.ignore_count && self.text("total").is_some() {
            let why = "is a count to compare with, but `paginate` has `ignore_count: true`";
            return Err(self.wrong("total", why));
        }
        Ok(paging)
    }

    /// The body. One that gets the parameters of pages has place for them, whatever its values are.
    fn body(&self, method: &Method, paging: &Paging) -> Result<Option<Template>> {
        let is_graphql = self.text("graphql").is_some();
        let body = match self.text("body") {
            Some(_) if is_graphql => {
                let why = "is a body already, and the table has `body` too";
                return Err(self.wrong("graphql", why));
            }
            Some(_) if *method == Method::GET => {
                return Err(self.wrong("body", "needs `method: POST`"));
            }
            Some(text) => Some(self.template("body", text)?),
            None => None,
        };
        if !paging.in_body {
            return Ok(body);
        }
        let wrong = |why: String| self.wrong("paginate", why);
        if is_graphql {
            let why = "has `in`, but the parameters of a page are variables of `graphql`";
            return Err(wrong(why.to_owned()));
        }
        if *method == Method::GET {
            return Err(wrong(
                "has `in: body`, which needs `method: POST`".to_owned(),
            ));
        }
        let body = body.map_or_else(|| self.template("body", "{{}}"), Ok)?;
        // Zero is a value inside a text and outside of one.
        let sample = body
            .fill(template::Into::Json, |_| Some("0"))
            .unwrap_or_default();
        with_values(&sample, paging.sample()).map_err(wrong)?;
        Ok(Some(body))
    }

    /// A job, whose files are read without what pages need.
    fn job(&self, paging: &Paging) -> Result<Option<Job>> {
        let job = job_options::read(self.value("job")).map_err(|why| self.wrong("job", why))?;
        let pages = match paging.how {
            Paginate::Unsaid | Paginate::Single => None,
            _ => Some("paginate"),
        };
        let others = ["total", "graphql"];
        let others = others.iter().find(|key| self.value(key).is_some());
        match (&job, pages.or(others.copied())) {
            (Some(_), Some(key)) => {
                let why = format!(
                    "has files instead of pages, and the table has `{key}`: `count_at` of `job` compares their records"
                );
                Err(self.wrong("job", why))
            }
            _ => Ok(job),
        }
    }

    fn keeps_first_inside(&self) -> Result<bool> {
        match self.text("lists_inside") {
            Some(_) if self.text("graphql").is_none() => {
                Err(self.wrong("lists_inside", "is for tables with `graphql`"))
            }
            None | Some("whole") => Ok(false),
            Some("first_page") => Ok(true),
            Some(other) => Err(self.wrong(
                "lists_inside",
                format!("is `{other}`, but must be whole or first_page"),
            )),
        }
    }

    fn most_pages(&self) -> Result<u64> {
        match self.value("max_pages") {
            None => Ok(MOST_PAGES),
            Some(value) => value.as_u64().filter(|most| *most > 0).ok_or_else(|| {
                self.wrong(
                    "max_pages",
                    format!("is `{value}`, but must be a whole number from 1"),
                )
            }),
        }
    }
}

impl Endpoint {
    pub(super) fn read(table: &str, options: &BTreeMap<String, Value>) -> Result<Self> {
        let given = TableOptions { table, options };
        let method = given.method()?;
        let paging = given.paging()?;
        let body = given.body(&method, &paging)?;
        let endpoint = Self {
            table: table.to_owned(),
            method,
            path: given.path()?,
            params: given.params()?,
            body,
            cursor_start: given.text("cursor_start").map(str::to_owned),
            keeps_first_inside: given.keeps_first_inside()?,
            graphql: given.text("graphql").map(str::to_owned),
            form: given.form()?,
            records: given.records()?,
            job: given.job(&paging)?,
            paging,
            total: given.text("total").map(JsonPath::new),
            include: given.include()?,
            most_pages: given.most_pages()?,
            keeps_failed: given.keeps_failed()?,
            epoch: given.epoch()?,
        };
        endpoint.has_one_parent()?;
        let of_cursor = ["cursor_epoch", "cursor_start"];
        let of_cursor = of_cursor.iter().find(|key| given.value(key).is_some());
        if let Some(key) = of_cursor.filter(|_| !endpoint.uses_cursor()) {
            let why = "is for endpoints whose `params` or `body` have a `{cursor}`";
            return Err(given.wrong(key, why));
        }
        if endpoint.keeps_failed && endpoint.parent().is_none() {
            let why = "is for endpoints that depend on another";
            return Err(given.wrong("failed_listings", why));
        }
        Ok(endpoint)
    }

    /// What makes its requests.
    fn request_slots(&self) -> impl Iterator<Item = &Slot> {
        let of_params = self
            .params
            .iter()
            .flat_map(|(_, template)| template.slots());
        let of_body = self.body.iter().flat_map(Template::slots);
        self.path.slots().chain(of_params).chain(of_body)
    }

    /// The values of the parent's record that make its requests.
    pub(super) fn request_needs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.request_slots().filter_map(of_parent)
    }

    /// The values of the parent's record that become columns.
    pub(super) fn include_needs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.include.iter().filter_map(|(_, slot)| of_parent(slot))
    }

    /// The values of the parent's record that it uses.
    pub(super) fn needs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.request_needs().chain(self.include_needs())
    }

    /// The table whose records it has listings for.
    pub(super) fn parent(&self) -> Option<&str> {
        self.needs().map(|(table, _)| table).next()
    }

    /// True when its requests say where the last read ended.
    pub(super) fn uses_cursor(&self) -> bool {
        self.request_slots().any(|slot| *slot == Slot::Cursor)
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

    /// All records of a parent are listed, so what needs a cursor cannot be one.
    pub(super) fn accepts(&self, parent: &Self) -> Result<()> {
        let needs_cursor = |template: &Template| template.slots().any(|slot| *slot == Slot::Cursor);
        let of = match &parent.body {
            _ if parent.cursor_start.is_some() => return Ok(()),
            _ if needs_cursor(&parent.path) => "path",
            Some(body) if needs_cursor(body) => "body",
            _ => return Ok(()),
        };
        let why = format!("depends on `{}`, whose {of} has a cursor", parent.table);
        Err(of_table(&self.table, "path", why))
    }
}

fn of_parent(slot: &Slot) -> Option<(&str, &str)> {
    match slot {
        Slot::Parent { table, at } => Some((table.as_str(), at.as_str())),
        Slot::Cursor => None,
    }
}
