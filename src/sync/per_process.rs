//! State that belongs to a process: a child that is forked makes its own.
//!
//! | at the fork, a thread of the parent | the child |
//! | --- | --- |
//! | does not hold the lock | takes what a child may inherit, and leaves the rest |
//! | holds it: it is never released in the child | takes the spare, after a short wait |
//! | holds the spare, too | is told that there is none |
//!
//! The parent's state is neither used nor dropped in the child: another thread may have been
//! changing it at the fork, and its locks may be held for ever.

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

/// How long a lock is waited for that is held for some instructions only, however busy the
/// machine is.
const PATIENCE: Duration = Duration::from_millis(100);

/// The same for a change, which must not be missed.
const PATIENCE_FOR_CHANGES: Duration = Duration::from_secs(5);

/// The id of this process; zero for WebAssembly, which has neither processes nor forks, and
/// where `std::process::id` panics.
pub(crate) fn process_id() -> u32 {
    if cfg!(target_family = "wasm") {
        0
    } else {
        std::process::id()
    }
}

/// The state of a process and its id; both are those of the parent after a fork.
type Slot<T> = Mutex<Option<(u32, T)>>;

pub(crate) struct PerProcess<T> {
    slots: [Slot<T>; 2],
    inherit: fn(&T) -> T,
}

impl<T: Clone + Default> PerProcess<T> {
    /// * `inherit`: makes a child's state from its parent's, of which it takes only what
    ///   [`change`](Self::change) sets.
    pub(crate) const fn new(inherit: fn(&T) -> T) -> Self {
        PerProcess {
            slots: [const { Mutex::new(None) }; 2],
            inherit,
        }
    }

    /// The state of this process; `None` if it cannot be had.
    pub(crate) fn get(&self) -> Option<T> {
        self.get_for(process_id())
    }

    fn get_for(&self, process: u32) -> Option<T> {
        let mut slots = self.slots.iter();
        let mut slot = slots.find_map(|slot| take(slot, PATIENCE))?;
        Some(self.own(&mut slot, process).clone())
    }

    /// Changes the state of this process, and what a child will inherit.
    pub(crate) fn change(&self, change: impl Fn(&mut T)) {
        for slot in &self.slots {
            if let Some(mut slot) = take(slot, PATIENCE_FOR_CHANGES) {
                change(self.own(&mut slot, process_id()));
            }
        }
    }

    /// The state in this slot, made now if it is the parent's.
    fn own<'s>(&self, slot: &'s mut Option<(u32, T)>, process: u32) -> &'s mut T {
        if let Some((_, parents)) = slot.take_if(|(owner, _)| *owner != process) {
            *slot = Some((process, (self.inherit)(&parents)));
            std::mem::forget(parents);
        }
        &mut slot.get_or_insert_with(|| (process, T::default())).1
    }
}

/// Locks a slot, unless that takes longer than this.
fn take<T>(slot: &Slot<T>, patience: Duration) -> Option<MutexGuard<'_, Option<(u32, T)>>> {
    /// So often another thread may run first.
    const YIELDS: u32 = 50;
    const PAUSE: Duration = Duration::from_millis(1);

    let pauses = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    for tries in 0..YIELDS + pauses {
        match slot.try_lock() {
            Ok(slot) => return Some(slot),
            Err(TryLockError::Poisoned(slot)) => return Some(slot.into_inner()),
            Err(TryLockError::WouldBlock) if tries < YIELDS => std::thread::yield_now(),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::lock;
    use std::sync::Arc;

    const CHILD: u32 = u32::MAX;

    /// What a process learns, and what its child inherits.
    #[derive(Clone, Default)]
    struct State {
        learned: Arc<()>,
        setting: u32,
    }

    fn inherit(parents: &State) -> State {
        State {
            setting: parents.setting,
            ..Default::default()
        }
    }

    fn is_same(a: &State, b: &State) -> bool {
        Arc::ptr_eq(&a.learned, &b.learned)
    }

    #[test]
    fn a_process_keeps_its_state_and_a_child_inherits_the_settings_alone() {
        let states = PerProcess::new(inherit);
        let first = states.get().unwrap();
        states.change(|state| state.setting = 7);
        let second = states.get().unwrap();
        assert!(is_same(&first, &second) && second.setting == 7);

        let child = states.get_for(CHILD).unwrap();
        assert!(!is_same(&first, &child) && child.setting == 7);
        assert!(is_same(&child, &states.get_for(CHILD).unwrap()));
        // The parent's is not dropped: two clones here, and the one that was left.
        assert_eq!(Arc::strong_count(&first.learned), 3);
    }

    /// In the table above, row by row.
    #[test]
    fn a_lock_that_is_held_for_ever_is_not_waited_for() {
        let states = PerProcess::new(inherit);
        states.change(|state| state.setting = 7);
        let held = lock(&states.slots[0]);
        let child = states.get_for(CHILD).unwrap();
        assert_eq!(child.setting, 7);
        assert!(is_same(&child, &states.get_for(CHILD).unwrap()));
        let spare = lock(&states.slots[1]);
        assert!(states.get_for(CHILD).is_none());
        drop((held, spare));
        assert!(states.get_for(CHILD).is_some());
    }
}
