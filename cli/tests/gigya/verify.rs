//! `gigya verify`.

use super::*;
use stand_in::rsa::RsaKey;
use stand_in::sender::{extension_body, header, webhook_claims};

fn now() -> i64 {
    (SigUtils::current_time_millis() / 1000) as i64
}

fn signature(timestamp: i64, uid: &str) -> String {
    SigUtils::calc_signature(&format!("{timestamp}_{uid}"), SECRET).unwrap()
}

fn with_secret(args: &[&str]) -> Command {
    let mut run = gigya(args);
    run.env("GIGYA_SECRET_KEY", SECRET);
    run
}

#[test]
fn the_signature_of_a_user_is_checked() {
    let (now, old) = (now(), now() - 1_000);
    let (timestamp, old_timestamp) = (now.to_string(), old.to_string());
    let (good, old_good) = (signature(now, "abc"), signature(old, "abc"));
    for (uid, timestamp, signature, more, code) in [
        ("abc", &timestamp, good.as_str(), &[][..], 0),
        ("abd", &timestamp, &good, &[], 1),
        ("abc", &timestamp, "AAAA", &[], 2),
        ("abc", &timestamp, "", &[], 2),
        ("abc", &old_timestamp, &old_good, &[], 1),
        ("abc", &old_timestamp, &old_good, &["--expiration", "2000"], 0),
        ("abc", &"-1".to_string(), &good, &[], 2),
        ("abc", &"2023-01-01".to_string(), &good, &[], 2),
        ("abc", &timestamp, &good, &["--expiration", "soon"], 2),
    ] {
        let args =
            ["verify", "user", "--uid", uid, "--timestamp", timestamp, "--signature", signature];
        let ran = with_secret(&args).args(more).run();
        assert_eq!(ran.code, Some(code), "{uid} {signature} {more:?}: {ran:?}");
        if code < 2 {
            assert_eq!(ran.json()[0]["valid"], code == 0, "{ran:?}");
        }
        assert_eq!(ran.said.starts_with("gigya: not valid: "), code == 1, "{ran:?}");
    }
    let args = ["verify", "user", "--uid", "abc", "--timestamp", &timestamp, "--signature", &good];
    let ran = gigya(&args).run();
    assert_eq!(
        (ran.code, ran.said.contains("GIGYA_SECRET_KEY is missing")),
        (Some(2), true),
        "{ran:?}"
    );
    assert_eq!(gigya(&args).arg("--demo").run().code, Some(0));
}

#[test]
fn a_user_may_come_as_an_answer_of_the_api() {
    let api = StandIn::plain();
    let answer = at(&api, &["call", "socialize.getUserInfo", "uid=abc"]).run().out;
    assert_eq!(with_secret(&["verify", "user"]).run_with(&answer).code, Some(0));
    let folder = Folder::new();
    let path = file(&folder, "user.json", &answer);
    assert_eq!(with_secret(&["verify", "user", "--file", &path]).run().code, Some(0));
    let forged = answer.replace("\"abc\"", "\"abd\"");
    assert_eq!(with_secret(&["verify", "user"]).run_with(forged).code, Some(1));
    let ran = with_secret(&["verify", "user", "--uid", "abd"]).run_with(&answer);
    assert_eq!(ran.code, Some(1), "an option wins");
    for input in ["", "{}", "not JSON"] {
        let ran = with_secret(&["verify", "user", "--uid", "a"]).run_with(input);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let said = ran.said.contains("--timestamp is missing, --signature is missing");
        assert!(said && !ran.said.contains("--uid is missing"), "{}", ran.said);
    }
}

/// A site with a key of its own, and what it signs.
struct Site {
    api: StandIn,
    key: RsaKey,
    folder: Folder,
    ca: String,
    keys: String,
}

impl Site {
    fn new() -> Option<Self> {
        let (api, key, folder) = (StandIn::tls(), RsaKey::generate()?, Folder::new());
        let jwks = json!({"keys": [key.jwk("k")]});
        *api.state.jwks.lock().unwrap() = jwks.clone();
        Some(Site {
            ca: file(&folder, "ca.pem", certs::ca_pem()),
            keys: file(&folder, "keys.json", jwks.to_string()),
            api,
            key,
            folder,
        })
    }

    fn token(&self, claims: Value) -> String {
        self.key.jwt(header("k"), claims)
    }

    fn id_token(&self) -> String {
        self.token(json!({
            "iss": format!("https://fidm.gigya.com/jwt/{API_KEY}/"), "apiKey": API_KEY,
            "iat": now(), "exp": now() + 300, "sub": "abc", "n": 7,
        }))
    }

    /// Once with the keys that the site serves, and once without a network.
    fn verify(&self, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
        let args = [&["verify"], args].concat();
        let fetched = at(&self.api, &args)
            .args(["--ca-certs", &self.ca])
            .env_remove("GIGYA_SECRET_KEY")
            .run_with(&input);
        let connections = self.api.connections();
        let offline =
            gigya(&args).args(["--keys", &self.keys, "--api-key", API_KEY]).run_with(&input);
        assert_eq!(self.api.connections(), connections);
        assert_eq!((fetched.code, &fetched.out), (offline.code, &offline.out));
        assert_eq!(fetched.said, offline.said);
        offline
    }
}

fn tampered(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}

#[test]
fn an_id_token_is_checked() {
    let Some(site) = Site::new() else { return };
    let token = site.id_token();
    let path = file(&site.folder, "token", format!("{token}\n"));
    for ran in [
        site.verify(&["jwt"], format!("{token}\r\n")),
        site.verify(&["jwt", &token], ""),
        site.verify(&["jwt", "--file", &path], ""),
    ] {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let result = &ran.json()[0];
        assert_eq!((&result["valid"], &result["claims"]["sub"]), (&json!(true), &json!("abc")));
    }
    let old = site.token(json!({
        "iss": format!("https://fidm.gigya.com/jwt/{API_KEY}/"), "apiKey": API_KEY,
        "iat": now() - 9_000, "exp": now() - 8_000, "sub": "abc",
    }));
    for (token, code, said) in [
        (tampered(&token), 1, "not valid: "),
        ("hello".into(), 2, "malformed: "),
        ("a.b.c".into(), 2, "malformed: "),
        (token.replace('.', "_"), 2, "malformed: "),
    ] {
        let ran = site.verify(&["jwt"], token);
        assert_eq!((ran.code, &ran.json()[0]["valid"]), (Some(code), &json!(false)), "{ran:?}");
        assert!(ran.said.contains(said), "{}", ran.said);
    }
    let offline = ["--keys", &site.keys, "--api-key", API_KEY];
    let ran = gigya(&[&["verify", "jwt", &old], &offline[..]].concat()).run();
    assert_eq!((ran.code, ran.said.contains("has expired")), (Some(1), true), "{ran:?}");
    // The given keys are old.
    let others = json!({"keys": [site.key.jwk("another")]}).to_string();
    let others = file(&site.folder, "others.json", others);
    let args = ["verify", "jwt", &token, "--keys", &others, "--api-key", API_KEY];
    let ran = gigya(&args).run();
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    let another =
        gigya(&["verify", "jwt", &token, "--keys", &site.keys, "--api-key", "another"]).run();
    assert_eq!(another.code, Some(1), "{another:?}");
    assert_eq!(site.verify(&["jwt"], "").code, Some(2), "no token at all");
    assert_eq!(gigya(&["verify", "jwt", &token, "--keys", &site.keys]).run().code, Some(2));
    for keys in ["/missing", &site.ca] {
        let ran = gigya(&["verify", "jwt", &token, "--api-key", API_KEY, "--keys", keys]).run();
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    }
}

#[test]
fn where_the_keys_cannot_be_fetched_nothing_is_called_forged() {
    let Some(site) = Site::new() else { return };
    let verify = || {
        let args = ["verify", "jwt", "--ca-certs", &site.ca, "--timeout", "60"];
        at(&site.api, &args).run_with(site.id_token())
    };
    site.api.state.refusals.lock().unwrap().push_back(400_093);
    let ran = verify();
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    assert!(ran.said.contains("nothing was verified"), "{}", ran.said);
    for _ in 0..3 {
        site.api.fault(Fault::CloseAfterExecuting);
    }
    let ran = verify();
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    assert_eq!(verify().code, Some(0));
    // With a secret key, the keys are asked for in its name.
    assert!(site.api.last().param("sig").is_some());
}

#[test]
fn a_webhook_is_checked_byte_by_byte() {
    let Some(site) = Site::new() else { return };
    let body = "{\"nonce\": \"n-1\",\r\n \"events\": []}\n";
    let token = site.token(webhook_claims(body));
    let path = file(&site.folder, "body.json", body);
    let ran = site.verify(&["webhook", "--jwt", &token], body);
    assert_eq!((ran.code, &ran.json()[0]["claims"]["jti"]), (Some(0), &json!("n-1")), "{ran:?}");
    assert_eq!(site.verify(&["webhook", "--jwt", &token, "--file", &path], "").code, Some(0));
    assert_eq!(site.verify(&["webhook", "--jwt", &token], body.trim()).code, Some(1));
    assert_eq!(site.verify(&["webhook", "--jwt", &tampered(&token)], body).code, Some(1));
    assert_eq!(site.verify(&["webhook", "--jwt", &site.id_token()], body).code, Some(1));

    let signature = SigUtils::calc_signature(body, SECRET).unwrap();
    let version_1 = |signature: &str, body: &str| {
        with_secret(&["verify", "webhook", "--signature", signature]).run_with(body)
    };
    assert_eq!(version_1(&signature, body).code, Some(0));
    assert_eq!(version_1(&signature, body.trim()).code, Some(1));
    assert_eq!(version_1("", body).code, Some(2));
    assert_eq!(version_1("c2hvcnQ=", body).code, Some(2));
    assert_eq!(
        gigya(&["verify", "webhook", "--signature", &signature]).run_with(body).code,
        Some(2)
    );
    assert_eq!(with_secret(&["verify", "webhook"]).run_with(body).code, Some(2), "neither");
    let both = ["verify", "webhook", "--signature", &signature, "--jwt", &token];
    assert_eq!(with_secret(&both).run_with(body).code, Some(2));
    assert_eq!(
        with_secret(&["verify", "webhook", "--jwt", "x", "--file", "/missing", "--api-key", "k"])
            .run()
            .code,
        Some(2)
    );
}

#[test]
fn an_extensions_call_is_checked() {
    let Some(site) = Site::new() else { return };
    let payload = json!({"extensionPoint": "OnBeforeAccountsRegister", "callID": "c", "apiKey": API_KEY, "data": {}});
    let body = extension_body(&site.key, payload);
    let ran = site.verify(&["extension"], &body);
    assert_eq!((ran.code, &ran.json()[0]["claims"]["callID"]), (Some(0), &json!("c")), "{ran:?}");
    let path = file(&site.folder, "body.json", &body);
    assert_eq!(site.verify(&["extension", "--file", &path], "").code, Some(0));
    assert_eq!(site.verify(&["extension"], body.replace("\"}", "A\"}")).code, Some(1));
    assert_eq!(site.verify(&["extension"], "{}").code, Some(2));
}
