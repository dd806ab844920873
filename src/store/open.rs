//! Opens the state directory: takes it, tells a first run from a known ledger from a damaged one, and makes a lost ledger
//! again from its checkpoint. Damage is never taken for a first run.

use std::path::{Path, PathBuf};

use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::quota::QuotaState;
use crate::model::names::{Seq, TenantKey};
use crate::store::checkpoint::{Checkpoint, Tenant};
use crate::store::directory::{Directory, unix_seconds};
use crate::store::error::{OpenError, StoreError};
use crate::store::keys::Key;
use crate::store::ledger::{Ledger, Pending, guarded, is_locked};
use crate::store::outbox::Outbox;
use crate::store::values::{Damage, FORMAT, MAGIC, Read, Totals, Version};
use crate::store::{Endpoint, OnCorrupt, Settings};

/// What was damaged, and what became of it. Events that were not delivered are read from the source again, with the same
/// `event_id`; nothing is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What was wrong.
    pub why: String,
    /// Where the damaged database is now; none where there was no database left. It is never removed by itself.
    pub set_aside: Option<PathBuf>,
    /// Tenants whose position was restored.
    pub tenants: Vec<TenantKey>,
    /// When the checkpoint was written from which it was restored, in seconds since 1970.
    pub checkpoint_written: u64,
}

/// An open ledger, and what is known about it.
pub(crate) struct Found {
    pub(crate) directory: Directory,
    pub(crate) ledger: Ledger,
    pub(crate) outbox: Outbox,
    pub(crate) recovery: Option<Recovery>,
    /// Of the newest checkpoint.
    pub(crate) generation: u64,
}

/// Why a database that is there is of no use as it is.
enum Unusable {
    /// The directory cannot be used at all.
    Never(OpenError),
    /// The database can be made again.
    Damaged(String),
}

/// Opens or makes the ledger in the state directory.
pub(crate) fn open(settings: &Settings) -> Result<Found, OpenError> {
    let directory = Directory::take(&settings.dir)?;
    let checkpoint = Checkpoint::load(directory.path());
    let generation = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.generation);
    if directory.is_fresh()? {
        let (ledger, outbox, _) = make(&directory, &Checkpoint::default())?;
        return Ok(Found { directory, ledger, outbox, recovery: None, generation });
    }
    let why = match existing(&directory, checkpoint.as_ref()) {
        Ok((ledger, outbox)) => return Ok(Found { directory, ledger, outbox, recovery: None, generation }),
        Err(Unusable::Never(error)) => return Err(error),
        Err(Unusable::Damaged(why)) => why,
    };
    let corrupt = |why, remedy| OpenError::Corrupt { dir: settings.dir.clone(), why, remedy };
    match (checkpoint, settings.on_corrupt) {
        (Some(_), OnCorrupt::Stop) => {
            Err(corrupt(why, "on_corrupt is \"stop\": set it to \"rebuild\", or restore the directory"))
        }
        (None, OnCorrupt::Stop | OnCorrupt::Rebuild) => Err(corrupt(
            why,
            "no checkpoint beside it can be read: restore the directory, or move it away and start anew from a chosen time",
        )),
        (Some(_), OnCorrupt::Rebuild) if !directory.has_room_aside()? => Err(corrupt(
            why,
            "and so were those set aside before (sled.damaged-*): check the disk and the memory, then remove them",
        )),
        (Some(checkpoint), OnCorrupt::Rebuild) => {
            let (ledger, outbox, set_aside) = make(&directory, &checkpoint)?;
            let recovery = Some(recovered(why, set_aside, &checkpoint));
            Ok(Found { directory, ledger, outbox, recovery, generation })
        }
    }
}

/// Sets the database aside, whatever state it is in, and makes it again from the checkpoint. None where there is nothing yet
/// that could be made again.
///
/// # Errors
/// The directory is held by a daemon, has no readable checkpoint, or has had as many databases set aside as are kept.
pub fn rebuild(dir: &Path, why: &str) -> Result<Option<Recovery>, OpenError> {
    if !dir.is_dir() {
        return Ok(None);
    }
    let directory = Directory::take(dir)?;
    if directory.is_fresh()? {
        return Ok(None);
    }
    let refused = |why: &str, remedy| OpenError::Corrupt { dir: dir.to_owned(), why: why.into(), remedy };
    let Some(checkpoint) = Checkpoint::load(directory.path()) else {
        return Err(refused(
            "no checkpoint can be read",
            "restore one from a backup; without it nobody knows what was read",
        ));
    };
    if !directory.has_room_aside()? {
        let remedy = "remove them once nobody needs them for a report";
        return Err(refused("as many databases as are kept were set aside already (sled.damaged-*)", remedy));
    }
    let (ledger, _, set_aside) = make(&directory, &checkpoint)?;
    drop(ledger);
    Ok(Some(recovered(why.to_owned(), set_aside, &checkpoint)))
}

fn recovered(why: String, set_aside: Option<PathBuf>, checkpoint: &Checkpoint) -> Recovery {
    let tenants = checkpoint.tenants.iter().filter(|(_, tenant)| tenant.position.is_some());
    let tenants = tenants.map(|(key, _)| key.clone()).collect();
    Recovery { why, set_aside, tenants, checkpoint_written: checkpoint.written }
}

/// Opens the database that is there and reads what must be right from the start.
fn existing(directory: &Directory, checkpoint: Option<&Checkpoint>) -> Result<(Ledger, Outbox), Unusable> {
    if let Some(why) = directory.damage() {
        return Err(Unusable::Damaged(why));
    }
    let path = directory.database();
    if !path.is_dir() {
        return Err(Unusable::Damaged("its database is missing".into()));
    }
    // sled would make a new database here and call it fine.
    if !path.join("db").is_file() {
        return Err(unmarked(directory, checkpoint, "a directory `sled` without a database in it"));
    }
    let sort = |error| sort(directory, error);
    let ledger = match Ledger::open(&path) {
        Err(StoreError::Full { .. }) if directory.drop_ballast().is_ok_and(|dropped| dropped) => Ledger::open(&path),
        outcome => outcome,
    };
    let ledger = ledger.map_err(sort)?;
    match guarded(|| ledger.get::<Version>(&Key::Version)).map_err(sort)? {
        Some(Version { ledger: magic, format, .. }) if magic == MAGIC && format == FORMAT => {}
        Some(Version { ledger: magic, format, .. }) if magic == MAGIC => {
            let dir = directory.path().to_owned();
            return Err(Unusable::Never(OpenError::OtherFormat { dir, found: format, known: FORMAT }));
        }
        Some(_) => return Err(unmarked(directory, checkpoint, "a database of something else")),
        None if ledger.is_empty() => return Err(Unusable::Damaged("its database is empty".into())),
        None => return Err(unmarked(directory, checkpoint, "a database that is not marked as ours")),
    }
    let outbox = guarded(|| Outbox::load(&ledger)).map_err(sort)?;
    if let Some(checkpoint) = checkpoint {
        guarded(|| is_not_behind(&ledger, outbox.totals.end, checkpoint)).map_err(sort)?;
        guarded(|| restore_quotas(&ledger, checkpoint)).map_err(sort)?;
    }
    Ok((ledger, outbox))
}

/// Without our mark it is somebody else's, unless a checkpoint says that ours was here.
fn unmarked(directory: &Directory, checkpoint: Option<&Checkpoint>, found: &str) -> Unusable {
    if checkpoint.is_some() {
        Unusable::Damaged(format!("it holds {found}"))
    } else {
        Unusable::Never(OpenError::Foreign { dir: directory.path().to_owned(), found: found.into() })
    }
}

fn sort(directory: &Directory, error: StoreError) -> Unusable {
    let dir = directory.path().to_owned();
    match error {
        StoreError::Corrupt { why } | StoreError::Misused { why } => Unusable::Damaged(why),
        StoreError::Full { why } => Unusable::Never(OpenError::Full { dir, why }),
        StoreError::Poisoned { why } if is_locked(&why) => Unusable::Never(OpenError::Held { dir, pid: None }),
        StoreError::Poisoned { why } => {
            Unusable::Never(OpenError::Io { path: directory.database(), source: std::io::Error::other(why) })
        }
        StoreError::Stopped => Unusable::Damaged("it was closed".into()),
    }
}

fn never(directory: &Directory, error: StoreError) -> OpenError {
    match sort(directory, error) {
        Unusable::Never(error) => error,
        Unusable::Damaged(why) => OpenError::Io { path: directory.database(), source: std::io::Error::other(why) },
    }
}

/// Damage can make sled go back to an older state, of some pages and not of others, without a word. The checkpoint is
/// written after the database, so a database that knows less than it has lost something.
pub(crate) fn is_not_behind(ledger: &Ledger, end: Seq, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let behind = |what: String| Err(Damage { why: format!("it has lost its newest entries: {what}") }.into());
    if end < checkpoint.end {
        return behind(format!("the outbox ends at {end}, it was at {}", checkpoint.end));
    }
    for (key, tenant) in &checkpoint.tenants {
        let cursor = ledger.get::<Read>(&Key::Position(key.clone()))?.map(|read| read.position.cursor);
        if cursor < tenant.position.map(|position| position.cursor) {
            return behind(format!("the cursor of {key}"));
        }
        if ledger.get::<u64>(&Key::Sequence(key.clone()))?.unwrap_or_default() < tenant.sequence {
            return behind(format!("the sequence of {key}"));
        }
        // Once there was one, an empty one stays behind.
        if !tenant.quarantine.is_empty() && ledger.get::<Quarantine>(&Key::Quarantine(key.clone()))?.is_none() {
            return behind(format!("the quarantine of {key}"));
        }
    }
    Ok(())
}

/// A quota that was lost would let calls go that are not ours any more; the checkpoint knows of most of them.
fn restore_quotas(ledger: &Ledger, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let (mut pending, mut restored) = (Pending::default(), 0);
    for (key, Tenant { list, get, .. }) in &checkpoint.tenants {
        for (endpoint, known) in [(Endpoint::List, list), (Endpoint::Get, get)] {
            let Some(known) = known else { continue };
            let place = Key::Quota(key.clone(), endpoint);
            let found = ledger.get::<QuotaState>(&place)?.unwrap_or_default();
            let state = QuotaState { minute: found.minute.max(known.minute), hour: found.hour.max(known.hour) };
            if state != found {
                restored += 1;
                tracing::debug!(tenant_key = %key, ?endpoint, "the database had lost this quota");
                pending.put(&place, &state);
            }
        }
    }
    if !pending.apply(ledger)? {
        return Ok(());
    }
    tracing::warn!(quotas = restored, "the database had lost quotas; they are the checkpoint's again");
    ledger.sync()
}

/// Makes a ledger that knows what a checkpoint knows (nothing, for a first run), and gives it the name of the database
/// only once it is whole and durable.
fn make(directory: &Directory, from: &Checkpoint) -> Result<(Ledger, Outbox, Option<PathBuf>), OpenError> {
    let fail = |error| never(directory, error);
    let seeded = Ledger::open(&directory.database_new()).and_then(|ledger| seed(&ledger, from));
    let seeded = match seeded {
        Err(StoreError::Full { .. }) if directory.drop_ballast().is_ok_and(|dropped| dropped) => {
            Ledger::open(&directory.database_new()).and_then(|ledger| seed(&ledger, from))
        }
        outcome => outcome,
    };
    seeded.map_err(fail)?;
    let set_aside = directory.install()?;
    let ledger = Ledger::open(&directory.database()).map_err(fail)?;
    let outbox = Outbox::load(&ledger).map_err(fail)?;
    Ok((ledger, outbox, set_aside))
}

fn seed(ledger: &Ledger, from: &Checkpoint) -> Result<(), StoreError> {
    let mut pending = Pending::default();
    let version = Version { ledger: MAGIC.into(), format: FORMAT, made: unix_seconds() };
    pending.put(&Key::Version, &version);
    pending.put(&Key::Totals, &Totals { end: from.end, cut: from.end, seen: 0 });
    for (key, tenant) in &from.tenants {
        let Tenant { position, sequence, quarantine, list, get } = tenant;
        if let Some(position) = position {
            // The two sweeps that agree begin anew.
            let position = Position { swept: None, ..*position };
            pending.put(&Key::Position(key.clone()), &Read { position, end: from.end });
        }
        pending.put(&Key::Sequence(key.clone()), sequence);
        if !quarantine.is_empty() {
            pending.put(&Key::Quarantine(key.clone()), quarantine);
        }
        for (endpoint, state) in [(Endpoint::List, list), (Endpoint::Get, get)] {
            if let Some(state) = state {
                pending.put(&Key::Quota(key.clone(), endpoint), state);
            }
        }
        if !pending.has_room(1024) {
            pending.apply(ledger)?;
        }
    }
    pending.apply(ledger)?;
    ledger.sync()
}
