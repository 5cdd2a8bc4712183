//! Ctrl-C and SIGTERM: the first asks for an end after the line under way, the second
//! ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit code of a command that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// How long a sleeping thread does not notice an interruption.
const NAP: Duration = Duration::from_millis(50);

#[derive(Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first signal does not end the process.
    pub fn watch() -> std::io::Result<Self> {
        let interrupt = Interrupt::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset.
            let seen = || Arc::clone(&interrupt.0);
            flag::register_conditional_shutdown(signal, INTERRUPTED.into(), seen())?;
            flag::register(signal, seen())?;
        }
        Ok(interrupt)
    }

    pub fn came(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Ends the others as a signal would.
    pub fn raise(&self) {
        self.0.store(true, Relaxed);
    }

    /// Sleeps until then; `false` if it was interrupted.
    pub fn sleep_until(&self, then: Instant) -> bool {
        loop {
            if self.came() {
                return false;
            }
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// Sleeps until it is interrupted.
    pub fn wait(&self) {
        while !self.came() {
            std::thread::sleep(NAP);
        }
    }
}
