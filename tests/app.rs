//! The screen's rules without a screen: messages in, effects out.

mod script;

use alphascope::app::board::Board;
use alphascope::app::keymap::{self, bindings};
use alphascope::app::live::{Leave, Metric, Question, Shown, Target, Zoom};
use alphascope::app::{
    Charset, Effect, Key, Link, Look, Message, Mode, Model, Palette, Pick, Screen, summary, update,
};
use alphascope::sweep::command::Command;
use alphascope::sweep::event::{Event, Level, Outcome};
use alphascope::sweep::ids::{DatasetId, RoundId};
use proptest::prelude::*;
use script::{Script, fold};

fn running() -> Model {
    fold(&Script::good().until(40), Look::default(), (80, 24))
}

fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    update(model, Message::Key(key))
}

fn tell(model: &mut Model, event: Event) {
    update(model, Message::Event(Box::new(event)));
    model.settle();
}

fn commands(effects: &[Effect]) -> Vec<Command> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Command(command) => Some(command.clone()),
            _ => None,
        })
        .collect()
}

fn quits(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Quit))
}

#[test]
fn pause_is_requested_until_the_event_says_so() {
    let mut model = running();
    assert_eq!(commands(&press(&mut model, Key::Char('p'))), vec![Command::Pause]);
    assert_eq!((model.run.paused, model.live.requested.pause), (false, Some(true)));
    tell(&mut model, Event::Paused);
    assert_eq!((model.run.paused, model.live.requested.pause), (true, None));
    assert_eq!(commands(&press(&mut model, Key::Char('p'))), vec![Command::Resume]);
    assert_eq!(model.live.requested.pause, Some(false));
    // A change of mind before the worker answered: nothing is requested.
    assert_eq!(commands(&press(&mut model, Key::Char(' '))), vec![Command::Pause]);
    assert_eq!(model.live.requested.pause, None);
}

#[test]
fn skip_wants_a_dataset_and_asks_first() {
    let mut model = running();
    assert!(press(&mut model, Key::Char('s')).is_empty());
    assert!(model.live.word.is_some() && model.live.question.is_none());
    model.live.focus = Some(Target::Dataset(DatasetId(3)));
    assert!(press(&mut model, Key::Char('s')).is_empty());
    assert_eq!(model.live.question, Some(Question::Skip(DatasetId(3))));
    assert!(press(&mut model, Key::Esc).is_empty());
    assert_eq!(model.live.question, None);
    press(&mut model, Key::Char('s'));
    let asked = commands(&press(&mut model, Key::Enter));
    assert_eq!(asked, vec![Command::Skip { dataset: DatasetId(3) }]);
    assert_eq!(model.live.requested.skip_of(DatasetId(3)), Some(true));
    tell(&mut model, Event::Skipped { dataset: DatasetId(3) });
    assert_eq!(model.live.requested.skip_of(DatasetId(3)), None);
    // Taking it back needs no question.
    let back = commands(&press(&mut model, Key::Char('s')));
    assert_eq!(back, vec![Command::Unskip { dataset: DatasetId(3) }]);
    tell(&mut model, Event::Unskipped { dataset: DatasetId(3) });
    assert_eq!(model.live.requested.skip_of(DatasetId(3)), None);
}

#[test]
fn stop_asks_and_leaves_when_the_session_has_ended() {
    for ask in [Key::Char('q'), Key::Ctrl('c')] {
        let mut model = running();
        assert!(press(&mut model, ask).is_empty());
        assert_eq!(model.live.question, Some(Question::Stop(Leave::Now)));
        assert_eq!(commands(&press(&mut model, Key::Enter)), vec![Command::Stop]);
        assert_eq!(model.live.requested.stop, Some(Leave::Now));
        let end = Event::Finished { outcome: Outcome::Stopped, seconds: 1.0 };
        tell(&mut model, end);
        assert!(quits(&update(&mut model, Message::Ended(Ok(Outcome::Stopped)))));
    }
}

#[test]
fn stop_can_be_taken_back_and_forced() {
    let mut model = running();
    press(&mut model, Key::Char('q'));
    press(&mut model, Key::Char('q'));
    assert_eq!(model.live.question, None);
    // Ctrl-C twice says yes; a third time does not wait for the worker.
    press(&mut model, Key::Ctrl('c'));
    assert_eq!(commands(&press(&mut model, Key::Ctrl('c'))), vec![Command::Stop]);
    assert!(quits(&press(&mut model, Key::Ctrl('c'))));
}

#[test]
fn a_sweep_is_left_in_three_ways() {
    let detaches = |effects: &[Effect]| matches!(effects, [Effect::Detach]);
    let mut model = running();
    press(&mut model, Key::Char('q'));
    press(&mut model, Key::Down);
    assert_eq!(model.live.question, Some(Question::Stop(Leave::After)));
    assert_eq!(commands(&press(&mut model, Key::Enter)), vec![Command::StopAfter]);
    assert_eq!(model.live.requested.stop, Some(Leave::After));
    // It may be wanted sooner.
    assert!(press(&mut model, Key::Char('q')).is_empty());
    assert_eq!(commands(&press(&mut model, Key::Char('s'))), vec![Command::Stop]);

    let mut model = running();
    press(&mut model, Key::Char('q'));
    press(&mut model, Key::Up);
    assert_eq!(model.live.question, Some(Question::Stop(Leave::Background)));
    assert!(detaches(&press(&mut model, Key::Enter)));
    // It is on its way: neither asked again nor left before.
    assert!(press(&mut model, Key::Char('q')).is_empty() && model.live.question.is_none());
    assert!(press(&mut model, Key::Char('p')).is_empty());
    assert!(quits(&update(&mut model, Message::Ended(Ok(Outcome::Stopped)))));

    let mut model = running();
    press(&mut model, Key::Char('q'));
    assert!(detaches(&press(&mut model, Key::Char('b'))));
    // The letters answer this question only.
    let mut model = running();
    model.live.focus = Some(Target::Dataset(DatasetId(3)));
    press(&mut model, Key::Char('s'));
    assert!(press(&mut model, Key::Char('b')).is_empty());
    assert_eq!(model.live.question, Some(Question::Skip(DatasetId(3))));
}

#[test]
fn who_watches_commands_once_attached() {
    let mut model = running();
    model.mode = Mode::Watch;
    for (link, word) in [
        (Link::Apart("it is commanded there: on node-7".into()), "node-7"),
        (Link::Nobody, "nobody measures"),
    ] {
        update(&mut model, Message::Link(link));
        assert!(press(&mut model, Key::Char('p')).is_empty());
        assert!(model.live.word.as_deref().is_some_and(|it| it.contains(word)));
    }
    update(&mut model, Message::Link(Link::Attached));
    assert_eq!(commands(&press(&mut model, Key::Char('p'))), vec![Command::Pause]);
    assert_eq!(model.live.requested.pause, Some(true));
    tell(&mut model, Event::Paused);
    assert_eq!((model.run.paused, model.live.requested.pause), (true, None));
    // Who leaves it so is told that it is still there.
    let waits = "its process waits in the background";
    assert!(summary(&model).contains(waits), "{}", summary(&model));
    let mut library = model.clone();
    library.from_library = true;
    press(&mut library, Key::Char('q'));
    assert!(library.library.said.as_deref().is_some_and(|said| said.contains(waits)));
    tell(&mut model, Event::Resumed);
    assert!(!summary(&model).contains(waits));
    tell(&mut model, Event::Paused);
    // Leaving stops nothing; to stop it is asked for.
    press(&mut model, Key::Char('Q'));
    assert_eq!(model.live.question, Some(Question::Stop(Leave::Now)));
    press(&mut model, Key::Up);
    assert_eq!(model.live.question, Some(Question::Stop(Leave::After)), "it has a process");
    assert!(press(&mut model, Key::Char('b')).is_empty());
    assert_eq!(commands(&press(&mut model, Key::Char('s'))), vec![Command::Stop]);
    tell(&mut model, Event::Finished { outcome: Outcome::Stopped, seconds: 1.0 });
    assert_eq!(model.live.requested, Default::default());
    assert!(quits(&press(&mut model, Key::Char('q'))));
    // What was asked of one that is gone is asked no more.
    let mut model = running();
    (model.mode, model.link) = (Mode::Watch, Link::Attached);
    press(&mut model, Key::Char('p'));
    update(&mut model, Message::Link(Link::Nobody));
    assert_eq!(model.live.requested, Default::default());
}

#[test]
fn an_ended_sweep_stays_until_a_key_and_takes_no_commands() {
    let mut model = fold(&Script::good().whole(), Look::default(), (80, 24));
    assert!(update(&mut model, Message::Ended(Ok(Outcome::Complete))).is_empty());
    assert!(press(&mut model, Key::Char('p')).is_empty());
    assert_eq!(model.live.word.as_deref(), Some("the sweep has ended"));
    assert!(quits(&press(&mut model, Key::Char('q'))));
}

#[test]
fn watching_commands_nobody() {
    let mut model = running();
    model.mode = Mode::Watch;
    model.live.focus = Some(Target::Dataset(DatasetId(0)));
    for key in [Key::Char('p'), Key::Char('s'), Key::Char('f')] {
        assert!(press(&mut model, key).is_empty());
        assert!(model.live.word.as_deref().is_some_and(|word| word.contains("watching")));
    }
    assert!(quits(&press(&mut model, Key::Char('q'))));
}

#[test]
fn first_toggles_and_is_confirmed() {
    let mut model = running();
    model.live.focus = Some(Target::Dataset(DatasetId(2)));
    let wanted = Some(DatasetId(2));
    let asked = commands(&press(&mut model, Key::Char('f')));
    assert_eq!(asked, vec![Command::Focus { dataset: wanted }]);
    assert_eq!(model.live.requested.first, Some(wanted));
    tell(&mut model, Event::Focused { dataset: wanted });
    assert_eq!((model.live.requested.first, model.run.focus), (None, wanted));
    let back = commands(&press(&mut model, Key::Char('f')));
    assert_eq!(back, vec![Command::Focus { dataset: None }]);
}

#[test]
fn cursor_follows_the_best_until_moved() {
    let mut model = fold(&Script::good().whole(), Look::default(), (80, 24));
    let best = model.board.mean.as_ref().and_then(|mean| mean.best);
    assert!(best.is_some());
    assert_eq!(model.cursor(), best);
    press(&mut model, Key::End);
    assert_eq!(model.cursor(), Some(10));
    press(&mut model, Key::Right);
    assert_eq!(model.cursor(), Some(10));
    press(&mut model, Key::Home);
    press(&mut model, Key::Left);
    assert_eq!(model.cursor(), Some(0));
    press(&mut model, Key::Right);
    assert_eq!(model.cursor(), Some(1));
    press(&mut model, Key::Char('b'));
    assert_eq!(model.cursor(), best);
}

#[test]
fn focus_goes_round_and_back_steps_out() {
    let mut model = running();
    let n = model.board.targets().count();
    let mut seen = Vec::new();
    for _ in 0..n {
        press(&mut model, Key::Tab);
        seen.extend(model.live.focus);
    }
    assert_eq!(seen.first(), Some(&Target::Mean));
    assert_eq!(seen.len(), n);
    press(&mut model, Key::Tab);
    assert_eq!(model.live.focus, None);
    press(&mut model, Key::BackTab);
    press(&mut model, Key::Enter);
    assert!(model.live.alone);
    press(&mut model, Key::Esc);
    assert!(!model.live.alone && model.live.focus.is_some());
    press(&mut model, Key::Esc);
    assert_eq!(model.live.focus, None);
}

#[test]
fn looks_and_views_cycle() {
    let mut model = running();
    press(&mut model, Key::Char('t'));
    assert_eq!(model.look.palette, Palette::Light);
    press(&mut model, Key::Char('c'));
    assert_eq!(model.look.charset, Charset::Blocks);
    press(&mut model, Key::Char('z'));
    assert_eq!(model.live.zoom, Zoom::Focused);
    press(&mut model, Key::Char('a'));
    assert_eq!(model.live.metric, Metric::Loss);
    press(&mut model, Key::Char('o'));
    assert_eq!(model.live.shown, Shown::Id);
    let effects = press(&mut model, Key::Char('m'));
    assert!(matches!(effects.as_slice(), [Effect::Mouse(true)]));
    update(&mut model, Message::Pick(Pick::Alpha(99)));
    assert_eq!(model.cursor(), Some(10));
}

#[test]
fn every_live_binding_does_something_visible_or_is_a_command() {
    for row in bindings().filter(|row| row.context == keymap::Context::Live) {
        for key in row.keys {
            let mut model = running();
            model.live.focus = Some(Target::Dataset(DatasetId(1)));
            model.live.cursor = Some(5);
            model.live.log = true;
            model.live.scroll = 1;
            let before = model.clone();
            let effects = press(&mut model, *key);
            assert!(model != before || !effects.is_empty(), "{key} does nothing");
        }
    }
}

#[test]
fn failed_cells_are_counted_and_said() {
    let mut model = running();
    let message = "evaluate openmoji: logits are not finite".to_string();
    let cell = Script::cell(2, 4);
    tell(&mut model, Event::CellFailed { cell, round: RoundId(3), message });
    assert_eq!(model.board.failed, 1);
    assert!(
        model
            .log
            .iter()
            .any(|line| line.level == Level::Error && line.text.contains("openmoji at α 0.4"))
    );
}

/// A page of it, and not beyond its end: one key up from there moves it.
#[test]
fn the_help_page_turns_by_pages_and_ends() {
    let mut model = fold(&Script::good().until(3), Look::default(), (80, 24));
    press(&mut model, Key::Char('?'));
    press(&mut model, Key::PageDown);
    assert_eq!(model.help, Some(21), "all that was seen but its last line");
    press(&mut model, Key::PageUp);
    assert_eq!(model.help, Some(0));
    for _ in 0..30 {
        press(&mut model, Key::Char(' '));
    }
    let last = model.help.unwrap();
    let lines = alphascope::app::help::page(&model, alphascope::app::help::columns(80)).len();
    assert_eq!(last + 22, lines, "the last line stands at the lower edge");
    press(&mut model, Key::Up);
    assert_eq!(model.help, Some(last - 1));
}

#[test]
fn the_summary_is_plain_and_narrow() {
    let mut model = fold(&Script::barrier().whole(), Look::default(), (80, 24));
    update(&mut model, Message::Ended(Ok(Outcome::Complete)));
    let text = summary(&model);
    insta::assert_snapshot!(text);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    // … and in ASCII where the screen was, its columns where they were.
    model.look.charset = Charset::Ascii;
    let plain = summary(&model);
    assert!(plain.is_ascii() && plain.contains("(alpha 0) -> fine-tuned"), "{plain}");
    assert!(plain.lines().all(|line| line.len() <= 80));
    let row = |text: &str| text.lines().find(|it| it.starts_with("twemoji")).map(str::to_string);
    assert_eq!(row(&plain), row(&text.replace('−', "-")));
    assert_eq!(
        plain.lines().find_map(|it| it.find("gain  images")),
        text.lines().find_map(|it| Some(it[..it.find("gain  images")?].chars().count()))
    );
    let empty = Model::new(Screen::Setup, Mode::Own, Look::default());
    assert_eq!(summary(&empty), "");
}

/// An error that was mended since is history.
#[test]
fn the_summary_tells_of_what_still_holds() {
    let script = Script::good();
    let mut events = script.whole();
    let cell = Script::cell(1, 3);
    let at = events
        .iter()
        .position(|it| matches!(it, Event::Measured(m) if m.cell == cell && m.round == RoundId(1)))
        .unwrap();
    let message = "evaluate noto: the device was lost".to_string();
    let failed = Event::CellFailed { cell, round: RoundId(1), message };
    let summary_of = |events: &[Event], end: Result<Outcome, String>| {
        let mut model = fold(events, Look::default(), (80, 24));
        update(&mut model, Message::NotTaken("a line was closed".into()));
        update(&mut model, Message::Ended(end));
        summary(&model)
    };
    events.insert(at, failed.clone());
    let mended = summary_of(&events, Ok(Outcome::Complete));
    assert!(!mended.contains("error"), "{mended}");
    // Not measured after all.
    events.remove(at + 1);
    let broken = summary_of(&events, Ok(Outcome::Partial));
    assert_eq!(broken.matches("error: ").count(), 1, "{broken}");
    assert!(broken.contains("at α 0.3: evaluate noto: the device was lost"), "{broken}");
    let ended = summary_of(&events, Err("no worker is left".into()));
    assert!(ended.contains("error: no worker is left"), "{ended}");
    // Many are counted.
    for alpha in 0..8 {
        let cell = Script::cell(2, alpha);
        let gone = |it: &Event| matches!(it, Event::Measured(m) if m.cell == cell);
        events.retain(|it| !gone(it));
        let message = "no".to_string();
        events.push(Event::CellFailed { cell, round: RoundId(0), message });
    }
    let many = summary_of(&events, Ok(Outcome::Partial));
    assert_eq!(many.matches("error: ").count(), 5, "{many}");
    assert!(many.contains("and 4 more of these"), "{many}");
}

#[test]
fn where_there_is_no_room_for_a_chart_its_keys_say_so() {
    for (size, small) in [((40, 12), true), ((80, 24), false)] {
        let mut model = fold(&Script::good().until(60), Look::default(), size);
        for (key, what) in [('v', "the table"), ('z', "the chart"), ('+', "the chart")] {
            press(&mut model, Key::Char(key));
            let said = model.live.word.clone().unwrap_or_default();
            assert_eq!(said.contains("too small for") && said.contains(what), small, "{said}");
        }
        press(&mut model, Key::Right);
        assert_eq!(model.live.word, None);
    }
}

/// On *Live* as a pane, elsewhere over the screen; where `l` is text or a value it stays that.
#[test]
fn the_log_opens_from_every_screen() {
    let mut model = fold(&Script::good().until(60), Look::default(), (80, 24));
    press(&mut model, Key::Char('l'));
    assert_eq!((model.live.log, model.log_page), (true, None));
    for tab in ['2', '3', '4'] {
        press(&mut model, Key::Char(tab));
        press(&mut model, Key::Char('l'));
        assert_eq!(model.log_page, Some(0));
        press(&mut model, Key::Char('l'));
        assert_eq!((model.live.log, model.log_page), (true, None));
    }
    // From the newest line up, to the first and no farther.
    for line in 0..40 {
        update(&mut model, Message::Log(Level::Info, format!("line {line}")));
    }
    press(&mut model, Key::Char('l'));
    press(&mut model, Key::Down);
    assert_eq!(model.log_page, Some(0));
    press(&mut model, Key::Up);
    assert_eq!(model.log_page, Some(1));
    for _ in 0..9 {
        press(&mut model, Key::PageUp);
    }
    let first = model.log_page.unwrap();
    assert!((18..=30).contains(&first), "{first}");
    press(&mut model, Key::Down);
    assert_eq!(model.log_page, Some(first - 1));
    press(&mut model, Key::Esc);
    assert_eq!(model.log_page, None);
    // A filter takes letters, a form values.
    press(&mut model, Key::Char('2'));
    press(&mut model, Key::Char('/'));
    press(&mut model, Key::Char('l'));
    assert_eq!(model.log_page, None);
    let mut setup = Model::new(Screen::Setup, Mode::Own, Look::default());
    press(&mut setup, Key::Char('l'));
    assert_eq!(setup.log_page, None);
    let mut runs = Model::new(Screen::Library, Mode::Own, Look::default());
    press(&mut runs, Key::Char('l'));
    assert_eq!(runs.log_page, Some(0));
}

#[test]
fn there_is_no_gain_before_a_point_between_the_ends() {
    let script = Script::good();
    let (sets, mut events) = (script.header.datasets.len(), script.opening());
    let all = script.measurements();
    // The first two points are the ends.
    events.extend(all[..2 * sets].iter().cloned());
    let model = fold(&events, Look::default(), (80, 24));
    assert!(model.board.targets().all(|it| it.best.is_some() && it.gain.is_none()));
    events.extend(all[2 * sets..3 * sets].iter().cloned());
    let model = fold(&events, Look::default(), (80, 24));
    assert!(model.board.targets().all(|it| it.gain.is_some()));
}

/// However the events are batched, the model ends the same.
#[test]
fn live_equals_replay() {
    let script = Script::good();
    let events = script.whole();
    let mut live = Model::new(Screen::Live, Mode::Own, Look::default());
    for (i, event) in events.iter().enumerate() {
        update(&mut live, Message::Event(Box::new(event.clone())));
        if i % 7 == 0 {
            live.settle();
        }
    }
    live.settle();
    let text: Vec<String> =
        events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    let read: Vec<Event> = text.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut replay = fold(&read, Look::default(), (80, 24));
    replay.size = live.size;
    assert_eq!(live, replay);
}

fn any_key() -> impl Strategy<Value = Key> {
    let all: Vec<Key> = bindings().flat_map(|row| row.keys.iter().copied()).collect();
    prop_oneof![
        8 => prop::sample::select(all),
        1 => any::<char>().prop_map(Key::Char),
        1 => Just(Key::F(12)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Key(Key),
    Measure(usize),
    Event(Box<Event>),
    Wheel(i16),
    Pick(usize),
    Resize(u16, u16),
    Tick,
}

fn any_step() -> impl Strategy<Value = Step> {
    let set = (0usize..8).prop_map(DatasetId);
    let event = prop_oneof![
        Just(Event::Paused),
        Just(Event::Resumed),
        Just(Event::Unknown),
        set.clone().prop_map(|dataset| Event::Skipped { dataset }),
        set.clone().prop_map(|dataset| Event::Unskipped { dataset }),
        prop::option::of(set).prop_map(|dataset| Event::Focused { dataset }),
        ".{0,40}".prop_map(|text| Event::notice(Level::Warning, text)),
        (0usize..8, 0usize..13).prop_map(|(set, alpha)| Event::CellFailed {
            cell: Script::cell(set, alpha),
            round: RoundId(0),
            message: "failed".to_string(),
        }),
        Just(Event::Finished { outcome: Outcome::Stopped, seconds: f64::NAN }),
        Just(Event::Header(Script::barrier().header)),
    ];
    prop_oneof![
        4 => any_key().prop_map(Step::Key),
        3 => (0usize..400).prop_map(Step::Measure),
        2 => event.prop_map(|event| Step::Event(Box::new(event))),
        1 => any::<i16>().prop_map(Step::Wheel),
        1 => (0usize..20).prop_map(Step::Pick),
        1 => (0u16..220, 0u16..80).prop_map(|(w, h)| Step::Resize(w, h)),
        1 => Just(Step::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 256 }))]

    /// No order of keys and events, sensible or not, panics; and what is on
    /// the board depends on the events alone.
    #[test]
    fn nothing_panics(
        opened in any::<bool>(),
        steps in prop::collection::vec(any_step(), 0..60),
    ) {
        let script = Script::good();
        let measured = script.measurements();
        let mut model = Model::new(Screen::Live, Mode::Own, Look::default());
        let mut events = if opened { script.opening() } else { Vec::new() };
        for event in &events {
            update(&mut model, Message::Event(Box::new(event.clone())));
        }
        for step in steps {
            let message = match step {
                Step::Key(key) => Message::Key(key),
                Step::Measure(i) => {
                    Message::Event(Box::new(measured[i % measured.len()].clone()))
                }
                Step::Event(event) => Message::Event(event),
                Step::Wheel(lines) => Message::Wheel(lines),
                Step::Pick(i) => Message::Pick(Pick::Alpha(i)),
                Step::Resize(w, h) => Message::Resize(w, h),
                Step::Tick => Message::Tick,
            };
            if let Message::Event(event) = &message {
                events.push((**event).clone());
            }
            update(&mut model, message);
            draw(&model);
        }
        model.settle();
        draw(&model);
        let _ = summary(&model);
        let replayed = fold(&events, model.look, model.size);
        prop_assert_eq!(&model.run, &replayed.run);
        // A person may look at a variant: the board of the same one is equal.
        let board = Board::of(&replayed.run, model.live.variant);
        prop_assert_eq!(&model.board, &board);
    }
}

#[cfg(feature = "tui")]
fn draw(model: &Model) {
    use alphascope::ui::{Theme, hit, view};
    use ratatui::{Terminal, backend::TestBackend};
    let theme = Theme::of(model.look);
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    terminal.draw(|frame| view(model, &theme, frame)).unwrap();
    let _ = hit(model, &theme, model.size.0 / 3, model.size.1 / 2);
}

#[cfg(not(feature = "tui"))]
fn draw(_model: &Model) {}

/// `UPDATE_DOCS=1 cargo test --test app docs` writes the page anew.
#[test]
fn the_docs_list_the_keys() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md");
    let expected = format!(
        "# Keys\n\nMade from the program's own table; `?` shows the same.\n\n{}\n",
        keymap::markdown().trim_end()
    );
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "docs/keys.md is stale: UPDATE_DOCS=1 cargo test --test app docs");
}
