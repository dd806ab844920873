//! The state directory around the database: its lock, its names, what is set aside, the ballast. It must not look inside
//! the database.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::store::checkpoint;
use crate::store::error::{OpenError, is_full};

/// The database.
const DATABASE: &str = "sled";
/// A database that is being made; it takes its name when it is whole.
const DATABASE_NEW: &str = "sled.new";
/// What the name of a database that was set aside begins with.
const ASIDE: &str = "sled.damaged-";
/// Databases that are kept aside. One more damaged one is left where it is: the disk or this program is at fault, and making
/// it anew again and again would only fill the disk with them.
pub(crate) const ASIDE_MAX: usize = 3;
/// Locked by the process that has the directory; its id is in it.
const LOCK: &str = "lock";
/// Says that damage was met while running, and which: what an opening does not look at.
const DAMAGED: &str = "damaged";
/// Space to give back when the disk is full: sled cannot even open a database on a full disk.
const BALLAST: &str = "ballast";
/// Its size in bytes.
pub(crate) const BALLAST_BYTES: u64 = 16 << 20;

/// Whose a state directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user whom the database belongs to, or the directory where there is none yet.
    pub user: u32,
    /// The group of the same.
    pub group: u32,
    /// The group of the directory, by which the user may be let into it.
    pub group_around: u32,
}

impl Owner {
    /// The owner of what is there, where this process is root's and that is somebody else's.
    pub fn other_than_root(dir: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let around = fs::metadata(dir).ok()?;
        let within = fs::metadata(dir.join(DATABASE)).unwrap_or_else(|_| around.clone());
        let owner = Self { user: within.uid(), group: within.gid(), group_around: around.gid() };
        (owner.user != 0).then_some(owner)
    }
}

/// A state directory that this process has to itself.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Let go of when the process ends, however it ends.
    lock: File,
}

impl Directory {
    /// Makes the directory where there is none (mode 0700) and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::at(path, source);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        if let Some(found) = stranger(path).map_err(io)? {
            return Err(OpenError::Foreign { dir: path.to_owned(), found });
        }
        if let Some(Owner { user, .. }) = Owner::other_than_root(path) {
            return Err(OpenError::Anothers { dir: path.to_owned(), user });
        }
        let lock = take_lock(path)?;
        let directory = Self { path: path.to_owned(), lock };
        directory.sweep().map_err(io)?;
        Ok(directory)
    }

    /// Lets another process have it.
    pub(crate) fn release(&self) {
        // Where this fails, the end of the process does it.
        let _ = self.lock.unlock();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(crate) fn database_new(&self) -> PathBuf {
        self.path.join(DATABASE_NEW)
    }

    /// Whether there is nothing here that an xdrelay left behind: a first run.
    pub(crate) fn is_fresh(&self) -> Result<bool, OpenError> {
        let io = |source| OpenError::at(&self.path, source);
        for entry in fs::read_dir(&self.path).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let name = name.to_string_lossy();
            if name == DATABASE || name == DAMAGED || name.starts_with(ASIDE) || checkpoint::NAMES.contains(&&*name) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a damaged database can be set aside.
    pub(crate) fn has_room_aside(&self) -> Result<bool, OpenError> {
        let io = |source| OpenError::at(&self.path, source);
        let entries = fs::read_dir(&self.path).map_err(io)?.collect::<io::Result<Vec<_>>>().map_err(io)?;
        let aside = entries.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with(ASIDE)).count();
        Ok(aside < ASIDE_MAX)
    }

    /// Gives the database that was just made its name. One that has the name is set aside first; where it went is
    /// returned.
    pub(crate) fn install(&self) -> Result<Option<PathBuf>, OpenError> {
        let io = |source| OpenError::at(&self.database(), source);
        let aside = self.database().exists().then(|| self.free_name());
        if let Some(aside) = &aside {
            fs::rename(self.database(), aside).map_err(io)?;
            self.sync().map_err(io)?;
        }
        fs::rename(self.database_new(), self.database()).map_err(io)?;
        match fs::remove_file(self.path.join(DAMAGED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        self.sync().map_err(io)?;
        Ok(aside)
    }

    /// The damage that was met while running, if any.
    pub(crate) fn damage(&self) -> Option<String> {
        let text = fs::read(self.path.join(DAMAGED)).ok()?;
        Some(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Remembers damage for the next opening, as well as a sick disk allows.
    pub(crate) fn note_damage(&self, why: &str) -> io::Result<()> {
        let mut file = File::create(self.path.join(DAMAGED))?;
        writeln!(file, "{why}")?;
        file.sync_all()?;
        self.sync()
    }

    /// Bytes that are free on the disk, for this user.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let disk = statvfs(&self.path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Lays the ballast in where there is none and the disk has room for it twice over.
    pub(crate) fn lay_ballast(&self, min_free: u64) -> io::Result<()> {
        let path = self.path.join(BALLAST);
        let laid = fs::metadata(&path).is_ok_and(|metadata| BALLAST_BYTES <= metadata.len());
        if laid || self.free()? < min_free.saturating_add(2 * BALLAST_BYTES) {
            return Ok(());
        }
        let file = File::create(&path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES).map_err(io::Error::from) {
            // A file system that cannot reserve is filled the slow way.
            Err(error) if !is_full(&error) => write_zeros(file),
            outcome => outcome,
        }
    }

    /// Throws the ballast out. Says whether there was any.
    pub(crate) fn drop_ballast(&self) -> io::Result<bool> {
        match fs::remove_file(self.path.join(BALLAST)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes what an earlier process left half made.
    fn sweep(&self) -> io::Result<()> {
        for outcome in [fs::remove_dir_all(self.database_new()), fs::remove_file(self.path.join(checkpoint::NEW))] {
            match outcome {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn free_name(&self) -> PathBuf {
        let named = |suffix: String| self.path.join(format!("{ASIDE}{}{suffix}", unix_seconds()));
        let mut path = named(String::new());
        for n in 2_u32.. {
            if !path.exists() {
                break;
            }
            path = named(format!("-{n}"));
        }
        path
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Seconds since 1970 on the wall clock, for names and for people.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The first entry that does not belong into a state directory, where nothing in it is ours. Volumes come with a
/// `lost+found`, and the control socket may be there before the database.
fn stranger(path: &Path) -> io::Result<Option<String>> {
    let mut found = None;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name == DATABASE || name.starts_with(ASIDE) || checkpoint::NAMES.contains(&&*name);
        if ours {
            return Ok(None);
        }
        let harmless = [DATABASE_NEW, LOCK, DAMAGED, BALLAST, checkpoint::NEW, "lost+found"].contains(&&*name);
        if !harmless && !entry.file_type()?.is_socket() {
            found.get_or_insert(name);
        }
    }
    Ok(found)
}

fn take_lock(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::at(&path.join(LOCK), source);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK)).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Who it is only makes the message better.
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(OpenError::Held { dir: path.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    // A full disk must not stand in the way here: the ballast is given back later.
    match file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        Err(error) if !is_full(&error) => Err(io(error)),
        Ok(()) | Err(_) => Ok(file),
    }
}

fn write_zeros(mut file: File) -> io::Result<()> {
    let zeros = [0; 64 * 1024];
    for _ in 0..BALLAST_BYTES / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    Ok(())
}
