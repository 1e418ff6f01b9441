//! Times in MessagePack, written as JavaScript writes them.

use std::io::Write;

use crate::timestamp::civil;

/// JavaScript knows no time farther from 1970, milliseconds: a hundred million days.
const MS_MAX: u64 = 8_640_000_000_000_000;
const MS_A_DAY: i64 = 86_400_000;
/// The calendar repeats itself. So many days and years bring each time that JavaScript knows behind 1970.
const DAYS_AHEAD: i64 = 146_097 * 700;
const YEARS_AHEAD: i64 = 400 * 700;

/// Appends the time that an extension is, as JSON: text, or `null` where JavaScript has no such time. Extension 0 is
/// milliseconds in 8 bytes; extension -1 is that of the specification, in 4, 8 or 12. Any other length is no time.
pub(super) fn put_date(kind: i8, bytes: &[u8], text: &mut Vec<u8>) {
    match milliseconds(kind, bytes).filter(|ms| ms.unsigned_abs() <= MS_MAX) {
        Some(ms) => put(ms, text),
        None => text.extend_from_slice(b"null"),
    }
}

fn milliseconds(kind: i8, bytes: &[u8]) -> Option<i64> {
    let (seconds, nanoseconds) = match (kind, bytes.len()) {
        (0, 8) => return Some(i64::from_be_bytes(*bytes.first_chunk()?)),
        (_, 4) => (u32::from_be_bytes(*bytes.first_chunk()?).into(), 0),
        (_, 8) => {
            let both = u64::from_be_bytes(*bytes.first_chunk()?);
            ((both & 0x3_ffff_ffff).cast_signed(), (both >> 34) as u32)
        }
        _ => (
            i64::from_be_bytes(*bytes.last_chunk()?),
            u32::from_be_bytes(*bytes.first_chunk()?),
        ),
    };
    seconds
        .checked_mul(1_000)?
        .checked_add(i64::from(nanoseconds / 1_000_000))
}

fn put(ms: i64, text: &mut Vec<u8>) {
    let days = (ms.div_euclid(MS_A_DAY) + DAYS_AHEAD).cast_unsigned();
    let (year, month, day) = civil(days);
    let year = year.cast_signed() - YEARS_AHEAD;
    let ms = ms.rem_euclid(MS_A_DAY);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let year = match year {
        0..=9_999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    let ms = ms % 1_000;
    write!(
        text,
        "\"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z\""
    )
    .expect("into memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    const FARTHEST: i64 = MS_MAX.cast_signed();

    fn of_ms(ms: i64) -> String {
        let mut text = Vec::new();
        put_date(0, &ms.to_be_bytes(), &mut text);
        String::from_utf8(text).expect("ASCII")
    }

    fn of_timestamp(bytes: &[u8]) -> String {
        let mut text = Vec::new();
        put_date(-1, bytes, &mut text);
        String::from_utf8(text).expect("ASCII")
    }

    // What `JSON.stringify(new Date(N))` gives.
    #[test]
    fn times_are_written_as_javascript_writes_them() {
        for (ms, text) in [
            (0, "\"1970-01-01T00:00:00.000Z\""),
            (1_795_301_400_007, "\"2026-11-21T22:50:00.007Z\""),
            (-1, "\"1969-12-31T23:59:59.999Z\""),
            (-62_167_219_200_000, "\"0000-01-01T00:00:00.000Z\""),
            (-62_167_219_200_001, "\"-000001-12-31T23:59:59.999Z\""),
            (253_402_300_799_999, "\"9999-12-31T23:59:59.999Z\""),
            (253_402_300_800_000, "\"+010000-01-01T00:00:00.000Z\""),
            (FARTHEST, "\"+275760-09-13T00:00:00.000Z\""),
            (-FARTHEST, "\"-271821-04-20T00:00:00.000Z\""),
            (FARTHEST + 1, "null"),
            (i64::MIN, "null"),
        ] {
            assert_eq!(of_ms(ms), text, "{ms}");
        }
    }

    #[test]
    fn timestamps_of_each_length_are_read() {
        assert_eq!(of_timestamp(&[0, 0, 0, 1]), "\"1970-01-01T00:00:01.000Z\"");
        // 2 s and 500 ms, then the same before 1970.
        let both = (500_000_000_u64 << 34 | 2).to_be_bytes();
        assert_eq!(of_timestamp(&both), "\"1970-01-01T00:00:02.500Z\"");
        let mut long = [0; 12];
        long[..4].copy_from_slice(&500_000_000_u32.to_be_bytes());
        long[4..].copy_from_slice(&(-2_i64).to_be_bytes());
        assert_eq!(of_timestamp(&long), "\"1969-12-31T23:59:58.500Z\"");
        long[4..].copy_from_slice(&i64::MAX.to_be_bytes());
        assert_eq!(of_timestamp(&long), "null");
    }
}
