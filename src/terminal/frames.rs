//! Frames: only what changed, in one synchronized write; nothing at all where
//! nothing changed.

use std::io::{self, Write};

use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::{Frame, Terminal};

/// `BeginSynchronizedUpdate` and its end (private mode 2026).
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";
/// Room for a frame before it has to grow.
const ROOM: usize = 64 * 1024;

/// Collects a whole frame; hands it on in one write.
#[derive(Debug)]
struct Out<W> {
    frame: Vec<u8>,
    inner: W,
    bytes: u64,
}

impl<W: Write> Out<W> {
    fn new(inner: W) -> Self {
        let mut frame = Vec::with_capacity(ROOM);
        frame.extend_from_slice(BEGIN);
        Self { frame, inner, bytes: 0 }
    }

    fn present(&mut self) -> io::Result<()> {
        if self.frame.len() == BEGIN.len() {
            return Ok(());
        }
        self.frame.extend_from_slice(END);
        let result = self.inner.write_all(&self.frame).and_then(|()| self.inner.flush());
        self.bytes += self.frame.len() as u64;
        self.frame.truncate(BEGIN.len());
        result
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: crossterm flushes after single commands.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A ratatui backend that knows the terminal's size and cursor without asking,
/// and writes nothing for a frame that changes nothing.
#[derive(Debug)]
pub struct Frames<W: Write> {
    out: Out<W>,
    size: Size,
    /// `None`: hidden.
    cursor: Option<Position>,
    /// Where drawing left the cursor is not where it was put.
    moved: bool,
}

impl<W: Write> Frames<W> {
    fn new(writer: W, size: Size) -> Self {
        Self { out: Out::new(writer), size, cursor: None, moved: false }
    }

    fn inner(&mut self) -> CrosstermBackend<&mut Out<W>> {
        CrosstermBackend::new(&mut self.out)
    }
}

impl<W: Write> Backend for Frames<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        self.moved = true;
        super::paint::cells(content, self.size.width, &mut self.out.frame);
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        if self.cursor.take().is_some() { self.inner().hide_cursor() } else { Ok(()) }
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        if self.cursor.is_some() {
            return Ok(());
        }
        self.cursor = Some(Position::ORIGIN);
        self.moved = true;
        self.inner().show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        // Asking the terminal would block on its answer.
        Ok(self.cursor.unwrap_or(Position::ORIGIN))
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let position = position.into();
        if self.cursor.is_none() || (self.cursor == Some(position) && !self.moved) {
            return Ok(());
        }
        self.cursor = Some(position);
        self.moved = false;
        self.inner().set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.inner().clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    /// End of a frame: everything goes out in one write.
    fn flush(&mut self) -> io::Result<()> {
        self.out.present()
    }
}

/// What is drawn on: ratatui's terminal over [`Frames`].
#[derive(Debug)]
pub struct Screen<W: Write> {
    terminal: Terminal<Frames<W>>,
}

impl<W: Write> Screen<W> {
    /// An empty screen of this size, written to `writer`. The alternate screen
    /// is entered (and thereby empty) before.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn new(writer: W, size: Size) -> io::Result<Self> {
        Ok(Self { terminal: Terminal::new(Frames::new(writer, size))? })
    }

    /// Draws one frame; gives the number of bytes that took, 0 where nothing
    /// changed.
    ///
    /// # Errors
    /// When the terminal has gone away.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<u64> {
        let before = self.bytes();
        self.terminal.draw(view)?;
        Ok(self.bytes() - before)
    }

    /// The terminal has another size: the next frame fills it.
    pub fn resize(&mut self, size: Size) {
        self.terminal.backend_mut().size = size;
    }

    /// Forgets what is on the terminal: the next frame draws all of it.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn forget(&mut self) -> io::Result<()> {
        // Another program may have moved or shown the cursor.
        let backend = self.terminal.backend_mut();
        backend.cursor = None;
        backend.moved = true;
        backend.inner().hide_cursor()?;
        self.terminal.clear()
    }

    /// Columns and rows.
    #[must_use]
    pub fn size(&self) -> Size {
        self.terminal.backend().size
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.terminal.backend().out.bytes
    }
}
