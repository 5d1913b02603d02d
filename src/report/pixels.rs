//! The figure as pixels: its SVG, drawn with the font that comes along, so that it
//! looks the same on a server without any.

use std::sync::Arc;

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::ReportError;

/// Pixels for one of the SVG's: 288 to the inch, what journals ask for.
const SCALE: f32 = 3.0;
/// SVG's 96 to the inch times [`SCALE`], to the metre.
const PER_METRE: u32 = 11_339;

/// Inter, SIL Open Font License (`assets/font`).
static REGULAR: &[u8] = include_bytes!("../../assets/font/Inter-Regular.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/font/Inter-Bold.ttf");

/// Draws an SVG on white.
///
/// # Errors
/// When the picture has no memory, or cannot be encoded.
pub(super) fn draw(svg: &str) -> Result<Vec<u8>, ReportError> {
    let said = |error: &dyn std::fmt::Display| ReportError::Png(error.to_string());
    let mut fonts = fontdb::Database::new();
    for font in [REGULAR, BOLD] {
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(font)));
    }
    fonts.set_sans_serif_family("Inter");
    let options =
        Options { fontdb: Arc::new(fonts), font_family: "Inter".into(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| said(&error))?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let mut pixmap = size
        .and_then(|size| Pixmap::new(size.width(), size.height()))
        .ok_or_else(|| said(&"the figure is too large"))?;
    pixmap.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixmap.as_mut());
    let (width, height) = (pixmap.width(), pixmap.height());
    // Nothing shines through, so that premultiplied or not is the same.
    let rgb: Vec<u8> =
        pixmap.pixels().iter().flat_map(|it| [it.red(), it.green(), it.blue()]).collect();
    let mut info = png::Info::with_size(width, height);
    info.color_type = png::ColorType::Rgb;
    info.bit_depth = png::BitDepth::Eight;
    info.pixel_dims =
        Some(png::PixelDimensions { xppu: PER_METRE, yppu: PER_METRE, unit: png::Unit::Meter });
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::with_info(&mut bytes, info)
        .and_then(png::Encoder::write_header)
        .map_err(|error| said(&error))?;
    writer.write_image_data(&rgb).map_err(|error| said(&error))?;
    writer.finish().map_err(|error| said(&error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(letter: char) -> Vec<u8> {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"30\" height=\"30\" font-family=\"Inter, \
             sans-serif\"><text x=\"4\" y=\"20\" font-size=\"16\">{letter}</text></svg>"
        );
        draw(&text).unwrap()
    }

    #[test]
    fn the_font_has_what_figures_say() {
        // Nobody's letter: a box, or nothing.
        let missing = [letter('\u{10fffd}'), letter(' ')];
        let mut seen = vec![];
        for wanted in "Aa09αθω→−×·…%±ρ²éßøЖł".chars() {
            let drawn = letter(wanted);
            assert!(!missing.contains(&drawn) && !seen.contains(&drawn), "no {wanted}");
            seen.push(drawn);
        }
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        let error = draw("<svg").unwrap_err().to_string();
        assert!(error.contains("cannot draw the PNG") && error.contains("--format svg"), "{error}");
    }
}
