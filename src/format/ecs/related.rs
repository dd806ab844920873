//! `related.*`: everyone and everything that the evidence names, each once and in order. Analysts are not among them: who works
//! on an incident is no part of what happened.

use std::borrow::Cow;
use std::collections::BTreeSet;
// Not the network: what an address looks like.
use core::net::IpAddr;

use serde::Serialize;

use crate::format::ecs::bounds::{RELATED_MAX, address, hash, keyword};
use crate::model::content::alert::Alert;
use crate::model::content::device::Device;
use crate::model::content::entity::Entity;

/// The fields.
#[derive(Default, Serialize)]
pub(super) struct Related<'a> {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    hash: BTreeSet<Cow<'a, str>>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    hosts: BTreeSet<Cow<'a, str>>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    ip: BTreeSet<IpAddr>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    user: BTreeSet<Cow<'a, str>>,
}

impl<'a> Related<'a> {
    /// What these alerts name, if anything.
    pub(super) fn of(alerts: &[Alert<'a>]) -> Option<Self> {
        let mut related = Self::default();
        for alert in alerts {
            alert.devices().for_each(|device| related.take_device(device));
            alert.entities().for_each(|entity| related.take_entity(entity));
        }
        let Self { hash, hosts, ip, user } = &related;
        let is_empty = hash.is_empty() && hosts.is_empty() && ip.is_empty() && user.is_empty();
        (!is_empty).then_some(related)
    }

    fn take_device(&mut self, device: Device<'a>) {
        insert(&mut self.hosts, device.name().map(keyword));
        insert(&mut self.ip, device.address().and_then(address));
    }

    fn take_entity(&mut self, entity: Entity<'a>) {
        for name in [entity.account_name(), entity.user_principal_name(), entity.mailbox()] {
            insert(&mut self.user, name.map(keyword));
        }
        for name in [entity.sender(), entity.recipient()] {
            insert(&mut self.user, name.map(keyword));
        }
        for digest in [entity.sha1(), entity.sha256()] {
            insert(&mut self.hash, digest.and_then(hash).map(Cow::Borrowed));
        }
        insert(&mut self.ip, entity.address().and_then(address));
    }
}

fn insert<T: Ord>(set: &mut BTreeSet<T>, value: Option<T>) {
    if let Some(value) = value.filter(|_| set.len() < RELATED_MAX) {
        set.insert(value);
    }
}
