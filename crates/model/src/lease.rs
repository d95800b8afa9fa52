//! Claims. A claim is one receipt for a whole batch, durable before the first of its runs starts;
//! it counts one attempt of each run it names. Nothing is written per run.
//!
//! An attempt count is therefore *derived*: the run's own count plus one for each live receipt
//! with an epoch above the run's `settled_epoch`.

use crate::id::RunId;

/// Run ids as sorted LEB128 deltas: about one byte a run.
pub fn encode_ids(ids: &[RunId]) -> Vec<u8> {
    debug_assert!(
        ids.is_sorted(),
        "receipts list their runs in ascending order"
    );
    let mut bytes = Vec::with_capacity(ids.len() + 8);
    let mut previous = 0_i64;
    for id in ids {
        let mut delta = id.0.wrapping_sub(previous) as u64;
        previous = id.0;
        while delta >= 0x80 {
            bytes.push((delta as u8 & 0x7f) | 0x80);
            delta >>= 7;
        }
        bytes.push(delta as u8);
    }
    bytes
}

/// The inverse of [`encode_ids`].
///
/// # Errors
/// [`CorruptIds`] when the bytes end within a number or a number does not fit.
pub fn decode_ids(bytes: &[u8]) -> Result<Vec<RunId>, CorruptIds> {
    let mut ids = Vec::with_capacity(bytes.len());
    let mut previous = 0_i64;
    let mut rest = bytes.iter();
    while let Some(&first) = rest.next() {
        let mut byte = first;
        let mut delta = 0_u64;
        let mut shift = 0;
        loop {
            if shift > 56 {
                return Err(CorruptIds);
            }
            delta |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            byte = *rest.next().ok_or(CorruptIds)?;
        }
        previous = previous.wrapping_add(delta as i64);
        ids.push(RunId(previous));
    }
    Ok(ids)
}

/// A receipt's id list that does not decode.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the id list of a claim receipt is damaged")]
pub struct CorruptIds;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive_their_encoding(mut ids in proptest::collection::vec(0_i64..(1 << 53), 0..300)) {
            ids.sort_unstable();
            let ids: Vec<RunId> = ids.into_iter().map(RunId).collect();
            prop_assert_eq!(decode_ids(&encode_ids(&ids)), Ok(ids));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_ids(&bytes);
        }
    }

    #[test]
    fn consecutive_ids_cost_a_byte_each() {
        let ids: Vec<RunId> = (1_000_000..1_001_000).map(RunId).collect();
        assert!(encode_ids(&ids).len() < 1_004);
    }

    #[test]
    fn a_cut_list_is_refused() {
        let bytes = encode_ids(&[RunId(300)]);
        assert_eq!(decode_ids(&bytes[..1]), Err(CorruptIds));
    }
}
