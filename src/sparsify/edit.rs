//! Edits as people type them: `LAYER=METHOD:AMOUNT`.

use crate::sweep::spec::{Edit, Method};

/// Reads `block.3=delta:0.5`, `block.3=reset`, `block.3=2:4` (also `n:m:2:4`, or `n:m` for 2:4);
/// `block.3+embeddings=…` acts on the layer's embeddings too.
///
/// # Errors
/// What was expected, what was got, what to do.
pub fn parse(text: &str) -> Result<Edit, String> {
    let wrong = |message: String| Err(format!("`{text}`: {message}"));
    let Some((layer, action)) = text.split_once('=') else {
        return wrong("expected LAYER=METHOD:AMOUNT, as block.3=delta:0.5".into());
    };
    let (layer, embeddings) = match layer.trim().strip_suffix("+embeddings") {
        Some(layer) => (layer, true),
        None => (layer.trim(), false),
    };
    if layer.is_empty() {
        return wrong("expected a layer before `=`, as block.3=delta:0.5".into());
    }
    let edit =
        |method, amount, (n, m)| Ok(Edit { layer: layer.into(), method, amount, n, m, embeddings });
    let action = action.trim();
    let groups = action.strip_prefix("n:m").map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    if groups == Some("") {
        return edit(Method::NOfM, 1.0, (2, 4));
    }
    if let Some((n, m)) = groups.unwrap_or(action).split_once(':')
        && let (Ok(n), Ok(m)) = (n.parse(), m.parse())
    {
        return edit(Method::NOfM, 1.0, (n, m));
    }
    let (name, amount) = match action.split_once(':') {
        Some((name, amount)) => (name, Some(amount)),
        None => (action, None),
    };
    let method = match name {
        "magnitude" => Method::Magnitude,
        "delta" => Method::Delta,
        "dare" => Method::Dare,
        "reset" => Method::Reset,
        _ => {
            return wrong(format!(
                "expected magnitude, delta, dare, reset or N:M (as 2:4), got `{action}`"
            ));
        }
    };
    match (method, amount.map(str::parse::<f64>)) {
        (Method::Reset, Some(Ok(amount))) if amount != 1.0 => {
            wrong(format!("amount: reset takes the whole layer back: leave it out, got {amount}"))
        }
        (_, Some(Ok(amount))) => edit(method, amount, (2, 4)),
        (Method::Reset, None) => edit(method, 1.0, (2, 4)),
        (_, None) => wrong(format!("expected an amount in [0, 1], as {layer}={name}:0.5")),
        (_, Some(Err(_))) => wrong(format!(
            "expected an amount in [0, 1], as {layer}={name}:0.5, got `{}`",
            amount.unwrap_or_default()
        )),
    }
}

/// The inverse of [`parse`].
#[must_use]
pub fn describe(edit: &Edit) -> String {
    let Edit { layer, amount, n, m, .. } = edit;
    let embeddings = if edit.embeddings { "+embeddings" } else { "" };
    let action = match edit.method {
        Method::Magnitude => format!("magnitude:{amount}"),
        Method::Delta => format!("delta:{amount}"),
        Method::Dare => format!("dare:{amount}"),
        Method::NOfM => format!("{n}:{m}"),
        Method::Reset => "reset".into(),
    };
    format!("{layer}{embeddings}={action}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_reads_back() {
        for text in [
            "block.3=delta:0.5",
            "head=magnitude:0",
            "visual.proj=dare:1",
            "block.0.mlp=2:4",
            "text.block.1=1:8",
            "stem+embeddings=magnitude:0.25",
            "stem=reset",
        ] {
            assert_eq!(describe(&parse(text).unwrap()), text);
        }
        let edit = parse(" block.3 = n:m ").unwrap();
        assert_eq!((edit.method, edit.n, edit.m), (Method::NOfM, 2, 4));
        assert_eq!(parse("a=n:m:1:4").unwrap(), parse("a=1:4").unwrap());
        assert_eq!(parse("a=reset:1.0").unwrap(), parse("a=reset").unwrap());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("block.3", "LAYER=METHOD:AMOUNT"),
            ("=delta:0.5", "a layer before"),
            ("block.3=trim:0.5", "got `trim:0.5`"),
            ("block.3=delta", "an amount in [0, 1]"),
            ("block.3=reset:0.5", "amount: reset takes the whole layer"),
            ("block.3=delta:half", "got `half`"),
            ("block.3=2:x", "N:M"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words) && error.contains(text), "{error}");
        }
    }
}
