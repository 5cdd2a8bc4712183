//! When a call may go out: so many per second, and few where the API is not reached.
//!
//! | the gate is | what happens | then |
//! | --- | --- | --- |
//! | closed, at first | one call at a time | any answer: open |
//! | open | many at a time | too many calls, or not sent: closed; [`IN_A_ROW`] failures: closed |
//! | closed for 1 s, 2 s … 30 s, or as long as the API asks | then one call goes out, a probe | an answer: open; otherwise closed for twice as long |
//!
//! After as many failed probes in a row as there are retries, or where the API asks for a
//! pause of more than [`LONGEST_ASKED`], it gives up.

use crate::prelude::*;

/// How much slower it may get, as a multiple of the interval wanted.
const SLOWEST: f64 = 32.0;

/// What was missed is caught up with, but for no more than this.
const CATCH_UP: Duration = Duration::from_millis(100);

pub const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// So many failures in a row are not those of single calls.
const IN_A_ROW: u32 = 3;

/// What became of one try of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    Refused,
    /// Refused because there were too many calls, and not executed.
    TooMany,
    NotSent,
    /// It may have been executed, now or later.
    Open,
    /// Every line would end like this.
    Hopeless,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    GoOn,
    Pause(Duration),
    GiveUp,
}

pub struct Pacer {
    interval: Duration,
    retries: u32,
    /// When the next call has its turn.
    next: Instant,
    /// 1 at full speed; more after the API has said that there were too many calls.
    slowness: f64,
    pub is_open: bool,
    /// When it closed.
    closed: Instant,
    /// How many probes have failed since then; `None` until it has been open or failed.
    failed: Option<u32>,
    /// Failures in a row while it was open.
    in_a_row: u32,
}

/// The pause after so many failures: 1 s, 2 s, 4 s … 30 s, or what the API asks for.
pub fn pause(failed: u32, asked: Duration) -> Duration {
    Duration::from_secs(1 << failed.min(5)).min(Duration::from_secs(30)).max(asked)
}

impl Pacer {
    /// * `retries`: how many probes in a row may fail.
    pub fn new(rate: f64, retries: u32, now: Instant) -> Self {
        let interval = Duration::from_secs_f64(1.0 / rate.clamp(0.001, 1e6));
        let (next, slowness, is_open, closed) = (now, 1.0, false, now);
        Pacer { interval, retries, next, slowness, is_open, closed, failed: None, in_a_row: 0 }
    }

    /// How long the next call has to wait; `None`: until one that is under way has ended.
    pub fn wait(&self, under_way: usize, now: Instant) -> Option<Duration> {
        (self.is_open || under_way == 0).then(|| self.next.saturating_duration_since(now))
    }

    /// A call goes out.
    pub fn goes_out(&mut self, now: Instant) {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        self.next = self.next.max(earliest) + self.interval.mul_f64(self.slowness);
        // Slowly back to full speed, a fiftieth per call.
        self.slowness = (self.slowness * 0.98).max(1.0);
    }

    /// * `sent`: when the call went out.
    /// * `asked`: how long the API asks to wait.
    pub fn ended(&mut self, fate: Fate, asked: Duration, sent: Instant, now: Instant) -> Then {
        if !self.is_open && sent < self.closed {
            // It was under way when the gate closed.
            return Then::GoOn;
        }
        match fate {
            Fate::Done | Fate::Refused | Fate::Hopeless => {
                (self.is_open, self.in_a_row, self.failed) = (true, 0, Some(0));
                return Then::GoOn;
            }
            Fate::Open => {
                self.in_a_row += 1;
                let is_probe = !self.is_open && self.failed.is_some();
                if !is_probe && self.in_a_row < IN_A_ROW {
                    self.is_open = true;
                    return Then::GoOn;
                }
            }
            Fate::TooMany | Fate::NotSent => self.slowness = (self.slowness * 1.1).min(SLOWEST),
        }
        let failed = self.failed.filter(|_| !self.is_open).map_or(0, |failed| failed + 1);
        (self.is_open, self.failed, self.closed) = (false, Some(failed), now);
        let pause = pause(failed, asked);
        self.next = now + pause;
        let gives_up = failed >= self.retries || asked > LONGEST_ASKED;
        if gives_up { Then::GiveUp } else { Then::Pause(pause) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pacer: &mut Pacer, fate: Fate, now: Instant) -> Then {
        pacer.ended(fate, Duration::ZERO, now, now)
    }

    fn seconds(seconds: u64) -> Then {
        Then::Pause(Duration::from_secs(seconds))
    }

    #[test]
    fn one_call_goes_out_until_there_is_an_answer() {
        let now = Instant::now();
        let mut pacer = Pacer::new(1000.0, 9, now);
        assert_eq!(pacer.wait(0, now), Some(Duration::ZERO));
        assert_eq!(pacer.wait(1, now), None);
        assert_eq!(after(&mut pacer, Fate::Refused, now), Then::GoOn);
        assert_eq!(pacer.wait(15, now), Some(Duration::ZERO));
        pacer.goes_out(now);
        assert!(pacer.wait(15, now).unwrap() > Duration::ZERO || CATCH_UP > pacer.interval);
    }

    #[test]
    fn calls_are_evenly_spaced() {
        let start = Instant::now();
        let mut pacer = Pacer::new(100.0, 9, start);
        after(&mut pacer, Fate::Done, start);
        let mut now = start;
        for _ in 0..1000 {
            now += pacer.wait(0, now).unwrap();
            pacer.goes_out(now);
        }
        let took = (now - start).as_secs_f64();
        assert!((9.9..=10.0).contains(&took), "{took}");
        // What was missed is not caught up with at once.
        now += Duration::from_secs(60);
        let mut at_once = 0;
        while pacer.wait(0, now).unwrap().is_zero() {
            pacer.goes_out(now);
            at_once += 1;
        }
        assert!(at_once <= 11, "{at_once}");
    }

    #[test]
    fn pauses_grow_to_30_s_and_one_answer_ends_them() {
        let mut now = Instant::now();
        let mut pacer = Pacer::new(1000.0, 9, now);
        for pause in [1, 2, 4, 8, 16, 30, 30, 30] {
            assert_eq!(after(&mut pacer, Fate::NotSent, now), seconds(pause));
            assert_eq!(pacer.wait(0, now), Some(Duration::from_secs(pause)));
            now += Duration::from_secs(pause);
            assert_eq!((pacer.wait(0, now), pacer.wait(1, now)), (Some(Duration::ZERO), None));
        }
        assert_eq!(after(&mut pacer, Fate::Refused, now), Then::GoOn);
        assert!(pacer.is_open);
        let asked = Duration::from_secs(7);
        assert_eq!(pacer.ended(Fate::TooMany, asked, now, now), seconds(7));
        // A probe that may have been executed has failed, too.
        assert_eq!(after(&mut pacer, Fate::Open, now), seconds(2));
    }

    #[test]
    fn only_failures_in_a_row_close_it_and_those_under_way_count_once() {
        use Fate::{Done, NotSent, Open};
        let now = Instant::now();
        let mut pacer = Pacer::new(1000.0, 9, now);
        for fate in [Open, Open, Done, Open, Open] {
            assert_eq!(after(&mut pacer, fate, now), Then::GoOn);
            assert!(pacer.is_open);
        }
        let later = now + Duration::from_millis(1);
        assert_eq!(pacer.ended(Open, Duration::ZERO, now, later), seconds(1));
        for fate in [Open, NotSent, Done] {
            assert_eq!(pacer.ended(fate, Duration::ZERO, now, later), Then::GoOn);
            assert!(!pacer.is_open);
        }
    }

    #[test]
    fn it_gives_up_after_the_retries_or_where_the_api_asks_for_too_much() {
        let now = Instant::now();
        let mut pacer = Pacer::new(1000.0, 2, now);
        let ends = [(); 3].map(|()| after(&mut pacer, Fate::NotSent, now));
        assert_eq!(ends, [seconds(1), seconds(2), Then::GiveUp]);
        let asked = LONGEST_ASKED + Duration::from_secs(1);
        let mut pacer = Pacer::new(1000.0, 2, now);
        assert_eq!(pacer.ended(Fate::TooMany, asked, now, now), Then::GiveUp);
        let mut pacer = Pacer::new(1000.0, 0, now);
        assert_eq!(after(&mut pacer, Fate::Open, now), Then::GoOn, "a single one");
        assert_eq!(after(&mut pacer, Fate::NotSent, now), Then::GiveUp);
    }
}
