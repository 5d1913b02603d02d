//! Nothing yet: the link flags for libtorch land with the set-up.
fn main() {}
