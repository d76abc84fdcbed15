//! Panics of a library on malformed files, as errors: of files of columns, and of workbooks.
//!
//! Promise: what `quietly` runs ends in a value or in words; a panic inside prints nothing and goes no
//! further. Panics of any other code are printed as before. It knows no file: see `parts.rs`.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// This thread reads a file whose panics are caught.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs code that may panic on bad input; its panic as words. Nothing that it worked on may be used
/// again after a panic.
pub(in crate::files) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            // A thread at its very end has no such variable any more.
            if !QUIET.try_with(Cell::get).unwrap_or(false) {
                loud(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    result.map_err(|panic| format!("its bytes are inconsistent ({})", words(panic.as_ref())))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn a_panic_is_an_error_in_words() {
        let failed: Result<(), String> = quietly(|| panic!("bit width {}", 200));
        assert_eq!(
            failed,
            Err("its bytes are inconsistent (bit width 200)".to_owned())
        );
        assert_eq!(quietly(|| 7), Ok(7));
    }
}
