//! `gigya login`: as apps of cars, thermostats and televisions do it. Login, perhaps a
//! second factor, then calls that the user's session signs.

use std::io::{self, BufRead, IsTerminal, Write};

use gssdk::*;

use crate::failure::{self, Failure};
use crate::options::Common;
use crate::site::{self, Signed, Site};

pub fn run(common: &Common) -> Result<(), Failure> {
    site::stdin_is_free(common, "the login")?;
    let site = Site::open(common, Signed::IfPossible)?;
    let login_id = ask("login: ", false)?;
    let password = ask("password: ", true)?;

    // The device: second factors are bound to it.
    let ids = call(&site, "socialize.getIDs", json!({}))?;
    let device = json!({"gmid": ids.get_str("gmid"), "ucid": ids.get_str("ucid")});
    let mut params = device.clone();
    params["loginID"] = json!(login_id);
    params["password"] = json!(password);
    params["targetEnv"] = json!("mobile"); // a session with a secret, and no cookie
    let session = match call(&site, "accounts.login", params) {
        Err(error) if error.error_code() == error_codes::ACCOUNT_PENDING_TFA_VERIFICATION => {
            let answer = error.response();
            let token = answer.and_then(|answer| answer.get_str("regToken"));
            second_factor(&site, token.unwrap_or_default(), &device)?
        }
        answer => answer?,
    };

    let text = |path: &str| {
        let value = session.pointer(path).and_then(Value::as_str);
        value.unwrap_or_default()
    };
    let (token, secret) = (
        text("/sessionInfo/sessionToken"),
        text("/sessionInfo/sessionSecret"),
    );
    let by_the_user = |method: &str| {
        let request = GSRequest::with_session(token, secret, method, ());
        site.send(&site.aim(request)).into_result()
    };
    let account = by_the_user("accounts.getAccountInfo")?;
    let jwt = by_the_user("accounts.getJWT")?;
    let uid = account.get_object("UID").unwrap_or(&Value::Null);
    let profile = account.get_object("profile").unwrap_or(&Value::Null);
    let length = jwt.get_str("id_token").unwrap_or_default().len();
    let text = match common.json || !io::stdout().is_terminal() {
        true => format!(
            "{}\n",
            json!({"UID": uid, "profile": profile, "idTokenBytes": length})
        ),
        false => format!(
            "Logged in: {}\n{profile:#}\nAn id_token of {length} bytes, for a server that checks it.\n",
            uid.as_str().unwrap_or_default()
        ),
    };
    failure::print(text.as_bytes())
}

fn call(site: &Site, method: &str, params: Value) -> Result<GSResponse, GSException> {
    site.send(&site.request(method, params)).into_result()
}

/// Code by code, from the regToken of a 403101 to a session.
fn second_factor(site: &Site, token: &str, device: &Value) -> Result<GSResponse, Failure> {
    let with = |more: Value| {
        let mut params = device.clone();
        if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
            params.extend(more);
        }
        params
    };
    let providers = with(json!({"regToken": token}));
    let providers = call(site, "accounts.tfa.getProviders", providers)?;
    let active = providers.get_array("activeProviders");
    let is_app = |provider: &Value| provider.get("name").is_some_and(|name| name == "gigyaTotp");
    if !active.iter().any(is_app) {
        return Err(Failure::refused(
            "this user's second factor is not an app that shows codes, the only one that gigya login knows",
        ));
    }
    let init = json!({"regToken": token, "provider": "gigyaTotp", "mode": "verify"});
    let init = call(site, "accounts.tfa.initTFA", with(init))?;
    let assertion = init.get_str("gigyaAssertion").unwrap_or_default();
    let code = ask("code of your authenticator: ", true)?;
    let code = json!({"gigyaAssertion": assertion, "code": code});
    let verified = call(site, "accounts.tfa.totp.verify", with(code))?;
    let finalize = json!({
        "regToken": token, "gigyaAssertion": assertion,
        "providerAssertion": verified.get_str("providerAssertion"),
    });
    call(site, "accounts.tfa.finalizeTFA", with(finalize))?;
    let params = json!({"regToken": token, "targetEnv": "mobile", "include": "profile"});
    Ok(call(site, "accounts.finalizeRegistration", with(params))?)
}

/// Asks on the terminal, or reads a line of a pipe.
///
/// * `secret`: whether the terminal hides what is typed.
fn ask(what: &str, secret: bool) -> Result<String, Failure> {
    let is_terminal = io::stdin().is_terminal();
    if is_terminal && secret {
        return Ok(rpassword::prompt_password(what)?);
    }
    if is_terminal {
        write!(io::stderr(), "{what}")?;
    }
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        let what = what.trim_end_matches([':', ' ']);
        return Err(Failure::Usage(format!(
            "standard input ends before the {what}"
        )));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_string())
}
