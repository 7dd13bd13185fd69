//! `Native.file_identity`: telling a file from the one before it.

use std::{
    ffi::OsString,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::PathBuf,
};

use magnus::{function, Error, RModule, RString, Ruby};

use crate::raw;

/// Identity of a file: another one once it has been replaced or written anew, also where its time
/// of modification was kept. nil where there is no file.
fn file_identity(ruby: &Ruby, path: RString) -> Result<Option<RString>, Error> {
    let path = PathBuf::from(OsString::from_vec(raw::with_bytes(path, <[u8]>::to_vec)));
    let Ok(file) = std::fs::metadata(path) else { return Ok(None) };
    let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    let numbers = [file.dev(), file.ino(), file.size()].into_iter().map(u64::to_ne_bytes);
    let identity: Vec<_> = numbers.chain(times.map(i64::to_ne_bytes)).collect();
    raw::binary(ruby, &identity.concat()).map(Some)
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("file_identity", function!(file_identity, 1))
}
