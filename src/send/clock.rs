//! Timestamps, nonces and the offsets of the API's clocks.

use std::hash::{BuildHasher, Hasher, RandomState};
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

/// The offsets of the API's clocks, and the last nonce.
pub(super) struct Clock {
    /// How many seconds each clock is ahead of this machine's; 0 if unknown.
    offsets: LruMap<ClockId, i64, CAPACITY>,
    last_nonce: AtomicU64,
    random: Random,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            offsets: LruMap::default(),
            last_nonce: AtomicU64::new(0),
            random: Random::new(),
        }
    }
}

/// A correction, to be undone if it proves wrong.
pub(super) struct Correction {
    before: i64,
    after: i64,
}

impl Clock {
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

    fn nonce(&self, millis: u64) -> u64 {
        /// Six digits after the milliseconds: this fits in 64 bits until 2554.
        const RANDOM: u64 = 1_000_000;

        let wanted = millis
            .saturating_mul(RANDOM)
            .saturating_add(self.random.next() % RANDOM);
        let next = |last: u64| Some(wanted.max(last.saturating_add(1)));
        let last = self
            .last_nonce
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let (Ok(last) | Err(last)) = last;
        wanted.max(last.saturating_add(1))
    }

    /// Learns a clock that has refused the timestamp of a stamp.
    ///
    /// * `theirs`: what it shows now, in Unix seconds.
    ///
    /// Returns what was learned, by this thread or meanwhile by another; `None` if the stamp
    /// has followed that clock already.
    pub(super) fn learn(&self, clock: &ClockId, stamp: &Stamp, theirs: i64) -> Option<Correction> {
        let ours = (current_time_millis() / 1000) as i64;
        let after = theirs.saturating_sub(ours);
        let too_far = clock.trust.is_none() && after.unsigned_abs() > MOST_OVER_HTTP;
        // Answers have whole seconds: a difference of one is not significant.
        if too_far || stamp.offset.abs_diff(after) <= 1 {
            return None;
        }
        self.exchange(clock, stamp.offset, after);
        if after.unsigned_abs() > 60 {
            let host = &clock.host;
            ::log::warn!("the clock of {host} is {after} s ahead of this machine's: corrected");
        }
        Some(Correction {
            before: stamp.offset,
            after,
        })
    }

    /// Undoes a correction that did not help.
    pub(super) fn undo(&self, clock: &ClockId, correction: Correction) {
        self.exchange(clock, correction.after, correction.before);
    }

    /// Sets an offset, unless another thread has set it meanwhile.
    fn exchange(&self, clock: &ClockId, expected: i64, new: i64) {
        self.offsets.update(clock.clone(), |offset| {
            if offset.unwrap_or(0) == expected {
                *offset = Some(new);
            }
        });
    }

    /// A random number from 0 up to 1.
    pub(super) fn chance(&self) -> f64 {
        (self.random.next() >> 11) as f64 / (1u64 << 53) as f64
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

/// The Unix seconds of a date and time as RFC 3339 writes it, with any offset or fraction.
fn rfc3339<'a>(text: &'a str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let (year, date) = date.split_once('-')?;
    let (month, day) = date.split_once('-')?;
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    // As HTTP writes it, which takes the right day of the week alone.
    let date = WEEKDAYS.iter().find_map(|weekday| {
        let date = format!("{weekday}, {day} {month} {year} {time} GMT");
        httpdate::parse_http_date(&date).ok()
    })?;
    let seconds = date.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let after_fraction = |digits: &'a str| digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let offset = rest.strip_prefix('.').map_or(rest, after_fraction);
    let ahead = match offset {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = offset.strip_prefix(['+', '-'])?.split_once(':')?;
            let ahead =
                60 * i64::from(hours.parse::<u8>().ok()?) + i64::from(minutes.parse::<u8>().ok()?);
            if offset.starts_with('+') {
                60 * ahead
            } else {
                -60 * ahead
            }
        }
    };
    i64::try_from(seconds).ok()?.checked_sub(ahead)
}

/// Random numbers, not for secrets.
struct Random {
    seed: RandomState,
    of_process: u64,
    drawn: AtomicU64,
}

impl Random {
    fn new() -> Self {
        // Parent and child of a fork have the same `RandomState`, and a process id comes
        // again: neither alone tells two handles apart.
        let own = crypto::random().map(u64::from_ne_bytes);
        Random {
            seed: RandomState::new(),
            of_process: own.unwrap_or_else(current_time_millis) ^ u64::from(process_id()),
            drawn: AtomicU64::new(0),
        }
    }

    fn next(&self) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(self.of_process);
        hasher.write_u64(self.drawn.fetch_add(1, Ordering::Relaxed));
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const DAY: i64 = 24 * 3600;

    fn ahead(seconds: i64) -> i64 {
        (current_time_millis() / 1000) as i64 + seconds
    }

    fn https(host: &str) -> ClockId {
        ClockId {
            host: host.into(),
            trust: Some(TrustId::DEFAULT),
        }
    }

    fn http(host: &str) -> ClockId {
        ClockId {
            trust: None,
            ..https(host)
        }
    }

    fn offset(clock: &Clock, id: &ClockId) -> i64 {
        clock.stamp(Some(id)).offset
    }

    #[test]
    fn no_two_stamps_have_the_same_nonce() {
        let clock = Clock::default();
        let stamps = || {
            (0..10_000)
                .map(|_| clock.stamp(Some(&http("a"))).nonce)
                .collect::<Vec<_>>()
        };
        let nonces: HashSet<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(stamps)).collect();
            let nonces = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            nonces.collect()
        });
        assert_eq!(nonces.len(), 40_000);
        let millis = clock.stamp(Some(&http("a"))).nonce / 1_000_000;
        assert!(millis.abs_diff(current_time_millis()) < 3_600_000);
    }

    /// Two processes in the same millisecond: parent and child, or on two machines.
    #[test]
    fn two_handles_draw_different_digits() {
        let digits = |_| Clock::default().nonce(1) % 1_000_000;
        let digits: HashSet<u64> = (0..100).map(digits).collect();
        assert!(digits.len() > 90, "{digits:?}");
        let one = Clock::default();
        let digits: HashSet<u64> = (1..100)
            .map(|millis| one.nonce(millis) % 1_000_000)
            .collect();
        assert!(digits.len() > 90, "{digits:?}");
    }

    #[test]
    fn a_clock_is_learned_for_its_host_its_scheme_and_its_trust_alone() {
        let clock = Clock::default();
        let a = https("a");
        let stamp = clock.stamp(Some(&a));
        assert!(clock.learn(&a, &stamp, ahead(3600)).is_some());
        assert!(offset(&clock, &a).abs_diff(3600) <= 1);
        assert_eq!(offset(&clock, &https("b")), 0);
        assert_eq!(offset(&clock, &http("a")), 0);
        assert!(clock.learn(&http("b"), &stamp, ahead(7200)).is_some());
        assert_eq!(offset(&clock, &https("b")), 0);
    }

    #[test]
    fn a_difference_of_two_seconds_is_learned_and_one_of_a_second_is_not() {
        let clock = Clock::default();
        let (a, stamp) = (https("a"), clock.stamp(Some(&https("a"))));
        // A second may have begun meanwhile.
        for seconds in [0, 1, -1] {
            let theirs = ahead(seconds);
            let learned = clock.learn(&a, &stamp, theirs).is_some();
            assert!(!learned || ahead(seconds) != theirs, "{seconds}");
        }
        for seconds in [3, -3] {
            let clock = Clock::default();
            assert!(clock.learn(&a, &stamp, ahead(seconds)).is_some());
        }
        assert!(clock.learn(&a, &stamp, i64::MAX).is_some());
        assert!(clock.learn(&a, &stamp, i64::MIN).is_some());
    }

    #[test]
    fn who_answers_over_http_moves_the_clock_by_a_day_at_most() {
        let clock = Clock::default();
        let stamp = clock.stamp(Some(&http("a")));
        assert!(clock.learn(&http("a"), &stamp, ahead(DAY + 60)).is_none());
        assert_eq!(offset(&clock, &http("a")), 0);
        assert!(clock.learn(&https("a"), &stamp, ahead(DAY + 60)).is_some());
        assert!(clock.learn(&http("b"), &stamp, ahead(-DAY - 60)).is_none());
        assert!(clock.learn(&http("b"), &stamp, ahead(DAY - 60)).is_some());
    }

    #[test]
    fn threads_that_are_refused_together_all_learn() {
        let clock = Clock::default();
        let a = https("a");
        // Stamped before anybody had learned, refused after somebody had.
        let stamps: Vec<Stamp> = (0..16).map(|_| clock.stamp(Some(&a))).collect();
        for stamp in &stamps {
            assert!(clock.learn(&a, stamp, ahead(3600)).is_some());
        }
        // A correction that proves wrong is undone, unless it has been replaced.
        let learn = |seconds| {
            clock
                .learn(&a, &clock.stamp(Some(&a)), ahead(seconds))
                .unwrap()
        };
        clock.undo(&a, learn(7200));
        assert!(offset(&clock, &a).abs_diff(3600) <= 1);
        let wrong = learn(7200);
        learn(100);
        clock.undo(&a, wrong);
        assert!(offset(&clock, &a).abs_diff(100) <= 1);
    }

    #[test]
    fn times_are_read_as_rfc_3339_writes_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000Z", 0),
            ("2021-03-01T12:34:56.7891234567Z", 1_614_602_096),
            ("2021-03-01t12:34:56z", 1_614_602_096),
            ("2021-03-01 14:04:56+01:30", 1_614_602_096),
            ("2021-03-01T04:34:56.7-08:00", 1_614_602_096),
            ("2020-02-29T00:00:00Z", 1_582_934_400),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
            ("1970-01-01T00:00:00+00:30", -1_800),
            ("1970-01-01T00:00:00-00:30", 1_800),
        ] {
            assert_eq!(rfc3339(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2021-03-01",
            "2021-03-01T12:34:56",
            "2021-03-01T12:34:56+0100",
            "2021-03-01T12:34:56Zulu",
            "2021-03-01T12:34Z",
            "1900-02-28T00:00:00Z",
            "2021-02-29T00:00:00Z",
            "2021-01-32T00:00:00Z",
            "2021-13-01T00:00:00Z",
            "2021-00-01T00:00:00Z",
            "2021-01-00T00:00:00Z",
            "2021-01-01T24:00:00Z",
            "2021-01-01T00:60:00Z",
            "+021-01-01T00:00:00Z",
            "20210301T123456Z",
            "Mon, 01 Mar 2021 12:34:56 GMT",
            "2021-03-01T12:34:56\u{ff0b}01:00",
            "2021\u{2010}03-01T12:34:56Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
