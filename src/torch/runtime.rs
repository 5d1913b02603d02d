//! Which libtorch is running, and its CUDA part, loaded at start where it is there.
//!
//! The program links libtorch's CPU part only. The CUDA part (`libtorch_cuda.so`) is opened here,
//! before anything asks libtorch about CUDA, because libtorch caches its first answer. So one
//! program serves machines with and without a GPU, and says why there is none.

use std::{
    env,
    ffi::{CStr, c_char, c_void},
    fmt, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use serde::Serialize;

use super::{
    cpu::Cpu,
    cuda::{CudaDevice, Driver, driver_release, split_version, told},
};
use crate::plural::counted;

/// What this program computes with, found once at start.
#[derive(Clone, Debug, Serialize)]
pub struct Runtime {
    /// The folder libtorch was loaded from.
    #[serde(serialize_with = "crate::lossy::path")]
    pub libtorch_dir: PathBuf,
    /// Its version, such as `2.11.0`; `None` where the folder does not tell.
    pub libtorch_version: Option<String>,
    /// GPUs, or why there are none.
    pub cuda: CudaStatus,
    /// The processor.
    pub cpu: Cpu,
    /// Threads libtorch uses for one operation on the CPU.
    pub torch_threads: usize,
}

/// Whether CUDA can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CudaStatus {
    /// It can, on these devices (at least one).
    Available {
        /// As libtorch numbers them.
        devices: Vec<CudaDevice>,
        /// The driver's release, such as `580.95.05`; `None` without NVML.
        driver: Option<String>,
        /// The CUDA that libtorch was built for, such as `13.0`; `None` where it does not tell.
        version: Option<String>,
    },
    /// It cannot.
    Missing {
        /// A sentence for the user that says why, and what to do where something can be done.
        reason: String,
    },
}

impl CudaStatus {
    /// The usable GPUs; none where CUDA is missing.
    #[must_use]
    pub fn devices(&self) -> &[CudaDevice] {
        match self {
            Self::Available { devices, .. } => devices,
            Self::Missing { .. } => &[],
        }
    }

    /// Why CUDA cannot be used; `None` where it can.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Available { .. } => None,
            Self::Missing { reason } => Some(reason),
        }
    }
}

impl Runtime {
    /// Finds libtorch and loads its CUDA part on the first call; later calls return the same.
    ///
    /// Must come before any other use of libtorch.
    pub fn init() -> &'static Self {
        static RUNTIME: OnceLock<Runtime> = OnceLock::new();
        RUNTIME.get_or_init(|| {
            let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
            let libtorch_dir = mapped(&maps, "libtorch_cpu.so")
                .and_then(|path| path.parent().map(Path::to_owned))
                .unwrap_or_else(|| {
                    option_env!("ALPHASCOPE_LIBTORCH_LIB").unwrap_or_default().into()
                });
            let cuda = load_cuda(&libtorch_dir, cudart_major(&maps))
                .unwrap_or_else(|reason| CudaStatus::Missing { reason });
            // SAFETY: a plain question without arguments.
            let threads = unsafe { torch_sys::at_get_num_threads() };
            Self {
                libtorch_version: version_of(&libtorch_dir),
                libtorch_dir,
                cuda,
                cpu: Cpu::detect(),
                torch_threads: usize::try_from(threads).unwrap_or_default(),
            }
        })
    }
}

/// The same as [`Runtime::init`].
///
/// ```
/// let runtime = alphascope::torch::runtime::init();
/// println!("{runtime}");
/// ```
pub fn init() -> &'static Runtime {
    Runtime::init()
}

/// Every step of finding CUDA; the error is the sentence for the user.
fn load_cuda(libtorch_dir: &Path, cudart: Option<u32>) -> Result<CudaStatus, String> {
    if !cfg!(target_os = "linux") {
        return Err(format!("libtorch has no CUDA for {}", env::consts::OS));
    }
    let driver = Driver::open()?;
    let newest = driver.cuda_version()?;
    if let Some(need) = cudart.filter(|need| newest.0 < *need) {
        return Err(format!(
            "the NVIDIA driver is too old: it runs CUDA {}.{} at most, and libtorch here needs CUDA {need}; \
             install a newer driver",
            newest.0, newest.1
        ));
    }
    open_cuda_part(libtorch_dir)?;
    // SAFETY: a plain question; it returns -1 after a C++ exception, whose text is kept.
    let count = unsafe { torch_sys::cuda::atc_cuda_device_count() };
    if let Some(error) = torch_error() {
        return Err(format!("libtorch cannot use CUDA: {error}"));
    }
    let mut devices = driver.devices()?;
    devices.truncate(usize::try_from(count).unwrap_or_default());
    if devices.is_empty() {
        return Err(nothing_visible(env::var("CUDA_VISIBLE_DEVICES").ok().as_deref()));
    }
    // SAFETY: a plain question; it returns 0 after a C++ exception, whose text is dropped here.
    let built_for = unsafe { torch_sys::at_context_version_cudart() };
    let _ = torch_error();
    let version = i32::try_from(built_for).ok().filter(|v| *v > 0).map(split_version);
    Ok(CudaStatus::Available {
        devices,
        driver: driver_release(),
        version: version.map(|(major, minor)| format!("{major}.{minor}")),
    })
}

/// Opens `libtorch_cuda.so` beside libtorch's CPU part, for good.
fn open_cuda_part(libtorch_dir: &Path) -> Result<(), String> {
    let path = libtorch_dir.join("libtorch_cuda.so");
    if !path.exists() {
        return Err(format!(
            "libtorch in {} is the CPU part only; fetch the GPU part with `CUDA=1 make build`, or name the libraries \
             of a PyTorch 2.11 with CUDA in LD_LIBRARY_PATH",
            libtorch_dir.display()
        ));
    }
    // SAFETY: its initialisers register CUDA with libtorch, as when a program links it.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|e| format!("{} does not load: {}", path.display(), told(&e)))?;
    // Never closed: libtorch keeps pointers into it.
    std::mem::forget(library);
    Ok(())
}

fn nothing_visible(filter: Option<&str>) -> String {
    match filter {
        Some(filter) => {
            format!("no GPU is visible: CUDA_VISIBLE_DEVICES={filter:?} lets none through")
        }
        None => "the NVIDIA driver shows no GPU".to_owned(),
    }
}

/// The text of the last C++ exception in a libtorch call, which is forgotten thereby.
fn torch_error() -> Option<String> {
    unsafe extern "C" {
        fn free(pointer: *mut c_void);
    }
    // SAFETY: the pointer is null or a NUL-terminated string from malloc that is ours to free.
    unsafe {
        let text: *mut c_char = torch_sys::get_and_reset_last_err();
        if text.is_null() {
            return None;
        }
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        free(text.cast());
        Some(owned)
    }
}

/// The path of a loaded library, by the beginning of its file name, from `/proc/self/maps`.
fn mapped(maps: &str, name: &str) -> Option<PathBuf> {
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    paths.into_iter().find(|path| starts(path, name)).map(Path::to_owned)
}

fn starts(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))
}

/// Which CUDA runtime libtorch's CPU part was loaded with: `libcudart.so.13` gives 13.
fn cudart_major(maps: &str) -> Option<u32> {
    let path = mapped(maps, "libcudart.so.")?;
    let file = path.file_name()?.to_string_lossy().into_owned();
    file.strip_prefix("libcudart.so.")?.split('.').next()?.parse().ok()
}

/// libtorch's version, from what lies beside its `lib` folder.
fn version_of(libtorch_dir: &Path) -> Option<String> {
    let root = libtorch_dir.parent()?;
    if let Ok(text) = fs::read_to_string(root.join("build-version")) {
        return Some(text.trim().to_owned()).filter(|v| !v.is_empty());
    }
    let headers = fs::read_to_string(root.join("include/torch/headeronly/version.h")).ok()?;
    let part = |name: &str| {
        let start = format!("#define TORCH_VERSION_{name} ");
        headers.lines().find_map(|line| line.strip_prefix(&start).map(str::trim))
    };
    Some(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| {
            #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
            let bytes = bytes as f64;
            format!("{:.1} GiB", bytes / f64::from(1_u32 << 30))
        };
        let cpu = &self.cpu;
        write!(f, "CPU       {}", cpu.model.as_deref().unwrap_or("unnamed"))?;
        if let Some(cores) = cpu.cores {
            write!(f, ", {}", counted(cores, "core"))?;
        }
        let threads = counted(cpu.threads, "thread");
        write!(f, ", {threads} usable, libtorch uses {}", self.torch_threads)?;
        if !cpu.simd.is_empty() {
            write!(f, ", {}", cpu.simd.join(" "))?;
        }
        if let Some(memory) = cpu.memory {
            write!(f, ", {}", gib(memory))?;
        }
        let version = self.libtorch_version.as_deref().unwrap_or("of unknown version");
        writeln!(f, "\nlibtorch  {version} in {}", self.libtorch_dir.display())?;
        match &self.cuda {
            CudaStatus::Missing { reason } => write!(f, "CUDA      not available: {reason}"),
            CudaStatus::Available { devices, driver, version } => {
                write!(f, "CUDA      {}", version.as_deref().unwrap_or("available"))?;
                if let Some(driver) = driver {
                    write!(f, ", driver {driver}")?;
                }
                for device in devices {
                    let (major, minor) = device.capability;
                    let (name, memory) = (&device.name, gib(device.memory));
                    write!(
                        f,
                        "\ncuda:{:<4} {name}, {memory}, compute {major}.{minor}",
                        device.index
                    )?;
                    if let Some(load) = device.load() {
                        if let Some(used) = load.used {
                            write!(f, ", {} in use", gib(used))?;
                        }
                        if let Some(busy) = load.utilization {
                            write!(f, ", {busy} % busy")?;
                        }
                        if let Some(degrees) = load.temperature {
                            write!(f, ", {degrees} °C")?;
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "7f00-7f01 r--p 00000000 fe:00 12 /opt/a b/torch/lib/libtorch_cpu.so\n\
        7f01-7f02 r--p 00000000 fe:00 13 /opt/nvidia/cu13/lib/libcudart.so.13\n\
        7f02-7f03 rw-p 00000000 00:00 0 \n7ffe-7fff r-xp 00000000 00:00 0 [vdso]\n";

    #[test]
    fn libraries_are_found_in_the_process_map_spaces_and_all() {
        let found = mapped(MAPS, "libtorch_cpu.so");
        assert_eq!(found.as_deref(), Some(Path::new("/opt/a b/torch/lib/libtorch_cpu.so")));
        assert_eq!(cudart_major(MAPS), Some(13));
        assert_eq!(mapped("", "libtorch_cpu.so"), None);
        assert_eq!(cudart_major(""), None);
    }

    #[test]
    fn this_program_finds_its_libtorch() {
        let runtime = Runtime::init();
        assert!(runtime.libtorch_dir.join("libtorch_cpu.so").exists() || cfg!(target_os = "macos"));
        assert!(runtime.libtorch_version.as_deref().is_some_and(|v| v.starts_with("2.")));
        assert!(runtime.torch_threads >= 1);
        // Either answer is right here, but never an empty one.
        assert_ne!(runtime.cuda.devices().is_empty(), runtime.cuda.missing().is_none());
        assert!(std::ptr::eq(runtime, init()));
    }

    #[test]
    fn a_cpu_build_says_how_to_get_the_gpu_part() {
        let folder = tempfile::tempdir().unwrap();
        let error = open_cuda_part(folder.path()).unwrap_err();
        assert!(error.contains("CPU part only") && error.contains("CUDA=1 make build"), "{error}");
    }

    #[test]
    fn a_cuda_part_that_does_not_load_says_which_and_why() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("libtorch_cuda.so"), "not a library").unwrap();
        let error = open_cuda_part(folder.path()).unwrap_err();
        assert!(error.contains("libtorch_cuda.so does not load: "), "{error}");
        // The loader's own words (glibc's here), not only that a call failed.
        assert!(
            error.ends_with("file too short") || error.ends_with("invalid ELF header"),
            "{error}"
        );
    }

    #[test]
    fn hidden_gpus_are_told_from_absent_ones() {
        assert!(nothing_visible(Some("")).contains("CUDA_VISIBLE_DEVICES=\"\""));
        assert!(nothing_visible(None).contains("shows no GPU"));
    }

    #[test]
    fn versions_come_from_the_stamp_or_the_headers() {
        let root = tempfile::tempdir().unwrap();
        let lib = root.path().join("lib");
        assert_eq!(version_of(&lib), None);
        let headers = root.path().join("include/torch/headeronly");
        fs::create_dir_all(&headers).unwrap();
        let text = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n";
        fs::write(headers.join("version.h"), text).unwrap();
        assert_eq!(version_of(&lib).as_deref(), Some("2.11.0"));
        fs::write(root.path().join("build-version"), "2.11.1\n").unwrap();
        assert_eq!(version_of(&lib).as_deref(), Some("2.11.1"));
    }

    #[test]
    fn the_summary_names_the_reason() {
        let text = Runtime {
            libtorch_dir: "/opt/torch/lib".into(),
            libtorch_version: None,
            cuda: CudaStatus::Missing { reason: "there is no NVIDIA driver here".to_owned() },
            cpu: Cpu { threads: 2, memory: Some(1 << 30), ..Cpu::default() },
            torch_threads: 2,
        }
        .to_string();
        insta::assert_snapshot!(text, @r"
        CPU       unnamed, 2 threads usable, libtorch uses 2, 1.0 GiB
        libtorch  of unknown version in /opt/torch/lib
        CUDA      not available: there is no NVIDIA driver here
        ");
    }
}
