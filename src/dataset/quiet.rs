//! Decoders that panic on damaged data: an error like any other, and nothing
//! printed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic on this thread is expected and told elsewhere.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` when it panicked. The panic hook stays silent: damaged
/// files are reported by name, and nothing may print over the screen.
pub(crate) fn quiet<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |info| {
            if EXPECTED.get() {
                tracing::debug!("while reading damaged data: {info}");
            } else {
                print(info);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_none_and_the_next_is_loud_again() {
        assert_eq!(quiet(|| quiet(|| panic!("inner"))), Some(None::<()>));
        assert_eq!(quiet(|| 3), Some(3));
        assert!(!EXPECTED.get());
    }
}
