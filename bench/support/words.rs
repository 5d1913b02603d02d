//! The command line of a bench.

use std::error::Error;

/// Gives each argument to `take`, with a way to the value after it. `take` says
/// whether it knows the argument.
///
/// # Errors
/// When it does not, or says so itself.
pub fn words(
    mut take: impl FnMut(
        &str,
        &mut dyn FnMut() -> Result<String, String>,
    ) -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    // Cargo adds one of its own.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        if !take(&word, &mut value)? {
            return Err(format!("unknown argument {word}").into());
        }
    }
    Ok(())
}
