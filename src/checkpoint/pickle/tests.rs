use super::*;

/// A value as text, Python-like; `…` beyond a depth.
fn render(graph: &Graph<'_>, id: Id, depth: usize) -> String {
    if depth == 0 {
        return "…".into();
    }
    let all = |ids: &[Id]| -> Vec<String> {
        ids.iter().map(|id| render(graph, *id, depth - 1)).collect()
    };
    if let Some(items) = graph.items(id) {
        let pairs: Vec<_> = items
            .iter()
            .map(|(k, v)| {
                format!("{}: {}", render(graph, *k, depth - 1), render(graph, *v, depth - 1))
            })
            .collect();
        return format!("{{{}}}", pairs.join(", "));
    }
    match graph.node(id) {
        Node::None => "None".into(),
        Node::Bool(value) => if *value { "True" } else { "False" }.into(),
        Node::Int(value) => value.to_string(),
        Node::Long(_) => "long".into(),
        Node::Float(value) => format!("{value:?}"),
        Node::Text(_) => format!("'{}'", graph.text(id).unwrap()),
        Node::Bytes(range) => format!("{} bytes", range.len()),
        Node::Tuple(ids) => format!("({})", all(ids).join(", ")),
        Node::List(ids) => format!("[{}]", all(ids).join(", ")),
        Node::Dict(_) => unreachable!("it has items"),
        Node::Global(..) => format!("{:?}", graph.global(id).unwrap()),
        Node::Object(object) => {
            format!("{}({})", render(graph, object.class, 9), render(graph, object.args, depth - 1))
        }
        Node::Persistent(key) => format!("<{}>", render(graph, *key, depth - 1)),
        Node::Opaque => "?".into(),
    }
}

fn shown(bytes: &[u8]) -> Result<String, String> {
    read(bytes, 0).map(|graph| render(&graph, graph.root, 9))
}

/// Python's own pickles of the same values (`tests/fixtures/make/containers.py`).
#[test]
fn every_protocol_gives_the_same_values() {
    let path = "tests/fixtures/containers/pickles.json";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let all: Vec<String> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(all.len(), 6);
    let text = "a".repeat(300);
    let expected = format!(
        "{{'numbers': [0, 1, -1, 255, 256, 65535, 70000, -70000, 1099511627776, -1099511627776, \
         long, 1.5, -0.25], 'others': (None, True, False, (), [], {{}}), 'text': ['', 'plain', \
         '{text}'], 'one': (1), 'two': (1, 2), 'three': (1, 2, 3), 'four': (1, 2, 3, 4), \
         'ordered': {{'b': 1, 'a': 2}}, 'shared': [[7], [7]]}}"
    );
    for (protocol, hex) in all.iter().enumerate() {
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        assert_eq!(shown(&bytes).as_deref(), Ok(expected.as_str()), "protocol {protocol}");
        let graph = read(&bytes, 0).unwrap();
        assert_eq!(graph.end, bytes.len());
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], 0).is_err(), "protocol {protocol}, cut at {end}");
        }
    }
}

#[test]
fn calls_stay_data() {
    let call = b"cposix\nsystem\n(X\x02\x00\x00\x00lstR.";
    assert_eq!(shown(call).unwrap(), "(\"posix\", \"system\")(('ls'))");
    let old = b"(iposix\nsystem\n.";
    assert_eq!(shown(old).unwrap(), "(\"posix\", \"system\")(())");
    assert_eq!(shown(b"(S'key'\nPstorage\nt.").unwrap(), "('key', <'storage'>)");
    assert_eq!(shown(b"\x82\x07.").unwrap(), "?");
}

#[test]
fn what_is_no_pickle_is_refused() {
    for (bytes, words) in [
        (&b""[..], "truncated"),
        (b".", "stack runs empty"),
        (b"N(0.", ""),
        (b"t.", "never began"),
        (b"h\x05.", "never kept"),
        (b"N}a.", ""),
        (b"(Nd.", "without a value"),
        (b"X\xff\xff\xff\xffa.", "truncated"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffa.", ""),
        (b"\x8b\xff\xff\xff\xff.", "negative"),
        (b"\xff.", "unknown opcode 0xff"),
        (b"N(\x85.", "stack runs empty"),
        (b"Ks", "truncated"),
        (b"Inot\n.", "whole number"),
        (b"K\x01K\x02\x93.", "as text"),
    ] {
        match shown(bytes) {
            Err(error) => assert!(error.contains(words), "{bytes:?}: {error}"),
            Ok(value) => assert!(words.is_empty(), "{bytes:?} is {value}"),
        }
    }
}

#[test]
fn a_million_levels_are_as_good_as_one() {
    let deep = [&b"N"[..], &vec![0x85; 1_000_000], b"."].concat();
    let graph = read(&deep, 0).unwrap();
    assert_eq!(graph.len(), 1_000_001);
    assert!(render(&graph, graph.root, 5).starts_with("(((((…"));
    let endless = [vec![b'N'; MAX_STEPS], b".".to_vec()].concat();
    assert!(read(&endless, 0).unwrap_err().contains("more than"));
}

#[test]
fn a_list_may_contain_itself() {
    let graph = read(b"]q\x00h\x00a.", 0).unwrap();
    assert_eq!(render(&graph, graph.root, 4), "[[[[…]]]]");
}
