//! The server as a process of its own, an HTTP client, and a browser, with answers that the
//! stand-in for the API signed.

#[path = "../../support/mod.rs"]
mod support;

use std::process::{Command, Stdio};

use gssdk::*;
use stand_in::{API_KEY, SECRET, StandIn, UID};
use support::*;
use ureq::http::Response;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gssdk-example-login");

fn server(web_sdk: &str) -> Example {
    let mut command = Command::new(PROGRAM);
    command
        .env("GIGYA_API_KEY", API_KEY)
        .env("GIGYA_SECRET_KEY", SECRET)
        .env("GIGYA_WEB_SDK", web_sdk);
    Example::start(&mut command)
}

/// What Gigya answers to a page after a login: the user's id, a time and their signature.
fn answer(uid: &str) -> Value {
    let api = StandIn::plain();
    let mut request = GSRequest::new(
        API_KEY,
        SECRET,
        "socialize.getUserInfo",
        json!({"UID": uid}),
    );
    request.set_host_override(api.host());
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let pick = |name: &str| response.get_str(name).unwrap().to_string();
    json!({
        "UID": pick("UID"),
        "UIDSignature": pick("UIDSignature"),
        "signatureTimestamp": pick("signatureTimestamp"),
    })
}

fn post(server: &Example, path: &str, body: &str) -> Response<ureq::Body> {
    let request = client().post(format!("{}{path}", server.url));
    request.content_type("application/json").send(body).unwrap()
}

/// The user id of a session, or the status that refuses it.
fn account(server: &Example, cookie: &str) -> Result<String, u16> {
    let request = client().get(format!("{}/account", server.url));
    let mut answer = request.header("cookie", cookie).call().unwrap();
    match answer.status().as_u16() {
        200 => Ok(answer.body_mut().read_to_string().unwrap()),
        status => Err(status),
    }
}

fn set_cookie(response: &Response<ureq::Body>) -> Option<String> {
    let value = response.headers().get("set-cookie")?;
    Some(value.to_str().unwrap().to_string())
}

#[test]
fn a_user_whom_gigya_logged_in_gets_a_session() {
    let server = server("none.js");
    let login_answer = answer(UID).to_string();
    let login = post(&server, "/login", &login_answer);
    assert_eq!(login.status(), 204);
    let cookie = set_cookie(&login).unwrap();
    for attribute in [
        "__Host-session=",
        "HttpOnly",
        "Secure",
        "SameSite=Lax",
        "Path=/",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(
        !cookie.contains("Domain") && !cookie.contains(UID),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(account(&server, cookie), Ok(UID.to_string()));

    // A page that is loaded again says the same again.
    let again = post(&server, "/login", &login_answer);
    assert_eq!(again.status(), 204);

    let logout = client().post(format!("{}/logout", server.url));
    let logout = logout
        .content_type("application/json")
        .header("cookie", cookie);
    let removal = set_cookie(&logout.send("{}").unwrap()).unwrap();
    assert!(removal.starts_with("__Host-session=;"), "{removal}");
    assert!(removal.contains("Max-Age=0"), "{removal}");
}

#[test]
fn what_gigya_did_not_sign_starts_no_session() {
    let server = server("none.js");
    let genuine = answer(UID);
    let with = |name: &str, value: Value| {
        let mut answer = genuine.clone();
        answer[name] = value;
        answer.to_string()
    };
    let old = (SigUtils::current_time_millis() / 1000 - 3600).to_string();
    let old_signature = SigUtils::calc_signature(&format!("{old}_{UID}"), SECRET).unwrap();
    let old = json!({"UID": UID, "UIDSignature": old_signature, "signatureTimestamp": old});
    for body in [
        json!({}).to_string(),
        with("UID", json!("somebody else")),
        with("UID", json!(["_guid_stand-in"])),
        with("UIDSignature", json!("")),
        with("UIDSignature", json!(null)),
        with(
            "UIDSignature",
            answer("somebody else")["UIDSignature"].clone(),
        ),
        with("signatureTimestamp", json!("1")),
        old.to_string(),
    ] {
        let refused = post(&server, "/login", &body);
        assert_eq!(refused.status(), 401, "{body}");
        assert_eq!(set_cookie(&refused), None);
    }
    // Nor does what another site's form could post.
    let form = client().post(format!("{}/login", server.url));
    let form = form.content_type("text/plain").send(&genuine.to_string());
    assert_eq!(form.unwrap().status(), 415);
    let large = " ".repeat(16 * 1024 + 1);
    assert_eq!(post(&server, "/login", &large).status(), 413);
}

#[test]
fn only_the_servers_own_cookie_is_a_session() {
    let (server, other) = (server("none.js"), server("none.js"));
    let login = |server: &Example| {
        let cookie = set_cookie(&post(server, "/login", &answer(UID).to_string())).unwrap();
        cookie.split(';').next().unwrap().to_string()
    };
    let cookie = login(&server);
    assert_eq!(account(&server, &cookie), Ok(UID.to_string()));
    assert_eq!(account(&server, &login(&other)), Err(401));
    assert_eq!(
        account(&server, "__Host-session=9999999999%20_guid_stand-in"),
        Err(401)
    );
    assert_eq!(account(&server, ""), Err(401));
}

/// Chromium, as this or that system calls it, with a limit to how long it may take.
fn browser() -> Option<Command> {
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    for name in names {
        let mut command = Command::new("timeout");
        command.args(["120", name]);
        let mut probe = Command::new("timeout");
        let probe = probe.args(["120", name, "--version"]).stdout(Stdio::null());
        if probe
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
        {
            return Some(command);
        }
    }
    eprintln!("SKIPPED: the login was not tried in a browser, because Chromium is not installed");
    None
}

/// The page after a login that Gigya's Web SDK answered so, or `None` without a browser.
fn page_after(answer: &Value) -> Option<String> {
    let web_sdk = format!(
        "data:text/javascript,gigya={{accounts:{{\
         addEventHandlers:({{onLogin}})=>onLogin({answer}),showScreenSet:()=>0}}}};"
    );
    let server = server(&web_sdk.replace('"', "%22").replace('+', "%2B"));
    let profile = tempfile::tempdir().unwrap();
    let output = browser()?
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-dev-shm-usage", "--virtual-time-budget=30000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--dump-dom")
        .arg(server.url.replace("127.0.0.1", "localhost"))
        .output()
        .unwrap();
    let (page, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    let page = String::from_utf8_lossy(&page).into_owned();
    assert!(page.contains("</html>"), "{page}\n{errors}");
    Some(page)
}

#[test]
fn a_browser_is_logged_in_with_what_gigya_signed_alone() {
    let genuine = answer(UID);
    let Some(page) = page_after(&genuine) else {
        return;
    };
    assert!(page.contains(&format!("Signed in as {UID}")), "{page}");
    let mut forged = genuine;
    forged["UID"] = json!("somebody else");
    let page = page_after(&forged).unwrap();
    assert!(page.contains("Not signed in"), "{page}");
}
