//! How many bytes an lz4 frame unpacks to, counted without unpacking it.
//!
//! Promise: a compressed buffer that unpacks to more bytes than it says is refused before the library gets it, which
//! compares the two only when all of it is unpacked. Lengths are counted, values are not looked at: that the frame is
//! right otherwise, the library checks. Read next: `batches.rs`.

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Flags of a frame: what stands in its head, and behind each block.
const CONTENT_SIZE: u8 = 0x08;
const DICTIONARY: u8 = 0x01;
const BLOCK_SUMS: u8 = 0x10;
/// In the size of a block: it is not compressed.
const PLAIN: u32 = 0x8000_0000;
/// A length of this value goes on in the bytes behind it.
const LONG: u64 = 15;
/// What is repeated has at least so many bytes.
const LEAST_REPEATED: u64 = 4;

/// Fails if a buffer unpacks to more bytes than it says at its start.
pub(super) fn check(buffer: &[u8]) -> Result<(), String> {
    let cut = || "a compressed buffer of it is cut or no lz4 frame".to_owned();
    let (said, frame) = buffer.split_first_chunk::<8>().ok_or_else(cut)?;
    let said = i64::from_le_bytes(*said);
    // It is empty, or not compressed.
    if said <= 0 {
        return Ok(());
    }
    match frame_bytes(frame).ok_or_else(cut)? <= said.unsigned_abs() {
        true => Ok(()),
        false => Err("a buffer of it unpacks to more bytes than it says".to_owned()),
    }
}

/// What a frame unpacks to; `None` if it is cut, or no frame.
fn frame_bytes(frame: &[u8]) -> Option<u64> {
    let rest = frame.strip_prefix(&MAGIC)?;
    let flags = *rest.first()?;
    let bytes_if = |flag: u8, bytes: usize| match flags & flag {
        0 => 0,
        _ => bytes,
    };
    // Two bytes of flags, what they say, a checksum.
    let head = 3 + bytes_if(CONTENT_SIZE, 8) + bytes_if(DICTIONARY, 4);
    let mut rest = rest.get(head..)?;
    let mut sum: u64 = 0;
    while let Some((size, behind)) = rest.split_first_chunk::<4>() {
        let size = u32::from_le_bytes(*size);
        if size == 0 {
            break;
        }
        let length = usize::try_from(size & !PLAIN).ok()?;
        let (block, behind) = behind.split_at_checked(length)?;
        sum = sum.saturating_add(match size & PLAIN {
            0 => block_bytes(block)?,
            _ => block.len() as u64,
        });
        rest = behind.get(bytes_if(BLOCK_SUMS, 4)..)?;
    }
    Some(sum)
}

/// What a compressed block unpacks to: bytes that stand in it, and bytes that are repeated, in turn.
fn block_bytes(block: &[u8]) -> Option<u64> {
    let (mut rest, mut sum) = (block, 0_u64);
    while let Some((token, behind)) = rest.split_first() {
        let token = u64::from(*token);
        let (plain, behind) = length(token >> 4, behind)?;
        sum = sum.saturating_add(plain);
        rest = behind.get(usize::try_from(plain).ok()?..)?;
        if rest.is_empty() {
            break;
        }
        // How far back they are.
        let behind = rest.get(2..)?;
        let (repeated, behind) = length(token & 0x0F, behind)?;
        sum = sum.saturating_add(repeated).saturating_add(LEAST_REPEATED);
        rest = behind;
    }
    Some(sum)
}

/// A length that begins with this value, and what stands behind it.
fn length(first: u64, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut sum, mut rest) = (first, bytes);
    if first < LONG {
        return Some((sum, rest));
    }
    loop {
        let (byte, behind) = rest.split_first()?;
        sum = sum.saturating_add(u64::from(*byte));
        rest = behind;
        if *byte != u8::MAX {
            return Some((sum, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer that says a length, with a frame of these blocks.
    fn buffer(said: i64, flags: u8, head: &[u8], blocks: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = said.to_le_bytes().to_vec();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[0x60 | flags, 0x40]);
        bytes.extend_from_slice(head);
        bytes.push(0);
        for (mark, block) in blocks {
            let size = u32::try_from(block.len()).unwrap_or(0) | mark;
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(block);
            if flags & BLOCK_SUMS != 0 {
                bytes.extend_from_slice(&[9; 4]);
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    #[test]
    fn a_buffer_is_refused_if_it_unpacks_to_more_than_it_says() {
        // One byte, 19 + 255 + 1 repeated ones, five at the end.
        let packed: &[u8] = b"\x1Fa\x01\x00\xFF\x01\x50aaaaa";
        let blocks = [(0, packed), (PLAIN, b"abc".as_slice())];
        let all = 1 + 19 + 255 + 1 + 5 + 3;
        for (flags, head) in [
            (0, [].as_slice()),
            (CONTENT_SIZE, [1; 8].as_slice()),
            (DICTIONARY | BLOCK_SUMS, [1; 4].as_slice()),
        ] {
            assert_eq!(check(&buffer(all, flags, head, &blocks)), Ok(()));
            let more = check(&buffer(all - 1, flags, head, &blocks));
            assert!(more.is_err_and(|why| why.contains("more bytes than it says")));
        }
        // What is not compressed has any bytes.
        assert_eq!(check(&[0xFF; 11]), Ok(()));
        for cut in [9, 13, 14, 20] {
            let whole = buffer(all, 0, &[], &blocks);
            let cut = check(whole.get(..cut).unwrap_or_default());
            assert!(cut.is_err_and(|why| why.contains("cut or no lz4 frame")));
        }
    }
}
