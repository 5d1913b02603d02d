//! Small text files: model configurations, indices of shards, specs, class names, templates, and
//! what the tokenizer makes of prompts.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use alphascope::checkpoint::config::ModelConfig;
use alphascope::checkpoint::container::shards::Index;
use alphascope::dataset::{Tokenizer, prompts, read_classes, read_templates};
use alphascope::sweep::spec::Spec;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<(tempfile::TempDir, std::path::PathBuf)> = LazyLock::new(|| {
    let folder = alphascope_fuzz::folder();
    let path = folder.path().join("file");
    (folder, path)
});
static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(Tokenizer::clip);

fuzz_target!(|bytes: &[u8]| {
    let path: &Path = &FILE.1;
    std::fs::write(path, bytes).expect("room for the file");
    let _ = ModelConfig::read(path);
    if let Ok(Some(index)) = Index::read(path) {
        assert!(index.shards().iter().all(|shard| !shard.contains('/')));
    }
    if let Ok(spec) = Spec::load(path) {
        if spec.check(path).is_ok() {
            assert!(!spec.grid().is_empty());
        }
    }
    let templates = read_templates(path).unwrap_or_default();
    for class in read_classes(path).unwrap_or_default().iter().take(3) {
        let made = prompts(class, &templates);
        for text in made.iter().take(3).chain([class]) {
            assert_eq!(TOKENIZER.encode(text, 77).len(), 77);
        }
    }
});
