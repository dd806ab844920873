//! A sandbox tenant on loopback: starts, serves the API and the sign-in under one URL, and stops without leaving anything
//! behind. Everything about it may be looked at and changed while it runs.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::SeedableRng;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use crate::model::timestamp::Timestamp;
use crate::sandbox::calls::CallLog;
use crate::sandbox::connection::{Cutter, Lines};
use crate::sandbox::endpoints::{self, Tenant, locked};
use crate::sandbox::faults::Faults;
use crate::sandbox::names::Dice;
use crate::sandbox::settings::Settings;
use crate::sandbox::throttle::Throttle;
use crate::sandbox::token::Tokens;
use crate::sandbox::world::World;

/// How long calls that are being answered may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// A running sandbox. Dropping it stops it too, without waiting for the end.
#[derive(Debug)]
pub struct Sandbox {
    tenant: Arc<Tenant>,
    url: Url,
    serving: JoinHandle<io::Result<()>>,
    living: Option<JoinHandle<()>>,
    _stops_when_dropped: DropGuard,
}

impl Sandbox {
    /// Listens, on a free port where the port is 0, and serves this world.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(listen: SocketAddr, world: World, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let url = Url::parse(&format!("http://{}/", listener.local_addr()?)).map_err(io::Error::other)?;
        let stop = CancellationToken::new();
        let live = settings.live;
        let tenant = Arc::new(Tenant {
            id: world.knobs().tenant_id.clone(),
            world: Mutex::new(world),
            faults: Faults::new(settings.seed),
            calls: Mutex::new(CallLog::default()),
            throttle: Mutex::new(Throttle::default()),
            tokens: Mutex::new(Tokens::default()),
            dice: Mutex::new(Dice::seed_from_u64(settings.seed)),
            settings: Mutex::new(settings),
            stop: stop.clone(),
        });
        let service = endpoints::router(Arc::clone(&tenant)).into_make_service_with_connect_info::<Cutter>();
        let serving = axum::serve(Lines(listener), service).with_graceful_shutdown(stop.clone().cancelled_owned());
        let living = live.map(|step| tokio::spawn(live_on(Arc::clone(&tenant), step)));
        Ok(Self {
            tenant,
            url,
            serving: tokio::spawn(serving.into_future()),
            living,
            _stops_when_dropped: stop.drop_guard(),
        })
    }

    /// The base URL of the API, which is that of the sign-in too.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The tenant.
    pub fn tenant_id(&self) -> &str {
        &self.tenant.id
    }

    /// The application that may sign in.
    pub fn client_id(&self) -> String {
        locked(&self.tenant.settings).client_id.clone()
    }

    /// Its secret.
    pub fn secret(&self) -> String {
        locked(&self.tenant.settings).secret.clone()
    }

    /// The server's time now.
    pub fn now(&self) -> Timestamp {
        self.tenant.now()
    }

    /// The world, to look at or act in. Nothing is answered while it is held: let go before asking the API.
    pub fn world(&self) -> MutexGuard<'_, World> {
        locked(&self.tenant.world)
    }

    /// The settings, to look at or change. Let go before asking anything of the sandbox.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        locked(&self.tenant.settings)
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.tenant.faults
    }

    /// The calls up to now.
    pub fn calls(&self) -> CallLog {
        locked(&self.tenant.calls).clone()
    }

    /// Forgets all tokens: every one that was issued is answered 401.
    pub fn revoke_tokens(&self) {
        *locked(&self.tenant.tokens) = Tokens::default();
    }

    /// Stops. Calls that stall end now, others have two seconds.
    pub async fn stop(mut self) {
        self.tenant.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        if let Some(living) = self.living.take() {
            living.abort();
        }
    }
}

/// The world goes on until the sandbox stops.
async fn live_on(tenant: Arc<Tenant>, step: Duration) {
    let mut steps = tokio::time::interval(step.max(Duration::from_millis(1)));
    steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = tenant.stop.cancelled() => return,
            _ = steps.tick() => {
                let now = tenant.now();
                locked(&tenant.world).advance(now);
            }
        }
    }
}
