//! A source that says whatever a test wants it to say, to any tenant: what no honest sandbox would. No test is in here.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::harness::Place;

/// The source.
pub(crate) struct Faking {
    url: String,
    says: Says,
}

type Says = Arc<Mutex<(u16, Value)>>;

impl Faking {
    /// One that has no incidents.
    pub(crate) async fn start() -> Self {
        let says: Says = Arc::new(Mutex::new((200, json!({ "value": [] }))));
        let token =
            || async { Json(json!({ "access_token": "e30.e30.e30", "expires_in": 3599, "token_type": "Bearer" })) };
        let routes = Router::new()
            .route("/{tenant}/oauth2/v2.0/token", post(token))
            .route("/api/incidents", get(list))
            .with_state(says.clone());
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, says }
    }

    /// Every list from now on.
    pub(crate) fn say(&self, status: u16, body: Value) {
        *self.says.lock().expect("nobody panicked") = (status, body);
    }

    /// The table of a tenant that this is.
    pub(crate) fn tenant(&self, place: &Place, name: &str, number: u32) -> String {
        use std::os::unix::fs::PermissionsExt;
        let file = place.write("faking.secret", "a secret");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its own file");
        format!(
            "[tenants.{name}]\ntenant_id = \"5a11d0b0-7e57-4000-8000-{number:012}\"\n\
             client_id = \"66666666-7777-8888-9999-000000000000\"\n\
             credential = {{ kind = \"client_secret\", file = \"{}\" }}\napi_url = \"{url}\"\nlogin_url = \"{url}\"\n\
             start = \"20m\"\n\n",
            file.display(),
            url = self.url,
        )
    }
}

async fn list(State(says): State<Says>) -> Response {
    let (status, body) = says.lock().expect("nobody panicked").clone();
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// An incident that was changed just now.
pub(crate) fn incident(id: u64, title: &str) -> Value {
    let now = jiff::Timestamp::now();
    json!({
        "incidentId": id, "incidentName": title, "createdTime": now.to_string(), "lastUpdateTime": now.to_string(),
        "status": "Active", "severity": "High", "assignedTo": null, "alerts": [],
    })
}
