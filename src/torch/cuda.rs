//! The NVIDIA driver, asked directly: which GPUs there are and how busy they are.
//!
//! The driver's own library (`libcuda.so.1`) is opened at run time, so that the program starts
//! where there is none. Its numbering is the one libtorch uses (`CUDA_VISIBLE_DEVICES` counts);
//! NVML numbers differently, so GPUs are matched to it by UUID.

use std::{
    error::Error as _,
    ffi::{CStr, c_char, c_int, c_uint},
    fmt::Write as _,
    sync::OnceLock,
};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use nvml_wrapper::{Nvml, enum_wrappers::device::TemperatureSensor};
use serde::Serialize;

/// One GPU as libtorch numbers it: `cuda:index`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CudaDevice {
    /// The number in `cuda:N`.
    pub index: usize,
    /// The maker's name, such as `NVIDIA H200`.
    pub name: String,
    /// Memory in bytes.
    pub memory: u64,
    /// Compute capability, such as `(9, 0)`.
    pub capability: (u32, u32),
    /// The driver's identity of it, `GPU-xxxxxxxx-…`.
    pub uuid: String,
}

/// How busy a GPU is right now. What the driver does not tell is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CudaLoad {
    /// Bytes in use by every process.
    pub used: Option<u64>,
    /// Percent of the last moment in which it computed.
    pub utilization: Option<u32>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
}

impl CudaDevice {
    /// How busy it is; `None` where NVML is not installed or does not know the device.
    #[must_use]
    pub fn load(&self) -> Option<CudaLoad> {
        let device = nvml()?.device_by_uuid(self.uuid.as_str()).ok()?;
        Some(CudaLoad {
            used: device.memory_info().ok().map(|m| m.used),
            utilization: device.utilization_rates().ok().map(|u| u.gpu),
            temperature: device.temperature(TemperatureSensor::Gpu).ok(),
        })
    }
}

fn nvml() -> Option<&'static Nvml> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    NVML.get_or_init(|| Nvml::init().ok()).as_ref()
}

/// The driver's version as its maker counts, such as `580.95.05`; `None` without NVML.
#[must_use]
pub fn driver_release() -> Option<String> {
    nvml()?.sys_driver_version().ok()
}

type Init = unsafe extern "C" fn(c_uint) -> c_int;
type GetInt = unsafe extern "C" fn(*mut c_int) -> c_int;
type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
type GetName = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
type GetMemory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
type GetAttribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
type GetUuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;
type ErrorString = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR` of the driver's interface.
const CAPABILITY: [c_int; 2] = [75, 76];

/// The NVIDIA driver, opened and started.
pub(super) struct Driver {
    library: Library,
}

impl Driver {
    /// Opens and starts it.
    ///
    /// # Errors
    /// A sentence for the user: there is no driver, or it does not start.
    pub(super) fn open() -> Result<Self, String> {
        // SAFETY: opening the driver's library runs its initialisers, as every CUDA program does.
        let library = unsafe { Library::open(Some("libcuda.so.1"), RTLD_NOW | RTLD_GLOBAL) }
            .map_err(|e| format!("there is no NVIDIA driver here ({})", told(&e)))?;
        let driver = Self { library };
        // SAFETY: the type is that of the driver's documented interface.
        let code = unsafe { driver.symbol::<Init>("cuInit")?(0) };
        driver.check(code, "the NVIDIA driver does not start")?;
        Ok(driver)
    }

    /// The newest CUDA it can run, as `(major, minor)`.
    pub(super) fn cuda_version(&self) -> Result<(u32, u32), String> {
        let mut version = 0;
        // SAFETY: as documented, one integer is written.
        let code = unsafe { self.symbol::<GetInt>("cuDriverGetVersion")?(&raw mut version) };
        self.check(code, "the NVIDIA driver does not tell its version")?;
        Ok(split_version(version))
    }

    /// Every GPU that `CUDA_VISIBLE_DEVICES` lets through.
    pub(super) fn devices(&self) -> Result<Vec<CudaDevice>, String> {
        let mut count = 0;
        // SAFETY: as documented, one integer is written.
        let code = unsafe { self.symbol::<GetInt>("cuDeviceGetCount")?(&raw mut count) };
        self.check(code, "the NVIDIA driver cannot count GPUs")?;
        (0..count).map(|index| self.device(index)).collect()
    }

    fn device(&self, index: c_int) -> Result<CudaDevice, String> {
        let failed = format!("the NVIDIA driver does not describe GPU {index}");
        let (mut device, mut memory, mut capability) = (0, 0, [0; 2]);
        let (mut name, mut uuid) = ([0; 256], [0_u8; 16]);
        // SAFETY: each call writes at most what it is given room for: one integer, 255 characters
        // and a NUL (the last byte stays zero in any case), one size, 16 bytes.
        let codes = unsafe {
            [
                self.symbol::<Get>("cuDeviceGet")?(&raw mut device, index),
                self.symbol::<GetName>("cuDeviceGetName")?(name.as_mut_ptr(), 255, device),
                self.symbol::<GetMemory>("cuDeviceTotalMem_v2")?(&raw mut memory, device),
                self.symbol::<GetUuid>("cuDeviceGetUuid")?(&raw mut uuid, device),
                self.symbol::<GetAttribute>("cuDeviceGetAttribute")?(
                    &raw mut capability[0],
                    CAPABILITY[0],
                    device,
                ),
                self.symbol::<GetAttribute>("cuDeviceGetAttribute")?(
                    &raw mut capability[1],
                    CAPABILITY[1],
                    device,
                ),
            ]
        };
        for code in codes {
            self.check(code, &failed)?;
        }
        // SAFETY: the buffer ends in a NUL.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        Ok(CudaDevice {
            index: usize::try_from(index).unwrap_or_default(),
            name,
            memory: memory as u64,
            capability: (capability[0].unsigned_abs(), capability[1].unsigned_abs()),
            uuid: uuid_text(&uuid),
        })
    }

    fn check(&self, code: c_int, what: &str) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        let mut text = std::ptr::null();
        let told = self.symbol::<ErrorString>("cuGetErrorString").is_ok_and(|ask| {
            // SAFETY: as documented, a pointer to a static string is written, or null.
            unsafe { ask(code, &raw mut text) == 0 && !text.is_null() }
        });
        // SAFETY: the driver's strings are static and end in a NUL.
        let why = if told { unsafe { CStr::from_ptr(text) }.to_string_lossy() } else { "".into() };
        Err(format!("{what}: {why} (code {code})"))
    }

    /// `T` must be the function's type in the driver's interface.
    fn symbol<T: Copy>(&self, name: &str) -> Result<T, String> {
        // SAFETY: every caller in this file names the documented type; using it is unsafe again.
        unsafe { self.library.get::<T>(name) }
            .map(|symbol| *symbol)
            .map_err(|e| format!("the NVIDIA driver lacks {name} ({})", told(&e)))
    }
}

/// What the system's loader said; libloading's own text only names the failed call.
pub(super) fn told(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// `13020` is CUDA 13.2.
pub(super) fn split_version(version: c_int) -> (u32, u32) {
    let version = version.unsigned_abs();
    (version / 1000, version % 1000 / 10)
}

/// The form that nvidia-smi and NVML use.
fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = "GPU".to_owned();
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 0 | 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_thousands_and_tens() {
        assert_eq!(split_version(13_020), (13, 2));
        assert_eq!(split_version(12_040), (12, 4));
    }

    #[test]
    fn uuids_look_as_nvml_writes_them() {
        let bytes = std::array::from_fn(|i| u8::try_from(i * 17).unwrap());
        assert_eq!(uuid_text(&bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }
}
