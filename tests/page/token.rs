//! The token of the admin port: who has it sees everything, who has not sees that there is something and no more.

use reqwest::{Client, Response};

use crate::faking::Faking;
use crate::harness::{Daemon, Place, QUICK, wait_for, web};

/// Made up for this test.
pub(crate) const TOKEN: &str = "7f0c2a1d9b8e4f6350c1aa27d4e8b913";

/// A daemon that wants the token.
pub(crate) async fn locked() -> (Place, Faking, Daemon) {
    let (place, source) = (Place::new(), Faking::start().await);
    place.configure(&[QUICK, &source.tenant(&place, "contoso", 1), &place.file_sink("file"), &table(&place)]);
    let daemon = Daemon::start(&place);
    (place, source, daemon)
}

fn table(place: &Place) -> String {
    use std::os::unix::fs::PermissionsExt;
    let file = place.write("admin.token", &format!("{TOKEN}\n"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its own file");
    format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ file = \"{}\" }}\n\n", file.display())
}

async fn get(client: &Client, url: &str, header: Option<(&str, &str)>) -> Response {
    let request = client.get(url);
    let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    request.send().await.expect("an answer")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_told_but_that_it_lives() {
    let (place, _source, daemon) = locked().await;
    let (origin, client) = (daemon.origin(), web());
    for path in ["/", "/status", "/metrics", "/events", "/nothing"] {
        let stranger = get(&client, &format!("{origin}{path}"), None).await;
        assert_eq!(stranger.status().as_u16(), 401, "{path}");
        assert_eq!(stranger.headers()["www-authenticate"], "Bearer realm=\"xdrelay\"");
        assert!(!stranger.text().await.expect("a text").contains("contoso"));
    }
    let friend = bearer(TOKEN);
    for (path, status) in [("/", 200), ("/status", 200), ("/metrics", 200), ("/events", 200), ("/nothing", 404)] {
        let answer = get(&client, &format!("{origin}{path}"), Some(("authorization", &friend))).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
    for path in ["/healthz", "/readyz"] {
        let stranger = get(&client, &format!("{origin}{path}"), None).await;
        assert_eq!(stranger.status().as_u16(), 200, "{path}: containers ask it");
        assert_eq!(stranger.text().await.expect("a text"), "", "{path} tells a stranger no details");
        let friend = get(&client, &format!("{origin}{path}"), Some(("authorization", &friend))).await;
        assert!(friend.text().await.expect("a text").starts_with('{'), "{path}");
    }
    assert!(!daemon.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_tokens_has_to_wait_and_nobody_else() {
    let (_place, _source, daemon) = locked().await;
    let (origin, client) = (daemon.origin(), web());
    let url = format!("{origin}/status");
    let session = session(&client, &origin).await;
    let mut answers = Vec::new();
    for number in 0..8 {
        let wrong = format!("{TOKEN}{number}");
        let answer = get(&client, &url, Some(("authorization", &bearer(&wrong)))).await;
        answers.push(answer.status().as_u16());
    }
    assert_eq!(answers[..3], [401, 401, 401], "people mistype");
    assert!(answers.contains(&429), "{answers:?}");
    // Behind a proxy on this host everybody has this address.
    let right = get(&client, &url, Some(("authorization", &bearer(TOKEN)))).await;
    assert_eq!(right.status().as_u16(), 200, "nobody else's guesses keep the token out");
    let inside = get(&client, &url, Some(("cookie", &session))).await;
    assert_eq!(inside.status().as_u16(), 200, "who is in stays in");
    let mut turned_away = false;
    // A pause may be over by the time of one; the next is twice as long.
    for _ in 0..8 {
        let guess =
            client.post(format!("{origin}/login")).form(&[("token", "a guess")]).send().await.expect("an answer");
        turned_away |= guess.status().as_u16() == 429 && guess.headers().contains_key("retry-after");
    }
    assert!(turned_away, "who guesses has to wait all the same");
}

/// Signs in as a browser does. The cookie, as it is sent back.
async fn session(client: &Client, origin: &str) -> String {
    let answer = client.post(format!("{origin}/login")).form(&[("token", TOKEN)]).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().expect("a text")), (303, "/"));
    let cookie = answer.headers()["set-cookie"].to_str().expect("a text").to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
        assert!(cookie.contains(part), "{part} is not in the cookie");
    }
    assert!(!cookie.contains(TOKEN));
    cookie.split(';').next().expect("a pair").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_cookie_that_ends() {
    let (place, _source, daemon) = locked().await;
    let (origin, client) = (daemon.origin(), web());
    let cookie = session(&client, &origin).await;
    let status = async |cookie: &str| {
        get(&client, &format!("{origin}/status"), Some(("cookie", cookie))).await.status().as_u16()
    };
    assert_eq!(status(&cookie).await, 200);
    assert_eq!(status(&format!("other=1; {cookie}; more=2")).await, 200);
    assert_eq!(status(&format!("{cookie}x")).await, 401);
    assert_eq!(status("xdrelay_session=").await, 401);
    assert_eq!(status(&format!("xdrelay_session={TOKEN}")).await, 401, "the token is no session");
    let form = get(&client, &format!("{origin}/"), Some(("accept", "text/html,*/*"))).await;
    assert_eq!(form.status().as_u16(), 401);
    let policy = form.headers()["content-security-policy"].to_str().expect("a text").to_owned();
    assert!(policy.contains("script-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
    let page = form.text().await.expect("a text");
    assert!(page.contains("type=\"password\"") && !page.contains("{why}"), "{page}");
    let left = client.post(format!("{origin}/logout")).header("cookie", &cookie).send().await.expect("an answer");
    assert_eq!(left.status().as_u16(), 303);
    assert_eq!(status(&cookie).await, 401, "it was ended");
    let huge = client.post(format!("{origin}/login")).body(format!("token={}", "x".repeat(100_000)));
    let huge = huge.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
    assert_eq!(huge.status().as_u16(), 413);
    assert_eq!(place.command(&["status"]).code, 0, "the socket of the state directory wants no token");
}
