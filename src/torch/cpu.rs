//! What this machine computes with, apart from GPUs: processor, threads, memory.

use std::{collections::BTreeSet, fs, thread};

use serde::Serialize;

/// The processor and memory of this machine. What the system does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// The maker's name of the processor, such as `AMD EPYC 9354`.
    pub model: Option<String>,
    /// Threads this process may run at once: affinity and container limits count.
    pub threads: usize,
    /// Physical cores of the whole machine.
    pub cores: Option<usize>,
    /// Vector and matrix extensions that matter for speed here, in the system's words
    /// (`avx2`, `avx512f`, `avx512_bf16`, `amx_bf16`; `asimd`, `sve`, `bf16`).
    pub simd: Vec<String>,
    /// Memory this process may use, in bytes: the machine's, or the container's limit where lower.
    pub memory: Option<u64>,
}

/// Extensions worth naming, slowest first.
const SIMD: [&str; 9] =
    ["sse4_2", "avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "sve2", "bf16"];

impl Cpu {
    /// Asks the operating system.
    #[must_use]
    pub fn detect() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut cpu = if cfg!(target_os = "macos") {
            from_sysctl(&sysctl())
        } else {
            let read = |path| fs::read_to_string(path).unwrap_or_default();
            Self {
                memory: memory(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max")),
                ..from_cpuinfo(&read("/proc/cpuinfo"))
            }
        };
        cpu.threads = threads;
        cpu
    }
}

/// Reads Linux's `/proc/cpuinfo`: x86 names models and cores, ARM only features.
fn from_cpuinfo(text: &str) -> Cpu {
    let fields = || {
        text.lines()
            .filter_map(|l| l.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
    };
    let first = |wanted: &str| fields().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let mut cores = BTreeSet::new();
    let mut package = "";
    for (name, value) in fields() {
        match name {
            "physical id" => package = value,
            "core id" => {
                cores.insert((package, value));
            }
            _ => {}
        }
    }
    let flags = first("flags").or_else(|| first("Features")).unwrap_or_default();
    let has = |name: &str| flags.split_whitespace().any(|flag| flag == name);
    Cpu {
        model: first("model name").map(str::to_owned),
        cores: (!cores.is_empty()).then_some(cores.len()),
        simd: SIMD.iter().filter(|name| has(name)).map(|&name| name.to_owned()).collect(),
        ..Cpu::default()
    }
}

/// The lower of `MemTotal` (kB, `/proc/meminfo`) and the container's limit (bytes, or `max`).
fn memory(meminfo: &str, limit: &str) -> Option<u64> {
    let total = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kib| kib.saturating_mul(1024));
    let limit = limit.trim().parse::<u64>().ok();
    match (total, limit) {
        (Some(total), Some(limit)) => Some(total.min(limit)),
        (total, limit) => total.or(limit),
    }
}

/// `name: value` lines of macOS's sysctl; empty where there is none.
fn sysctl() -> String {
    let names =
        ["machdep.cpu.brand_string", "hw.physicalcpu", "hw.memsize", "hw.optional.arm.FEAT_BF16"];
    std::process::Command::new("/usr/sbin/sysctl")
        .args(names)
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
        .unwrap_or_default()
}

fn from_sysctl(text: &str) -> Cpu {
    let get = |wanted: &str| {
        let mut pairs = text.lines().filter_map(|l| l.split_once(": "));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value.trim())
    };
    let mut simd = Vec::new();
    if cfg!(target_arch = "aarch64") {
        simd.push("asimd".to_owned());
    }
    if get("hw.optional.arm.FEAT_BF16") == Some("1") {
        simd.push("bf16".to_owned());
    }
    Cpu {
        model: get("machdep.cpu.brand_string").map(str::to_owned),
        cores: get("hw.physicalcpu").and_then(|v| v.parse().ok()),
        memory: get("hw.memsize").and_then(|v| v.parse().ok()),
        simd,
        ..Cpu::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86: &str = "processor\t: 0\nmodel name\t: AMD EPYC 9354\nphysical id\t: 0\ncore id\t\t: 0\n\
        flags\t\t: fpu sse4_2 avx avx2 avx512f avx512_bf16\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 9354\n\
        physical id\t: 0\ncore id\t\t: 0\n\nprocessor\t: 2\nphysical id\t: 0\ncore id\t\t: 1\n\n\
        processor\t: 3\nphysical id\t: 1\ncore id\t\t: 0\n";

    #[test]
    fn x86_names_its_model_and_counts_cores_over_sockets() {
        let cpu = from_cpuinfo(X86);
        assert_eq!(cpu.model.as_deref(), Some("AMD EPYC 9354"));
        assert_eq!(cpu.cores, Some(3));
        assert_eq!(cpu.simd, ["sse4_2", "avx2", "avx512f", "avx512_bf16"]);
    }

    #[test]
    fn arm_names_only_features() {
        let cpu = from_cpuinfo("processor\t: 0\nFeatures\t: fp asimd sve bf16\n");
        assert_eq!((cpu.model, cpu.cores), (None, None));
        assert_eq!(cpu.simd, ["asimd", "sve", "bf16"]);
    }

    #[test]
    fn a_container_limit_counts_only_where_it_is_lower() {
        let meminfo = "MemTotal:       1000 kB\nMemFree: 5 kB\n";
        assert_eq!(memory(meminfo, "max\n"), Some(1_024_000));
        assert_eq!(memory(meminfo, "4096\n"), Some(4096));
        assert_eq!(memory(meminfo, "9223372036854771712\n"), Some(1_024_000));
        assert_eq!(memory("", ""), None);
    }

    #[test]
    fn macos_answers_in_sysctl_lines() {
        let cpu = from_sysctl(
            "machdep.cpu.brand_string: Apple M3\nhw.physicalcpu: 8\nhw.memsize: 25769803776\n",
        );
        assert_eq!(cpu.model.as_deref(), Some("Apple M3"));
        assert_eq!((cpu.cores, cpu.memory), (Some(8), Some(25_769_803_776)));
    }

    #[test]
    fn this_machine_has_a_thread() {
        assert!(Cpu::detect().threads >= 1);
    }
}
