//! What nearly every module uses.

pub use std::fs::{self, File, OpenOptions};
pub use std::io::{self, BufRead, BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
pub use std::path::{Path, PathBuf};
pub use std::time::{Duration, Instant};

pub use gssdk::serde_json::value::RawValue;
pub use gssdk::*;
pub use serde::{Deserialize, Serialize};

pub(crate) use crate::failure::{self, Failure, at, print, refused, said, usage, words};
pub(crate) use crate::interrupt::{Interrupt, NAP};
pub(crate) use crate::options::*;
pub(crate) use crate::progress::{Progress, note, say};
pub(crate) use crate::site::{self, Signed, Site};
