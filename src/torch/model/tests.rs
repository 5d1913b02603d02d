use super::*;

#[test]
fn short_memory_halves_and_is_remembered() {
    let fits = 5;
    let mut pieces = Vec::new();
    let mut step = |range: Range<usize>| {
        if range.len() > fits {
            return Err(TorchError::sort("forward", "CUDA out of memory. Tried to allocate"));
        }
        pieces.push(range);
        Ok(())
    };
    drop(memory::notes());
    let mut micro = MicroBatch(16);
    micro.over(9, &mut step).unwrap();
    assert_eq!(micro.size(), 4);
    let said = memory::notes();
    assert!(said.len() == 1 && said[0].contains("going on with 4"), "{said:?}");
    micro.over(4, &mut step).unwrap();
    assert_eq!(pieces, [0..4, 4..8, 8..9, 0..4]);
}

#[test]
fn one_item_that_does_not_fit_is_an_error() {
    let mut micro = MicroBatch(4);
    let error = micro
        .over::<()>(4, |_| Err(TorchError::sort("forward", "CUDA out of memory")))
        .unwrap_err();
    assert!(error.is_memory());
    assert_eq!(micro.size(), 1);
    let error = micro.over::<()>(4, |_| Err(TorchError::Input("no".into()))).unwrap_err();
    assert!(matches!(error, TorchError::Input(_)));
}
