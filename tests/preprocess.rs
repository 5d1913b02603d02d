//! Decoding and resizing against open_clip's own transform (Pillow, made by
//! `tests/fixtures/make/images.py`).

use std::io::Read as _;
use std::path::PathBuf;

use alphascope::dataset::Preprocess;
use serde::Deserialize;

#[derive(Deserialize)]
struct About {
    pillow: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    mode: String,
    size: usize,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

/// Largest and mean difference over the values of a crop, in steps of 1/255.
fn difference(got: &[u8], want: &[u8]) -> (u8, f64) {
    assert_eq!(got.len(), want.len());
    let each = got.iter().zip(want).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = each.clone().map(u64::from).sum();
    (each.max().unwrap_or(0), sum as f64 / got.len() as f64)
}

#[test]
fn crops_equal_the_reference() {
    let dir = fixtures();
    let about: About =
        serde_json::from_slice(&std::fs::read(dir.join("cases.json")).unwrap()).unwrap();
    let mut expected = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(dir.join("expected.bin.gz")).unwrap())
        .read_to_end(&mut expected)
        .unwrap();
    let (mut rest, mut bad, mut sum, mut equal) = (&expected[..], Vec::new(), 0.0, 0);
    for case in &about.cases {
        let preprocess = Preprocess::clip(case.size);
        let want;
        (want, rest) = rest.split_at(preprocess.bytes());
        let bytes = std::fs::read(dir.join(&case.file)).unwrap();
        let (max, mean) = match preprocess.decode(&bytes) {
            Ok(got) => difference(&got, want),
            Err(error) => {
                bad.push(format!("{} to {}: {error}", case.file, case.size));
                continue;
            }
        };
        sum += mean;
        equal += usize::from(max == 0);
        if max > 0 {
            println!("{} ({}) to {}: max {max}, mean {mean:.4}", case.file, case.mode, case.size);
        }
        if max > 1 || mean > 0.05 {
            bad.push(format!("{} to {}: max {max}, mean {mean:.4}", case.file, case.size));
        }
    }
    let n = about.cases.len();
    println!("Pillow {}: {equal} of {n} crops equal, mean {:.6}", about.pillow, sum / n as f64);
    assert!(rest.is_empty() && bad.is_empty(), "{bad:#?}");
}

/// Two pixels, in both byte orders: told by name rather than read in another way
/// than the reference does.
#[test]
fn a_tiff_of_jpegs_is_refused_by_name() {
    let fields = [(256_u16, 2_u16), (257, 2), (258, 8), (259, 7), (262, 1), (277, 1)];
    let count = u16::try_from(fields.len()).unwrap();
    let mut little = b"II*\0\x08\0\0\0".to_vec();
    let mut big = b"MM\0*\0\0\0\x08".to_vec();
    little.extend(count.to_le_bytes());
    big.extend(count.to_be_bytes());
    for (tag, value) in fields {
        for field in [tag, 3, 1, 0, value, 0] {
            little.extend(field.to_le_bytes());
        }
        for field in [tag, 3, 0, 1, value, 0] {
            big.extend(field.to_be_bytes());
        }
    }
    for (tag, value) in [(273_u16, 8_u32), (279, 8)] {
        little.extend([tag, 4, 1, 0].iter().flat_map(|it| it.to_le_bytes()));
        big.extend([tag, 4, 0, 1].iter().flat_map(|it| it.to_be_bytes()));
        little.extend(value.to_le_bytes());
        big.extend(value.to_be_bytes());
    }
    little[8] += 2;
    big[9] += 2;
    for mut bytes in [little, big] {
        bytes.extend([0; 4]);
        let said = Preprocess::clip(8).decode(&bytes).unwrap_err().to_string();
        assert!(said.contains("JPEG compression") && said.contains("save the image"), "{said}");
    }
}

#[test]
fn files_cut_short_are_errors() {
    for file in [
        "jpeg_420.jpg",
        "jpeg_progressive.jpg",
        "png_rgb.png",
        "gif_palette.gif",
        "webp_lossy.webp",
        "webp_lossless.webp",
        "bmp_rgb.bmp",
        "bmp_palette.bmp",
        "tiff_rgb_lzw.tif",
        "tiff_palette.tif",
        "tiff_cmyk.tif",
        "tiff_planes.tif",
        "ppm_rgb.ppm",
    ] {
        let bytes = std::fs::read(fixtures().join(file)).unwrap();
        let short = &bytes[..bytes.len() * 2 / 3];
        assert!(Preprocess::clip(20).decode(short).is_err(), "{file}");
    }
}

/// What a terminal shows must be ours alone: damaged images print nothing.
/// The test runs itself once more as a process of its own to see its output.
#[test]
fn damaged_images_print_nothing() {
    const CHILD: &str = "ALPHASCOPE_TEST_DAMAGED";
    if std::env::var_os(CHILD).is_some() {
        for entry in std::fs::read_dir(fixtures()).unwrap() {
            let mut bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let n = bytes.len();
            for at in (2..n).step_by(n / 40 + 1) {
                bytes[at] ^= 0xA5;
                let _ = Preprocess::clip(20).decode(&bytes);
                let _ = Preprocess::clip(20).decode(&bytes[..at]);
            }
        }
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "damaged_images_print_nothing", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
}
