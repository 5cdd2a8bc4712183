//! So many calls per second, however many threads make them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;

/// How much slower it may get, as a multiple of the interval wanted.
const SLOWEST: f64 = 32.0;

/// What was missed is caught up with, but for no more than this.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Hands out moments at which to send, evenly spaced.
pub struct Pacer {
    interval: Duration,
    interrupt: Interrupt,
    state: Mutex<State>,
}

struct State {
    next: Instant,
    /// 1 at full speed; more after the API has said that there were too many calls.
    slowness: f64,
}

impl Pacer {
    pub fn per_second(rate: f64, interrupt: Interrupt) -> Self {
        Pacer {
            interval: Duration::from_secs_f64(1.0 / rate.clamp(0.001, 1e6)),
            interrupt,
            state: Mutex::new(State {
                next: Instant::now(),
                slowness: 1.0,
            }),
        }
    }

    /// Waits until it is this thread's turn; `false` if that was interrupted, or if the turn
    /// would come too late, which leaves it to others.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let turn = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
            let turn = state.next.max(earliest);
            if deadline.is_some_and(|deadline| turn >= deadline) {
                return false;
            }
            state.next = turn + self.interval.mul_f64(state.slowness);
            // Slowly back to full speed, a fiftieth per call.
            state.slowness = (state.slowness * 0.98).max(1.0);
            turn
        };
        self.interrupt.sleep_until(turn)
    }

    /// The API has refused a call because there were too many: all slow down.
    ///
    /// * `pause`: how long the API asks to wait.
    pub fn slow_down(&self, pause: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.slowness = (state.slowness * 1.1).min(SLOWEST);
        if let Some(earliest) = Instant::now().checked_add(pause) {
            state.next = state.next.max(earliest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_time_leaves_the_turn_to_others() {
        let pacer = Pacer::per_second(1000.0, Interrupt::default());
        assert!(pacer.wait(None));
        pacer.slow_down(Duration::from_secs(3600));
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(!pacer.wait(Some(deadline)));
        let next = |pacer: &Pacer| pacer.state.lock().unwrap().next;
        let before = next(&pacer);
        assert!(!pacer.wait(Some(deadline)));
        assert_eq!(next(&pacer), before);
    }
}
