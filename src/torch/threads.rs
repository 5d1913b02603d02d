//! How many threads one operation uses on the CPU.

use super::cpu::Cpu;

/// As many as physical cores this process may use: matrix products gain nothing from a core's
/// second thread. `OMP_NUM_THREADS`, where it is set to a number, is taken instead.
#[must_use]
pub fn choose(omp: Option<&str>, cpu: &Cpu) -> usize {
    let asked = omp.and_then(|text| text.split(',').next()?.trim().parse().ok());
    asked
        .filter(|&n| n > 0)
        .unwrap_or_else(|| cpu.threads.min(cpu.cores.unwrap_or(cpu.threads)))
        .max(1)
}

/// Tells libtorch, for the thread that calls. Returns the number.
pub fn set(cpu: &Cpu) -> usize {
    let omp = std::env::var("OMP_NUM_THREADS").ok();
    let threads = choose(omp.as_deref(), cpu);
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    threads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_unless_told_or_confined() {
        let cpu = |threads, cores| Cpu { threads, cores, ..Cpu::default() };
        assert_eq!(choose(None, &cpu(16, Some(8))), 8);
        assert_eq!(choose(None, &cpu(2, Some(64))), 2);
        assert_eq!(choose(None, &cpu(4, None)), 4);
        assert_eq!(choose(Some("3"), &cpu(16, Some(8))), 3);
        assert_eq!(choose(Some("6,2"), &cpu(16, Some(8))), 6);
        assert_eq!(choose(Some("many"), &cpu(0, None)), 1);
        assert_eq!(choose(Some("0"), &cpu(5, None)), 5);
    }
}
