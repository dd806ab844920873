//! The three endpoints as Microsoft's pages describe them, played by fakes of our own: Entra's `how-to-use-vm-token`, App
//! Service's `overview-managed-identity`, and Azure Arc's `managed-identity-authentication`. No platform of Azure took part.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};

use super::*;
use crate::transport::http::{Options, client};

const AUDIENCE: &str = "https://api.example.net";
const IDENTITY: &str = "66666666-7777-8888-9999-000000000000";

/// What a fake was asked: path with query, and headers.
type Asked = Vec<(String, HeaderMap)>;
type Answer = dyn Fn(&Uri, &HeaderMap) -> Response<Body> + Send + Sync;

/// An endpoint on loopback.
struct Fake {
    url: Url,
    asked: Arc<Mutex<Asked>>,
}

impl Fake {
    async fn start(answer: impl Fn(&Uri, &HeaderMap) -> Response<Body> + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Asked::new()));
        let state: (Arc<Mutex<Asked>>, Arc<Answer>) = (Arc::clone(&asked), Arc::new(answer));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address")).parse().expect("a URL");
        let app = Router::new().fallback(handle).with_state(state);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, asked }
    }

    fn asked(&self) -> Asked {
        self.asked.lock().expect("no panic").clone()
    }
}

async fn handle(
    State((asked, answer)): State<(Arc<Mutex<Asked>>, Arc<Answer>)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    asked.lock().expect("no panic").push((uri.to_string(), headers.clone()));
    answer(&uri, &headers)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body.to_owned())).expect("a response")
}

async fn ask(platform: &Platform, client_id: Option<&str>) -> Result<Grant, TokenError> {
    let options = Options { timeout: Duration::from_secs(20), loopback: true, ..Options::default() };
    let request = Request { audience: AUDIENCE, client_id, timeout: Duration::from_secs(20) };
    platform.ask(&client(&options).expect("a client"), request).await
}

fn of(variables: &[(&str, &str)], has_arc_agent: bool) -> Result<Platform, String> {
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Platform::of(&variable, has_arc_agent)
}

#[test]
fn the_platform_is_known_by_its_variables() {
    let check = |variables: &[(&str, &str)], has_arc_agent: bool, expected: &str| {
        let found = match of(variables, has_arc_agent) {
            Ok(Platform::VirtualMachine(url)) => format!("virtual machine {url}"),
            Ok(Platform::AppService { endpoint, .. }) => format!("app service {endpoint}"),
            Ok(Platform::Arc { endpoint, proofs }) => format!("arc {endpoint} {}", proofs.display()),
            Err(why) => why,
        };
        assert!(found.contains(expected), "{variables:?}: {found}");
    };
    let (endpoint, header) = (("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi/token"), ("IDENTITY_HEADER", "canary"));
    let imds = ("IMDS_ENDPOINT", "http://localhost:40342");
    let arc = "arc http://localhost:40342/metadata/identity/oauth2/token /var/opt/azcmagent/tokens";
    check(&[], false, "virtual machine http://169.254.169.254/metadata/identity/oauth2/token");
    check(&[endpoint, header], false, "app service http://127.0.0.1:41/msi/token");
    check(&[endpoint, header, imds], true, "app service http://127.0.0.1:41/msi/token");
    check(&[endpoint, imds], false, "arc http://127.0.0.1:41/msi/token /var/opt/azcmagent/tokens");
    check(&[], true, arc);
    check(&[endpoint], false, "virtual machine http://169.254.169.254/");
    check(&[("IDENTITY_ENDPOINT", ""), ("IDENTITY_HEADER", "")], false, "virtual machine");
    let other = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:42/");
    check(&[other], false, "virtual machine http://127.0.0.1:42/metadata/identity/oauth2/token");
    check(&[("IDENTITY_ENDPOINT", "no url"), header], false, "IDENTITY_ENDPOINT holds no URL");
    check(&[endpoint, header, ("IDENTITY_SERVER_THUMBPRINT", "00")], false, "Service Fabric");
    let shown = format!("{:?}", of(&[endpoint, header], false));
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn a_refusal_is_remembered_by_the_identity() {
    assert_eq!(fingerprint(Some("a")), fingerprint(Some("a")));
    assert_eq!(fingerprint(None), fingerprint(None));
    assert_ne!(fingerprint(Some("a")), fingerprint(Some("b")));
    assert_ne!(fingerprint(Some("a")), fingerprint(None));
}

#[tokio::test]
async fn a_virtual_machine_is_asked_with_its_header_and_numbers_may_be_texts() {
    let fake = Fake::start(|_, headers| match headers.get("metadata") {
        Some(value) if value == "true" => answer(
            200,
            &[("date", "Fri, 02 May 2025 14:41:49 GMT")],
            r#"{"access_token":"eyJ0.a.b","client_id":"x","expires_in":"86399","expires_on":"1746197909","ext_expires_in":"86399","not_before":"1","resource":"r","token_type":"Bearer"}"#,
        ),
        Some(_) | None => answer(
            400,
            &[],
            r#"{"error":"bad_request_102","error_description":"Required metadata header not specified"}"#,
        ),
    })
    .await;
    let platform = Platform::VirtualMachine(fake.url.clone());
    let grant = ask(&platform, None).await.expect("a token");
    assert_eq!((grant.secret.expose_secret(), grant.life), ("eyJ0.a.b", Duration::from_secs(1000)));
    ask(&platform, Some(IDENTITY)).await.expect("a token");
    let targets: Vec<_> = fake.asked().into_iter().map(|(target, _)| target).collect();
    let own = "/token?api-version=2018-02-01&resource=https%3A%2F%2Fapi.example.net";
    assert_eq!(targets, [own.to_owned(), format!("{own}&client_id={IDENTITY}")]);
}

#[tokio::test]
async fn app_service_is_asked_with_its_secret_header_and_says_only_when_the_token_ends() {
    let fake = Fake::start(|_, headers| match headers.get("x-identity-header") {
        Some(value) if value == "canary-header" && !headers.contains_key("metadata") => answer(
            200,
            &[("date", "Fri, 02 May 2025 14:41:49 GMT")],
            r#"{"access_token":"eyJ0.a.b","expires_on":"1746197909","resource":"r","token_type":"Bearer","client_id":"x"}"#,
        ),
        other => answer(401, &[], &format!(r#"{{"statusCode":401,"message":"not {other:?} canary-header"}}"#)),
    })
    .await;
    let platform = |header: &str| Platform::AppService { endpoint: fake.url.clone(), header: header.into() };
    let grant = ask(&platform("canary-header"), Some(IDENTITY)).await.expect("a token");
    assert_eq!((grant.secret.expose_secret(), grant.life), ("eyJ0.a.b", Duration::from_secs(1000)));
    let target = format!("/token?api-version=2019-08-01&resource=https%3A%2F%2Fapi.example.net&client_id={IDENTITY}");
    assert_eq!(fake.asked()[0].0, target);
    for header in ["canary-header!", "canary\nheader"] {
        let error = ask(&platform(header), None).await.expect_err("a wrong header");
        assert!(matches!(error, TokenError::Refused { .. }), "{error}");
        assert!(!error.to_string().contains("canary-header!") && !error.to_string().contains("canary\\n"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_a_token_is_a_refusal_or_passes() {
    let check = async |status: u16, headers: &'static [(&str, &str)], body: &'static str, expected: &str| {
        let fake = Fake::start(move |_, _| answer(status, headers, body)).await;
        let error = ask(&Platform::VirtualMachine(fake.url.clone()), None).await.expect_err("no token");
        let decision = match &error {
            TokenError::Refused { .. } => "refused",
            TokenError::Unavailable { .. } => "unavailable",
            TokenError::Throttled { .. } => "throttled",
        };
        let said = format!("{decision} after {}: {error}", error.after().as_secs());
        for word in expected.split('|') {
            assert!(said.contains(word), "{status}: {said} lacks {word}");
        }
        assert!(!said.contains("canary"), "{said}");
        assert_eq!(fake.asked().len(), 1, "{status}: asked once, whatever comes");
    };
    let not_found = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
    check(400, &[], not_found, "refused after 0|the metadata service|Identity not found|assigned to it?").await;
    check(403, &[], "no", "refused|answered 403").await;
    for status in [404, 410, 500, 502, 503, 504] {
        check(status, &[], "{}", "unavailable after 0|the metadata service").await;
    }
    check(410, &[("retry-after", "70")], "", "unavailable after 70").await;
    check(429, &[("retry-after", "9")], "{}", "throttled after 9").await;
    check(302, &[("location", "http://127.0.0.1:1/canary")], "", "unavailable|answered 302").await;
    check(200, &[], r#"{"access_token":["canary"]}"#, "unavailable|no access_token").await;
    check(200, &[], r#"{"access_token":"canary","expires_on":"1"}"#, "unavailable|expired already").await;
    let resource = r#"{"error":"invalid_resource","error_description":"AADSTS500011: The resource principal …"}"#;
    check(400, &[], resource, "refused|AADSTS500011|check audience").await;
    check(400, &[], r#"{"error":"x","error_description":"AADSTS90033: …"}"#, "unavailable|AADSTS90033").await;
}

/// Arc's agent: a challenge that names a file, and a token for what stands in it.
async fn agent(proofs: &Path, named: &str) -> (Fake, Platform) {
    let realm = format!("Basic realm={}", proofs.join(named).display());
    let fake = Fake::start(move |_, headers| {
        if headers.get("metadata").is_none_or(|value| value != "true") {
            return answer(400, &[], "{}");
        }
        match headers.get("authorization").map(|value| value.to_str().unwrap_or_default()) {
            None => answer(401, &[("www-authenticate", &realm)], ""),
            Some("Basic canary-proof") => answer(
                200,
                &[],
                r#"{"access_token":"eyJ0.a.b","expires_in":"3599","expires_on":"4102444800","token_type":"Bearer"}"#,
            ),
            Some(other) => answer(401, &[("www-authenticate", &realm)], &format!(r#"{{"error":"not {other}"}}"#)),
        }
    })
    .await;
    let platform = Platform::Arc { endpoint: fake.url.clone(), proofs: proofs.to_owned() };
    (fake, platform)
}

#[tokio::test]
async fn arc_gets_what_stands_in_its_file_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    write("good.key", "canary-proof\n");
    write("wrong.key", "canary-wrong");
    write("other.txt", "canary-proof");

    let (fake, platform) = agent(dir.path(), "good.key").await;
    assert_eq!(ask(&platform, None).await.expect("a token").life, Duration::from_secs(3599));
    let asked = fake.asked();
    let target = "/token?api-version=2020-06-01&resource=https%3A%2F%2Fapi.example.net";
    assert_eq!(asked.iter().map(|(target, _)| target.as_str()).collect::<Vec<_>>(), [target, target]);
    let error = ask(&platform, Some(IDENTITY)).await.expect_err("no such identity").to_string();
    assert!(error.contains("leave client_id out"), "{error}");
    assert_eq!(fake.asked().len(), 2, "it is not even asked");

    let check = async |named: &str, words: &str, calls: usize| {
        let (fake, platform) = agent(dir.path(), named).await;
        let error = ask(&platform, None).await.expect_err(named);
        assert!(matches!(error, TokenError::Refused { .. }) && error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(fake.asked().len(), calls, "{named}");
        let sent = fake.asked().iter().filter(|(_, headers)| headers.contains_key("authorization")).count();
        assert_eq!(sent, calls - 1, "{named}: nothing is told");
    };
    check("other.txt", "no .key file in", 1).await;
    check("../good.key", "no .key file in", 1).await;
    check("/etc/passwd", "no .key file in", 1).await;
    check("missing.key", "the group himds", 1).await;
    check("wrong.key", "answered 401: {\"error\":\"not Basic ***\"}", 2).await;
}

#[tokio::test]
async fn where_nobody_listens_it_is_said_whom_we_meant() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody: Url = format!("http://{}/", listener.local_addr().expect("an address")).parse().expect("a URL");
    drop(listener);
    let platforms = [
        (Platform::VirtualMachine(nobody.clone()), "is this a virtual machine of Azure?"),
        (Platform::AppService { endpoint: nobody.clone(), header: "x".into() }, "identity endpoint of App Service"),
        (Platform::Arc { endpoint: nobody, proofs: "/".into() }, "does the agent of Azure Arc run?"),
    ];
    for (platform, words) in platforms {
        let error = ask(&platform, None).await.expect_err("nobody");
        let text = error.to_string();
        assert!(matches!(error, TokenError::Unavailable { .. }) && text.contains(words), "{text}");
    }
}
