//! Root becomes the user whom the state directory belongs to before a command opens it, so that nothing of root's stays in it: the daemon
//! could not open that afterwards. Touches no file.
//!
//! What only root may read can still be read: the configuration, secrets, and the directory itself, which systemd keeps below
//! one of root's. What only root may write cannot.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities, set_thread_gid,
    set_thread_groups, set_thread_uid,
};

use crate::store::Owner;

/// Does so. Only the thread that calls changes, and those that it starts from then on: call it while it is the only one.
pub(super) fn become_user(Owner { user, group, group_around }: Owner) -> io::Result<()> {
    set_keep_capabilities(true)?;
    set_thread_groups(&[Gid::from_raw(group_around)])?;
    set_thread_gid(Gid::from_raw(group))?;
    set_thread_uid(Uid::from_raw(user))?;
    let reading = capabilities(None)?.permitted & CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(
        None,
        CapabilitySets { effective: reading, permitted: reading, inheritable: CapabilitySet::empty() },
    )?;
    Ok(())
}
