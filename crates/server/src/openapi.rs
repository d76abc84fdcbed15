//! The OpenAPI 3.1 document: written from the table of routes and the schemas of the answers.
//!
//! Promise: it has each route of the router and no other. The schemas are in `schemas.json`; tests compare real
//! answers with them. Read next: `routes.rs`.

use serde_json::{Map, Value, json};

use crate::answers::BASE;
use crate::routes::{Method, Parameter, Place, ROUTES, Route, Rule};

const SCHEMAS: &str = include_str!("schemas.json");

/// The document.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        };
        let path = paths.entry(format!("{BASE}{}", route.path));
        path.or_insert_with(|| json!({}))[method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Towpath",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The HTTP API of `towpath serve`. Times that end in `_us` are microseconds since 1970 UTC.",
        },
        "paths": paths,
        "components": {
            "schemas": read(SCHEMAS),
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "towpath_session_7450",
                    "description": "The cookie of `POST /session`; its name ends with the port of the server. What \
                                    changes something must come from a page of the server (`Origin`).",
                },
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `towpath token create NAME --scope read|operate|admin`.",
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut answers = Map::new();
    for (status, schema) in route.answers {
        let kind = match route.id {
            "events" => "text/event-stream",
            "metrics" => "text/plain",
            _ => "application/json",
        };
        let answer = match schema.is_empty() {
            true => json!({ "description": "It is done." }),
            false => json!({
                "description": "The answer.",
                "content": { kind: { "schema": reference(schema) } },
            }),
        };
        answers.insert(status.to_string(), answer);
    }
    for status in problems(route) {
        let answer = json!({
            "description": "A failure with its code.",
            "content": { "application/problem+json": { "schema": reference("Problem") } },
        });
        answers.insert(status.to_string(), answer);
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.about,
        "parameters": route.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": answers,
        "security": match route.rule {
            Rule::Open => json!([]),
            Rule::Needs(scope) => json!([{ "token": [scope.as_str()] }, { "session": [] }]),
        },
    });
    if let Some(body) = route.body {
        operation["requestBody"] = json!({
            "required": false,
            "content": { "application/json": { "schema": reference(body) } },
        });
    }
    operation
}

/// The statuses of failures.
fn problems(route: &Route) -> Vec<u16> {
    let mut found = vec![400, 403, 500, 503];
    // A log-in is open, and refuses wrong tokens.
    if route.rule != Rule::Open || route.id == "open_session" {
        found.push(401);
    }
    if route
        .parameters
        .iter()
        .any(|one| one.place != Place::Header)
    {
        found.push(404);
    }
    if route.body.is_some() {
        found.extend([409, 413, 415, 422, 504]);
    }
    found.sort_unstable();
    found
}

fn parameter(one: &Parameter) -> Value {
    json!({
        "name": one.name,
        "in": match one.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        },
        "required": one.is_required,
        "description": one.about,
        "schema": read(one.schema),
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The texts are part of the program, and a test reads all of them.
fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a value.
    fn references<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match (name.as_str(), member) {
                        ("$ref", Value::String(to)) => into.push(to),
                        _ => references(member, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_has_a_schema_and_every_schema_a_use() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object();
        let known: Vec<String> = schemas
            .into_iter()
            .flat_map(|schemas| schemas.keys())
            .map(|name| format!("#/components/schemas/{name}"))
            .collect();
        assert!(known.len() > 20, "schemas.json cannot be read");
        let mut used = Vec::new();
        references(&document, &mut used);
        for to in &used {
            assert!(known.iter().any(|name| name == to), "{to} is missing");
        }
        for name in &known {
            assert!(used.contains(&name.as_str()), "{name} is not used");
        }
        for route in ROUTES {
            for one in route.parameters {
                assert!(read(one.schema).is_object(), "{} {}", route.path, one.name);
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let mut names: Vec<&str> = ROUTES.iter().map(|route| route.id).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROUTES.len());
    }

    /// What the specification asks of a document like this one (OpenAPI 3.1.0, 4.8).
    #[test]
    fn the_document_keeps_the_rules_of_openapi() {
        let document = document();
        let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert_eq!(document["openapi"], "3.1.0");
        assert!(text(&document["info"]["title"]) && text(&document["info"]["version"]));
        let schemes = &document["components"]["securitySchemes"];
        let mut operations = 0;
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            assert!(path.starts_with("/api/v1/"), "{path}");
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let at = format!("{method} {path}");
                operations += 1;
                assert!(
                    text(&operation["operationId"]) && text(&operation["summary"]),
                    "{at}"
                );
                let mut names = Vec::new();
                for one in operation["parameters"].as_array().into_iter().flatten() {
                    let place = one["in"].as_str().unwrap_or_default();
                    let name = one["name"].as_str().unwrap_or_default();
                    assert!(["path", "query", "header"].contains(&place), "{at} {name}");
                    assert!(
                        one["schema"].is_object() && text(&one["description"]),
                        "{at} {name}"
                    );
                    assert!(place != "path" || one["required"] == true, "{at} {name}");
                    assert!(
                        place != "path" || path.contains(&format!("{{{name}}}")),
                        "{at} {name}"
                    );
                    assert!(
                        !names.contains(&(place, name)),
                        "{at} {name} is there twice"
                    );
                    names.push((place, name));
                }
                assert_eq!(
                    path.matches('{').count(),
                    names.iter().filter(|(place, _)| *place == "path").count(),
                    "{at}"
                );
                let answers = operation["responses"].as_object();
                assert!(answers.is_some_and(|answers| answers.len() > 1), "{at}");
                for (status, answer) in answers.into_iter().flatten() {
                    assert!(
                        status
                            .parse::<u16>()
                            .is_ok_and(|status| (200..600).contains(&status)),
                        "{at}"
                    );
                    assert!(text(&answer["description"]), "{at} {status}");
                    let has_body = answer["content"].is_object();
                    assert!(has_body || status == "204", "{at} {status}");
                }
                // A route is open, or says what it needs.
                let security = operation["security"].as_array();
                for one in security.into_iter().flatten() {
                    for (scheme, _) in one.as_object().into_iter().flatten() {
                        assert!(schemes[scheme].is_object(), "{at} {scheme}");
                    }
                }
                assert!(security.is_some(), "{at}");
                assert!(
                    method != "get" || operation["requestBody"].is_null(),
                    "{at}"
                );
            }
        }
        assert_eq!(operations, ROUTES.len());
    }
}
