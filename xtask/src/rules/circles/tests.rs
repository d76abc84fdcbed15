//! Tests with circles, and with imports that only look like one.

use super::check;
use crate::workspace::planted::of_files;

const FRONT: (&str, &str) = (
    "crates/x/src/lib.rs",
    "mod a; mod b; mod c; mod d; pub use a::A; pub use d::{D, E as F};",
);

#[test]
fn a_circle_of_four_is_found() {
    let workspace = of_files(&[
        FRONT,
        ("crates/x/src/a.rs", "use crate::b::B; pub struct A;"),
        ("crates/x/src/b.rs", "use crate::c::{self, C};"),
        ("crates/x/src/c.rs", "fn f() -> crate::d::D { super::d::D }"),
        (
            "crates/x/src/d.rs",
            "use super::A; pub struct D; pub struct E;",
        ),
    ]);
    let findings = check(&workspace);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].message.starts_with("4 files import each other"));
    assert_eq!(findings[0].place, "crates/x/src/a.rs");
}

#[test]
fn a_circle_of_three_is_allowed() {
    let workspace = of_files(&[
        FRONT,
        ("crates/x/src/a.rs", "use crate::b::B;"),
        ("crates/x/src/b.rs", "use crate::c::C;"),
        ("crates/x/src/c.rs", "use crate::A;"),
        ("crates/x/src/d.rs", "use crate::A;"),
    ]);
    assert_eq!(check(&workspace), []);
}

#[test]
fn re_exports_are_followed_to_their_file() {
    let workspace = of_files(&[
        FRONT,
        ("crates/x/src/a.rs", "use crate::F;"),
        ("crates/x/src/b.rs", "use crate::A;"),
        ("crates/x/src/c.rs", "use crate::b;"),
        ("crates/x/src/d.rs", "use crate::c::C;"),
    ]);
    assert_eq!(check(&workspace).len(), 1);
}

#[test]
fn tests_comments_and_strings_close_no_circle() {
    let workspace = of_files(&[
        FRONT,
        ("crates/x/src/a.rs", "use crate::b::B;"),
        ("crates/x/src/b.rs", "use crate::c::C;"),
        ("crates/x/src/c.rs", "use crate::d::D;"),
        (
            "crates/x/src/d.rs",
            "// crate::a::A\nconst S: &str = \"crate::a\";\n#[cfg(test)]\nmod tests { use crate::a::A; }",
        ),
    ]);
    assert_eq!(check(&workspace), []);
}

#[test]
fn a_parent_that_calls_three_children_who_call_back_is_a_circle() {
    let workspace = of_files(&[
        ("crates/x/src/lib.rs", "mod hub;"),
        (
            "crates/x/src/hub.rs",
            "mod p; mod q; mod r; pub struct Hub; fn f() { p::f(); q::f(); r::f() }",
        ),
        ("crates/x/src/hub/p.rs", "use super::Hub;"),
        ("crates/x/src/hub/q.rs", "use super::Hub;"),
        ("crates/x/src/hub/r.rs", "use super::Hub;"),
    ]);
    assert_eq!(check(&workspace).len(), 1);
}

#[test]
fn two_crates_form_no_circle() {
    let workspace = of_files(&[
        ("crates/x/src/a.rs", "use crate::b::B;"),
        ("crates/x/src/b.rs", "use crate::c::C;"),
        ("crates/y/src/c.rs", "use crate::d::D;"),
        ("crates/y/src/d.rs", "use crate::a::A;"),
    ]);
    assert_eq!(check(&workspace), []);
}
