//! The tokenizer against open_clip's on 10,000 strings (made by
//! `tests/fixtures/make/tokenizer.py`).

use std::path::PathBuf;

use alphascope::dataset::Tokenizer;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    texts: Vec<String>,
    crc32: Vec<u32>,
    first: Vec<Vec<u32>>,
}

#[test]
fn ten_thousand_strings_equal_the_reference() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer.json.gz");
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let fixture: Fixture = serde_json::from_reader(file).unwrap();
    assert_eq!((fixture.texts.len(), fixture.crc32.len()), (10_000, 10_000));
    let clip = Tokenizer::clip();
    let mut wrong = Vec::new();
    for (index, (text, crc)) in fixture.texts.iter().zip(&fixture.crc32).enumerate() {
        let ids = clip.encode(text, 77);
        let mut hash = flate2::Crc::new();
        ids.iter().for_each(|id| hash.update(&id.to_le_bytes()));
        if hash.sum() != *crc {
            wrong.push(format!("{index} {text:?}: {:?}", &ids[..12]));
        }
        if let Some(want) = fixture.first.get(index) {
            assert_eq!(&ids[..want.len()], want, "{text:?}");
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}
