//! The API when nothing goes wrong: sign-in, filter, pages, encodings, quotas.

use std::time::Duration;

use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::filter::Filter;
use xdrelay::sandbox::query::{Order, Taste};
use xdrelay::sandbox::settings::{Coding, Limits, QuotaWords, Quotas, RetryAfter, Settings};
use xdrelay::sandbox::stamp::{Trimmed, http_date};

use crate::client::{Heard, Visitor, decoded, heard};

fn unlimited() -> Settings {
    Settings { quotas: Quotas::lifted(), ..Settings::default() }
}

#[tokio::test]
async fn a_sign_in_is_looked_at_as_entra_does() {
    let visitor = Visitor::with(0, unlimited()).await;
    let check = async |form: &[(&str, &str)], status: u16, error: &str, code: u64| {
        let answer = visitor.token(form).await;
        let json = answer.json();
        assert_eq!((answer.status, json["error"].as_str()), (status, Some(error)), "{form:?}: {json}");
        assert_eq!(json["error_codes"], serde_json::json!([code]));
        assert!(json["error_description"].as_str().expect("a text").starts_with(&format!("AADSTS{code}: ")));
        assert!(!answer.text().contains("not-the-secret"), "a secret is not repeated");
    };
    check(&[("client_secret", "not-the-secret")], 401, "invalid_client", 7_000_215).await;
    check(&[("client_secret", "")], 401, "invalid_client", 7_000_218).await;
    check(&[("client_id", "00000000-0000-0000-0000-000000000000")], 400, "unauthorized_client", 700_016).await;
    check(&[("tenant", "00000000-0000-0000-0000-000000000000")], 400, "invalid_request", 90_002).await;
    check(&[("tenant", "no!tenant")], 400, "invalid_request", 900_023).await;
    check(&[("scope", "https://other.example/.default")], 400, "invalid_scope", 70_011).await;
    check(&[("scope", "https://api.security.microsoft.com")], 400, "invalid_scope", 70_011).await;
    check(&[("scope", "")], 400, "invalid_request", 900_144).await;
    check(&[("grant_type", "password")], 400, "unsupported_grant_type", 70_003).await;
    let granted = visitor.token(&[]).await.json();
    assert_eq!((granted["expires_in"].as_u64(), granted["token_type"].as_str()), (Some(3_599), Some("Bearer")));
    assert_eq!(granted["access_token"].as_str().expect("a token").split('.').count(), 3);
}

#[tokio::test]
async fn a_secret_in_a_basic_header_counts_too() {
    let visitor = Visitor::with(0, unlimited()).await;
    let encode = |text: String| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let url = format!("{}{}/oauth2/v2.0/token", visitor.sandbox.url(), visitor.sandbox.tenant_id());
    let request = visitor
        .client
        .post(url)
        .basic_auth(encode(visitor.sandbox.client_id()), Some(encode(visitor.sandbox.secret())))
        .form(&[("grant_type", "client_credentials"), ("scope", "https://api.security.microsoft.com/.default")]);
    assert_eq!(heard(request).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn only_a_token_that_counts_is_let_in() {
    let mut visitor = Visitor::with(1, Settings { token_lifetime: Duration::from_secs(600), ..unlimited() }).await;
    assert_eq!(visitor.list("").await.status, 200);
    visitor.sandbox.settings().clock_offset_ms = 500_000;
    assert_eq!(visitor.list("").await.status, 200);
    visitor.sandbox.settings().clock_offset_ms = 601_000;
    let expired = visitor.list("").await;
    assert_eq!((expired.status, expired.json()["error"]["code"].as_str()), (401, Some("Unauthorized")));
    assert!(expired.message().starts_with("Invalid Authorization payload. AppId: "), "{}", expired.text());
    visitor.sign_in().await;
    assert_eq!(visitor.list("").await.status, 200);
    visitor.sandbox.revoke_tokens();
    assert_eq!(visitor.list("").await.status, 401);
    visitor.token = "made.up.token".into();
    assert_eq!(visitor.ask("api/incidents/40961").await.expect("an answer").status, 401);
    for (roles, words) in [
        (vec![], "Missing application roles. API required roles: Incident.Read.All,Incident.ReadWrite.All"),
        (
            vec!["Alert.Read.All".into(), "Machine.Read.All".into()],
            ", application roles: Alert.Read.All,Machine.Read.All.",
        ),
    ] {
        visitor.sandbox.settings().roles = roles;
        visitor.sign_in().await;
        let forbidden = visitor.list("").await;
        assert_eq!((forbidden.status, forbidden.json()["error"]["code"].as_str()), (403, Some("Forbidden")));
        assert!(forbidden.message().ends_with(words), "{}", forbidden.text());
    }
}

#[tokio::test]
async fn the_filter_takes_what_the_real_one_takes() {
    let visitor = Visitor::with(10, unlimited()).await;
    let all = visitor.list("").await.ids();
    let (first, last) = (all[9], all[0]);
    let resolved = {
        let mut world = visitor.sandbox.world();
        let number = world.rows().by_number().next().expect("one").number;
        world.resolve(number, visitor.at(30)).expect("it is there");
        number.0
    };
    let time = |seconds| Trimmed(visitor.at(seconds)).to_string();
    let check = async |filter: String, count: usize| {
        let answer = visitor.list(&format!("$filter={filter}")).await;
        assert_eq!(answer.status, 200, "{filter}: {}", answer.text());
        let ids = answer.ids();
        assert_eq!(ids.len(), count, "{filter}: {ids:?}");
        ids
    };
    assert_eq!(check(format!("lastUpdateTime%20ge%20{}", time(30)), 1).await, [resolved]);
    assert_eq!(check(format!("lastUpdateTime+ge+{}", time(9)), 2).await, [resolved, last]);
    check(format!("lastUpdateTime gt {}", time(9)), 1).await;
    check(format!("lastUpdateTime lt {}", time(9)), 8).await;
    check(format!("lastUpdateTime le {}", time(9)), 9).await;
    check(format!("lastUpdateTime eq {}", time(9)), 1).await;
    check(format!("lastUpdateTime ge {}", visitor.at(9)), 2).await;
    check(format!("lastUpdateTime ge {} and lastUpdateTime lt {}", time(2), time(5)), 3).await;
    check(format!("lastUpdateTime ge {} and lastUpdateTime lt {}", time(5), time(2)), 0).await;
    check(format!("(lastUpdateTime lt {} or lastUpdateTime gt {})", time(2), time(29)), 2).await;
    check(format!("createdTime le {}", time(0)), 1).await;
    check(format!("createdTime ge {} and status eq 'Active'", time(5)), 5).await;
    check("status eq 'Resolved'".into(), 1).await;
    check("status ne 'Resolved'".into(), 9).await;
    check("assignedTo eq null".into(), 9).await;
    check("assignedTo eq 'Automation'".into(), 1).await;
    check("assignedTo eq 'it''s nobody'".into(), 0).await;
    assert_eq!(first, resolved, "the oldest by creation");
}

#[tokio::test]
async fn what_is_no_filter_is_refused() {
    let visitor = Visitor::with(1, unlimited()).await;
    let deep = format!("{}status eq 'A'{}", "(".repeat(50), ")".repeat(50));
    for (filter, word) in [
        ("severity eq 'High'", "Could not find a property named 'severity'"),
        ("lastupdatetime ge 2026-01-01T00:00:00Z", "Could not find a property named 'lastupdatetime'"),
        ("lastUpdateTime ge '2026-01-01T00:00:00Z'", "incompatible types"),
        ("lastUpdateTime ge 2026-01-01T00:00:00", "incompatible types"),
        ("lastUpdateTime ge 2026-01-01T00:00:00.12345678Z", "incompatible types"),
        ("lastUpdateTime ge 2026-01-01", "incompatible types"),
        ("lastUpdateTime ge 2026-01-01T00:00:00+00:00", "incompatible types"),
        ("lastUpdateTime gte 2026-01-01T00:00:00Z", "Syntax error at 'gte'"),
        ("lastUpdateTime ge 2026-01-01T00:00:00Z and", "at the end"),
        ("lastUpdateTime ge 2026-01-01T00:00:00Z status", "Syntax error at 'status'"),
        ("status eq 'Active", "unterminated"),
        ("status eq Active", "incompatible types"),
        ("status gt 'Active'", "not supported"),
        ("(status eq 'Active'", "at the end"),
        (&deep, "Recursion depth"),
        ("", "at the end"),
    ] {
        let answer = visitor.list(&format!("$filter={filter}")).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("ODataError")), "{filter}");
        let message = answer.message();
        assert!(message.starts_with("Invalid OData URI query ") && message.contains(word), "{filter}: {message}");
    }
}

#[test]
fn a_filter_with_a_thousand_comparisons_is_refused_and_not_followed() {
    let long = vec!["status eq 'A'"; 1_000].join(" or ");
    assert!(Filter::parse(&long).expect_err("too long").to_string().contains("node count"));
}

#[tokio::test]
async fn options_have_limits_and_the_rest_is_refused() {
    let visitor = Visitor::with(120, unlimited()).await;
    let refused = async |query: &str, word: &str| {
        let answer = visitor.list(query).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(answer.message().contains(word), "{query}: {}", answer.text());
    };
    refused(
        "$top=101",
        "The limit of '100' for Top query has been exceeded. The value from the incoming request is '101'.",
    )
    .await;
    refused("$top=-1", "requires a non-negative integer value").await;
    refused("$skip=x", "Invalid value 'x' for $skip").await;
    refused("$orderby=createdTime", "'$orderby' is not allowed").await;
    refused("$top=1&$top=2", "more than once").await;
    let count = async |query: &str| visitor.list(query).await.ids().len();
    assert_eq!((count("").await, count("$top=7").await, count("$top=0").await), (100, 7, 0));
    assert_eq!((count("$skip=100").await, count("%24skip=115&%24top=100").await, count("$skip=500").await), (20, 5, 0));
    assert_eq!(count("api-version=1").await, 100, "options without a dollar sign are ignored");
    let taste = Taste { top_max: 100, skip_max: Some(50), refuses_lt: true, plus_is_space: false };
    *visitor.sandbox.settings() = Settings { taste, top_default: 10, ..unlimited() };
    assert_eq!(count("").await, 10);
    refused("$skip=51", "The limit of '50' for Skip query").await;
    refused("$filter=lastUpdateTime%20lt%202026-01-01T00:00:00Z", "'LessThan' is not allowed").await;
    refused("$filter=lastUpdateTime+ge+2026-01-01T00:00:00Z", "at the end").await;
    assert_eq!(count("$filter=lastUpdateTime%20ge%202026-01-01T00:00:00Z").await, 10);
}

#[tokio::test]
async fn the_list_is_in_the_order_that_was_set() {
    let visitor = Visitor::with(5, unlimited()).await;
    let newest_first: Vec<_> = visitor.list("").await.ids();
    assert!(newest_first.is_sorted_by(|left, right| left > right), "{newest_first:?}");
    let (third, oldest) = (newest_first[2], newest_first[4]);
    {
        let mut world = visitor.sandbox.world();
        let number = world.rows().by_number().nth(2).expect("five").number;
        world.update(number, visitor.at(30)).expect("it is there");
    }
    let moved = visitor.list("").await.ids();
    assert_eq!((moved[0], moved[4]), (third, oldest), "the one that changed moves to the top");
    for order in [Order::CreatedDescending, Order::NumberDescending] {
        visitor.sandbox.settings().order = order;
        assert_eq!(visitor.list("").await.ids(), newest_first);
    }
}

#[tokio::test]
async fn positions_shift_while_a_list_is_paged() {
    let visitor = Visitor::with(30, unlimited()).await;
    let before = visitor.list("").await.ids();
    let first = visitor.list("$top=10").await.ids();
    let moved = before[25];
    visitor.sandbox.world().update(number(moved), visitor.at(40)).expect("it is there");
    let second = visitor.list("$top=10&$skip=10").await.ids();
    assert_eq!(first.last(), second.first(), "a row that moves up pushes the border row onto the next page");
    for gone in &before[..2] {
        assert!(visitor.sandbox.world().vanish(number(*gone), visitor.at(45)));
    }
    let third = visitor.list("$top=10&$skip=20").await.ids();
    assert_eq!(third[0], before[21], "rows that leave pull one over the border: it was on none of the pages");
    assert!(!second.contains(&before[20]) && !third.contains(&before[20]) && !first.contains(&before[20]));
}

fn number(id: u64) -> xdrelay::sandbox::incident::IncidentNumber {
    xdrelay::sandbox::incident::IncidentNumber(id)
}

#[tokio::test]
async fn a_late_row_comes_when_its_time_has_come() {
    let visitor = Visitor::with(2, unlimited()).await;
    let late = {
        let mut world = visitor.sandbox.world();
        world.delay_next(Duration::from_secs(600));
        world.create(visitor.at(10))
    };
    assert_eq!(visitor.list("").await.ids().len(), 2);
    assert_eq!(visitor.ask(&format!("api/incidents/{late}")).await.expect("an answer").status, 404);
    visitor.sandbox.settings().clock_offset_ms = 700_000;
    let since = Trimmed(visitor.at(10));
    assert_eq!(visitor.list(&format!("$filter=lastUpdateTime ge {since}")).await.ids(), [late.0]);
}

#[tokio::test]
async fn one_incident_comes_bare() {
    let visitor = Visitor::with(3, unlimited()).await;
    let id = visitor.list("$top=1").await.ids()[0];
    let one = visitor.ask(&format!("api/incidents/{id}")).await.expect("an answer");
    let mut json = one.json();
    let context = json.as_object_mut().expect("an object").remove("@odata.context").expect("a context");
    assert_eq!(context, "https://api.security.microsoft.com/api/$metadata#Incidents/$entity");
    assert_eq!(json, visitor.list("$top=1").await.json()["value"][0]);
    for unknown in ["1", "99999999999999999999999", "x"] {
        let answer = visitor.ask(&format!("api/incidents/{unknown}")).await.expect("an answer");
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (404, Some("ResourceNotFound")));
        assert!(!answer.json()["error"]["target"].as_str().expect("a tracking id").is_empty());
    }
}

#[tokio::test]
async fn times_have_their_zeros_cut_and_headers_are_those_of_the_real_one() {
    let visitor = Visitor::with(0, unlimited()).await;
    for (millis, shown) in [(0, ":00Z"), (300, ".3Z"), (290, ".29Z"), (74, ".0733333Z"), (70, ".07Z")] {
        let minute = visitor.start.earlier(Duration::from_secs(visitor.start.seconds() % 60));
        visitor.sandbox.world().create(minute.later(Duration::from_millis(millis)));
        let newest = visitor.list("$top=100").await;
        let rows = newest.json()["value"].as_array().expect("rows").clone();
        let texts: Vec<_> = rows.iter().map(|row| row["lastUpdateTime"].as_str().expect("a time")).collect();
        assert!(texts.iter().any(|text| text.ends_with(shown)), "{shown} is not in {texts:?}");
        assert_eq!(
            newest.header("content-type"),
            Some("application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8")
        );
        assert_eq!((newest.header("odata-version"), newest.header("vary")), (Some("4.0"), Some("Accept-Encoding")));
        assert_eq!((newest.header("transfer-encoding"), newest.header("content-length")), (Some("chunked"), None));
    }
}

#[tokio::test]
async fn the_date_is_the_server_s() {
    let visitor = Visitor::with(0, unlimited()).await;
    for offset_ms in [0, 86_400_000, -3_600_000] {
        visitor.sandbox.settings().clock_offset_ms = offset_ms;
        // The second may change between two looks; the answer then has one of the two.
        let before = http_date(visitor.sandbox.now());
        let date = visitor.token(&[]).await.header("date").expect("a date").to_owned();
        let after = http_date(visitor.sandbox.now());
        let unix =
            |text: &str| jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text).and_then(|t| t.to_datetime());
        let range = unix(&before).expect("a date")..=unix(&after).expect("a date");
        assert!(range.contains(&unix(&date).expect("a date")), "{date} is not in {range:?}");
    }
}

#[tokio::test]
async fn bodies_are_packed_as_offered_or_as_ordered() {
    let visitor = Visitor::with(10, unlimited()).await;
    let plain = visitor.list("").await;
    let ask = async |coding: Coding, offer: &str| -> (Option<String>, Vec<u8>) {
        visitor.sandbox.settings().coding = coding;
        let url = visitor.sandbox.url().join("api/incidents").expect("a URL");
        let request = visitor.client.get(url).bearer_auth(&visitor.token).header("accept-encoding", offer);
        let Heard { headers, body, .. } = heard(request).await.expect("an answer");
        (headers.get("content-encoding").map(|value| value.to_str().expect("a text").to_owned()), body)
    };
    let gzip = |body: &[u8]| decoded(flate2::read::GzDecoder::new(body));
    let zlib = |body: &[u8]| decoded(flate2::read::ZlibDecoder::new(body));
    let raw = |body: &[u8]| decoded(flate2::read::DeflateDecoder::new(body));
    let check =
        |(name, body): (Option<String>, Vec<u8>), expected: Option<&str>, decode: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
            assert_eq!(name.as_deref(), expected);
            assert_eq!(decode(&body).expect("decoded"), plain.body);
        };
    let nothing = |body: &[u8]| Some(body.to_vec());
    check(ask(Coding::AsOffered, "").await, None, &nothing);
    check(ask(Coding::AsOffered, "br;q=1, deflate;q=0").await, None, &nothing);
    check(ask(Coding::AsOffered, "gzip, deflate").await, Some("deflate"), &zlib);
    check(ask(Coding::AsOffered, "gzip").await, Some("gzip"), &gzip);
    check(ask(Coding::AsOfferedRaw, "gzip, deflate").await, Some("deflate"), &raw);
    check(ask(Coding::RawDeflate, "").await, Some("deflate"), &raw);
    check(ask(Coding::Zlib, "gzip").await, Some("deflate"), &zlib);
    check(ask(Coding::Gzip, "").await, Some("gzip"), &gzip);
    check(ask(Coding::Identity, "gzip").await, None, &nothing);
}

#[tokio::test]
async fn quotas_hold_in_every_window_of_the_server_s_clock() {
    let limits = Limits { per_minute: 5, per_hour: 12 };
    let quotas = Quotas { list: Some(limits), count_rejected: false, ..Quotas::default() };
    let settings = Settings { quotas, token_lifetime: Duration::from_secs(7_200), ..Settings::default() };
    let visitor = Visitor::with(1, settings).await;
    let round = async |offset_s: i64, calls: u32| {
        visitor.sandbox.settings().clock_offset_ms = offset_s * 1_000;
        let mut taken = 0;
        for _ in 0..calls {
            taken += u32::from(visitor.list("").await.status == 200);
        }
        taken
    };
    assert_eq!(round(0, 8).await, 5);
    assert_eq!(round(30, 3).await, 0);
    assert_eq!(round(70, 8).await, 5);
    assert_eq!(round(140, 8).await, 2, "the hour is used up");
    assert_eq!(round(3_500, 3).await, 0);
    assert_eq!(round(3_635, 8).await, 5);
    assert_eq!(visitor.ask("api/incidents/1").await.expect("an answer").status, 404, "another quota");
    let calls = visitor.sandbox.calls();
    assert_eq!(calls.arrived(Endpoint::List), 38);
    assert_eq!((calls.answered(Endpoint::List, 200), calls.answered(Endpoint::List, 429)), (17, 21));
    assert_eq!(calls.list_peak().minute(), 11);
    assert_eq!(calls.list_peak().hour(), 30, "of the first hour");
}

#[tokio::test]
async fn rejected_calls_count_where_they_do() {
    let limits = Limits { per_minute: 2, per_hour: 100 };
    let quotas = Quotas { list: Some(limits), count_rejected: true, ..Quotas::default() };
    let visitor = Visitor::with(1, Settings { quotas, ..Settings::default() }).await;
    for (offset_s, status) in [(0, 200), (1, 200), (30, 429), (55, 429), (80, 429), (200, 200)] {
        visitor.sandbox.settings().clock_offset_ms = offset_s * 1_000;
        assert_eq!(visitor.list("").await.status, status, "at {offset_s}");
    }
}

#[tokio::test]
async fn a_429_reads_like_the_real_ones() {
    let limits = Limits { per_minute: 0, per_hour: 100 };
    let check = async |words, retry_after, code: &str, text: &str, header: Option<&str>| {
        let quotas = Quotas { list: Some(limits), words, retry_after, ..Quotas::default() };
        let visitor = Visitor::with(1, Settings { quotas, ..Settings::default() }).await;
        let answer = visitor.list("").await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (429, Some(code)));
        assert!(answer.message().contains(text), "{}", answer.text());
        match header {
            Some(end) => assert!(answer.header("retry-after").expect("a header").ends_with(end)),
            None => assert_eq!(answer.header("retry-after"), None),
        }
    };
    let newer = "quota exceeded! Maximum allowed 0 per 00:01:00 for the key Destination+TenantID+AppID. You can send requests again in 60 seconds.";
    check(QuotaWords::Newer, RetryAfter::Missing, "429", newer, None).await;
    check(QuotaWords::Older, RetryAfter::Seconds, "429", "! maximum allowed 0 per 00:01:00", Some("60")).await;
    check(QuotaWords::Documented, RetryAfter::HttpDate, "TooManyRequests", "in 60 seconds", Some(" GMT")).await;
}

#[tokio::test]
async fn a_live_tenant_lives_by_itself() {
    let visitor = Visitor::with(0, Settings { live: Some(Duration::from_millis(5)), ..unlimited() }).await;
    let knobs = xdrelay::sandbox::knobs::Knobs::demo();
    *visitor.sandbox.world() = xdrelay::sandbox::world::World::new(knobs);
    let begun = async || 12 <= visitor.list("").await.ids().len();
    tokio::time::timeout(Duration::from_secs(60), async { while !begun().await {} }).await.expect("life begins");
    // The clock is moved, not waited for.
    visitor.sandbox.settings().clock_offset_ms = 30_000;
    let grown = async || 30 <= visitor.list("").await.ids().len();
    tokio::time::timeout(Duration::from_secs(60), async { while !grown().await {} }).await.expect("life goes on");
}

#[tokio::test]
async fn calls_are_logged_with_their_query_and_size() {
    let visitor = Visitor::with(3, Settings { coding: Coding::Identity, ..unlimited() }).await;
    let body = visitor.list("$top=2&$skip=1").await.body;
    let log = visitor.sandbox.calls();
    let call = log.calls().next_back().expect("a call");
    assert_eq!((call.endpoint, call.query.as_str(), call.status), (Endpoint::List, "$top=2&$skip=1", Some(200)));
    assert_eq!(call.bytes, body.len());
    assert!(Timestamp::default() < call.at);
}

#[tokio::test]
async fn a_page_deep_in_a_window_of_thousands_is_the_right_one() {
    let visitor = Visitor::with(4_000, unlimited()).await;
    let middle = Trimmed(visitor.at(2_000));
    let ids = visitor.list(&format!("$top=100&$skip=1900&$filter=lastUpdateTime ge {middle}")).await.ids();
    assert_eq!(ids.len(), 100);
    let all: Vec<_> = visitor.sandbox.world().rows().by_number().map(|row| row.number.0).collect();
    assert_eq!(ids.last(), Some(&all[2_000]), "the last of the window is its oldest");
}
