//! Why a message was not taken.

use std::time::Duration;

use crate::http;

/// A try that failed. None of these tells more of the address than its host.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// There was none in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer leads elsewhere.
    #[error("the answer is {status}, a redirection; give the address that it leads to, for none is followed")]
    Redirected {
        /// 3xx.
        status: u16,
    },
    /// The message will never be taken.
    #[error("refused with {status}{}", hint(*.status))]
    Refused {
        /// 4xx.
        status: u16,
    },
    /// Not now.
    #[error("the answer is {status}")]
    NotNow {
        /// 5xx, or one of those 4xx that pass.
        status: u16,
        /// When to try again, if it was said.
        retry_after: Option<Duration>,
    },
}

impl SendError {
    /// Whether another try may do better.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Redirected { .. } | Self::Refused { .. })
    }

    /// The failure that an answer of this status is, if it is one.
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Option<Self> {
        match status {
            200..=299 => None,
            300..=399 => Some(Self::Redirected { status }),
            408 | 425 | 429 => Some(Self::NotNow { status, retry_after }),
            400..=499 => Some(Self::Refused { status }),
            _ => Some(Self::NotNow { status, retry_after }),
        }
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; is the secret the right one?",
        404 | 410 => "; is the address the right one?",
        _ => "",
    }
}
