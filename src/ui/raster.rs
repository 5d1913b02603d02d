//! Dots smaller than a cell: Braille (2 × 4), quadrant blocks (2 × 2), ASCII
//! (1 × 3).

use crate::app::Charset;

/// A grid of cells made of dots. Every cell remembers who drew on it last.
#[derive(Debug)]
pub struct Raster {
    charset: Charset,
    width: usize,
    height: usize,
    cells: Vec<(u8, usize)>,
}

/// Dots across and down a cell.
#[must_use]
pub fn dots(charset: Charset) -> (usize, usize) {
    match charset {
        Charset::Braille => (2, 4),
        Charset::Blocks => (2, 2),
        Charset::Ascii => (1, 3),
    }
}

impl Raster {
    /// An empty grid of so many cells.
    #[must_use]
    pub fn new(charset: Charset, width: u16, height: u16) -> Self {
        let (width, height) = (usize::from(width), usize::from(height));
        Self { charset, width, height, cells: vec![(0, 0); width * height] }
    }

    /// Dots across and down the whole grid.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let (across, down) = dots(self.charset);
        (self.width * across, self.height * down)
    }

    /// Sets a dot, counted from the top left, for series `owner`; nothing
    /// outside. The last owner of a cell gives it its colour.
    pub fn dot(&mut self, x: isize, y: isize, owner: usize) {
        let (across, down) = dots(self.charset);
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        let (column, row) = (x / across, y / down);
        if column >= self.width || row >= self.height {
            return;
        }
        let bit = match self.charset {
            Charset::Braille => {
                [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]][y % 4][x % 2]
            }
            Charset::Blocks => [[1, 2], [4, 8]][y % 2][x % 2],
            Charset::Ascii => [1, 2, 4][y % 3],
        };
        let cell = &mut self.cells[row * self.width + column];
        if cell.1 != owner {
            // Two series in one cell: the later keeps it to itself, so that a
            // dot never shows in another's colour.
            *cell = (0, owner);
        }
        cell.0 |= bit;
    }

    /// The sign of a cell and its owner; `None` where nothing is drawn.
    #[must_use]
    pub fn sign(&self, column: u16, row: u16) -> Option<(char, usize)> {
        let (column, row) = (usize::from(column), usize::from(row));
        if column >= self.width || row >= self.height {
            return None;
        }
        let (mask, owner) = self.cells[row * self.width + column];
        let sign = match self.charset {
            _ if mask == 0 => return None,
            Charset::Braille => char::from_u32(0x2800 + u32::from(mask))?,
            Charset::Blocks => {
                [' ', '▘', '▝', '▀', '▖', '▌', '▞', '▛', '▗', '▚', '▐', '▜', '▄', '▙', '▟', '█']
                    [usize::from(mask & 15)]
            }
            Charset::Ascii => [' ', '\'', '-', '\'', '.', '|', '.', '|'][usize::from(mask & 7)],
        };
        Some((sign, owner))
    }

    /// Is the drawn part of a cell in its upper half, its lower half, or both?
    #[must_use]
    pub fn halves(&self, column: u16, row: u16) -> (bool, bool) {
        let (column, row) = (usize::from(column), usize::from(row));
        if column >= self.width || row >= self.height {
            return (false, false);
        }
        let mask = self.cells[row * self.width + column].0;
        match self.charset {
            Charset::Braille => (mask & 0x1b != 0, mask & 0xe4 != 0),
            Charset::Blocks => (mask & 3 != 0, mask & 12 != 0),
            Charset::Ascii => (mask & 3 != 0, mask & 6 != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_become_signs() {
        let mut raster = Raster::new(Charset::Braille, 2, 1);
        raster.dot(0, 0, 1);
        raster.dot(1, 3, 1);
        assert_eq!(raster.sign(0, 0), Some(('⢁', 1)));
        assert_eq!(raster.sign(1, 0), None);
        assert_eq!(raster.halves(0, 0), (true, true));
        raster.dot(0, 1, 2);
        assert_eq!(raster.sign(0, 0), Some(('⠂', 2)));

        let mut raster = Raster::new(Charset::Blocks, 1, 1);
        raster.dot(0, 0, 0);
        raster.dot(1, 1, 0);
        assert_eq!(raster.sign(0, 0), Some(('▚', 0)));

        let mut raster = Raster::new(Charset::Ascii, 1, 1);
        raster.dot(0, 2, 0);
        assert_eq!(raster.sign(0, 0), Some(('.', 0)));
    }

    #[test]
    fn dots_outside_are_dropped() {
        let mut raster = Raster::new(Charset::Braille, 1, 1);
        raster.dot(-1, 0, 0);
        raster.dot(2, 0, 0);
        raster.dot(0, 4, 0);
        raster.dot(isize::MAX, isize::MIN, 0);
        assert_eq!(raster.sign(0, 0), None);
        let mut none = Raster::new(Charset::Ascii, 0, 0);
        none.dot(0, 0, 0);
        assert_eq!(none.sign(0, 0), None);
    }
}
