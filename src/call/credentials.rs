//! How a request authenticates, and what that adds to its form.

use crate::error::GSException;
use crate::pem::Pem;

use super::form::{Field, Stamp};

/// How one request authenticates.
#[derive(Clone, Copy)]
pub(crate) enum Credentials<'a> {
    /// An OAuth1-style signature with the site's or the user key's secret.
    Secret(&'a str),
    /// A user's session: its token, and its secret, which signs.
    Session { secret: &'a str },
    /// A TLS client certificate.
    ClientCert,
    /// The first argument is an OAuth2 access token.
    Token,
    /// A token made by the SDK and signed with the user key's RSA key; see [`super::bearer`].
    Bearer {
        user_key: &'a str,
        private_key: &'a Pem,
    },
    /// No credentials: the API key only identifies the site.
    Anonymous,
}

/// How the caller asked to authenticate: by which constructor.
#[derive(Clone)]
pub(crate) enum Authentication {
    /// By the keys that are present.
    Keys,
    PrivateKey(Pem),
    Anonymous,
    /// The keys are a session's token and secret.
    Session,
}

impl<'a> Credentials<'a> {
    /// # Errors
    /// 400002 when there is nothing to authenticate with.
    pub(crate) fn choose(
        api_key: Option<&str>,
        secret_key: Option<&'a str>,
        user_key: Option<&'a str>,
        has_client_cert: bool,
        authentication: &'a Authentication,
    ) -> Result<Self, GSException> {
        let missing = |what| Err(GSException::missing(what));
        let has_any = api_key.is_some() || user_key.is_some() || has_client_cert;
        match (authentication, secret_key) {
            (Authentication::Keys | Authentication::PrivateKey(_), _) if !has_any => {
                missing("neither an API key nor a user key nor a client certificate was given")
            }
            (Authentication::Keys, Some(secret)) => Ok(Credentials::Secret(secret)),
            (Authentication::Keys, None) if has_client_cert => Ok(Credentials::ClientCert),
            (Authentication::Keys, None) => Ok(Credentials::Token),
            (Authentication::PrivateKey(private_key), _) => match user_key {
                Some(user_key) => Ok(Credentials::Bearer {
                    user_key,
                    private_key,
                }),
                None => missing("no user key was given"),
            },
            (Authentication::Anonymous, _) if api_key.is_none() => missing("no API key was given"),
            (Authentication::Anonymous, _) => Ok(Credentials::Anonymous),
            (Authentication::Session, _) if api_key.is_none() => {
                missing("no session token was given")
            }
            (Authentication::Session, Some(secret)) => Ok(Credentials::Session { secret }),
            (Authentication::Session, None) => missing("no session secret was given"),
        }
    }

    /// Whether the request must go over https: an unsigned request would show its
    /// credentials to anyone on the wire.
    pub(crate) fn needs_https(&self) -> bool {
        !matches!(self, Credentials::Secret(_))
    }

    /// Whether the API executes the same bytes only once, because it refuses a nonce that it
    /// has already seen.
    pub(crate) fn has_nonce(&self) -> bool {
        self.secret().is_some()
    }

    /// Whether a wrong clock can be the reason for a refusal.
    pub(crate) fn has_time(&self) -> bool {
        self.has_nonce() || matches!(self, Credentials::Bearer { .. })
    }

    /// The secret that signs the request, if it is signed.
    pub(crate) fn secret(&self) -> Option<&'a str> {
        match self {
            Credentials::Secret(secret) | Credentials::Session { secret } => Some(secret),
            _ => None,
        }
    }

    /// Adds the parameters that authenticate the request.
    pub(crate) fn add_fields(
        &self,
        api_key: Option<&'a str>,
        user_key: Option<&'a str>,
        stamp: Stamp,
        fields: &mut Vec<(&'static str, Field<'a>)>,
    ) {
        // A bearer token already names the user key.
        let is_bearer = matches!(self, Credentials::Bearer { .. });
        if let Some(user_key) = user_key.filter(|_| !is_bearer) {
            fields.push(("userKey", Field::Text(user_key)));
        }
        let name = match self {
            Credentials::Token | Credentials::Session { .. } => "oauth_token",
            _ => "apiKey",
        };
        if let Some(api_key) = api_key {
            fields.push((name, Field::Text(api_key)));
        }
        if self.secret().is_some() {
            fields.push(("timestamp", Field::Number(stamp.timestamp)));
            fields.push(("nonce", Field::Number(stamp.nonce)));
        }
    }
}
