//! The cases of `tests/config/mistakes.txt`, and a directory with everything that they name. Judges nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Stands in the cases wherever somebody may have put a secret, and never in what is said about it.
pub(crate) const CANARY: &str = "cAnArY8Q~x7fT2";
/// A configuration without a mistake, below which the cases lay theirs.
const GOOD: &str = r#"
state_dir = "$DIR/state"
[tenants.contoso]
tenant_id = "11111111-2222-3333-4444-555555555555"
client_id = "66666666-7777-8888-9999-000000000000"
credential = { kind = "client_secret", file = "$DIR/secret" }
[sinks.archive]
kind = "file"
path = "$DIR/incidents.ndjson"
"#;

/// The key of the certificates that the cases name; `ring` makes no RSA key.
const APP_KEY: &str = include_str!("../identity/keys/one.pem");

/// One case of `tests/config/mistakes.txt`.
pub(crate) struct Case {
    pub(crate) title: String,
    /// Name and text of each file, in the order of the layers. `good.toml` goes before, unless one is `alone.toml`.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) says: String,
}

impl Case {
    /// The environment, where the cases have their files.
    pub(crate) fn environment(&self, dir: &Path) -> impl Iterator<Item = (String, String)> {
        let place = dir.display().to_string();
        self.env.iter().map(move |(name, value)| (name.clone(), value.replace("$DIR", &place)))
    }
}

/// The file of the cases, and its text.
pub(crate) fn file() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/mistakes.txt");
    let text = std::fs::read_to_string(&path).expect("the cases");
    (path, text)
}

/// The cases in that text.
pub(crate) fn of(text: &str) -> Vec<Case> {
    let cases: Vec<Case> = text.split("\n== ").skip(1).map(case).collect();
    assert!(90 <= cases.len(), "only {} cases were found", cases.len());
    cases
}

fn case(text: &str) -> Case {
    let (title, rest) = text.split_once('\n').expect("a title");
    let mut case = Case { title: title.into(), files: Vec::new(), env: Vec::new(), says: String::new() };
    for part in format!("\n{rest}").split("\n-- ").skip(1) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        match name {
            "env" => case.env = text.lines().filter_map(|line| line.split_once('=')).map(owned).collect(),
            "says" => case.says = text.trim_end().into(),
            _ => case.files.push((name.into(), text.into())),
        }
    }
    case
}

/// A pair of texts of its own.
pub(crate) fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.into(), value.into())
}

/// A directory with everything that the cases name.
pub(crate) fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    write("secret", &format!("{CANARY}\n"), 0o600);
    write("secret-for-all", CANARY, 0o644);
    write("secret-empty", "\n", 0o600);
    write("ca.pem", &key.cert.pem(), 0o644);
    write("key.pem", &key.signing_key.serialize_pem(), 0o600);
    write("other-key.pem", &rcgen::KeyPair::generate().expect("a key").serialize_pem(), 0o600);
    write("not-pem", "hello", 0o644);
    let (app, day) = (rcgen::KeyPair::from_pem(APP_KEY).expect("a key"), std::time::Duration::from_secs(24 * 3600));
    let of_app = |end: std::time::SystemTime| {
        let mut params = rcgen::CertificateParams::default();
        params.not_before = (end - 400 * day).into();
        params.not_after = end.into();
        params.self_signed(&app).expect("a certificate").pem()
    };
    let now = std::time::SystemTime::now();
    write("app.pem", &of_app(now + 365 * day), 0o644);
    write("app-soon.pem", &of_app(now + 10 * day + day / 2), 0o644);
    write("app-gone.pem", &of_app(now - day), 0o644);
    write("app.key", APP_KEY, 0o600);
    write("app-for-all.key", APP_KEY, 0o644);
    write("app-together.pem", &(of_app(now + 365 * day) + APP_KEY), 0o600);
    std::fs::create_dir(dir.path().join("directory")).expect("made");
    std::fs::set_permissions(dir.path().join("directory"), std::fs::Permissions::from_mode(0o755)).expect("set");
    dir
}

/// Writes the files of a case, and answers with the layers.
pub(crate) fn lay(dir: &Path, files: &[(String, String)]) -> Vec<PathBuf> {
    let alone = files.iter().any(|(name, _)| name == "alone.toml");
    let good = (!alone).then(|| ("good.toml".to_owned(), GOOD.to_owned()));
    let write = |(name, text): &(String, String)| {
        let path = dir.join(name);
        if name != "missing.toml" {
            std::fs::write(&path, text.replace("$DIR", &dir.display().to_string())).expect("written");
        }
        path
    };
    good.iter().chain(files).map(write).collect()
}
