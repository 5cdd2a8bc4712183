//! Ctrl-C, SIGTERM and SIGHUP: the first asks for an end after what is under way, the second
//! ends the process at once. The exit code is 128 and the signal's number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::prelude::*;

/// How long a sleeping thread does not notice an interruption.
pub const NAP: Duration = Duration::from_millis(50);

#[derive(Clone, Default)]
pub struct Interrupt {
    came: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on the first signal does not end the process.
    ///
    /// * `say`: is called once, in a thread of its own, when the first has come.
    pub fn watch(say: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let interrupt = Interrupt::default();
        #[cfg(unix)]
        let hang_up = (!ignores_hang_up()).then_some(signal_hook::consts::SIGHUP);
        #[cfg(not(unix))]
        let hang_up = None;
        for signal in [SIGINT, SIGTERM].into_iter().chain(hang_up) {
            // In this order: the first signal finds the flag unset.
            let came = || Arc::clone(&interrupt.came);
            flag::register_conditional_shutdown(signal, 128 + signal, came())?;
            flag::register_usize(signal, Arc::clone(&interrupt.signal), signal as usize)?;
            flag::register(signal, came())?;
        }
        let watched = interrupt.clone();
        std::thread::spawn(move || {
            watched.wait();
            say();
        });
        Ok(interrupt)
    }

    pub fn came(&self) -> bool {
        self.came.load(SeqCst)
    }

    /// How a command ends that was interrupted.
    pub fn failure(&self) -> Failure {
        Failure(128 + self.signal.load(SeqCst) as u8, String::new())
    }

    /// Sleeps so long; `false` if it was interrupted.
    pub fn sleep(&self, time: Duration) -> bool {
        let then = Instant::now() + time;
        while !self.came() && Instant::now() < then {
            std::thread::sleep(NAP.min(then.saturating_duration_since(Instant::now())));
        }
        !self.came()
    }

    /// Sleeps until it is interrupted.
    pub fn wait(&self) {
        while self.sleep(NAP) {}
    }
}

/// Whether whoever started this process said, as `nohup` does, that it is to go on when the
/// terminal goes away. Where nothing tells it, the signal is left as it is without a terminal:
/// if it ends the process, the journal or the checkpoint says where to go on.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    use std::io::IsTerminal;
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return !(std::io::stdin().is_terminal() || std::io::stderr().is_terminal());
    };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 != 0)
}
