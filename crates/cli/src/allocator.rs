//! What the allocator keeps for itself.
//!
//! Promise: memory that was freed goes back to the system early. The C library's allocator keeps more
//! and more of it otherwise: a run bounded to 256 MB was seen to hold twice as much. It knows no budget
//! and measures nothing. Why it is unsafe code: `docs/decisions/0008-allocator.md`.

/// Sets the bounds. To be called before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn bound() {
    /// Free memory at the end of a heap that is kept, bytes.
    const KEPT: i32 = 4 << 20;
    /// From this size on each piece is taken from the system and given back to it, bytes.
    const LARGE: i32 = 1 << 20;
    /// Heaps that threads share.
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
        // SAFETY: two integers by value; unsafe only beside other threads, and there are none yet.
        let _ = unsafe { libc::mallopt(bound, value) };
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn bound() {}
