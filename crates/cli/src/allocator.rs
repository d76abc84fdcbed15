//! Limits for the C library's memory allocator.
//!
//! Promise: freed memory goes back to the system early. Without these limits the allocator keeps more and
//! more of it; a run limited to 256 MB was measured with twice as much. It knows no budget and measures
//! nothing. Why there is unsafe code here: `docs/decisions/0008-allocator.md`.

/// Sets the limits. It must be called before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn bound() {
    /// The most free memory that is kept at the end of a heap, in bytes.
    const KEPT: i32 = 4 << 20;
    /// The size in bytes from which memory is allocated directly from the system and returned to it.
    const LARGE: i32 = 1 << 20;
    /// The number of heaps, which threads share.
    const HEAPS: i32 = 4;
    let bounds = [
        (libc::M_TRIM_THRESHOLD, KEPT),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_ARENA_MAX, HEAPS),
    ];
    for (bound, value) in bounds {
        #[allow(
            unsafe_code,
            reason = "the C library's own setting has no safe wrapper"
        )]
        // SAFETY: two integers by value; it is only unsafe with other threads, and there are none yet.
        let _ = unsafe { libc::mallopt(bound, value) };
    }
}

/// Starts a thread that returns free memory between used pieces: many small pieces, such as the buffers of
/// a thousand columns, leave holes that the limits do not cover.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back_holes() {
    use std::time::Duration;
    /// How often the resident size is read.
    const PAUSE: Duration = Duration::from_millis(500);
    /// The growth of the resident size, in kB, after which holes are returned.
    const STEP_KB: u64 = 64 << 10;
    fn resident_kb() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
    let watch = || {
        let mut least = resident_kb().unwrap_or_default();
        loop {
            std::thread::sleep(PAUSE);
            let Some(now) = resident_kb() else { return };
            if now < least + STEP_KB {
                least = least.min(now);
                continue;
            }
            #[allow(unsafe_code, reason = "the C library's own call has no safe wrapper")]
            // SAFETY: takes an integer by value, and locks the heaps itself.
            let _ = unsafe { libc::malloc_trim(0) };
            least = resident_kb().unwrap_or(now);
        }
    };
    // Without the thread the holes stay, which is not a failure.
    let _ = std::thread::Builder::new()
        .name("allocator".to_owned())
        .spawn(watch);
}

/// Other allocators are not changed.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_holes() {}

/// Other allocators are not changed.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn bound() {}
