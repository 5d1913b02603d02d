//! Class names and prompt templates: text files of one entry a line.

use std::path::Path;

use super::error::DatasetError;

/// Used where neither the spec nor the layout has templates.
pub const DEFAULT_TEMPLATE: &str = "a photo of a {c}.";

/// One prompt for each template: the class stands where `{c}` or `{}` is.
#[must_use]
pub fn prompts(class: &str, templates: &[String]) -> Vec<String> {
    templates.iter().map(|template| template.replace("{c}", class).replace("{}", class)).collect()
}

/// Reads class names, one a line, in the order of their labels.
///
/// # Errors
/// When the file cannot be read, is empty, or has an empty line before its end.
pub fn read_classes(path: &Path) -> Result<Vec<String>, DatasetError> {
    let lines = lines(path)?;
    if lines.is_empty() {
        return Err(line_error(path, 1, "expected class names, one a line, but the file is empty"));
    }
    if let Some(empty) = lines.iter().position(String::is_empty) {
        let message = "expected a class name, got an empty line; a line's number is its label, so name the class or remove the line";
        return Err(line_error(path, empty + 1, message));
    }
    Ok(lines)
}

/// Reads templates, one a line.
///
/// # Errors
/// When the file cannot be read, is empty, or a line has no `{c}` or `{}`.
pub fn read_templates(path: &Path) -> Result<Vec<String>, DatasetError> {
    let lines = lines(path)?;
    if lines.is_empty() {
        return Err(line_error(path, 1, "expected templates, one a line, but the file is empty"));
    }
    for (index, line) in lines.iter().enumerate() {
        if !line.contains("{c}") && !line.contains("{}") {
            let message = format!(
                "expected a prompt with {{c}} or {{}} where the class goes, got `{line}`; without it every class gets the same prompt"
            );
            return Err(line_error(path, index + 1, &message));
        }
    }
    Ok(lines)
}

/// Lines without surrounding space, byte order mark or empty lines at the end.
fn lines(path: &Path) -> Result<Vec<String>, DatasetError> {
    let bytes =
        crate::regular::read(path, crate::regular::TEXT).map_err(DatasetError::read(path))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count();
        line_error(path, line, "expected UTF-8 text, got other bytes; save the file as UTF-8")
    })?;
    let text = text.trim_start_matches('\u{feff}').trim_end();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(text.split('\n').map(|line| line.trim().to_string()).collect())
}

fn line_error(path: &Path, line: usize, message: &str) -> DatasetError {
    DatasetError::Line { path: path.into(), line, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn both_placeholders() {
        let templates = ["a {c}.".to_string(), "the {}".to_string()];
        assert_eq!(prompts("red fox", &templates), ["a red fox.", "the red fox"]);
    }

    #[test]
    fn ends_of_lines_and_of_files() {
        let classes = file("\u{feff}red fox\r\ncat\r\n\r\n");
        assert_eq!(read_classes(classes.path()).unwrap(), ["red fox", "cat"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let message = read_classes(file("a\n\nb\n").path()).unwrap_err().to_string();
        assert!(message.contains("line 2"), "{message}");
        let message = read_templates(file("a {c}\na photo\n").path()).unwrap_err().to_string();
        assert!(message.contains("line 2") && message.contains("`a photo`"), "{message}");
        assert!(read_templates(file("\n \n").path()).is_err());
    }
}
