//! Random numbers that tell an attempt, or a session, from every other one.
//!
//! Promise: two are never equal. They are no secret, and nothing is decided by their value.

use ring::rand::{SecureRandom as _, SystemRandom};

/// 128 random bits as hexadecimal digits; `None` on a machine without random numbers.
pub(crate) fn digits() -> Option<String> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
