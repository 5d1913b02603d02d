//! The screens of a run: the same run, looked at in four ways.

/// Which of a run's screens is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tab {
    /// Accuracy over α.
    #[default]
    Live,
    /// Every layer: distance, sharpness, barrier.
    Layers,
    /// Sharpness against OOD accuracy.
    Correlation,
    /// Variants side by side.
    Compare,
}

impl Tab {
    /// In the order of their keys.
    pub const ALL: [Self; 4] = [Self::Live, Self::Layers, Self::Correlation, Self::Compare];

    /// On the tab bar.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "Live",
            Self::Layers => "Layers",
            Self::Correlation => "Correlation",
            Self::Compare => "Compare",
        }
    }
}
