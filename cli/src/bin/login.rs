//! Logs a user in and acts in his name, as apps of cars, thermostats and
//! televisions do: login, perhaps a second factor, then calls that his session
//! signs.
//!
//! ```text
//! cargo run -p gigya-cli --bin login
//! ```
//!
//! talks to a stand-in for the API (user `joe`; the password `correct horse` logs in
//! at once, `battery staple` asks for a second factor, whose code is 917364). With
//! `GIGYA_API_KEY` and perhaps `GIGYA_API_DOMAIN` set it talks to the real API.
//!
//! The password is read from the terminal without being shown, or from a pipe; never
//! from the command line, which every user of the machine can read.

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use gssdk::*;
use stand_in::StandIn;

/// Where the calls go, and as whom.
struct App {
    api_key: String,
    api_domain: Option<String>,
    stand_in: Option<StandIn>,
}

impl App {
    fn aim(&self, mut request: GSRequest) -> GSRequest {
        request.set_api_domain(&self.api_domain);
        if let Some(stand_in) = &self.stand_in {
            request.set_host_override(stand_in.host());
            request = request.use_https(true).ca_certs(stand_in::certs::ca_pem());
        }
        request
    }

    /// A call that nobody has to sign: the API key says which site is meant.
    fn call(&self, method: &str, params: Value) -> Result<GSResponse, GSException> {
        let request = match &self.stand_in {
            None => GSRequest::anonymous(&self.api_key, method, params),
            // The stand-in knows signed logins alone.
            Some(_) => GSRequest::new(&self.api_key, stand_in::SECRET, method, params),
        };
        self.aim(request).send().into_result()
    }
}

fn main() -> ExitCode {
    match login() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("login: {error}");
            ExitCode::FAILURE
        }
    }
}

fn login() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let app = match variable("GIGYA_API_KEY") {
        Some(api_key) => App {
            api_key,
            api_domain: variable("GIGYA_API_DOMAIN"),
            stand_in: None,
        },
        None => {
            println!("No GIGYA_API_KEY: using a stand-in for the API; log in as joe.");
            let stand_in = StandIn::tls();
            *stand_in.state.id_token.lock().unwrap() = "header.claims.signature".into();
            App {
                api_key: stand_in::API_KEY.into(),
                api_domain: None,
                stand_in: Some(stand_in),
            }
        }
    };
    let login_id = ask("login: ", false)?;
    let password = ask("password: ", true)?;

    // The device: second factors are bound to it.
    let ids = app.call("socialize.getIDs", json!({}))?;
    let device = json!({"gmid": ids.get_str("gmid"), "ucid": ids.get_str("ucid")});
    let mut params = device.clone();
    params["loginID"] = json!(login_id);
    params["password"] = json!(password);
    params["targetEnv"] = json!("mobile"); // a session with a secret, and no cookie
    let session = match app.call("accounts.login", params) {
        Err(error) if error.error_code() == error_codes::ACCOUNT_PENDING_TFA_VERIFICATION => {
            let pending = error
                .response()
                .and_then(|answer| answer.get_str("regToken"));
            second_factor(&app, pending.unwrap_or_default(), &device)?
        }
        answer => answer?,
    };

    let text = |path: &str| {
        session
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (token, secret) = (
        text("/sessionInfo/sessionToken"),
        text("/sessionInfo/sessionSecret"),
    );
    let in_his_name = |method: &str| {
        let request = GSRequest::with_session(token, secret, method, ());
        app.aim(request).send().into_result()
    };
    let account = in_his_name("accounts.getAccountInfo")?;
    println!("Logged in: {}", account.get_str("UID").unwrap_or_default());
    println!(
        "{:#}",
        account.get_object("profile").unwrap_or(&Value::Null)
    );
    let jwt = in_his_name("accounts.getJWT")?;
    let length = jwt.get_str("id_token").unwrap_or_default().len();
    println!("An id_token of {length} bytes, for a server that checks it with JwtUtils.");
    Ok(())
}

/// Code by code, from the regToken of a 403101 to a session.
fn second_factor(app: &App, token: &str, device: &Value) -> Result<GSResponse, Box<dyn Error>> {
    let with = |more: Value| {
        let mut params = device.clone();
        if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
            params.extend(more);
        }
        params
    };
    let providers = app.call(
        "accounts.tfa.getProviders",
        with(json!({"regToken": token})),
    )?;
    let active = providers.get_array("activeProviders").iter();
    if !active
        .into_iter()
        .any(|provider| provider["name"] == "gigyaTotp")
    {
        return Err("this user's second factor is none that shows codes in an app".into());
    }
    let init = json!({"regToken": token, "provider": "gigyaTotp", "mode": "verify"});
    let init = app.call("accounts.tfa.initTFA", with(init))?;
    let assertion = init.get_str("gigyaAssertion").unwrap_or_default();
    let code = ask("code of your authenticator: ", true)?;
    let code = json!({"gigyaAssertion": assertion, "code": code});
    let verified = app.call("accounts.tfa.totp.verify", with(code))?;
    let finalize = json!({
        "regToken": token, "gigyaAssertion": assertion,
        "providerAssertion": verified.get_str("providerAssertion"),
    });
    app.call("accounts.tfa.finalizeTFA", with(finalize))?;
    let params = json!({"regToken": token, "targetEnv": "mobile", "include": "profile"});
    Ok(app.call("accounts.finalizeRegistration", with(params))?)
}

fn ask(what: &str, secret: bool) -> io::Result<String> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_string());
    }
    if secret {
        return rpassword::prompt_password(what);
    }
    print!("{what}");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_string())
}
