//! Files and folders that only the user of this process can read, whatever the umask: the database,
//! mails, lock files. Owns their permissions, not their content. On systems without Unix permissions
//! these are ordinary files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::Path,
};

/// Creates a folder and its missing parents.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Creates a file and opens it for writing. Errors: it already exists, among others.
pub fn create_new(path: &Path) -> io::Result<File> {
    options().create_new(true).open(path)
}

/// Opens a file for appending, and creates it if it is missing.
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    let file = options().create(true).append(true).open(path)?;
    tighten(path)?;
    Ok(file)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Removes other users' permissions on a file or folder. A missing one is no error.
pub fn tighten(path: &Path) -> io::Result<()> {
    match shared_mode(path) {
        Ok(None) => Ok(()),
        Ok(Some(mode)) => restrict(path, mode),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether other users have any permission on it.
pub fn is_shared(path: &Path) -> bool {
    shared_mode(path).is_ok_and(|mode| mode.is_some())
}

/// The permissions of a path, if other users have any.
#[cfg(unix)]
fn shared_mode(path: &Path) -> io::Result<Option<u32>> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path)?.permissions());
    Ok(Some(mode).filter(|mode| mode & 0o077 != 0))
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o700);
    fs::set_permissions(path, permissions)
}

#[cfg(not(unix))]
fn shared_mode(_: &Path) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(not(unix))]
fn restrict(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_has_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        make_folder(&inner).unwrap();
        assert_eq!(
            (mode(&folder.path().join("a")), mode(&inner)),
            (0o700, 0o700)
        );
        let file = inner.join("file");
        create_new(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        assert!(create_new(&file).is_err());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(is_shared(&file));
        open_or_create(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        tighten(&inner.join("missing")).unwrap();
    }
}
