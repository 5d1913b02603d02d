//! Written checkpoints: read back, by us and by the format's own library.

use std::collections::BTreeMap;
use std::path::Path;

use alphascope::checkpoint::arch::Expected;
use alphascope::checkpoint::{Checkpoint, CheckpointError, Dialect, Dtype, TensorView, write};
use rstest::rstest;

use crate::containers::saved;

fn expected(file: &Checkpoint) -> Vec<Expected> {
    file.names().map(|name| (name.into(), file.shape(name).unwrap().to_vec())).collect()
}

fn copy(from: &Checkpoint, to: &Path, dialect: Dialect, dtype: Dtype) {
    let metadata = BTreeMap::from([("alpha".to_string(), "0.5".to_string())]);
    write(to, dialect, dtype, &expected(from), &metadata, |name| Ok(from.get(name).unwrap()))
        .unwrap();
}

#[rstest]
#[case("reference.safetensors", Dtype::F32)]
#[case("half.pt", Dtype::F16)]
#[case("bfloat.pth", Dtype::Bf16)]
#[case("double.bin", Dtype::F64)]
#[case("soup.pt", Dtype::F32)]
#[case("hf", Dtype::F32)]
fn there_and_back_every_bit_is_the_same(#[case] name: &str, #[case] dtype: Dtype) {
    let folder = tempfile::tempdir().unwrap();
    let original = Checkpoint::open(&saved(name)).unwrap();
    let (hf, ours) = (folder.path().join("hf.safetensors"), folder.path().join("oc.safetensors"));
    copy(&original, &hf, Dialect::HuggingFace, dtype);
    let theirs = Checkpoint::open(&hf).unwrap();
    assert_eq!(theirs.dialect(), Dialect::HuggingFace);
    copy(&theirs, &ours, Dialect::OpenClip, dtype);
    let back = Checkpoint::open(&ours).unwrap();
    assert_eq!((back.dialect(), back.prefix()), (Dialect::OpenClip, ""));
    assert_eq!(back.metadata()["alpha"], "0.5");
    assert!(original.names().eq(back.names()));
    for name in original.names() {
        let (was, hf, is) = (original.get(name), theirs.get(name), back.get(name));
        assert_eq!(was, hf, "{name}");
        assert_eq!(was, is, "{name}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing is left beside them");
}

/// transformers' own file and the one written from open_clip's names hold the same tensors.
#[test]
fn hugging_faces_names_and_numbers_are_transformers_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let file = Checkpoint::open(&saved("reference.safetensors")).unwrap();
    copy(&file, &path, Dialect::HuggingFace, Dtype::F32);
    let (ours, theirs) =
        (std::fs::read(path).unwrap(), std::fs::read(saved("hf/model.safetensors")).unwrap());
    let ours = safetensors::SafeTensors::deserialize(&ours).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&theirs).unwrap();
    assert_eq!(ours.len(), theirs.len());
    for (name, tensor) in theirs.tensors() {
        let written = ours.tensor(&name).unwrap();
        assert_eq!((written.shape(), written.data()), (tensor.shape(), tensor.data()), "{name}");
    }
}

#[test]
fn other_types_are_rounded_once_and_never_to_infinity() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let original = Checkpoint::open(&saved("reference.safetensors")).unwrap();
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::F64] {
        copy(&original, &path, Dialect::OpenClip, dtype);
        let written = Checkpoint::open(&path).unwrap();
        for name in original.names() {
            assert_eq!(written.dtype(name), Some(dtype));
            let (a, b) = (original.get(name).unwrap(), written.get(name).unwrap());
            assert_eq!(a.to_f32(), b.to_f32(), "the fixture's numbers fit every type");
        }
    }
    let shape = vec![2];
    let tensors = [("visual.ln_pre.bias".to_string(), shape.clone())];
    let large = |_: &str| Ok(TensorView::from_f32(shape.clone(), &[1.0, 1e6]).unwrap());
    let error = write(&path, Dialect::OpenClip, Dtype::F16, &tensors, &BTreeMap::new(), large);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("element 1 is 1000000") && error.contains("fp16"), "{error}");
}

#[test]
fn a_failed_write_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    std::fs::write(&path, "precious").unwrap();
    let file = Checkpoint::open(&saved("reference.safetensors")).unwrap();
    let stop = |name: &str| {
        if name.contains("ln_post") {
            let message = "the device failed".to_string();
            return Err(CheckpointError::Tensor {
                path: path.clone(),
                tensor: name.into(),
                message,
            });
        }
        Ok(file.get(name).unwrap())
    };
    let error =
        write(&path, Dialect::OpenClip, Dtype::F32, &expected(&file), &BTreeMap::new(), stop);
    assert!(error.unwrap_err().to_string().contains("the device failed"));
    let mut shapes = expected(&file);
    shapes[0].1 = vec![1, 2, 3];
    let values = |name: &str| Ok(file.get(name).unwrap());
    let error = write(&path, Dialect::OpenClip, Dtype::F32, &shapes, &BTreeMap::new(), values);
    assert!(error.unwrap_err().to_string().contains("expected shape [1, 2, 3]"));
    let extra = [("visual.ls_1.gamma".to_string(), vec![1])];
    let error = write(&path, Dialect::HuggingFace, Dtype::F32, &extra, &BTreeMap::new(), values);
    assert!(error.unwrap_err().to_string().contains("no place"));
    let nowhere = folder.path().join("none/out.safetensors");
    let error = write(&nowhere, Dialect::OpenClip, Dtype::F32, &[], &BTreeMap::new(), values);
    assert!(error.unwrap_err().to_string().contains("cannot write"));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}
