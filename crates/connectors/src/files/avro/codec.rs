//! The compressions of Avro blocks.
//!
//! Promise: no more bytes are unpacked than a limit allows, whatever a block says. It knows no records.

use std::io::Read;

use flate2::read::DeflateDecoder;

/// Memory for the dictionary of an xz block; the largest that `xz` itself makes needs half of it.
const XZ_MEMORY: u64 = 128 << 20;

/// How the blocks of a file are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
    Bzip2,
    Xz,
}

/// Why a block cannot be unpacked.
pub(super) enum UnpackError {
    /// It would be larger than the limit.
    Large,
    Broken(String),
}

impl Codec {
    /// The codec of this name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"null" | b"" => Self::Null,
            b"deflate" => Self::Deflate,
            b"snappy" => Self::Snappy,
            b"zstandard" => Self::Zstandard,
            b"bzip2" => Self::Bzip2,
            b"xz" => Self::Xz,
            _ => return None,
        })
    }

    /// Appends the bytes of a block to others; the limit is for those of the block.
    pub(super) fn unpack(
        self,
        bytes: &[u8],
        most: u64,
        to: &mut Vec<u8>,
    ) -> Result<(), UnpackError> {
        match self {
            Self::Null => {
                to.extend_from_slice(bytes);
                Ok(())
            }
            Self::Snappy => snappy(bytes, most, to),
            Self::Deflate => limited(DeflateDecoder::new(bytes), most, to),
            Self::Bzip2 => limited(bzip2::read::BzDecoder::new(bytes), most, to),
            Self::Zstandard => {
                let decoder = zstd::stream::read::Decoder::with_buffer(bytes);
                limited(decoder.map_err(broken)?, most, to)
            }
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0);
                let stream = stream.map_err(|error| broken(error.into()))?;
                limited(
                    liblzma::read::XzDecoder::new_stream(bytes, stream),
                    most,
                    to,
                )
            }
        }
    }
}

fn broken(error: std::io::Error) -> UnpackError {
    UnpackError::Broken(error.to_string())
}

fn limited(from: impl Read, most: u64, to: &mut Vec<u8>) -> Result<(), UnpackError> {
    let read = from.take(most.saturating_add(1)).read_to_end(to);
    match read {
        Ok(count) if count as u64 > most => Err(UnpackError::Large),
        Ok(_) => Ok(()),
        Err(error) => Err(broken(error)),
    }
}

/// Behind a block stands the checksum of its bytes.
fn snappy(block: &[u8], most: u64, to: &mut Vec<u8>) -> Result<(), UnpackError> {
    let wrong = |error: snap::Error| UnpackError::Broken(error.to_string());
    let Some((packed, sum)) = block.split_last_chunk::<4>() else {
        return Err(UnpackError::Broken("its checksum is missing".to_owned()));
    };
    let length = snap::raw::decompress_len(packed).map_err(wrong)?;
    if length as u64 > most {
        return Err(UnpackError::Large);
    }
    let mut decoder = snap::raw::Decoder::new();
    let bytes = decoder.decompress_vec(packed).map_err(wrong)?;
    if crc32fast::hash(&bytes) != u32::from_be_bytes(*sum) {
        let why = "its bytes do not have its checksum".to_owned();
        return Err(UnpackError::Broken(why));
    }
    to.extend_from_slice(&bytes);
    Ok(())
}
