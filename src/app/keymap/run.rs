//! The rows of the keymap for a run's screens beside the live one.

use super::{Action, Binding, Context, row};
use crate::app::Key;
use crate::app::tab::Tab;

/// What a key of the layers screen does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the table below says what each one is
pub enum LayersAct {
    Up,
    Down,
    PageUp,
    PageDown,
    Open,
    Back,
    Sort,
    Reverse,
    Filter,
    Map,
    Measure,
    Earlier,
    Later,
    Ask,
    Cancel,
    Toggle,
    Method,
    More,
    Less,
    Pick,
    ExtendUp,
    ExtendDown,
    PickStragglers,
    Together,
    Dense,
    Accept,
    Clear,
}

/// What a key of the form that asks for a measurement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the table below says what each one is
pub enum AskAct {
    Send,
    Close,
    Up,
    Down,
    Less,
    More,
    Defaults,
}

/// What a key of the compare screen does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the table below says what each one is
pub enum CompareAct {
    Up,
    Down,
    Show,
    Drop,
    Open,
}

const fn layers(
    act: LayersAct,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Layers, Action::Layers(act), keys, rank, short, help)
}

const fn relation(
    act: LayersAct,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Correlation, Action::Layers(act), keys, rank, short, help)
}

const fn filter(act: LayersAct, keys: &'static [Key], short: &'static str) -> Binding {
    let help = match act {
        LayersAct::Accept => "Keep the filter",
        _ => "Every layer again",
    };
    row(Context::Filter, Action::Layers(act), keys, 1, short, help)
}

const fn ask(
    act: AskAct,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Ask, Action::Ask(act), keys, rank, short, help)
}

const fn compare(
    act: CompareAct,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Compare, Action::Compare(act), keys, rank, short, help)
}

const fn shared(
    action: Action,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Run, action, keys, rank, short, help)
}

const UP: &[Key] = &[Key::Up, Key::Char('k'), Key::BackTab];
const DOWN: &[Key] = &[Key::Down, Key::Char('j'), Key::Tab];

/// Layers, correlation, compare, the form, and what all of a run's screens
/// share.
pub const BINDINGS: &[Binding] = &[
    layers(LayersAct::Down, DOWN, 20, "", "The next layer"),
    layers(LayersAct::Up, UP, 20, "", "The layer before"),
    layers(LayersAct::PageUp, &[Key::PageUp], 20, "", "Ten layers up"),
    layers(LayersAct::PageDown, &[Key::PageDown], 20, "", "Ten layers down"),
    layers(
        LayersAct::Open,
        &[Key::Enter],
        3,
        "detail",
        "The highlighted layer alone: its curves with errors, curvature, tensors; again: back",
    ),
    layers(
        LayersAct::Back,
        &[Key::Esc],
        20,
        "",
        "One step back: from the detail, the heat map, the selection, the filter",
    ),
    layers(
        LayersAct::Ask,
        &[Key::Char('a')],
        2,
        "measure",
        "Measure sharpness, layer barriers or curvature too, while the sweep runs",
    ),
    layers(
        LayersAct::Cancel,
        &[Key::Char('x')],
        11,
        "cancel",
        "Cancel the measurement that is shown, or ask for it again; accuracy goes on",
    ),
    layers(
        LayersAct::Earlier,
        &[Key::Char('[')],
        12,
        "measured",
        "The measurement asked for before this one",
    ),
    layers(LayersAct::Later, &[Key::Char(']')], 20, "", "The one asked for after it"),
    layers(
        LayersAct::Sort,
        &[Key::Char('s')],
        5,
        "sort",
        "Sort by the next column: forward pass, S, S/L, barrier, straggler, distance, parameters, name",
    ),
    layers(LayersAct::Reverse, &[Key::Char('S')], 20, "", "Sort the other way round"),
    layers(
        LayersAct::Filter,
        &[Key::Char('/')],
        6,
        "filter",
        "Only layers whose name holds a text",
    ),
    layers(
        LayersAct::Map,
        &[Key::Char('h')],
        4,
        "map",
        "Heat map of layers by alpha in place of the table; exact values at its cursor",
    ),
    layers(LayersAct::Measure, &[Key::Char('v')], 8, "S or S/L", "Show S, or S over the loss"),
    layers(
        LayersAct::Toggle,
        &[Key::Char(' ')],
        3,
        "sparsify",
        "Sparsify the highlighted layer (or all selected) by the method and amount in hand, or undo",
    ),
    layers(
        LayersAct::Method,
        &[Key::Char('e')],
        7,
        "method",
        "Next method: delta, magnitude, dare, n:m, reset",
    ),
    layers(
        LayersAct::More,
        &[Key::Char('+'), Key::Char('=')],
        13,
        "amount",
        "Sparsify more: the amount goes up by 10 percent",
    ),
    layers(LayersAct::Less, &[Key::Char('-'), Key::Char('_')], 20, "", "Sparsify less"),
    layers(
        LayersAct::Pick,
        &[Key::Char('V')],
        14,
        "select",
        "Select the highlighted layer too, or no longer, and go to the next",
    ),
    layers(
        LayersAct::ExtendDown,
        &[Key::ShiftDown],
        20,
        "",
        "Select the highlighted layer and the next, and go there",
    ),
    layers(
        LayersAct::ExtendUp,
        &[Key::ShiftUp],
        20,
        "",
        "Select the highlighted layer and the one before, and go there",
    ),
    layers(
        LayersAct::PickStragglers,
        &[Key::Char('g')],
        12,
        "straggler",
        "Select every straggler, or nothing where all of them are",
    ),
    layers(LayersAct::Dense, &[Key::Char('d')], 20, "", "Undo every edit: back to the dense model"),
    filter(LayersAct::Accept, &[Key::Enter], "keep"),
    filter(LayersAct::Clear, &[Key::Esc], "all"),
    relation(LayersAct::Down, DOWN, 4, "layer", "The next layer of the table"),
    relation(LayersAct::Up, UP, 20, "", "The layer before"),
    relation(LayersAct::PageUp, &[Key::PageUp], 20, "", "Ten layers up"),
    relation(LayersAct::PageDown, &[Key::PageDown], 20, "", "Ten layers down"),
    relation(
        LayersAct::Ask,
        &[Key::Char('a')],
        3,
        "measure",
        "Measure sharpness too, while the sweep runs",
    ),
    relation(
        LayersAct::Earlier,
        &[Key::Char('[')],
        12,
        "measured",
        "The measurement asked for before this one",
    ),
    relation(LayersAct::Later, &[Key::Char(']')], 20, "", "The one asked for after it"),
    relation(
        LayersAct::Together,
        &[Key::Char('r')],
        5,
        "runs",
        "The points of all runs shown together, or of this one alone",
    ),
    row(
        Context::Correlation,
        Action::Compare(CompareAct::Open),
        &[Key::Char('o')],
        6,
        "open run",
        "Take another run's points too (asks for its folder); it is only read",
    ),
    compare(CompareAct::Down, DOWN, 4, "variant", "The next variant of the table"),
    compare(CompareAct::Up, UP, 20, "", "The variant before"),
    compare(
        CompareAct::Show,
        &[Key::Enter],
        5,
        "show",
        "Show the highlighted variant on the live screen, the dense curves behind it",
    ),
    compare(
        CompareAct::Drop,
        &[Key::Char(' '), Key::Char('x')],
        6,
        "drop",
        "Measure no more of the highlighted variant, or go on with it; take another run away",
    ),
    compare(
        CompareAct::Open,
        &[Key::Char('o')],
        7,
        "open run",
        "Show another run beside this one (asks for its folder); it is only read",
    ),
    shared(Action::Tab(Tab::Live), &[Key::Char('1')], 20, "", "Live: accuracy over alpha"),
    shared(
        Action::Tab(Tab::Layers),
        &[Key::Char('2')],
        20,
        "",
        "Layers: distance, sharpness, barriers, stragglers",
    ),
    shared(
        Action::Tab(Tab::Correlation),
        &[Key::Char('3')],
        20,
        "",
        "Correlation: sharpness against OOD accuracy",
    ),
    shared(Action::Tab(Tab::Compare), &[Key::Char('4')], 20, "", "Compare: variants side by side"),
    shared(Action::Pause, &[Key::Char('p')], 4, "pause", "Pause after the batch in hand, or go on"),
    shared(Action::Log, &[Key::Char('l')], 9, "log", "Show or hide the notices and the log"),
    shared(
        Action::CursorLeft,
        &[Key::Left],
        3,
        "alpha",
        "Move the cursor to the next smaller alpha; every exact number follows it",
    ),
    shared(Action::CursorRight, &[Key::Right], 20, "", "Move the cursor to the next larger alpha"),
    shared(
        Action::CursorStart,
        &[Key::Home, Key::Char('0')],
        20,
        "",
        "Cursor to the smallest alpha",
    ),
    shared(Action::CursorEnd, &[Key::End, Key::Char('$')], 20, "", "Cursor to the largest alpha"),
    shared(
        Action::CursorBest,
        &[Key::Char('b')],
        11,
        "best",
        "Cursor to the best alpha of what is focused (else of the OOD mean)",
    ),
    shared(
        Action::Quit,
        &[Key::Char('q')],
        1,
        "stop",
        "Stop or go on in the background (asks first), or leave: where the sweep has ended, or is watched",
    ),
    shared(
        Action::Stop,
        &[Key::Char('Q')],
        20,
        "",
        "Stop the sweep, also one that is watched (asks first; what is measured is kept)",
    ),
    ask(AskAct::Send, &[Key::Enter], 1, "measure", "Ask the worker for it"),
    ask(AskAct::Close, &[Key::Esc, Key::Char('q')], 2, "go back", "Go back, nothing is asked"),
    ask(AskAct::Down, &[Key::Down, Key::Char('j'), Key::Tab], 20, "", "The next line"),
    ask(AskAct::Up, &[Key::Up, Key::Char('k'), Key::BackTab], 20, "", "The line before"),
    ask(
        AskAct::More,
        &[Key::Right, Key::Char(' '), Key::Char('l')],
        3,
        "change",
        "The next value of the line",
    ),
    ask(AskAct::Less, &[Key::Left, Key::Char('h')], 20, "", "The value before"),
    ask(AskAct::Defaults, &[Key::Char('d')], 4, "defaults", "The defaults again"),
];
