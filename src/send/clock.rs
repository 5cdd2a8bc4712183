//! Timestamps, nonces and the offsets of the API's clocks.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use crate::call::form::Stamp;
use crate::crypto;
use crate::reading::Reply;
use crate::sig_utils::current_time_millis;
use crate::sync::{LruMap, process_id};
use crate::transport::TrustId;

/// The largest offset that is learned over http, in seconds in either direction: anyone on
/// the wire could have a request signed for a later day, and replay it then.
const MOST_OVER_HTTP: u64 = 24 * 3600;

/// How many clocks are kept.
const CAPACITY: usize = 256;

/// Whose clock it is, and who vouches for that: what was learned over http dates no request
/// over https, and what was learned under other CA certificates none under these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClockId {
    pub(super) host: String,
    /// `None` over http.
    pub(super) trust: Option<TrustId>,
}

/// The clocks of the API, and the nonces of one process.
#[derive(Default)]
pub(super) struct Clocks {
    /// How many seconds each clock is ahead of this machine's; 0 if unknown.
    offsets: LruMap<ClockId, i64, CAPACITY>,
    /// The last nonce but for its last six digits.
    last_nonce: AtomicU64,
    random: Random,
}

impl Clocks {
    /// A stamp with the current time, by this clock or this machine's.
    pub(super) fn stamp(&self, clock: Option<&ClockId>) -> Stamp {
        let now = current_time_millis();
        let offset = clock.and_then(|clock| self.offsets.get(clock)).unwrap_or(0);
        Stamp {
            timestamp: (now / 1000).saturating_add_signed(offset),
            nonce: self.nonce(now),
            offset,
        }
    }

    /// The milliseconds and twelve random digits. The first six are counted on where two sends
    /// of this process would be the same; the last six tell busy processes apart.
    fn nonce(&self, millis: u64) -> u128 {
        const SIX_DIGITS: u64 = 1_000_000;

        let random = self.random.next();
        let wanted = millis.saturating_mul(SIX_DIGITS); // fits until 2554
        let wanted = wanted.saturating_add(random % SIX_DIGITS);
        let after = |last: u64| wanted.max(last.saturating_add(1));
        let last = self
            .last_nonce
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(after(last))
            });
        let unique = last.map_or(wanted, after);
        u128::from(unique) * u128::from(SIX_DIGITS) + u128::from(random / SIX_DIGITS % SIX_DIGITS)
    }

    /// A random number from 0 up to 1.
    pub(super) fn chance(&self) -> f64 {
        (self.random.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Learns a clock that has refused the timestamp of a stamp.
    ///
    /// * `theirs`: what it shows now, in Unix seconds.
    ///
    /// Returns whether anything was learned, by this thread or meanwhile by another; not if the
    /// stamp has followed that clock already.
    pub(super) fn learn(&self, clock: &ClockId, stamp: &Stamp, theirs: i64) -> bool {
        let ours = (current_time_millis() / 1000) as i64;
        let ahead = theirs.saturating_sub(ours);
        let too_far = clock.trust.is_none() && ahead.unsigned_abs() > MOST_OVER_HTTP;
        // Answers have whole seconds: a difference of one is not significant.
        if too_far || stamp.offset.abs_diff(ahead) <= 1 {
            return false;
        }
        self.correct(clock, stamp, ahead);
        if ahead.unsigned_abs() > 60 {
            let host = &clock.host;
            ::log::warn!("the clock of {host} is {ahead} s ahead of this machine's: corrected");
        }
        true
    }

    /// Sets the offset that a refused stamp has followed, unless another thread has set it
    /// meanwhile.
    pub(super) fn correct(&self, clock: &ClockId, refused: &Stamp, offset: i64) {
        self.offsets.update(clock.clone(), |known| {
            if known.unwrap_or(0) == refused.offset {
                *known = Some(offset);
            }
        });
    }
}

/// Random numbers, not for secrets.
struct Random {
    keys: RandomState,
    own: u64,
    drawn: AtomicU64,
}

impl Default for Random {
    fn default() -> Self {
        // Parent and child of a fork have the same `RandomState`, and a process id comes
        // again: neither alone tells processes apart.
        let own = crypto::random().map(u64::from_ne_bytes);
        Random {
            keys: RandomState::new(),
            own: own.unwrap_or_else(|| current_time_millis() ^ u64::from(process_id())),
            drawn: AtomicU64::new(0),
        }
    }
}

impl Random {
    fn next(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        self.keys.hash_one((self.own, drawn))
    }
}

/// The time of a clock that has refused a request, in Unix seconds: the API's own, which is
/// not that of a gateway in front of it, if the answer gives it.
pub(super) fn time_of(refusal: &Reply) -> Option<i64> {
    let own = refusal.field("time");
    own.and_then(|time| rfc3339(&time)).or_else(|| {
        let date = refusal.date()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(date.as_secs()).ok()
    })
}

/// The Unix seconds of a date and time as RFC 3339 writes it, with any offset or fraction. What
/// is no date, such as February 30, becomes some other: the API will refuse it once more.
fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let (time, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != ':')?);
    let fraction = |c: char| c == '.' || c.is_ascii_digit();
    let ahead = match rest.trim_start_matches(fraction).split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), offset) => {
            let [hours, minutes] = numbers(offset, ':')?;
            let minutes = 60 * hours + minutes;
            if sign == "+" { minutes } else { -minutes }
        }
        _ => return None,
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    // A year that begins in March ends with its leap day.
    let (year, month) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leap_days + (153 * month + 2) / 5 + day - 719_469;
    Some(86_400 * days + 3_600 * hour + 60 * (minute - ahead) + second)
}

/// Numbers with this sign between them.
fn numbers<const N: usize>(text: &str, sign: char) -> Option<[i64; N]> {
    let numbers = text.split(sign).map(|number| number.parse::<u16>().ok());
    let numbers: Option<Vec<i64>> = numbers.map(|number| number.map(i64::from)).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread;

    const DAY: i64 = 24 * 3600;

    fn ahead(seconds: i64) -> i64 {
        (current_time_millis() / 1000) as i64 + seconds
    }

    fn clock(trust: Option<TrustId>) -> ClockId {
        let host = "a".into();
        ClockId { host, trust }
    }

    #[test]
    fn no_two_stamps_have_the_same_nonce() {
        let clocks = Clocks::default();
        let stamps = || Vec::from_iter((0..10_000).map(|_| clocks.stamp(None).nonce));
        let nonces: HashSet<u128> = thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(stamps));
            let nonces = threads.map(|thread| thread.join().unwrap());
            nonces.into_iter().flatten().collect()
        });
        let unique = nonces.iter().map(|nonce| nonce / 1_000_000);
        assert_eq!(HashSet::<u128>::from_iter(unique).len(), 40_000);
    }

    /// So that two processes or machines do not make the same nonce in the same millisecond,
    /// nor return together after a pause.
    #[test]
    fn the_digits_after_the_milliseconds_are_random_and_so_are_chances() {
        let (clocks, millis) = (Clocks::default(), current_time_millis());
        let nonces = Vec::from_iter((1..=100).map(|n| clocks.nonce(millis + n)));
        for (cut, n) in (1..).zip(&nonces) {
            assert_eq!(n / 1_000_000_000_000, u128::from(millis + cut));
        }
        for part in [1, 1_000_000] {
            let digits = nonces.iter().map(|nonce| nonce / part % 1_000_000);
            assert!(HashSet::<u128>::from_iter(digits).len() > 90, "{nonces:?}");
        }
        // Those of two processes that are made at the same time.
        assert_ne!(clocks.nonce(millis), Clocks::default().nonce(millis));
        let chances = Vec::from_iter((0..100).map(|_| clocks.chance()));
        assert!(chances.iter().all(|chance| (0.0..1.0).contains(chance)));
        assert!(chances.iter().any(|chance| *chance < 0.5));
        assert!(chances.iter().any(|chance| *chance > 0.5));
    }

    #[test]
    fn only_a_significant_difference_is_learned_and_over_http_a_day_at_most() {
        for (seconds, over_http, over_https) in [
            (-1, false, false), // a second may begin meanwhile
            (3, true, true),
            (-3, true, true),
            (DAY - 60, true, true),
            (DAY + 60, false, true),
            (-DAY - 60, false, true),
            (i64::MAX - ahead(1), false, true),
            (i64::MIN, false, true),
        ] {
            for (trust, learned) in [(None, over_http), (Some(TrustId::DEFAULT), over_https)] {
                let (clocks, clock) = (Clocks::default(), clock(trust));
                let stamp = clocks.stamp(Some(&clock));
                let found = clocks.learn(&clock, &stamp, ahead(0).saturating_add(seconds));
                assert_eq!(found, learned, "{seconds} {trust:?}");
            }
        }
    }

    #[test]
    fn threads_that_are_refused_together_all_learn() {
        let (clocks, a) = (Clocks::default(), clock(None));
        let offset = || clocks.stamp(Some(&a)).offset;
        // Stamped before anybody had learned, refused after somebody had.
        for stamp in [(); 16].map(|()| clocks.stamp(Some(&a))) {
            assert!(clocks.learn(&a, &stamp, ahead(3600)));
        }
        // What proves wrong is undone, unless it has been replaced.
        let learn = |seconds| {
            assert!(clocks.learn(&a, &clocks.stamp(Some(&a)), ahead(seconds)));
            clocks.stamp(Some(&a))
        };
        clocks.correct(&a, &learn(7200), 3600);
        assert_eq!(offset(), 3600);
        let wrong = learn(7200);
        learn(100);
        clocks.correct(&a, &wrong, 3600);
        assert!(offset().abs_diff(100) <= 1);
    }

    #[test]
    fn times_are_read_as_rfc_3339_writes_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2021-03-01T12:34:56.7891234567Z", 1_614_602_096),
            ("2021-03-01t12:34:56z", 1_614_602_096),
            ("2021-03-01 14:04:56+01:30", 1_614_602_096),
            ("2021-03-01T04:34:56.7-08:00", 1_614_602_096),
            ("2020-02-29T00:00:00Z", 1_582_934_400),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("1900-03-01T00:00:00Z", -2_203_891_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(rfc3339(text), Some(seconds), "{text}");
        }
        let wrong = "|2021-03-01|2021-03-01T12:34:56|2021-03-01T12:34:56+0100|\
                     2021-03-01T12:34:56Zulu|2021-03-01T12:34Z|20210301T123456Z|\
                     Mon, 01 Mar 2021 12:34:56 GMT|2021-03-01T12:34:56\u{ff0b}01:00|\
                     2021\u{2010}03-01T12:34:56Z";
        for text in wrong.split('|') {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
