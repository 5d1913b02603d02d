//! The screen comes first: measuring threads step back, so that a key press is
//! answered at once while every core is busy.

/// Steps the calling thread back a little (nice +5), and with it every thread
/// it makes from here on, as the pools of a measuring library. To be called
/// first thing on a worker's own thread.
///
/// It costs no throughput where nothing else wants the cores. Only Linux knows
/// priorities of single threads; elsewhere this does nothing.
pub fn step_back() {
    #[cfg(target_os = "linux")]
    {
        const NICE: i32 = 5;
        // Already nicer than that (as under `nice -n 10`): stay there. Where
        // it is not allowed the program works all the same.
        if rustix::process::getpriority_process(None).is_ok_and(|now| now < NICE) {
            let _ = rustix::process::setpriority_process(None, NICE);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_calling_thread_and_its_children_step_back() {
        let of_this_thread = || rustix::process::getpriority_process(None).unwrap();
        let before = of_this_thread();
        let (worker, child) = std::thread::spawn(move || {
            step_back();
            (of_this_thread(), std::thread::spawn(of_this_thread).join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!(worker, before.max(5));
        assert_eq!(child, worker);
        assert_eq!(of_this_thread(), before);
    }
}
