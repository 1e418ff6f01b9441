//! Points in time as people and programs read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time of the wall clock since the beginning of 1970; none before that.
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// As [`push_rfc3339`], a text of its own.
pub fn rfc3339(now: SystemTime) -> String {
    let mut text = String::with_capacity(24);
    push_rfc3339(&mut text, now);
    text
}

/// Appends RFC 3339, UTC, milliseconds: `2026-02-28T12:34:56.789Z`. A clock before 1970 shows 1970.
pub fn push_rfc3339(text: &mut String, now: SystemTime) {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let ms = u64::from(since.subsec_millis());
    // Every line of the log has one, and the formatter of `std` takes about three times as long for it.
    let mut stamp = *b"0000-00-00T00:00:00.000Z";
    for (start, number) in [
        (0, year / 100),
        (2, year),
        (5, month),
        (8, day),
        (11, hour),
        (14, minute),
        (17, second),
        (20, ms / 10),
    ] {
        let number = (number % 100) as u8;
        stamp[start] = b'0' + number / 10;
        stamp[start + 1] = b'0' + number % 10;
    }
    stamp[22] = b'0' + (ms % 10) as u8;
    text.push_str(std::str::from_utf8(&stamp).expect("digits are ASCII"));
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01. Years are counted from March here, so that
/// the leap day is the last of its year.
pub fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (
        era * 400 + year + u64::from(month <= 2),
        month,
        day_of_month,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(seconds: u64, ms: u64) -> String {
        rfc3339(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(ms))
    }

    #[test]
    fn times() {
        assert_eq!(stamp(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(stamp(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(stamp(1_709_210_096, 7), "2024-02-29T12:34:56.007Z");
        assert_eq!(stamp(1_772_323_199, 1), "2026-02-28T23:59:59.001Z");
        assert_eq!(stamp(1_772_323_200, 1), "2026-03-01T00:00:00.001Z");
        assert_eq!(stamp(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
        let early = UNIX_EPOCH - Duration::from_secs(9);
        assert_eq!(rfc3339(early), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn days_follow_one_another() {
        let mut before = civil(0);
        for days in 1..80_000 {
            let today = civil(days);
            let (year, month, day) = before;
            let next = [
                (year, month, day + 1),
                (year, month + 1, 1),
                (year + 1, 1, 1),
            ];
            assert!(
                next.contains(&today) && today.2 <= 31,
                "{before:?} then {today:?}"
            );
            before = today;
        }
    }
}
