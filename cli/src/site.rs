//! Where the tools send to: the real API by the environment, a gateway by `--host`,
//! or the stand-in.

use gssdk::*;
use stand_in::StandIn;

pub struct Site {
    api_key: String,
    secret_key: Option<String>,
    user_key: Option<String>,
    api_domain: Option<String>,
    host: Option<String>,
    pub stand_in: Option<StandIn>,
}

impl Site {
    /// From `GIGYA_API_KEY`, `GIGYA_SECRET_KEY` and perhaps `GIGYA_USER_KEY` and
    /// `GIGYA_API_DOMAIN`; without the first two it is a stand-in on loopback.
    pub fn from_environment(host: Option<String>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable("GIGYA_API_KEY"), variable("GIGYA_SECRET_KEY")) {
            (Some(api_key), secret_key @ Some(_)) => Site {
                api_key,
                secret_key,
                user_key: variable("GIGYA_USER_KEY"),
                api_domain: variable("GIGYA_API_DOMAIN"),
                host,
                stand_in: None,
            },
            _ => {
                eprintln!("No GIGYA_API_KEY and GIGYA_SECRET_KEY: using a stand-in for the API.");
                Site {
                    api_key: stand_in::API_KEY.into(),
                    secret_key: Some(stand_in::SECRET.into()),
                    user_key: None,
                    api_domain: None,
                    host: None,
                    stand_in: Some(StandIn::tls()),
                }
            }
        }
    }

    /// A signed request over https.
    pub fn request(&self, method: &str, params: Value) -> GSRequest {
        let mut request = GSRequest::new(&self.api_key, &self.secret_key, method, params)
            .user_key(&self.user_key)
            .use_https(true);
        request.set_api_domain(&self.api_domain);
        request.set_host_override(&self.host);
        if let Some(stand_in) = &self.stand_in {
            request.set_host_override(stand_in.host());
            request = request.ca_certs(stand_in::certs::ca_pem());
        }
        request
    }
}
