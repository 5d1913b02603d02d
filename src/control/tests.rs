use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::sweep::command::Command;
use crate::sweep::ids::DatasetId;

const LONG: Duration = Duration::from_secs(60);

fn served(dir: &Path) -> (Server, Receiver<Command>) {
    let (sender, commands) = channel();
    (Server::start(dir, "events", sender).unwrap(), commands)
}

/// A watcher by hand.
struct Raw(BufReader<UnixStream>);

impl Raw {
    fn new(server: &Server) -> Self {
        let mut raw = Self(BufReader::new(UnixStream::connect(server.path()).unwrap()));
        assert_eq!(raw.read()["protocol"], PROTOCOL);
        raw
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or(Value::Null)
    }

    fn ask(&mut self, line: &[u8]) -> Value {
        self.0.get_mut().write_all(line).unwrap();
        self.0.get_mut().write_all(b"\n").unwrap();
        self.read()
    }
}

#[test]
fn a_command_is_handed_on_and_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (server, commands) = served(dir.path());
    assert_eq!(server.path(), dir.path().join("control.sock"));
    let mode = server.path().symlink_metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (mut client, mut replies) = attach(dir.path()).unwrap().remove(0);
    // Two at once.
    let (mut second, mut answers) = attach(dir.path()).unwrap().remove(0);
    let skip = Command::Skip { dataset: DatasetId(2) };
    client.send(&Command::Pause).unwrap();
    assert_eq!(commands.recv_timeout(LONG).unwrap(), Command::Pause);
    second.send(&skip).unwrap();
    assert_eq!(commands.recv_timeout(LONG).unwrap(), skip);
    assert_eq!(replies.read().unwrap(), json!({ "protocol": 1, "id": 1, "ok": true }));
    assert_eq!(answers.read().unwrap(), json!({ "protocol": 1, "id": 1, "ok": true }));
    // A what-if that makes way goes by what it does.
    let edit = crate::sparsify::parse("block.1=delta:0.5").unwrap();
    let supersede = Command::Supersede { sparsify: vec![edit] };
    client.send(&supersede).unwrap();
    assert_eq!(commands.recv_timeout(LONG).unwrap(), supersede);
    assert_eq!(replies.read().unwrap(), json!({ "protocol": 1, "id": 2, "ok": true }));
    drop(server);
    assert!(replies.read().is_err(), "the line ends with the sweep");
    assert!(!dir.path().join("control.sock").exists());
    assert!(matches!(attach(dir.path()), Err(AttachError::Nobody)));
}

#[test]
fn what_is_no_request_is_answered_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (server, commands) = served(dir.path());
    let mut raw = Raw::new(&server);
    let deep = [b"{\"ask\":".as_slice(), &b"[".repeat(100_000)].concat();
    let cases: [(&[u8], &str); 9] = [
        (b"", "expected a request"),
        (b"pause", "expected a request"),
        (b"[]", "expected a request"),
        (b"\xff\xfe\x00", "expected a request"),
        (&deep, "expected a request"),
        (br#"{"ask":{"command":"pause"}}"#, "expected `protocol` 1, got none"),
        (br#"{"protocol":2,"ask":{"command":"pause"}}"#, "expected `protocol` 1, got 2"),
        (br#"{"protocol":1}"#, "expected `ask`"),
        (br#"{"protocol":1,"id":9,"ask":{"command":"dance"}}"#, "unknown variant `dance`"),
    ];
    for (line, wanted) in cases {
        let reply = raw.ask(line);
        let text = reply["error"].as_str().unwrap_or_default();
        assert!(reply["ok"] == false && text.contains(wanted), "{reply}");
    }
    assert_eq!(commands.try_recv(), Err(TryRecvError::Empty));
    // The line is still good, and what is not known comes back.
    let line = br#"{"protocol":1,"id":"x","why":{"a":[1]},"ask":{"command":"resume","later":1}}"#;
    let reply = raw.ask(line);
    assert_eq!(reply, json!({ "protocol": 1, "id": "x", "why": { "a": [1] }, "ok": true }));
    assert_eq!(commands.recv_timeout(LONG).unwrap(), Command::Resume);
}

#[test]
fn a_line_without_an_end_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (server, commands) = served(dir.path());
    let mut raw = Raw::new(&server);
    // It may hang up before it has taken all of it.
    let _ = raw.0.get_mut().write_all(&vec![b'x'; LINE]);
    assert!(raw.read()["error"].as_str().unwrap().contains("is no request"));
    let mut line = String::new();
    assert_eq!(raw.0.read_line(&mut line).unwrap_or(0), 0, "{line}");
    assert_eq!(commands.try_recv(), Err(TryRecvError::Empty));
    // Others are not disturbed.
    assert_eq!(Raw::new(&server).ask(br#"{"protocol":1,"ask":{"command":"stop"}}"#)["ok"], true);
}

#[test]
fn a_path_that_is_too_long_goes_to_the_runtime_folder() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    // As the run's lock leaves it: it names the journal.
    std::fs::write(long.join("events.owner"), "").unwrap();
    let (server, commands) = served(&long);
    assert!(!server.path().starts_with(&long), "{}", server.path().display());
    let (mut client, _replies) = attach(&long).unwrap().remove(0);
    client.send(&Command::Pause).unwrap();
    assert_eq!(commands.recv_timeout(LONG).unwrap(), Command::Pause);
    let path = server.path().to_path_buf();
    drop(server);
    assert!(!path.exists());
}

#[test]
fn sockets_that_others_could_use_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let (server, _commands) = served(dir.path());
    for mode in [0o666, 0o660, 0o777, 0o604] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = attach(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("mode is {mode:04o}, expected 0600")), "{error}");
    }
    drop(server);
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    let error = attach(dir.path()).unwrap_err().to_string();
    assert!(error.contains("not a socket"), "{error}");
}

#[test]
fn what_a_dead_process_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(attach(dir.path()), Err(AttachError::Nobody)));
    let (_server, _commands) = served(dir.path());
    attach(dir.path()).unwrap();
}

#[test]
fn only_the_same_user_is_let_in() {
    assert!(is_same(Some(1000), 1000) && !is_same(Some(1001), 1000));
    assert!(!is_same(Some(0), 1000), "nor is root");
    let (one, _other) = UnixStream::pair().unwrap();
    if let Some(uid) = peer(&one).unwrap() {
        assert_eq!(uid, own());
    }
}

/// Really by another user: only root can become one.
#[cfg(target_os = "linux")]
#[test]
fn another_user_is_turned_away_by_the_kernels_word() {
    use std::os::unix::process::CommandExt;
    if own() != 0 {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(dir.path(), 0o755);
    let (server, commands) = served(dir.path());
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  print(s.makefile().readline())";
    let as_nobody = || {
        let mut python = std::process::Command::new("python3");
        python.args(["-c", script]).arg(server.path()).current_dir("/").uid(65_534).gid(65_534);
        python.output().unwrap()
    };
    // The mode keeps others out …
    let out = as_nobody();
    assert!(String::from_utf8_lossy(&out.stderr).contains("PermissionError"), "{out:?}");
    // … and where it does not, the question who it is.
    open(server.path(), 0o666);
    let out = as_nobody();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("only the user who runs this sweep"), "{out:?}");
    assert_eq!(commands.try_recv(), Err(TryRecvError::Empty));
}
