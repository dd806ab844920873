//! Users: the daemon's own, root who looks at what is the daemon's, and one who may look at nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Outcome, Place, QUICK, Running, alone, still, unlimited, wait_for};
use crate::skipped::skipped;

/// Whom the daemon runs as.
const SOMEBODY: u32 = 65534;
/// Who has nothing to do with it.
const ANYBODY: u32 = 65533;

/// A daemon of a user of its own, in a directory that is closed to it, as systemd closes `/var/lib/private`.
struct Lodger {
    place: Place,
    sandbox: Sandbox,
    program: PathBuf,
}

impl Lodger {
    /// None where this is not root: only root can be somebody else.
    async fn new(count: u32) -> Option<Self> {
        let (place, sandbox) = (Place::new(), still(count, unlimited()).await);
        if fs::metadata(place.path(".")).expect("a directory").uid() != 0 {
            return skipped("a daemon of another user, looked at by root: run the tests as root");
        }
        // Where the build lies others may not look. Another process copies it: while this one has it open for writing, a child that another
        // test starts may take that along, and then it is busy.
        let program = place.path("xdrelay");
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_xdrelay")).arg(&program).status();
        assert!(copied.expect("cp").success());
        for name in ["state", "out"] {
            fs::create_dir(place.path(name)).expect("a directory");
            chown(place.path(name), Some(SOMEBODY), Some(SOMEBODY)).expect("root");
        }
        place.configure(&[
            QUICK,
            &place.tenant("contoso", &sandbox),
            &place.file_sink("file").replace("file.ndjson", "out/file.ndjson"),
        ]);
        Some(Self { place, sandbox, program })
    }

    /// Starts a command as a user, whose files are for nobody else.
    fn start(&self, user: u32, arguments: &[&str]) -> Running {
        let mut command = alone("sh".as_ref());
        command
            .args(["-c", "umask 077; exec \"$@\"", "sh"])
            .arg(&self.program)
            .args(arguments)
            .arg("-c")
            .arg(self.config());
        command.uid(user).gid(user);
        Running::start(command)
    }

    fn config(&self) -> PathBuf {
        self.place.path("xdrelay.toml")
    }

    /// Lets the daemon's user in, to what it has to read.
    fn open(&self) {
        self.set(0o711, 0o644, SOMEBODY);
    }

    /// Keeps everybody out but root.
    fn close(&self) {
        self.set(0o700, 0o600, 0);
    }

    fn set(&self, around: u32, config: u32, reader_of_the_secret: u32) {
        fs::set_permissions(self.place.path("."), Permissions::from_mode(around)).expect("root");
        fs::set_permissions(self.config(), Permissions::from_mode(config)).expect("root");
        chown(self.place.path("contoso.secret"), Some(reader_of_the_secret), None).expect("root");
    }

    /// Runs a command as root, and looks whether anything of root's is left behind.
    fn as_root(&self, arguments: &[&str]) -> Outcome {
        let outcome = self.start(0, arguments).outcome();
        for path in below(&self.place.state()) {
            let owner = fs::symlink_metadata(&path).expect("it is there").uid();
            assert_eq!(owner, SOMEBODY, "{} after {arguments:?}: {outcome:#?}", path.display());
        }
        outcome
    }

    fn once(&self) -> Outcome {
        self.open();
        let outcome = self.start(SOMEBODY, &["run", "--once"]).outcome();
        self.close();
        outcome
    }
}

/// A path and everything below it.
fn below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten();
    let within = entries.flat_map(|entry| below(&entry.expect("an entry").path()));
    std::iter::once(path.to_owned()).chain(within).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_root_looks_at_stays_the_daemons() {
    let Some(lodger) = Lodger::new(3).await else { return };
    let number = lodger.sandbox.world().rows().by_number().next().expect("one").number.0.to_string();
    lodger.once().expect(0, &[]);
    assert_eq!(lodger.place.arrivals("out/file").len(), 3);
    lodger.as_root(&["status"]).expect(0, &["not running", "tenant contoso: read up to 2"]);
    lodger.as_root(&["status", "--json"]).expect(0, &["\"incidents_remembered\": 3"]);
    lodger.as_root(&["refused", "list"]).expect(0, &[]);
    lodger.as_root(&["state", "show"]).expect(0, &["contoso"]);
    lodger.as_root(&["state", "verify"]).expect(0, &["3 incidents remembered"]);
    lodger.as_root(&["state", "set-cursor", "contoso", "1h"]).expect(0, &[]);
    lodger.as_root(&["get", &number]).expect(0, &[&number]);
    lodger.as_root(&["check"]).expect(0, &["1 tenant: 1 works", "1 sink: 1 works"]);
    lodger.as_root(&["replay", "--since", "1h"]).expect(0, &["replayed 3 events", "no daemon runs"]);
    // Where root alone may write, root's file.
    let exported = lodger.place.path("export.ndjson");
    lodger.as_root(&["state", "export", exported.to_str().expect("UTF-8")]).expect(0, &["lines in"]);
    assert!(fs::metadata(&exported).is_ok_and(|about| about.uid() == 0 && 0 < about.len()));
    // The daemon goes on, and root sees it run.
    lodger.once().expect(0, &[]);
    assert_eq!(lodger.place.arrivals("out/file").len(), 6, "what was replayed");
    lodger.open();
    let mut daemon = lodger.start(SOMEBODY, &["run"]);
    let socket = lodger.place.state().join("control.sock");
    wait_for("the daemon to run", || UnixStream::connect(&socket).is_ok());
    lodger.as_root(&["status"]).expect(0, &["running\n", "tenant contoso"]);
    lodger.as_root(&["healthcheck"]).expect(0, &["healthy"]);
    daemon.signal("TERM");
    daemon.outcome().expect(0, &[]);
    lodger.close();
    lodger.as_root(&["state", "rebuild", "--yes"]).expect(0, &["made again from the checkpoint"]);
    lodger.once().expect(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_own_daemon_does_not_move_in_with_another_user() {
    let Some(lodger) = Lodger::new(1).await else { return };
    let words = ["belongs to user 65534", "run this as that user", "chown -R 0:0"];
    for before in [0, 1] {
        lodger.as_root(&["run", "--once"]).expect(73, &words);
        assert_eq!(lodger.place.arrivals("out/file").len(), before, "nothing is delivered");
        lodger.once().expect(0, &[]);
    }
    // By the database, where the directory is root's and lets the user in by its group.
    chown(lodger.place.state(), Some(0), Some(SOMEBODY)).expect("root");
    fs::set_permissions(lodger.place.state(), Permissions::from_mode(0o770)).expect("root");
    let outcome = lodger.start(0, &["status"]).outcome();
    outcome.expect(0, &["not running"]);
    lodger.once().expect(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_is_not_told_that_nothing_runs() {
    let Some(lodger) = Lodger::new(1).await else { return };
    lodger.open();
    fs::set_permissions(lodger.place.state(), Permissions::from_mode(0o700)).expect("root");
    for command in ["status", "healthcheck"] {
        let outcome = lodger.start(ANYBODY, &[command]).outcome();
        outcome.expect(69, &["cannot tell whether a daemon runs", "Permission denied", "run this with sudo"]);
        assert!(!outcome.err.contains("no daemon"), "{outcome:#?}");
    }
    // What was left behind by one that was killed is no daemon.
    let socket = lodger.place.state().join("control.sock");
    drop(UnixListener::bind(&socket).expect("a socket"));
    chown(&socket, Some(SOMEBODY), Some(SOMEBODY)).expect("root");
    lodger.as_root(&["healthcheck"]).expect(69, &["no daemon runs with the state directory"]);
    lodger.as_root(&["status"]).expect(0, &["not running"]);
}
